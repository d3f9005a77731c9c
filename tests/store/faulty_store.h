// faulty_store.h - a store that misbehaves in every way that store.h allows, over one that does not.
//
// What goes wrong is drawn from a seed (the same seed and the same calls give the same faults), or said outright by
// next_commit(), set_down(), jump_clock(). It never breaks the contract: a conflict comes because another user really
// wrote in between, an unknown commit happened, did not happen, or happens later, change by change, and nothing that
// was answered as committed is lost. Threads: as of Store. The store below must outlive it.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "store/store.h"

namespace syzygy {

// Chances are per mille, of each call or change.
struct FaultPlan {
  std::uint64_t seed = 1;

  unsigned unavailable = 0;      // of a call: kUnavailable, nothing happened
  unsigned conflict = 0;         // of a change of a record that exists: another user rewrites its bytes just before
  unsigned unknown_applied = 0;  // of a commit: every change that was right happened, and the answer is lost
  unsigned unknown_lost = 0;     // of a commit: nothing of it happened, and the answer is lost
  unsigned unknown_late = 0;     // of a commit: each change happens now, within the next calls, or never
  unsigned hint_lost = 0;        // of a hint
  unsigned hint_repeated = 0;    // of a hint: comes twice
  unsigned hint_late = 0;        // of a hint: comes with the next one, or by release_hints()
  unsigned clock_jump = 0;       // of a now(): from here on up to clock_jump_max earlier or later
  Duration clock_jump_max{0};
  unsigned slow = 0;  // of a call: waits up to slow_max before or after its work
  Duration slow_max{0};
};

enum class CommitFault : std::uint8_t {
  kNone,
  kUnavailable,
  kConflict,
  kUnknownApplied,
  kUnknownLost,
  kUnknownLate,  // every change of it happens at land()
};

// How often each fault came, so that a test can say that it met what it is about.
struct FaultCounts {
  std::uint64_t unavailable = 0, conflicts = 0, unknown_applied = 0, unknown_lost = 0, unknown_late = 0, landed = 0,
                hints_lost = 0, hints_repeated = 0, hints_late = 0, clock_jumps = 0, slow = 0;
};

class FaultyStore final : public Store {
 public:
  // Latency: a simulation gives its own; by default the calling thread sleeps.
  using Wait = std::function<void(Duration)>;
  static void sleep(Duration duration);

  explicit FaultyStore(Store& store, FaultPlan plan = {}, Wait wait = sleep);
  ~FaultyStore() override;
  FaultyStore(const FaultyStore&) = delete;
  FaultyStore& operator=(const FaultyStore&) = delete;

  void set_plan(const FaultPlan& plan);        // from here on; the seed starts anew
  void next_commit(CommitFault fault);         // queued: one for each of the next commits, before any chance
  void set_down(bool down);                    // every call but now() is kUnavailable while true
  void fail_loads(std::optional<Error> with);  // every load, until nullopt
  void jump_clock(Duration by);
  void land();           // every late change happens now (or conflicts)
  void release_hints();  // every late hint comes now
  [[nodiscard]] FaultCounts counts() const;

  Result<std::optional<Loaded>> load(const std::string& key) override;
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override;
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override;
  void watch(Hint hint) override;
  Result<Instant> now() override;
  [[nodiscard]] std::string epoch() const override { return store_.epoch(); }
  [[nodiscard]] std::string lineage() const override { return store_.lineage(); }
  [[nodiscard]] std::vector<std::string> warnings() const override { return store_.warnings(); }
  [[nodiscard]] std::string describe() const override { return "faulty:" + store_.describe(); }

 private:
  struct Late {
    Change change;
    std::uint64_t at_call;
  };

  Result<void> arrive();
  void depart();
  void land_until(std::uint64_t call);
  bool drawn(unsigned per_mille);
  std::uint64_t up_to(std::uint64_t most);
  CommitFault draw_commit_fault();
  void rewrite_by_another(const Change& change);
  void deliver(const std::string& key, const Version& version);
  std::vector<CommitResult> commit_unknown(std::span<const Change> changes, CommitFault fault, bool scripted);

  Store& store_;
  const Wait wait_;

  mutable std::mutex mutex_;  // guards what follows; never held during a call of the store below, a wait, or a hint
  FaultPlan plan_;
  std::mt19937_64 random_;
  std::deque<CommitFault> script_;
  bool down_ = false;
  std::optional<Error> load_error_;
  std::uint64_t calls_ = 0;
  std::vector<Late> late_;
  Duration clock_offset_{0};
  FaultCounts counts_;
  std::vector<Listed> late_hints_;

  std::mutex hint_mutex_;  // held while the hint runs
  Hint hint_;
};

}  // namespace syzygy
