// round.h - the record: everything the coordinator knows of one target, as plain values.
//
// One record is one key of the store and one compare-and-swap, so that what holds across rounds holds by construction.
// It changes only in step() (step.h), and a Round's state only through move() (transitions.h). Instants are the store's
// (base/time.h). Nothing here does I/O, reads a clock or draws a random number.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/plan.h"
#include "base/result.h"
#include "base/time.h"

namespace syzygy::round {

enum class State : std::uint8_t {
  kGathering,
  kElected,
  kApplying,
  kRecovering,
  kSucceeded,
  kFailed,
  kIndeterminate,
  kExpired,
  kDissolved,
  kSuperseded,
};

// Final: never changes again. INDETERMINATE is not final: it is "not known".
constexpr bool is_final(State s) {
  return s == State::kSucceeded || s == State::kFailed || s == State::kExpired || s == State::kDissolved ||
         s == State::kSuperseded;
}
// The one round of its target that may touch it, or about which nobody may act until it is resolved.
constexpr bool holds_target(State s) {
  return s == State::kElected || s == State::kApplying || s == State::kRecovering || s == State::kIndeterminate;
}
std::string_view to_string(State state);

// How many, or exactly who. A roster implies its size; `parties` is then that size.
struct Quorum {
  std::uint32_t parties = 0;
  std::set<PartyName> roster;

  friend bool operator==(const Quorum&, const Quorum&) = default;
};

// What the target database says it is (protocol: "A target is one application in one database").
struct Binding {
  std::string minted_id;
  std::string system_id;
  std::string database;
  std::string application = "default";

  friend bool operator==(const Binding&, const Binding&) = default;
};

// An outcome as somebody read it in the target.
struct TargetOutcome {
  RoundId round;
  Token token;
  State state = State::kSucceeded;

  friend bool operator==(const TargetOutcome&, const TargetOutcome&) = default;
};

enum class Standing : std::uint8_t { kLive, kLapsed, kLeft };

// One incarnation in one round (or, as a guest, in none).
struct Member {
  PartyName party;
  IncarnationId incarnation;
  std::string host;
  std::string client_version;
  ReleaseName release;
  bool may_apply = true;
  bool fail_on_divergence = false;
  std::size_t has_from = 0;  // it holds the round's steps from this index on: 0 is the whole plan
  std::uint64_t order = 0;   // rises with each joining of this target: of a party's live incarnations the newest counts
  Token seen_token;          // the target's own token, as its join saw it
  Instant joined_at;
  Duration lease_ttl{0};
  Instant lease_until;
  bool graced = false;     // its present lease was already extended after a restart
  Instant deadline;        // when it stops waiting by itself
  Instant declined_until;  // not elected before
  Standing standing = Standing::kLive;

  friend bool operator==(const Member&, const Member&) = default;
};

// The right to run, or to settle: of one incarnation, under one token.
struct Grant {
  IncarnationId incarnation;
  PartyName party;
  Token token;
  bool settle = false;   // elected only to find out: applies nothing
  bool claimed = false;  // its claim in the target is complete: the round is APPLYING
  bool fenced = false;   // meaningful once claimed
  Duration lease_ttl{0};
  Instant lease_until;
  bool graced = false;
  std::size_t from_step = 0;
  bool unsure = false;  // given before a daemon started that cannot know whether its store is an old copy

  friend bool operator==(const Grant&, const Grant&) = default;
};

// The last run that reached APPLYING: what an heir must judge.
struct Run {
  IncarnationId incarnation;
  PartyName party;
  Token token;
  bool fenced = false;
  bool ended = false;  // its session is confirmed to have ended: nothing of it can still happen

  friend bool operator==(const Run&, const Run&) = default;
};

struct Progress {
  std::uint32_t step_index = 0;
  StepId step;
  std::string note;
  Instant at;

  friend bool operator==(const Progress&, const Progress&) = default;
};

struct Sever {
  std::string actor;
  std::string reason;
  Instant at;
  Instant confirm_by;  // without a confirmation by then: INDETERMINATE

  friend bool operator==(const Sever&, const Sever&) = default;
};

// What everybody is told. Stored in the move to a final state (or to INDETERMINATE, where it says what is not known).
struct Outcome {
  std::string message;
  StepId failed_step;
  std::int32_t exit_code = 0;
  std::uint32_t steps_done = 0;
  PartyName applier;
  Token token;             // of the claim or run that found it; 0: none was granted
  bool in_target = false;  // it stands in the target's own outcome table
  Instant at;
  Revision revision;  // of the event that announced it: what an acknowledgement names

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

// An operator is about to resolve an INDETERMINATE round.
struct Resolution {
  IncarnationId incarnation;
  std::string actor;
  Token token;

