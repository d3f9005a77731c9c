// mailbox.h - what waits for a lane, in the order of its coming. Many threads put, one takes everything at once.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace syzygy::engine {

using Steady = std::chrono::steady_clock::time_point;

template <class Item>
class Mailbox {
 public:
  explicit Mailbox(std::size_t most) : most_(most) {}

  // False, and `item` is untouched: it is full.
  bool offer(Item& item) {
    {
      const std::lock_guard lock(mutex_);
      if (items_.size() >= most_) return false;
      items_.push_back(std::move(item));
    }
    wake_.notify_one();
    return true;
  }

  // What the engine itself sends has no limit: it is bounded by the number of waiters and records.
  void put(Item item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    wake_.notify_one();
  }

  // Waits until something is there or `until` has come. `into` must be empty; its memory is used again.
  void take(std::vector<Item>& into, std::optional<Steady> until) {
    std::unique_lock lock(mutex_);
    const auto ready = [&] { return !items_.empty(); };
    if (until) {
      wake_.wait_until(lock, *until, ready);
    } else {
      wake_.wait(lock, ready);
    }
    items_.swap(into);
  }

  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> items_;
};

}  // namespace syzygy::engine
