// counters.h - what the engine counts, and the places of its waiters. Any thread may write and read.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <utility>

#include "engine/engine.h"

namespace syzygy::engine {

struct Counters {
  using Count = std::atomic<std::uint64_t>;

  Count commands = 0, commits = 0, committed_records = 0, conflicts = 0, unknown_commits = 0, store_errors = 0;
  Count events = 0, updates_sent = 0, renewals = 0, turns = 0;
  Count rounds_opened = 0, rounds_succeeded = 0, rounds_failed = 0, rounds_indeterminate = 0, tokens_granted = 0;
  std::atomic<std::size_t> targets_cached = 0, waiters = 0, frozen = 0, resynchronising = 0;
  std::array<Count, std::size(kCommitMicrosBuckets) + 1> commit_micros{};
  Count commit_micros_sum{0};
  std::array<Count, std::size(kAttemptsBuckets) + 1> attempts{};
  Count attempts_sum{0};

  static void add(Count& count, std::uint64_t n = 1) { count.fetch_add(n, std::memory_order_relaxed); }
  void committed_in(std::uint64_t micros);
  // So many commands were answered by a commit that succeeded at this attempt.
  void answered_after(std::uint64_t attempts_made, std::uint64_t commands_answered);
  [[nodiscard]] Stats read() const;
};

// One of the places that Options::waiters_max allows; free again when destroyed.
class Place {
 public:
  // Empty when all are taken.
  static Place take(std::shared_ptr<Counters> counters, std::size_t most);

  Place() = default;
  Place(Place&& other) noexcept : counters_(std::exchange(other.counters_, nullptr)) {}
  Place& operator=(Place&& other) noexcept {
    std::swap(counters_, other.counters_);
    return *this;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    if (counters_) counters_->waiters.fetch_sub(1, std::memory_order_relaxed);
  }
  [[nodiscard]] bool taken() const { return counters_ != nullptr; }

 private:
  std::shared_ptr<Counters> counters_;
};

}  // namespace syzygy::engine
