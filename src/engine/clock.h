// clock.h - the time that an engine lives by: the machine's, unless whoever makes the engine brings another.
//
// The store's time judges leases (Store::now); this one times waits, polls and retries, and shows by the difference of
// the two whether one of them stepped. Threads: any.
#pragma once

#include <chrono>

#include "base/time.h"

namespace syzygy::engine {

using Steady = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  // Never runs backwards, and stands still while the machine is suspended.
  [[nodiscard]] virtual Steady steady() const = 0;
  // Since the machine started: goes on while it is suspended.
  [[nodiscard]] virtual Duration boot() const = 0;
};

const Clock& machine_clock();

}  // namespace syzygy::engine
