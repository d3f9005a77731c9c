// server.h - gRPC on one port: Coordinator, Barrier, the standard health service, and reflection.
//
// Every request goes to the api::Service; nothing here decides anything. Health follows Engine::health() within half a
// second and asks for no token; reflection neither. Threads: start() and stop() from one thread, which must not be one
// of gRPC's; the rest from any. Failure: start() says what could not be had; after it, a peer can never end the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "api/service.h"
#include "base/result.h"
#include "transport/connections.h"
#include "transport/listen/tls.h"

namespace syzygy::transport {

struct GrpcOptions {
  std::string address = "127.0.0.1:7411";  // host:port; [::1]:7411; port 0: any free one, see GrpcServer::port()
  std::optional<Tls> tls;
  std::string token;                         // bearer token that callers must present; empty: none is asked for
  std::shared_ptr<Connections> connections;  // shared with the other port; null: a limit of its own
  std::size_t fanout_threads = 2;

  // Silence before the first frame, or in a TLS handshake; then the connection is closed.
  Duration handshake_timeout{10'000};
  // A peer that has been silent for that long is asked whether it lives, and must answer within `keepalive_timeout`.
  Duration keepalive{60'000};
  Duration keepalive_timeout{20'000};
  Duration idle_max{1'800'000};  // a connection without a call
};

struct GrpcStats {
  std::uint64_t calls = 0;    // unary, since the start
  std::uint64_t streams = 0;  // open now
  std::uint64_t gaps = 0;     // updates that slow readers did not get one by one
  std::size_t parked = 0;     // calls and streams that wait now
};

class GrpcServer {
 public:
  virtual ~GrpcServer() = default;  // stop(0) if it still runs

  // Serves before it returns. `service` must outlive the server. Errors: kInvalidArgument ADDRESS_INVALID, TLS_INVALID;
  // kUnavailable ADDRESS_IN_USE, LISTEN_FAILED.
  static Result<std::unique_ptr<GrpcServer>> start(api::Service& service, GrpcOptions options);

  [[nodiscard]] virtual std::uint16_t port() const = 0;
  [[nodiscard]] virtual GrpcStats stats() const = 0;

  // Accepts nothing more, is no longer healthy, ends every stream and every waiting call with UNAVAILABLE
  // SHUTTING_DOWN, lets calls that are being answered finish for at most `drain`, cancels the rest, joins the threads.
  // The engine must still run, or have been stopped; its callbacks may come until it is, and do nothing then.
  virtual void stop(Duration drain) = 0;
};

}  // namespace syzygy::transport
