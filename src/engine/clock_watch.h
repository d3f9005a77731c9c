// clock_watch.h - notices when leases cannot be judged as usual: the store's clock stepped against this machine's, or
// this process or its machine stood still, so that renewals that came in time were not read in time. Pure: it is told
// both times.
#pragma once

#include <chrono>
#include <cstdlib>
#include <optional>

#include "base/time.h"

namespace syzygy::engine {

class ClockWatch {
 public:
  // More than this is a step, or a standstill: far above what slewing and scheduling do, far below a lease.
  static constexpr Duration kTolerance{1'000};

  // What two clocks said that were read together. True: they stepped apart since the reading before.
  bool stepped(Duration one, Duration other) {
    const Duration offset = one - other;
    const bool step = offset_ && std::chrono::abs(offset - *offset_) > kTolerance;
    offset_ = offset;
    return step;
  }

 private:
  std::optional<Duration> offset_;
};

}  // namespace syzygy::engine
