// mailbox.h - what waits for a lane, in the order of its coming. Many threads put, one takes everything at once.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "engine/clock.h"

namespace syzygy::engine {

template <class Item>
class Mailbox {
 public:
  explicit Mailbox(std::size_t most) : most_(most) {}

  // False, and `item` is untouched: it is full. One that can wait wakes nobody while the owner has said that it will
  // look by itself (looks_soon): waking costs more than a renewal does.
  bool offer(Item& item, bool can_wait) {
    bool wake = true;
    {
      const std::lock_guard lock(mutex_);
      if (items_.size() >= most_) return false;
      items_.push_back(std::move(item));
      wake = !can_wait || !looks_soon_;
      urgent_ = urgent_ || wake;
    }
    if (wake) wake_.notify_one();
    return true;
  }

  // What the engine itself sends has no limit: it is bounded by the number of waiters and records.
  void put(Item item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
      urgent_ = true;
    }
    wake_.notify_one();
  }

  // Waits until something is there that cannot wait, or `until` has come. `into` must be empty; its memory is used
  // again. looks_soon: `until` is soon enough for what can wait.
  void take(std::vector<Item>& into, std::optional<Steady> until, bool looks_soon) {
    std::unique_lock lock(mutex_);
    look(looks_soon);
    const auto ready = [&] { return urgent_; };
    if (until) {
      wake_.wait_until(lock, *until, ready);
    } else {
      wake_.wait(lock, ready);
    }
    items_.swap(into);
    urgent_ = false;
  }

  // For an owner that is no thread and cannot wait: whether take() would return at once; and what it would then take.
  bool ready(bool looks_soon) {
    const std::lock_guard lock(mutex_);
    look(looks_soon);
    return urgent_;
  }
  void take_now(std::vector<Item>& into) {
    const std::lock_guard lock(mutex_);
    items_.swap(into);
    urgent_ = false;
  }

  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  void look(bool looks_soon) {
    looks_soon_ = looks_soon;
    if (!looks_soon && !items_.empty()) urgent_ = true;
  }

  const std::size_t most_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Item> items_;
  bool urgent_ = false;
  bool looks_soon_ = false;
};

}  // namespace syzygy::engine
