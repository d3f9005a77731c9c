// rules.h - one function per command. Each changes the draft and says what the asker is told.
//
// Internal to src/round: step.cpp ends leases first, weeds out repeated requests, calls these in order, and elects
// afterwards.
#pragma once

#include "round/command.h"
#include "round/draft.h"
#include "round/effect.h"

namespace syzygy::round {

Reply on_join(Draft& draft, const Join& join);                       // joining.cpp
Reply on_renew(Draft& draft, const Renew& renew);                    // leases.cpp
Reply on_confirm(Draft& draft, const Confirm& confirm);              // applying.cpp
Reply on_progress(Draft& draft, const Progressed& progressed);       // applying.cpp
Reply on_report(Draft& draft, const Report& report);                 // applying.cpp
Reply on_leave(Draft& draft, const Leave& leave);                    // leaving.cpp
Reply on_sever(Draft& draft, const SeverRound& sever);               // operator.cpp
Reply on_resolve_begin(Draft& draft, const ResolveBegin& begin);     // operator.cpp
Reply on_resolve_finish(Draft& draft, const ResolveFinish& finish);  // operator.cpp
Reply on_set_target(Draft& draft, const SetTarget& set);             // operator.cpp
void on_grace(Draft& draft, const Grace& grace);                     // leases.cpp

// What a command brings beside its request: a memory, and what a join saw in the target. Before anything is judged: it
// may show that this record is of an older life. (resync.cpp)
void take_evidence(Draft& draft, const Command& command);
// A claim or a guard of `party` found `row` in the target, while `known` was the highest token that was granted here.
// (resync.cpp)
void look_at_row(Draft& draft, Token row, Token known, const PartyName& party);
// Of a round whose present record may be an old one: what else it may have come to is taken for a run, which is to be
// judged by the target, or by nobody. (resync.cpp)
void assume_run(Draft& draft, Round& round);
// The resynchronisation, if its time is over. (resync.cpp)
void end_resync(Draft& draft);

// Ends what time has ended: leases, deadlines, excuses, grants, unconfirmed severs, empty gatherings, lingering.
// (leases.cpp)
void end_what_is_over(Draft& draft);
// Rounds at odds with each other are marked, and unmarked. (joining.cpp)
void compare_gatherings(Draft& draft);
// The next instant at which end_what_is_over() or elect() has something to do. (leases.cpp)
std::optional<Instant> next_wake(const Record& record, const Settings& settings);

// N or the roster as it binds a round whose first joiner asked for `asked`: the pin wins, each excuse lowers it, never
// below 1. parties 0: neither is given. (joining.cpp)
Quorum effective_quorum(const Record& record, const Quorum& asked);
// Gathering rounds whose effective quorum is not what it was when they opened are superseded. (joining.cpp)
void supersede_requorumed(Draft& draft, const std::string& why);

// How long after the end of a grant's lease its run may still be stopping.
Duration lock_delay(const Round& round, const Settings& settings);

Reply refused(ErrorCode code, std::string reason, std::string message,
              std::map<std::string, std::string> metadata = {});
std::string describe(const Quorum& quorum);  // "3" or "roster eu-west, us-east"

}  // namespace syzygy::round
