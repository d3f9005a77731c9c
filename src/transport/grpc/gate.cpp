#include "transport/grpc/gate.h"

namespace syzygy::transport {

bool Gate::enter() {
  const std::lock_guard lock(mutex_);
  ++open_;
  return !closed_;
}

void Gate::leave() {
  // Told under the lock: who waits may destroy the gate as soon as it is empty.
  const std::lock_guard lock(mutex_);
  if (--open_ == 0) empty_.notify_all();
}

void Gate::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
}

bool Gate::wait_empty(Duration timeout) {
  std::unique_lock lock(mutex_);
  return empty_.wait_for(lock, timeout, [&] { return open_ == 0; });
}

}  // namespace syzygy::transport
