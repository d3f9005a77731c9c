#include "client/cpp/boot_clock.h"

#include <time.h>

namespace syzygy {

BootTime BootClock::now() noexcept {
  timespec at{};
  ::clock_gettime(CLOCK_BOOTTIME, &at);  // cannot fail: the clock exists since Linux 2.6.39, the pointer is good
  return BootTime(
      std::chrono::duration_cast<duration>(std::chrono::seconds(at.tv_sec) + std::chrono::nanoseconds(at.tv_nsec)));
}

}  // namespace syzygy
