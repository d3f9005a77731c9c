#include "transport/wire/backlog.h"

#include <utility>

namespace syzygy::wire {

std::size_t Backlog::put(const engine::Update& update) {
  const std::size_t more = update.events ? update.events->size() : 0;
  if (!untold_) {
    untold_.emplace();
    events_ = 0;
  }
  untold_->state = update.state;
  untold_->gap = untold_->gap || update.gap;
  if (more == 0) return 0;
  const bool waits = !untold_->events.empty();
  if (waits && (untold_->events.size() >= kUpdatesMax || events_ + more > kEventsMax)) {
    untold_->gap = true;
    events_ = 0;
    return std::exchange(untold_->events, {}).size() + 1;
  }
  untold_->events.push_back(update.events);
  events_ += more;
  return 0;
}

std::optional<Untold> Backlog::take() { return std::exchange(untold_, std::nullopt); }

}  // namespace syzygy::wire
