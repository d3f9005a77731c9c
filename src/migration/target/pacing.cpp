#include "migration/target/pacing.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace syzygy::migration {
namespace {

std::mt19937_64& generator() {
  thread_local std::mt19937_64 engine{(static_cast<std::uint64_t>(std::random_device{}()) << 32) ^
                                      std::random_device{}()};
  return engine;
}

}  // namespace

bool pause(Duration time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any woken;
  std::unique_lock lock(mutex);
  woken.wait_for(lock, stop, time, [] { return false; });
  return !stop.stop_requested();
}

Deadline::Deadline(Duration from_now) {
  // Far enough away to be "never" without running over the clock's range.
  at_ = Steady::now() + std::min<Duration>(from_now, std::chrono::hours{24 * 365 * 10});
}

Duration Deadline::left() const {
  return std::max(Duration{0}, std::chrono::duration_cast<Duration>(at_ - Steady::now()));
}

Duration Backoff::next() {
  const Duration whole = std::max(Duration{1}, std::min(next_, max_));
  next_ = std::min(max_, whole * 2);
  std::uniform_int_distribution<Duration::rep> jitter(whole.count() / 2, whole.count());
  return Duration{jitter(generator())};
}

std::string random_hex(int digits) {
  std::random_device device;  // the kernel's, not a seeded engine: ids must not repeat between machines
  std::string text;
  while (static_cast<int>(text.size()) < digits) text += "0123456789abcdef"[device() & 15u];
  return text;
}

}  // namespace syzygy::migration
