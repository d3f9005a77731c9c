// pacing.h - how this folder waits: always interruptible, always with a bound, retries jittered and growing.
//
// The only place here that reads a clock for waiting (the monotonic one that counts no suspend: a laptop that slept has
// not waited) and the only one that draws random numbers.
#pragma once

#include <chrono>
#include <random>
#include <stop_token>
#include <string>

#include "base/time.h"

namespace syzygy::migration {

using Steady = std::chrono::steady_clock;

// Waits; false when it was stopped before the time was over.
bool pause(Duration time, const std::stop_token& stop);

class Deadline {
 public:
  explicit Deadline(Duration from_now);
  [[nodiscard]] bool over() const { return Steady::now() >= at_; }
  [[nodiscard]] Duration left() const;

 private:
  Steady::time_point at_;
};

// Delays that double from min to max, each drawn between half of it and the whole.
class Backoff {
 public:
  Backoff(Duration min, Duration max) : next_(min), max_(max) {}
  Duration next();

 private:
  Duration next_;
  Duration max_;
};

std::string random_hex(int digits);

inline Duration since(Steady::time_point start) { return std::chrono::duration_cast<Duration>(Steady::now() - start); }

}  // namespace syzygy::migration
