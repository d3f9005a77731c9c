#include "store/server_clock.h"

#include <time.h>

#include <chrono>

namespace syzygy {

Duration ServerClock::boot() {
  timespec at{};
  ::clock_gettime(CLOCK_BOOTTIME, &at);
  return std::chrono::duration_cast<Duration>(std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec));
}

void ServerClock::learn(Instant server, Duration sent, Duration received) {
  if (received - sent > kRoundTripMax) return;
  const std::lock_guard lock(mutex_);
  // Answers may overtake each other.
  const Duration boot = (sent + received) / 2;
  if (!reading_ || reading_->boot <= boot) reading_ = Reading{server, boot};
}

std::optional<Instant> ServerClock::now() const {
  const Duration at = boot();
  const std::lock_guard lock(mutex_);
  if (!reading_ || at - reading_->boot >= kFresh) return std::nullopt;
  return reading_->server + (at - reading_->boot);
}

}  // namespace syzygy
