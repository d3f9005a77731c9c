// step.h - decides. Given what is known of a target, what is asked and what time it is: what is known now, and what
// must follow.
//
// Pure: the same arguments give the same answer. Within one batch step() ends leases, applies the commands (reports
// first), then elects once. Effects may be released only after the returned record is durable. Invariants are checked
// on the way out, in every build: a violation is a value (`broken`), and then nothing of the decision may be committed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "round/command.h"
#include "round/effect.h"
#include "round/round.h"

namespace syzygy::round {

struct Decision {
  Record record;
  std::vector<Reply> replies;      // one for each command, in the commands' order
  std::vector<Event> events;       // their revisions follow the old record's without a gap
  std::optional<Instant> wake_at;  // the next instant at which a Tick changes something
  bool changed = false;            // the record differs from the one given: it must be committed before any reply
  std::string broken;              // not empty: the invariant that failed, in words
};

Decision step(Record record, std::span<const Command> commands, Instant now, const Settings& settings);

}  // namespace syzygy::round
