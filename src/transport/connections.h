// connections.h - how many connections this process takes, over all of its ports.
//
// One object is shared by every listener: a connection holds one Slot for as long as it is open. Threads: any.
#pragma once

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

namespace syzygy::transport {

inline constexpr std::size_t kConnectionsMax = 20'000;
inline constexpr std::size_t kDescriptorsReserved = 500;  // for the store, files, and what libraries open

class Connections {
 public:
  explicit Connections(std::size_t max = default_max()) : max_(max) {}
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // min(20,000, descriptors - 500), and never less than 16.
  static std::size_t default_max() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kConnectionsMax;
    const std::size_t descriptors = limit.rlim_cur;
    return std::min(kConnectionsMax, descriptors > kDescriptorsReserved + 16 ? descriptors - kDescriptorsReserved : 16);
  }

  class Slot {
   public:
    Slot(Slot&& other) noexcept : owner_(std::exchange(other.owner_, nullptr)) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(owner_, other.owner_);
      return *this;
    }
    ~Slot() {
      if (owner_ != nullptr) owner_->open_.fetch_sub(1, std::memory_order_relaxed);
    }

   private:
    friend class Connections;
    explicit Slot(Connections& owner) : owner_(&owner) {}
    Connections* owner_;
  };

  // nullopt: the limit is reached, and the connection must be refused.
  std::optional<Slot> take() {
    if (open_.fetch_add(1, std::memory_order_relaxed) >= max_) {
      open_.fetch_sub(1, std::memory_order_relaxed);
      refused_.fetch_add(1, std::memory_order_relaxed);
      return std::nullopt;
    }
    return Slot(*this);
  }

  [[nodiscard]] std::size_t open() const { return open_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t refused() const { return refused_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::size_t max() const { return max_; }

 private:
  const std::size_t max_;
  std::atomic<std::size_t> open_{0};
  std::atomic<std::size_t> refused_{0};
};

}  // namespace syzygy::transport
