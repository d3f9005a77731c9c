// stop_watch.h - turns the session's reasons to stop, and a time limit, into a stop_token while this thread works on
// the target.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/time.h"
#include "client/cpp/session.h"

namespace syzygy::cli {

// A fenced run goes on without contact: its commits are guarded. It ends when it is told to.
inline bool heeded_by_fenced(Session::MustStop why) {
  return why == Session::MustStop::kTokenLost || why == Session::MustStop::kSevered ||
         why == Session::MustStop::kRequested;
}
inline bool heeded_by_unfenced(Session::MustStop why) { return why != Session::MustStop::kNo; }

// Watches from a thread of its own until it is destroyed. The session must outlive it. `limit` 0: none.
class StopWatch {
 public:
  StopWatch(const Session& session, Duration limit, bool (*heeds)(Session::MustStop))
      : watcher_([this, &session, limit, heeds](const std::stop_token& over) {
          const BootTime until = limit.count() > 0 ? BootClock::now() + limit : BootTime::max();
          std::mutex mutex;
          std::condition_variable_any ended;
          std::unique_lock lock(mutex);
          while (!over.stop_requested()) {
            if (BootClock::now() >= until) {
              timed_out_ = true;
              source_.request_stop();
            }
            if (heeds(session.must_stop())) source_.request_stop();
            ended.wait_for(lock, over, std::chrono::milliseconds{50}, [] { return false; });
          }
        }) {}

  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  [[nodiscard]] bool timed_out() const { return timed_out_; }

 private:
  std::stop_source source_;
  std::atomic<bool> timed_out_{false};
  std::jthread watcher_;  // last: it uses what stands above
};

}  // namespace syzygy::cli
