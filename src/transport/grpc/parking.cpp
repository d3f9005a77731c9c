#include "transport/grpc/parking.h"

#include <utility>
#include <vector>

namespace syzygy::transport {

void Parking::add(const std::shared_ptr<Parked>& call) {
  std::optional<Error> closed;
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) calls_.emplace(call.get(), call);
    closed = closed_;
  }
  if (closed) call->end(*closed);
}

void Parking::remove(Parked* call) {
  const std::lock_guard lock(mutex_);
  calls_.erase(call);
}

void Parking::close(const Error& error) {
  std::vector<std::shared_ptr<Parked>> parked;
  {
    const std::lock_guard lock(mutex_);
    closed_ = error;
    for (const auto& [address, weak] : calls_) {
      if (auto call = weak.lock()) parked.push_back(std::move(call));
    }
  }
  for (const auto& call : parked) call->end(error);
}

std::size_t Parking::size() const {
  const std::lock_guard lock(mutex_);
  return calls_.size();
}

}  // namespace syzygy::transport
