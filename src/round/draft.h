// draft.h - a record while one step changes it: the record, what time it is, and the events noted so far.
//
// Internal to src/round. Every change that a watcher can see is noted as an event, and takes one revision. A Draft
// belongs to one call of step(); references to rounds stay valid while no round is added or retired.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "round/effect.h"
#include "round/round.h"
#include "round/transitions.h"

namespace syzygy::round {

class Draft {
 public:
  Draft(Record& record, Instant now, const Settings& settings) : record(record), now(now), settings(settings) {}

  Record& record;
  const Instant now;
  const Settings& settings;
  std::vector<Event> events;
  std::string broken;  // the first move that the table refused

  Event& note(EventKind kind, const Round* round = nullptr);
  Event& note(EventKind kind, const Round* round, const Member& member);

  // The only way a round's state changes. A move that the table lacks is a broken invariant: it is not made.
  void move(Round& round, State to, std::string why);

  // Moves to SUCCEEDED, FAILED or INDETERMINATE with what everybody is told. Success makes rounds that share a step
  // obsolete.
  void conclude(Round& round, State to, Outcome outcome);

  // Ends a gathering round without an outcome: EXPIRED, DISSOLVED or SUPERSEDED.
  void end(Round& round, State to, std::string why);

  // Ends the grant, if any, and moves to RECOVERING.
  void recover(Round& round, std::string why);

  // A token was seen in the target that is above all we granted.
  void raise_token(Token seen, const Round* round);

  Round* find(const RoundId& id);
  Round* holder();

 private:
  void settle_time(Round& round);
};

// Our own bound on tokens: far above 2^20 jumps, far below overflow.
inline constexpr Token kTokenMax{std::uint64_t{1} << 62};

}  // namespace syzygy::round
