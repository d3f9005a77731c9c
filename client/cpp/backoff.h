// backoff.h - how long to pause before the next try: doubling, jittered, bounded. Pure but for the number it is given.
#pragma once

#include <algorithm>
#include <optional>

#include "base/time.h"

namespace syzygy {

class Backoff {
 public:
  Backoff(Duration first, Duration max) : first_(first), max_(max), next_(first) {}

  // `chance` is uniform in [0, 1): half of the pause is fixed, half is drawn, so that clients that lost the same daemon
  // do not return in step. `wanted` is what the daemon asked for; it is a floor.
  Duration pause(double chance, std::optional<Duration> wanted = std::nullopt) {
    const auto half = next_ / 2;
    const auto drawn = half + Duration(static_cast<Duration::rep>(static_cast<double>(next_.count()) / 2 * chance));
    next_ = std::min(next_ * 2, max_);
    return std::max(drawn, wanted.value_or(Duration{0}));
  }
  void reset() { next_ = first_; }

 private:
  Duration first_;
  Duration max_;
  Duration next_;
};

}  // namespace syzygy
