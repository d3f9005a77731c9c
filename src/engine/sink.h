// sink.h - one subscriber's callback, which is never called again once close() has returned.
//
// The engine's threads call it, any thread closes it, also from inside the callback itself. Whoever closes it must not
// hold a lock that the callback takes.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "engine/counters.h"
#include "engine/engine.h"

namespace syzygy::engine {

class Sink {
 public:
  Sink(Engine::OnUpdate call, Place place) : call_(std::move(call)), place_(std::move(place)) {}

  void send(const Update& update) {
    const std::lock_guard lock(mutex_);
    if (!closed_) call_(update);
  }
  void close() {
    const std::lock_guard lock(mutex_);  // recursive: the callback may end its own subscription
    closed_ = true;
    place_ = Place();
  }
  [[nodiscard]] bool closed() const { return closed_; }

 private:
  std::recursive_mutex mutex_;
  Engine::OnUpdate call_;
  Place place_;
  std::atomic<bool> closed_ = false;
};
using SinkPtr = std::shared_ptr<Sink>;

}  // namespace syzygy::engine
