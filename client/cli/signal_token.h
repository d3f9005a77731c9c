// signal_token.h - a stop request (Ctrl-C, SIGTERM) as a stop_token, for what waits for a database.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

#include "client/cpp/stop.h"

namespace syzygy::cli {

// Watches from a thread of its own until it is destroyed; `stop` must outlive it.
class SignalToken {
 public:
  explicit SignalToken(const StopSource& stop)
      : watcher_([this, &stop](const std::stop_token& over) {
          std::mutex mutex;
          std::condition_variable_any ended;
          std::unique_lock lock(mutex);
          while (!over.stop_requested() && stop.signal() == 0) {
            ended.wait_for(lock, over, std::chrono::milliseconds{50}, [] { return false; });
          }
          if (stop.signal() != 0) source_.request_stop();
        }) {}
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
  std::jthread watcher_;  // last: it uses what stands above
};

}  // namespace syzygy::cli
