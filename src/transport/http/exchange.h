// exchange.h - what passes between a connection and the handlers: a Request one way, a Response or a Stream the other.
//
// A Request belongs to whoever handles it. A Ticket is its way back: small, copyable, good from any thread, and
// harmless once the connection is gone or has been answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/service.h"
#include "transport/http/problem.h"
#include "transport/http/router.h"

namespace syzygy::http {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Bytes = std::shared_ptr<const std::string>;

inline constexpr std::string_view kJson = "application/json";

struct Request {
  Match match;
  std::string idempotency_key;
  std::string last_event_id;
  std::string body;
  api::Caller caller;
};

struct Response {
  int status = 200;
  std::string_view content_type = kJson;
  Bytes body;
  std::vector<std::pair<std::string_view, std::string>> headers;
  bool close = false;
};

Response respond_with(std::string body, std::string_view content_type = kJson);
Response respond_with(const Problem& problem);

// What a streaming answer says, event by event. One thread.
class Stream {
 public:
  virtual ~Stream() = default;
  // Appends the next event's bytes; false: there is nothing to say now. Asked only when the one before has left, so
  // that a slow reader decides how fast a stream goes.
  virtual bool next(std::vector<Bytes>& pieces) = 0;
};

class Loop;
class Mailbox;
class Connection;

class Ticket {
 public:
  Ticket(std::shared_ptr<Mailbox> mailbox, std::uint64_t connection, std::uint32_t request)
      : mailbox_(std::move(mailbox)), connection_(connection), request_(request) {}

  void respond(Response response) const;
  // Runs `act` on the connection's own thread, unless it has gone, or has been answered.
  void then(std::function<void(Connection&)> act) const;

 private:
  std::shared_ptr<Mailbox> mailbox_;
  std::uint64_t connection_;
  std::uint32_t request_;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // On the connection's thread; must not block. The ticket is answered exactly once, now or later, from any thread.
  virtual void handle(Request request, const Ticket& ticket) = 0;
};

}  // namespace syzygy::http
