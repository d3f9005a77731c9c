// stop.h - how somebody asks a running client to stop: from a signal handler, or from another thread.
//
// request() is async-signal-safe and may be called any number of times. A StopSource outlives everything that it was
// given to. It is never reset: what is asked to stop stops.
#pragma once

#include <atomic>

namespace syzygy {

class StopSource {
 public:
  StopSource();  // throws std::system_error where the process has no descriptor left
  ~StopSource();
  StopSource(const StopSource&) = delete;
  StopSource& operator=(const StopSource&) = delete;

  // `signal`: what the process will say it left on (128 + signal); it must not be 0. The first one is kept.
  void request(int signal) noexcept;
  // 0 until requested, then the first signal.
  [[nodiscard]] int signal() const noexcept { return signal_.load(std::memory_order_acquire); }
  // Readable for good once requested.
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  std::atomic<int> signal_{0};
  int fd_;
};

}  // namespace syzygy
