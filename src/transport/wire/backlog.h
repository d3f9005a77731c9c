// backlog.h - what one watcher has not been told yet: the newest state, and every event that led to it.
//
// Updates that come while one waits are told together with it. So a watcher is sent whole states as fast as he takes
// them and no faster, however fast the target moves, and still hears of every event, in order. Beyond kUpdatesMax or
// kEventsMax only the newest state is left, with `gap`. Nothing is copied: all watchers share states and events.
// One thread at a time.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "engine/engine.h"

namespace syzygy::wire {

using EventsPtr = std::shared_ptr<const std::vector<round::Event>>;

struct Untold {
  engine::TargetStatePtr state;
  std::vector<EventsPtr> events;  // none of them null or empty
  bool gap = false;
};

class Backlog {
 public:
  static constexpr std::size_t kUpdatesMax = 64;
  static constexpr std::size_t kEventsMax = 1'000;  // but a single update is always told whole

  // Returns how many updates will not be told because of this one.
  std::size_t put(const engine::Update& update);
  // Everything; nullopt: there is nothing.
  std::optional<Untold> take();

 private:
  std::optional<Untold> untold_;
  std::size_t events_ = 0;
};

}  // namespace syzygy::wire
