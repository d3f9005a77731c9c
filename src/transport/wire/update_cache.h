// update_cache.h - one serialisation of a state, and of the events of a commit, for all who watch, so that 10,000
// watchers cost one.
//
// The engine hands the same objects to every watcher; a message to one of them, a v1::WatchTargetResponse in binary or
// JSON, is put together from pieces that all of them share. A fixed number of slots, each found by the object's address
// and checked against the object itself: a slot that is taken by another object is overwritten, and the cost is one
// serialisation more. Threads: any, together.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "transport/wire/backlog.h"

namespace syzygy::wire {

using Bytes = std::shared_ptr<const std::string>;

template <class Object>
class Encoded {
 public:
  // `make` gives the bytes of what is not encoded yet.
  template <class Make>
  Bytes of(const std::shared_ptr<const Object>& object, Make make) {
    const auto address = reinterpret_cast<std::uintptr_t>(object.get());
    Slot& slot = slots_[(address >> 6U) % slots_.size()];
    // Held while serialising: those who come for the same object meanwhile wait for it instead of doing it again.
    const std::lock_guard lock(slot.mutex);
    // lock() compares live objects: an address that was freed and used again is not taken for the old one.
    if (!slot.bytes || slot.object.lock() != object) {
      slot.bytes = std::make_shared<const std::string>(make(*object));
      slot.object = object;
    }
    return slot.bytes;
  }

 private:
  struct Slot {
    std::mutex mutex;
    std::weak_ptr<const Object> object;  // weak: a slot keeps bytes, not records
    Bytes bytes;
  };
  std::array<Slot, 64> slots_;
};

class UpdateCache {
 public:
  enum class Form { kBinary, kJson };
  explicit UpdateCache(Form form) : form_(form) {}

  // To be sent one after the other.
  std::vector<Bytes> encode(const Untold& untold);

 private:
  const Form form_;
  Encoded<engine::TargetState> states_;
  Encoded<std::vector<round::Event>> events_;
};

}  // namespace syzygy::wire
