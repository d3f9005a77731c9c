// update_cache.h - one serialisation of an update for all who watch, so that 10,000 watchers cost one.
//
// The engine hands the same state and events to every watcher; encode() gives all of them the same bytes: a
// v1::WatchTargetResponse in binary or JSON. A fixed number of slots, each found by the state's address and checked
// against the objects themselves: a slot that is taken by another update is overwritten, and the cost is one
// serialisation more. Threads: any, together.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace syzygy::wire {

class UpdateCache {
 public:
  enum class Form { kBinary, kJson };
  explicit UpdateCache(Form form) : form_(form) {}

  std::shared_ptr<const std::string> encode(const engine::Update& update);

 private:
  struct Slot {
    std::mutex mutex;
    std::weak_ptr<const engine::TargetState> state;  // weak: a slot keeps bytes, not records
    std::weak_ptr<const std::vector<round::Event>> events;
    bool has_events = false;
    bool gap = false;
    std::shared_ptr<const std::string> bytes;
  };
  const Form form_;
  std::array<Slot, 64> slots_;
};

}  // namespace syzygy::wire
