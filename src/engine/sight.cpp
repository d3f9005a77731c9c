#include "engine/sight.h"

namespace syzygy::engine {
namespace {

constexpr Duration kEndless = Duration::max() / 4;
// Shorter ones matter to no lease.
constexpr Duration kShortest = outage_survived(Duration{0});
// So many that two polls with a different pause in between for minutes are kept apart.
constexpr std::size_t kGapsMax = 256;

}  // namespace

void Sight::answered(Duration sent, Duration received) {
  if (!shared_) return;
  const std::lock_guard lock(mutex_);
  const Duration gap = last_ == kNever ? kEndless : received - last_;
  if (gap > kShortest) note({received, gap});
  last_ = std::max(last_, sent);
}

void Sight::refused(Duration at) {
  const std::lock_guard lock(mutex_);
  note({at, kEndless});
}

// REQUIRES: mutex_ is held.
void Sight::note(Gap gap) {
  while (!gaps_.empty() && gaps_.back().length <= gap.length) {
    gap.end = std::max(gap.end, gaps_.back().end);
    gaps_.pop_back();
  }
  gaps_.push_back(gap);
  if (gaps_.size() <= kGapsMax) return;
  gaps_[1].length = gaps_[0].length;  // more than there was: those two are long ago
  gaps_.erase(gaps_.begin());
}

Duration Sight::seen_since(Duration most, Duration now) const {
  const std::lock_guard lock(mutex_);
  if (shared_ && now - last_ > most) return now;
  const auto hides_one = [most](const Gap& gap) { return gap.length > most; };
  const auto gap = std::find_if(gaps_.rbegin(), gaps_.rend(), hides_one);
  return gap == gaps_.rend() ? kNever : gap->end;
}

Duration Sight::last() const {
  const std::lock_guard lock(mutex_);
  return last_;
}

}  // namespace syzygy::engine