  friend bool operator==(const Resolution&, const Resolution&) = default;
};

struct Round {
  RoundId id;
  Generation generation;
  Plan plan;
  PlanHash hash;
  State state = State::kGathering;
  Quorum asked;      // by the first to join; parties 0: it relied on the pin
  Quorum effective;  // frozen when the round opened: after pin and excuses
  std::vector<Member> members;
  std::optional<IncarnationId> completed_by;  // whose join completed the quorum last
  std::optional<Grant> grant;                 // ELECTED, APPLYING
  std::optional<Run> last_run;  // set by the first move to APPLYING: from then on the round is in recovery
  std::optional<std::size_t> remaining_from;  // in recovery: the first step that a claim found missing
  std::optional<Progress> progress;
  std::optional<Sever> sever;
  std::optional<Resolution> resolution;
  std::optional<Outcome> outcome;
  std::set<PartyName> acknowledged;  // parties that know of its FAILED
  std::set<RoundId> diverged;        // gathering rounds it is at odds with
  Instant opened_at;
  std::optional<Instant> elected_at;
  Instant ended_at;  // meaningful in a final state
  Instant linger_until;

  friend bool operator==(const Round&, const Round&) = default;
};

struct Visit {
  Instant at;
  std::string last_step;
  ReleaseName release;
  std::string host;

  friend bool operator==(const Visit&, const Visit&) = default;
};

struct Excuse {
  Instant until;
  std::string reason;
  std::string actor;

  friend bool operator==(const Excuse&, const Excuse&) = default;
};

struct Pin {
  Quorum quorum;
  std::string actor;
  std::string reason;

  friend bool operator==(const Pin&, const Pin&) = default;
};

// What a request came to. kRefused changed nothing and is not kept: its retry is judged anew.
enum class Verdict : std::uint8_t {
  kWait,
  kNothingPending,
  kApplied,
  kFailed,
  kIndeterminate,
  kSettle,
  kProceed,
  kStop,
  kDone,
  kEvidence,
  kRefused,
};

// The answer to the last request of an incarnation, kept so that a retry of it is answered alike.
struct Answered {
  std::uint64_t sequence = 0;
  std::string digest;  // of the command's body
  Verdict verdict = Verdict::kDone;
  std::optional<RoundId> round;
  std::size_t from_step = 0;
  Token token;
  std::string notice;
  Instant keep_until;

  friend bool operator==(const Answered&, const Answered&) = default;
};

// A presence has its place in the record; what reports and judges it comes with the release gate.
struct Presence {
  PartyName party;
  ReleaseName release;
  Instant lease_until;

  friend bool operator==(const Presence&, const Presence&) = default;
};

// The store went back in time, or began anew, below this target: until then only evidence is taken, nothing is granted.
struct Resync {
  Instant since;
  Instant until;
  std::string why;
  Token seen;  // the highest that anybody brought since

  friend bool operator==(const Resync&, const Resync&) = default;
};

struct Record {
  TargetName target;
  std::string epoch;  // of this life of the record: the store's when it began, another after each regression
  std::vector<std::string> former;  // lives that were resynchronised: whoever still remembers one tells nothing new
  std::optional<Resync> resync;
  Revision revision;        // of the newest event
  Token token;              // the highest granted, or seen in the target
  Generation generation;    // of the newest round: one counter for the target, so that no two rounds ever share one
  std::uint64_t order = 0;  // of the newest joining
  Instant now;              // the newest instant a step has seen: time never runs backwards in a record
  std::optional<Binding> binding;
  std::optional<Pin> pin;
  std::map<PartyName, Excuse> excuses;
  std::map<PartyName, Visit> visits;
  std::vector<Round> rounds;   // live and lingering, in the order of their opening
  std::vector<Member> guests;  // with nothing pending, kept because a round in RECOVERING needs somebody to look
  std::map<PlanStage, PlanHash> opaque_applied;  // the last opaque plan that succeeded, per stage; does not expire
  std::map<IncarnationId, Answered> answered;
  std::map<std::string, Presence> presences;
  std::string graced_boot;  // the daemon start that last gave grace

  friend bool operator==(const Record&, const Record&) = default;
};

// Numbers that a deployment may set; the defaults are those of PROTOCOL.md. Tests scale them.
struct Settings {
  Duration lease{15'000};
  Duration lease_max{300'000};
  Duration lease_unfenced{60'000};
  Duration lock_delay_unfenced{10'000};
  Duration linger{600'000};
  Duration decline{5'000};
  Duration wait_default{1'800'000};
  // How long whoever was granted something in a lost life of the record may still act on it.
  [[nodiscard]] Duration resync() const { return std::max(lease_max, lease_unfenced) + lock_delay_unfenced; }
  // Until then nothing is granted: another server answers for the store, and what it lacks is still being found out.
  Instant quiet_until{};
  std::size_t parties_max = 1'000;
  std::size_t members_max = 4'000;  // of one round, replaced and departed incarnations included
  std::size_t gathering_max = 64;
  std::size_t lingering_max = 64;     // finished rounds kept at once: the oldest retire first
  std::size_t requests_max = 10'000;  // processes whose last request is remembered
  // Of one record, as weight() (view.h) bounds it: below what a store takes. Beyond half of it finished rounds retire
  // early, beyond it joins are refused.
  std::size_t record_bytes_max = 15 << 20;
};

}  // namespace syzygy::round
