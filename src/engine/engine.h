// engine.h - joins the pure machines (round/, barrier) to a store; owns threads and time.
//
// Commands for one record queue in its mailbox. A lane (one thread; keys are hashed to lanes) takes everything that
// waits, folds it with step(), writes all records it touched in one store commit, and only then releases replies and
// updates. On conflict it reloads and folds the same commands again; on an unknown commit it reloads and looks.
// Renewals wait up to Options::renew_window so that those of one record share a commit; renew_after (heartbeat.h) makes
// them come at the same time. Wake-ups (leases, deadlines, lingering) are Ticks that the engine sends itself.
//
// Threads: every public function may be called from any thread and never blocks on the store, except start(), stop(),
// list() and events(). Callbacks run on an engine thread, or at once where a limit refuses the call: they must not
// block, and may call the engine (but not stop it). A callback is called exactly once. Failure: kUnavailable (store
// cannot be reached, engine stopping; retry_after set), kResourceExhausted (a limit, named), kInternal TARGET_FROZEN
// (an invariant failed: record and command are in a replay file, this target only is frozen).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "round/barrier.h"
#include "round/command.h"
#include "round/effect.h"
#include "round/round.h"
#include "round/step.h"
#include "store/store.h"

namespace syzygy::engine {

// One committed state of a target. Immutable and shared: everybody who looks sees the same object.
struct TargetState {
  std::string epoch;  // of the record's life: another after the store went back in time
  round::Record record;
  Instant at;  // the store's time at which it was committed
  bool frozen = false;
};
using TargetStatePtr = std::shared_ptr<const TargetState>;

struct TargetAnswer {
  round::Reply reply;
  TargetStatePtr state;
  Duration lease_left{0};  // of the stored lease of the asking incarnation, where it has one
  Duration renew_after{0};
};

// What a watcher is told: the state, and the events since the update before (`gap`: some are missing, the state is
// whole).
struct Update {
  TargetStatePtr state;
  std::shared_ptr<const std::vector<round::Event>> events;
  bool gap = false;
};

struct BarrierAnswer {
  barrier::Reply reply;
};

// Names a pending wait for cancel(). A wait whose caller is gone should be cancelled, so that it does not count against
// the limit until its time is over.
using WaitId = std::uint64_t;

// Ends the subscription when destroyed; after its destructor returned the sink is not called any more. So whoever
// destroys it must not hold a lock that the sink takes; the sink itself may destroy it.
class Subscription {
 public:
  virtual ~Subscription() = default;
};
using SubscriptionPtr = std::unique_ptr<Subscription>;

struct Options {
  round::Settings rounds;
  barrier::Settings barriers;
  std::string boot;                        // random id of this start of the daemon: what Grace names
  std::size_t lanes = 1;                   // 1 for the embedded store: one writer, one group commit
  Duration renew_window{250};              // at most; never more than a tenth of Settings::lease
  Duration poll{2'000};                    // backs up every hint, and retries a store that was unreachable
  std::size_t mailbox_max = 20'000;        // commands waiting for one lane; beyond: kResourceExhausted MAILBOX_FULL
  std::size_t waiters_max = 20'000;        // subscriptions and pending waits; beyond: kResourceExhausted WAITERS_LIMIT
  std::uint64_t history_max = 50'000;      // newest events that each target keeps; 0: all of them
  std::size_t cache_bytes_max = 16 << 20;  // of records that nobody waits for, as encoded; per lane
  std::string replay_directory;            // where a broken invariant leaves what replays it; empty: nowhere
};

struct Health {
  bool ready = false;  // the store answers and takes writes, and the engine runs
  std::string why;     // for people, when it is not ready
  std::string store;   // describe()
  std::string epoch;
  std::size_t frozen_targets = 0;
  std::size_t resynchronising_targets = 0;  // of those in memory: every one that somebody waits for
};

// Counters and timings, for /metrics: read at any time from any thread.
struct Stats {
  std::uint64_t commands = 0, commits = 0, committed_records = 0, conflicts = 0, unknown_commits = 0, store_errors = 0;
  std::uint64_t events = 0, updates_sent = 0, renewals = 0;
  std::uint64_t turns = 0;  // of the lanes: how often one woke to look at something
  std::uint64_t rounds_opened = 0, rounds_succeeded = 0, rounds_failed = 0, rounds_indeterminate = 0,
                tokens_granted = 0;
  std::size_t targets_cached = 0, waiters = 0, queued = 0;
  std::uint64_t commit_micros_sum = 0;
  std::vector<std::uint64_t>
      commit_micros_histogram;  // counts per bucket of kCommitMicrosBuckets, the last one is +Inf
  // How often commands had to be folded and committed until they were, per bucket of kAttemptsBuckets.
  std::uint64_t attempts_sum = 0;
  std::vector<std::uint64_t> attempts_histogram;
};
inline constexpr std::uint64_t kAttemptsBuckets[] = {1, 2, 3, 4, 5, 10, 20, 50};
inline constexpr std::uint64_t kCommitMicrosBuckets[] = {100,    250,    500,    1'000,   2'500,    5'000,
                                                         10'000, 25'000, 50'000, 100'000, 1'000'000};

class Engine {
 public:
  virtual ~Engine() = default;

