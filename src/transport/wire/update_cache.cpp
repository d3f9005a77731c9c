#include "transport/wire/update_cache.h"

#include "transport/wire/json.h"
#include "transport/wire/response.h"

namespace syzygy::wire {

std::shared_ptr<const std::string> UpdateCache::encode(const engine::Update& update) {
  const auto address = reinterpret_cast<std::uintptr_t>(update.state.get());
  Slot& slot = slots_[(address >> 6U) % slots_.size()];
  // Held while serialising: those who come for the same update meanwhile wait for it instead of doing it again.
  const std::lock_guard lock(slot.mutex);
  // lock() compares live objects: an address that was freed and used again is not taken for the old one.
  if (slot.bytes && slot.gap == update.gap && slot.has_events == (update.events != nullptr) &&
      slot.state.lock() == update.state && slot.events.lock() == update.events) {
    return slot.bytes;
  }
  const v1::WatchTargetResponse message = to_proto(update);
  slot.bytes =
      std::make_shared<const std::string>(form_ == Form::kBinary ? message.SerializeAsString() : to_json(message));
  slot.state = update.state;
  slot.events = update.events;
  slot.has_events = update.events != nullptr;
  slot.gap = update.gap;
  return slot.bytes;
}

}  // namespace syzygy::wire
