// boot_clock.h - the clock by which a client counts leases and its own deadlines: CLOCK_BOOTTIME, in milliseconds.
//
// It never steps back and goes on while the machine is suspended: a laptop or a paused VM that wakes up must see that
// its lease is over. BootTime::max() stands for "never". Waits against it are those of Waker (waker.h).
#pragma once

#include <chrono>
#include <cstdint>

namespace syzygy {

struct BootClock {
  using duration = std::chrono::milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept;
};

using BootTime = BootClock::time_point;

// `at` and `d` later; "never" where that is past the clock's end.
inline BootTime plus(BootTime at, std::chrono::milliseconds d) {
  return BootTime::max() - at < d ? BootTime::max() : at + d;
}

}  // namespace syzygy
