// fanout.h - a few threads that write to the callers, so that no engine thread ever does.
//
// One commit may answer 10,000 callers, and each answer costs a system call: the threads share them out. Work of one
// shard runs in order on one thread; the shards run side by side. Threads: post() from any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace syzygy::transport {

class Fanout {
 public:
  using Work = std::move_only_function<void()>;  // must not throw

  explicit Fanout(std::size_t threads);
  ~Fanout();  // does what was posted, then joins
  Fanout(const Fanout&) = delete;
  Fanout& operator=(const Fanout&) = delete;

  // A shard for a new call or stream, in turn; post() takes it modulo the number of shards.
  std::size_t next_shard() { return next_.fetch_add(1, std::memory_order_relaxed); }
  void post(std::size_t shard, Work work);

 private:
  struct Shard {
    std::mutex mutex;
    std::condition_variable wake;
    std::vector<Work> waiting;
    bool stopping = false;
    std::thread thread;
  };
  static void run(Shard& shard);

  std::atomic<std::size_t> next_{0};
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace syzygy::transport
