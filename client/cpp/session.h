// session.h - one process's participation in a round, from reading what is pending to knowing the outcome.
//
// The caller's thread drives it by calling next() in a loop and doing what it is told; everything that may take the
// caller's database (read_pending) runs on that thread, inside next(). Threads of its own only keep the lease and the
// watch, so both live on while the caller applies steps and does not call next(). must_stop(), progress(), view() and
// fd() may be used by any thread; everything else belongs to the caller's.
//
// Whatever the daemon does, every call returns by the bound that it was given, and the session as a whole by its
// timeout, with a definite answer. The timeout bounds waiting, never a run: from Elected until the run is reported (or
// declined) it does not strike.
//
// How it goes: next() -> Changed, Diverged, ContactLost, ... -> Elected -> [claim in the target] confirm() -> PROCEED
// -> [run; progress(), must_stop()] -> report() -> next() -> Finished -> close(). The happenings marked *last* end the
// session: next() gives the same one again.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "client/cpp/boot_clock.h"
#include "client/cpp/client.h"
#include "client/cpp/next_move.h"
#include "client/cpp/stop.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy {

// What the caller read in its target, in one snapshot. No plan: nothing is pending.
struct Pending {
  std::optional<v1::Plan> plan;
  std::optional<v1::Binding> binding;    // absent: the caller has no database
  std::optional<v1::Snapshot> snapshot;  // absent likewise
  bool checked = false;                  // it knows by itself that its opaque plan is pending
};

enum class ReadCause {
  kFirst,    // before the first join
  kRegular,  // its round still gathers: something may have changed (every `reread_every`, and on hints)
  kAgain,    // its round was superseded, expired or is gone: it joins again
};

