// listener.h - accepts connections by Asio and hands each descriptor to gRPC.
//
// gRPC 1.51 accepts no more for good after one EMFILE (CVE-2023-4785), and has no limit of connections: here a
// connection beyond the limit is accepted and closed, so is one whose peer hung up while it waited to be accepted, and
// a lack of descriptors is waited out. gRPC closes what it was handed without a word, so a connection's Slot is given
// back when its descriptor is seen to be another one's or nobody's. Owns one thread, which also runs `every` at each
// beat. Threads: start(), stop() from one; the numbers from any.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/result.h"
#include "transport/connections.h"
#include "transport/listen/address.h"

namespace syzygy::transport {

class Listener {
 public:
  virtual ~Listener() = default;  // stop() if it still runs

  // Listens before it returns, accepts only after run(). Errors: kInvalidArgument ADDRESS_INVALID; kUnavailable
  // ADDRESS_IN_USE, LISTEN_FAILED.
  static Result<std::unique_ptr<Listener>> open(const Address& address, std::shared_ptr<Connections> connections);

  // `take` owns the descriptor from then on. `every` runs about four times a second.
  virtual void run(std::function<void(int descriptor)> take, std::function<void()> every) = 0;

  // Accepts nothing more; `take` and `every` are not called any more once it returned.
  virtual void stop() = 0;

  [[nodiscard]] virtual std::uint16_t port() const = 0;
};

}  // namespace syzygy::transport
