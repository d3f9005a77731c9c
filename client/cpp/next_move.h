// next_move.h - decides what one incarnation does next, from the target's present state and what it knows of itself.
//
// Pure: no I/O, no clock; the session (session.h) is the shell around it. A view that was delivered twice, or that says
// nothing new, gives the same move: what was dealt with already is part of `Self`.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy {

// What an incarnation knows of its own part.
struct Self {
  IncarnationId incarnation;
  RoundId round;          // that it waits for
  bool settling = false;  // it has nothing pending itself and only came to look after `round` (SETTLE)
  Token dealt;            // the highest token that it was told to claim with; 0: none yet
  Token running;          // not 0: it claims or runs under this token now, and has not reported
  RoundId running_round;  // the round of that token: not always the one that it waits for (it may settle another)
  bool fenced = false;    // of that run
};

namespace moves {
// Nothing to do but to wait for the next view.
struct Wait {
  friend bool operator==(const Wait&, const Wait&) = default;
};
// It was elected: claim the fence in the target with this token, compare, confirm.
struct Claim {
  RoundId round;
  Token token;
  bool settle = false;  // only find out what happened; apply nothing
  friend bool operator==(const Claim&, const Claim&) = default;
};
// Its round has an outcome, or INDETERMINATE: `state` says which. `round` is another one where that is INDETERMINATE
// and holds the target, so that its own cannot go on.
struct Finish {
  RoundId round;
  v1::RoundState state = v1::ROUND_STATE_UNSPECIFIED;
  friend bool operator==(const Finish&, const Finish&) = default;
};
// Read what is pending again and join again: its round is gone, superseded or expired, or it settled another's.
struct Rejoin {
  enum class Why { kSuperseded, kExpired, kRetired, kNotAMember, kSettled };
  Why why = Why::kSuperseded;
  friend bool operator==(const Rejoin&, const Rejoin&) = default;
};
// It runs under a token that is worth nothing any more (or its round was severed): stop the run, roll back. Comes
// before a Claim under a newer token: the old run ends first.
struct Stop {
  enum class Why { kSevered, kTokenLost };
  Why why = Why::kSevered;
  std::string reason;
  friend bool operator==(const Stop&, const Stop&) = default;
};
}  // namespace moves

using Move = std::variant<moves::Wait, moves::Claim, moves::Finish, moves::Rejoin, moves::Stop>;

Move next_move(const v1::Target& view, const Self& self);

// What a deadline finds a waiter waiting for. It decides the exit code and the words.
enum class WaitsFor {
  kParties,    // the quorum is not complete
  kAgreement,  // parties disagree about the plan
  kTarget,     // complete, but another round holds the target
  kApplier,    // complete, but nobody present may apply, or the elected one has not claimed
  kOutcome,    // it is being applied, or recovered, elsewhere
  kGate,       // complete, but the release gate holds it
  kOperator,   // a round of the target is INDETERMINATE: nothing goes on before somebody has looked
  kDaemon,     // no daemon answers: it never joined, or it has to join again and cannot
};
WaitsFor waits_for(const v1::Target* view, const RoundId& round);
// The same for one whose round is gone and who is not in another yet. `reached`: a daemon is there to join it.
WaitsFor waits_for_joining(const v1::Target* view, bool reached);

// While its round gathers: whether `view` (after `before`; nothing is hinted without one) hints that what is pending
// may have changed: a visit by somebody who already knows one of the plan's steps, a new divergence, a round that was
// superseded, or that succeeded and shares a step with the plan.
bool hints_at_change(const v1::Target* before, const v1::Target& view, const RoundId& round);

// The divergences of `round` in `view`, by the other rounds' ids, sorted: told again only when this changes.
std::vector<std::string> divergences(const v1::Target& view, const RoundId& round);

// True when `candidate` tells more than `present` (or of another epoch): a view that comes late must not replace a
// newer.
bool is_newer(const v1::Target* present, const v1::Target& candidate);

const v1::Round* find_round(const v1::Target& view, const RoundId& round);  // nullptr: not among the live and lingering

// The same plan as the daemon's canonical hash sees it.
bool same_plan(const std::optional<v1::Plan>& a, const std::optional<v1::Plan>& b);

}  // namespace syzygy
