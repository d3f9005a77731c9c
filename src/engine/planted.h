// planted.h - deliberate bugs of the engine, to see that the simulation catches them: those that only several daemons
// and bad stores can show. The mechanism is base/planted.h.
//
// PLANTED_IN_ENGINE(name) is false in every build but one: the simulation's syzygy_engine_planted, where it is true for
// the bug that was chosen at run time. Each row has its site, and each site its row (tests/sim/planted_test.cpp).
#pragma once

#include "base/planted.h"

namespace syzygy::engine {

// X(name, the invariant or rule it breaks, how)
// clang-format off
#define SYZYGY_ENGINE_PLANTED_TABLE(X) \
  X(reply_before_commit, "8", "replies and updates go out before the commit") \
  X(own_clock, "time", "leases are judged by the daemon's clock") \
  X(token_reset_on_restart, "4", "the first record read after a start forgets its token") \
  X(hint_trusted, "14", "a hint's version is taken for that of the cached state") \
  X(unknown_is_failure, "13", "an unknown commit is answered as a failure") \
  X(unknown_is_success, "8", "an unknown commit is taken for one that happened") \
  X(stale_cache_served, "13", "what changes nothing is answered from the cache, though others write too") \
  X(conflict_keeps_cache, "14", "after a conflict the stale record is committed over the newer one") \
  X(renewals_lost_on_conflict, "1|19", "a conflict drops renewals, and answers them all the same") \
  X(commands_lost_on_conflict, "20", "a conflict drops the commands that wait") \
  X(poll_forgotten, "21", "nothing backs up a lost hint") \
  X(gap_hidden, "14", "events that are missing are not said to be") \
  X(history_lost_on_retry, "14", "a fold that is done again comes without its history")
// clang-format on

SYZYGY_PLANTED_CHOICE(SYZYGY_ENGINE_PLANTED_TABLE)

}  // namespace syzygy::engine

#define PLANTED_IN_ENGINE(name) (::syzygy::engine::planted_now == ::syzygy::engine::Planted::name)
