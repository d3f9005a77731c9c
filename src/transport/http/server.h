// server.h - HTTP/1.1: JSON, blocking queries, server-sent events, metrics, health, and the dashboard, on one port.
//
// Owns its threads: each runs one event loop, and a connection belongs to one loop for life. Every request goes to the
// api::Service; nothing here decides anything. Threads: start() and stop() from one thread; port() from any. Failure:
// start() says what could not be had (the address, the certificate); after it, a peer can never end the server.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/service.h"
#include "base/result.h"
#include "transport/connections.h"

namespace prometheus {
class Collectable;
}

namespace syzygy::http {

struct Tls {
  std::string certificate_chain;  // PEM, the server's own first
  std::string private_key;        // PEM, not encrypted
};

struct Options {
  std::string address = "127.0.0.1:7410";  // host:port; [::1]:7410; port 0: any free one, see Server::port()
  std::optional<Tls> tls;
  std::string token;  // bearer token that callers must present; empty: none is asked for
  // Beyond localhost, 127.0.0.0/8 and [::1]: what a browser may call a daemon on loopback that asks for no token
  // (DNS rebinding). Without ports.
  std::vector<std::string> allowed_hosts;
  std::shared_ptr<transport::Connections> connections;  // shared with the other port; null: a limit of its own
  std::size_t threads = 2;

  Duration header_timeout{10'000};  // from the first byte of a request to the end of its headers; also of a handshake
  Duration body_timeout{30'000};    // from there to the end of its body
  Duration idle_timeout{120'000};   // between two requests
  Duration write_timeout{30'000};   // without any progress of a reader
  Duration keep_alive{15'000};      // between two comments of an event stream that has nothing to say

  // Shown at /metrics beside the server's own and the engine's, e.g. gRPC's counters.
  std::vector<std::shared_ptr<prometheus::Collectable>> collectables;
  // One line for the log; never holds a secret. Null: silence.
  std::function<void(const std::string&)> log;
};

class Server {
 public:
  virtual ~Server() = default;  // stop(0) if it still runs

  // Listens on the address before it returns. `service` must outlive the server. Errors: kInvalidArgument
  // ADDRESS_INVALID, TLS_INVALID; kUnavailable ADDRESS_IN_USE, LISTEN_FAILED.
  static Result<std::unique_ptr<Server>> start(api::Service& service, Options options);

  [[nodiscard]] virtual std::uint16_t port() const = 0;

  // Closes the listener, answers every parked request "503 SHUTTING_DOWN, try again" and ends every event stream, lets
  // the requests that are being answered finish for at most `drain`, then closes what is left and joins the threads.
  // The engine must still run (its answers are awaited), or have been stopped (then it has given them all).
  virtual void stop(Duration drain) = 0;
};

}  // namespace syzygy::http