  using OnTarget = std::function<void(Result<TargetAnswer>)>;
  using OnBarrier = std::function<void(Result<BarrierAnswer>)>;
  using OnUpdate = std::function<void(const Update&)>;
  using OnState = std::function<void(Result<TargetStatePtr>)>;

  // Reads every live record once, gives grace, wakes what is due. Error: the store's.
  virtual Result<void> start() = 0;

  // In this order: refuses new commands, answers every waiter "retry elsewhere" (kUnavailable SHUTTING_DOWN), drains
  // the lanes, joins them.
  virtual void stop() = 0;

  virtual void submit(const TargetName& target, round::Command command, OnTarget done) = 0;

  // The barrier's answer as it stands at once. A caller that wants to wait passes a limit: the answer then comes when
  // the generation is over, or with the state as it is when `wait` is. That is never later than two thirds of the
  // caller's lease, so that whoever asks again at once is counted all the time.
  virtual WaitId submit(const std::string& barrier, barrier::Command command, Duration wait, OnBarrier done) = 0;

  // The present state (a target that nobody ever named: kNotFound TARGET_UNKNOWN).
  virtual void get(const TargetName& target, OnState done) = 0;

  // Like get(), but answers once the target has moved beyond `after` (or is of another epoch), or with the state as it
  // is after `wait`.
  virtual WaitId get_after(const TargetName& target, const std::string& epoch, Revision after, Duration wait,
                           OnState done) = 0;

  // Ends a wait before its time: its callback gets kCancelled. Nothing happens if it was answered already.
  virtual void cancel(WaitId wait) = 0;

  // First one update with the present state (with the events since (epoch, after) where history has them all, else with
  // `gap`; an empty epoch asks for none), then one for each commit that has events, in order: a renewed lease alone
  // tells nobody anything. A target that nobody named yet: the first update comes with its first commit.
  virtual Result<SubscriptionPtr> watch(const TargetName& target, const std::string& epoch, Revision after,
                                        OnUpdate sink) = 0;

  // One update (without events) for each target under `prefix` that moves, from now on.
  virtual Result<SubscriptionPtr> watch_all(const std::string& prefix, OnUpdate sink) = 0;

  virtual Result<std::vector<TargetStatePtr>> list(std::string_view prefix, std::string_view after,
                                                   std::size_t limit) = 0;
  virtual Result<std::vector<round::Event>> events(const TargetName& target, Revision after, std::size_t limit) = 0;

  [[nodiscard]] virtual const Options& options() const = 0;
  [[nodiscard]] virtual Health health() const = 0;
  [[nodiscard]] virtual Stats stats() const = 0;
};

// What a caller is told of a target that nobody ever named.
Error target_unknown(const TargetName& target);

// The store must outlive the engine.
std::unique_ptr<Engine> make_engine(Store& store, Options options);

}  // namespace syzygy::engine
