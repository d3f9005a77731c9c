// command.h - everything that can be asked of a target, as plain values.
//
// What a command needs from outside (a fresh round id, say) is in it: step() draws nothing. Names were validated before
// (api/). A command with a RequestId is executed at most once; its retry is answered alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "round/round.h"

namespace syzygy::round {

// (incarnation, sequence): one mutating request of an incarnation is in flight at a time, sequences rise.
struct RequestId {
  IncarnationId incarnation;
  std::uint64_t sequence = 0;

  friend bool operator==(const RequestId&, const RequestId&) = default;
};

// What the joiner read in the target, in one snapshot with what is pending.
struct Snapshot {
  Token token;
  std::optional<TargetOutcome> last_outcome;
  std::vector<Step> recent;  // the newest steps that stand in its history
  std::string last_step;

  friend bool operator==(const Snapshot&, const Snapshot&) = default;
};

// A round as a client, or a daemon, saw it last.
struct RememberedRound {
  RoundId id;
  Plan plan;
  Quorum quorum;
  State state = State::kGathering;
  IncarnationId applier;  // of the last grant that it saw; empty: none
  PartyName applier_party;
  Token token;  // of that grant
  bool fenced = false;

  friend bool operator==(const RememberedRound&, const RememberedRound&) = default;
};

// What a client, or a daemon, saw of the target last, by which a store that went back in time is found out. Evidence,
// no request: it is no part of what tells repeated requests apart.
struct Memory {
  std::string epoch;
  Revision revision;
  Token token;
  std::optional<RememberedRound> round;  // a client's own; a daemon's: the one that held the target

  friend bool operator==(const Memory&, const Memory&) = default;
};

struct Join {
  RequestId request;
  PartyName party;
  std::optional<Plan> plan;      // nullopt: nothing pending, a visit
  std::optional<Quorum> quorum;  // nullopt: the pin's
  Duration timeout{0};           // 0: Settings::wait_default
  Duration lease{0};             // 0: Settings::lease
  bool may_apply = true;
  bool fail_on_divergence = false;
  bool again = false;
  bool checked = false;
  std::optional<Binding> binding;
  std::optional<Snapshot> snapshot;
  std::string host;
  std::string client_version;
  ReleaseName release;
  RoundId fresh_round;  // random: the id of the round that this join may open
  std::optional<Memory> memory;
};

struct Renew {
  IncarnationId incarnation;
  Token token;                        // of an applier
  std::optional<Memory> memory = {};  // so that a braced list may leave it out
};

enum class Claim : std::uint8_t { kComplete, kRefused, kDeclined };

// What the claim found of the round's steps.
struct Finding {
  enum class Kind : std::uint8_t { kWhole, kNothing, kSuffix, kOutcome, kBegun, kOther, kUnknown };
  Kind kind = Kind::kUnknown;
  std::size_t from_step = 0;
  StepId step;  // kBegun
  std::optional<TargetOutcome> outcome;
  std::vector<StepId> committed;
  bool sessions_gone = false;
  RoundId begun_by = {};  // kBegun: whose mark it is; this round's, or one's that the store has lost

  friend bool operator==(const Finding&, const Finding&) = default;
};

struct Confirm {
  RequestId request;
  RoundId round;
  Token token;
  Claim claim = Claim::kComplete;
  bool fenced = false;
  Finding finding;
  Token row_token;     // kRefused
  std::string reason;  // kDeclined
};

struct Progressed {
  RoundId round;
  IncarnationId incarnation;
  Token token;
  std::uint32_t step_index = 0;
  StepId step;
  std::string note;
};

enum class RunResult : std::uint8_t { kSucceeded, kFailed, kIndeterminate, kChanged, kFencedOut };

struct Report {
  RequestId request;
  RoundId round;
  Token token;
  RunResult result = RunResult::kFailed;
  std::string message;
  StepId failed_step;
  std::int32_t exit_code = 0;
  std::uint32_t steps_done = 0;
  bool in_target = false;
  bool session_ended = false;
  Token row_token;  // kFencedOut
  std::optional<Memory> memory;
};

struct Leave {
  RequestId request;
  std::string reason;
  Token token;  // of a running applier
  bool session_ended = false;
  std::optional<Finding> finding;
  Revision acknowledge;  // of a FAILED outcome; 0: none
  PartyName party;       // of an acknowledgement by a process that is no member
};

struct SeverRound {
  RequestId request;
  RoundId round;  // empty: the one that holds the target, else all that gather
  std::string actor;
  std::string reason;
};

struct ResolveBegin {
  RequestId request;
  RoundId round;
  Revision seen;
  std::string actor;
  std::string reason;
};

struct ResolveFinish {
  RequestId request;
  RoundId round;
  Token token;
  State verdict = State::kFailed;  // SUCCEEDED or FAILED, where the target has no outcome of its own
  bool attest_stopped = false;
  bool attest_database_gone = false;
  bool claimed = false;
  std::optional<TargetOutcome> found;
  std::string actor;
  std::string reason;
};

struct SetTarget {
  RequestId request;
  std::string actor;
  std::string reason;
  bool change_pin = false;
  std::optional<Quorum> pin;  // with change_pin: nullopt clears it
  std::optional<PartyName> excuse;
  Duration excuse_for{0};  // 0 ends the excuse
  std::optional<Binding> rebind;
};

// Time passed: leases and deadlines end, lingering rounds retire. Any command does the same first.
struct Tick {};

// The daemon started, or the clock stepped: each live lease gets one full term, once per boot id and lease.
struct Grace {
  std::string boot;
};

// What whoever knew `record` as it is here has to tell: what it was, and the round that held it, or else the one that
// ended last, of which somebody may have been told.
Memory memory_of(const Record& record);

// A daemon finds a record in the store that is older than the one it had seen.
struct Remind {
  Memory memory;
};

using Command = std::variant<Join, Renew, Confirm, Progressed, Report, Leave, SeverRound, ResolveBegin, ResolveFinish,
                             SetTarget, Tick, Grace, Remind>;

// Stable bytes of a command's body: the digest behind "same id, same body", and what a replay file holds.
std::string encode(const Command& command);
Result<Command> decode_command(std::string_view bytes);

}  // namespace syzygy::round
