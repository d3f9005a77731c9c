#include "transport/grpc/fanout.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

namespace syzygy::transport {

Fanout::Fanout(std::size_t threads) {
  for (std::size_t i = 0; i < std::max<std::size_t>(threads, 1); ++i) {
    Shard& shard = *shards_.emplace_back(std::make_unique<Shard>());
    shard.thread = std::thread([&shard] { run(shard); });
    pthread_setname_np(shard.thread.native_handle(), "grpc-fanout");
  }
}

Fanout::~Fanout() {
  for (const auto& shard : shards_) {
    {
      const std::lock_guard lock(shard->mutex);
      shard->stopping = true;
    }
    shard->wake.notify_one();
  }
  for (const auto& shard : shards_) shard->thread.join();
}

void Fanout::post(std::size_t shard, Work work) {
  Shard& s = *shards_[shard % shards_.size()];
  bool first = false;
  {
    const std::lock_guard lock(s.mutex);
    first = s.waiting.empty();
    s.waiting.push_back(std::move(work));
  }
  if (first) s.wake.notify_one();
}

void Fanout::run(Shard& shard) {
  std::vector<Work> batch;
  for (;;) {
    {
      std::unique_lock lock(shard.mutex);
      shard.wake.wait(lock, [&] { return shard.stopping || !shard.waiting.empty(); });
      if (shard.waiting.empty()) return;
      batch.swap(shard.waiting);
    }
    for (Work& work : batch) std::exchange(work, Work())();  // what it holds goes with it, not with the batch
    // A burst of 10,000 must not leave its memory behind.
    batch.clear();
    if (batch.capacity() > 1'024) batch.shrink_to_fit();
  }
}

}  // namespace syzygy::transport