struct SessionOptions {
  TargetName target;
  PartyName party;
  IncarnationId incarnation;         // empty: random
  std::optional<v1::Quorum> quorum;  // absent: the target's pin
  Duration timeout{1'800'000};       // of waiting
  Duration lease{0};                 // 0: the daemon's default
  bool voter_only = false;
  bool fail_on_divergence = false;  // only told to the others: the caller acts on Diverged
  bool again = false;
  std::string host;
  std::string client_version;
  std::string release;
  Duration reread_every{30'000};
  Duration leave_bound{2'000};  // for a goodbye, an acknowledgement, and for noting a visit
  // Reads what is pending now. An error ends the session (PendingFailed), except with kRegular, where it is told as
  // RereadFailed and the wait goes on.
  std::function<Result<Pending>(ReadCause)> read_pending;
};

namespace happening {

using View = std::shared_ptr<const v1::Target>;  // never null in a happening, unless it says so

// The target moved. Several moves may be told at once; `events` are in order.
struct Changed {
  View view;
  RoundId round;  // the one that this session waits for; empty before it joined
  std::vector<v1::Event> events;
  bool gap = false;  // events before these are missing
};
// A sentence for people that came with a join, e.g. that a pin overrides the given quorum.
struct Notice {
  std::string text;
};
// Claim the fence with `token`, compare with the steps of `round`, then confirm(). An old run of this process must have
// ended before.
struct Elected {
  Token token;
  bool settle = false;  // compare only; PROCEED will not come
  v1::Round round;
  View view;
};
// Parties gather around different plans. Told again when the other side changes; of one who has left already, only the
// first difference is known. The wait goes on.
struct Diverged {
  std::vector<v1::Divergence> with;
  View view;
};
struct ContactLost {
  Error why;
  bool member = true;  // false: no daemon has taken this process in yet, so no lease keeps a place for it
};
struct ContactRegained {};
// The lease under which an unfenced run goes on is over by this machine's clock: stop the child now.
struct LeaseOver {
  Token token;
};
// This process runs under a token that was replaced: stop the run. Its commits are refused anyhow where it is fenced.
struct TokenLost {
  Token token;
};
// The round was severed while this process applies: stop, roll back, then leave() with what stands in the target.
struct Severed {
  std::string reason;
};
// A stop was requested while this process applies: stop, roll back, then leave(). (Otherwise: Stopped.)
struct StopWanted {
  int signal = 0;
};
struct RereadFailed {
  Error why;
};

enum class Ending {
  kApplied,         // SUCCEEDED: by this process or by another party
  kNothingPending,  // there was nothing to do here
  kAlreadyApplied,  // before this process came
  kFailed,
  kIndeterminate,  // nobody knows; an operator must look
  kDissolved,      // severed while it gathered
};
// *Last.* The outcome is known.
struct Finished {
  Ending ending = Ending::kApplied;
  bool by_this_process = false;    // its own report or claim decided it
  std::optional<v1::Round> round;  // absent: nothing pending, or remembered without its round
  v1::Outcome outcome;             // empty likewise
  std::string warning;             // not empty: e.g. the daemon could not be told of the visit
  View view;                       // null if the daemon was never heard
};
// *Last.* The daemon refuses this join; `error` says why and what to do.
struct Refused {
  Error error;
};
// *Last.* No daemon answered within the connect timeout.
struct Unreachable {
  Error error;
};
// *Last.* read_pending failed; the round, if it had joined one, was left.
struct PendingFailed {
  Error error;
};
// *Last.* The timeout is over; the round was left.
struct DeadlineReached {
  WaitsFor waits_for = WaitsFor::kDaemon;
  RoundId round;
  View view;                     // null if the daemon was never heard
  std::optional<Error> contact;  // why the daemon is out of reach now, if it is
};
// *Last.* Left on request. `told`: the daemon knows; else its lease has to run out.
struct Stopped {
  int signal = 0;
  bool told = false;
};

}  // namespace happening

using Happening =
    std::variant<happening::Changed, happening::Notice, happening::Elected, happening::Diverged, happening::ContactLost,
                 happening::ContactRegained, happening::LeaseOver, happening::TokenLost, happening::Severed,
                 happening::StopWanted, happening::RereadFailed, happening::Finished, happening::Refused,
                 happening::Unreachable, happening::PendingFailed, happening::DeadlineReached, happening::Stopped>;

bool is_last(const Happening& happening);

// What the claim came to.
struct Claimed {
  v1::ConfirmRequest::Claim claim = v1::ConfirmRequest::CLAIM_COMPLETE;
  bool fenced = false;
  std::optional<v1::Finding> finding;  // of a complete claim
  Token row_token;                     // of a refused one
  std::string reason;                  // of a declined one
};

struct RunResult {
  v1::ReportRequest::Result result = v1::ReportRequest::RESULT_UNSPECIFIED;
  std::string message;
  std::string failed_step;
  std::int32_t exit_code = 0;
  std::uint32_t steps_done = 0;
  bool in_target = false;
  bool session_ended = false;
  Token row_token;
};

class Session {
 public:
  // `stop`, if given, outlives the session.
  Session(std::shared_ptr<Client> client, SessionOptions options, const StopSource* stop = nullptr);
  ~Session();  // close()
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // The next happening, or nullopt once `until` has come without one. The first call reads what is pending and joins.
  std::optional<Happening> next(BootTime until = BootTime::max());

  // For a caller that waits for a child as well: readable when next(BootClock::now()) may have something to tell. Call
  // it until it gives nullopt.
  [[nodiscard]] int fd() const;

  // Answers the election that next() told last. PROCEED: run the steps from `from_step` on. STOP: run nothing, go on
  // with next(). Repeated until `until`, also over a lost contact; an error means that nothing may be run.
  Result<v1::ConfirmResponse> confirm(const Claimed& claimed, BootTime until);

  // Tells how far the run is. Never blocks; the newest wins, older ones that were not sent yet are dropped.
  void progress(v1::StepProgress step);

  // Whether the run must end, and why: a cheap check between statements, or on every turn of a wait for a child.
  enum class MustStop { kNo, kLeaseOver, kTokenLost, kSevered, kRequested };
  [[nodiscard]] MustStop must_stop() const;

  // Delivers how the run ended, over any outage, until `until`; a stop request shortens that to 10 s.
  // An error (REPORT_NOT_DELIVERED, or one of the daemon) means that the daemon may never learn it from here.
  Result<v1::ReportResponse> report(const RunResult& result, BootTime until);

  // Leaves now, bounded by leave_bound. Who only waited is done: next() gives Stopped. An applier says what its stopped
  // run left in the target: next() then tells the outcome, if it comes before the deadline, or Stopped.
  Result<v1::LeaveResponse> leave(std::string reason, bool session_ended, std::optional<v1::Finding> finding);

  // Acknowledges a FAILED that was told, leaves a round that still waits for this process, and ends the threads.
  // Bounded by leave_bound. Idempotent.
  void close();

  [[nodiscard]] std::shared_ptr<const v1::Target> view() const;  // newest known; null before the first answer
  [[nodiscard]] const IncarnationId& incarnation() const;
  [[nodiscard]] BootTime deadline() const;
  // Until when the lease is known to hold; nothing is assumed beyond it.
  [[nodiscard]] BootTime lease_until() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace syzygy
