// time.h - instants and durations, in whole milliseconds.
//
// An Instant is a point on the *store's* clock, milliseconds since 1970-01-01T00:00:00Z. Nothing in base or round reads
// a clock: time is an argument. Durations that cross the network are always durations, never instants.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>

namespace syzygy {

using Duration = std::chrono::milliseconds;

struct Instant {
  std::int64_t ms = 0;

  friend constexpr auto operator<=>(Instant, Instant) = default;
  friend constexpr Instant operator+(Instant at, Duration d) { return {at.ms + d.count()}; }
  friend constexpr Instant operator-(Instant at, Duration d) { return {at.ms - d.count()}; }
  friend constexpr Duration operator-(Instant a, Instant b) { return Duration{a.ms - b.ms}; }
};

}  // namespace syzygy
