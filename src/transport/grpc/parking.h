// parking.h - the calls that wait: found again when the server stops, so that each is told to go elsewhere.
//
// Threads: any. After close() a newcomer is ended at once.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>

#include "base/result.h"

namespace syzygy::transport {

class Parked {
 public:
  // Ends the call with that error, if nothing ended it before.
  virtual void end(const Error& error) = 0;

 protected:
  ~Parked() = default;
};

class Parking {
 public:
  void add(const std::shared_ptr<Parked>& call);
  void remove(Parked* call);
  void close(const Error& error);
  [[nodiscard]] std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<Parked*, std::weak_ptr<Parked>> calls_;
  std::optional<Error> closed_;
};

}  // namespace syzygy::transport
