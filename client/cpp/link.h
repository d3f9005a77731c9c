// link.h - the connection under Client: which endpoint is in use, one attempt of a call over it, and what went wrong
// where. Internal: knows gRPC's types. Everything may be called by any thread.
//
// An attempt (Flight) runs on gRPC's threads and wakes the Waker that it was started with; it ends by its deadline or
// by cancel(), always. It keeps itself and its channel alive until then.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"
#include "client/cpp/boot_clock.h"
#include "client/cpp/client.h"
#include "client/cpp/rpc_error.h"
#include "client/cpp/waker.h"
#include "syzygy/v1/syzygy.grpc.pb.h"

namespace syzygy {

// A channel to one endpoint.
struct Line {
  std::size_t endpoint = 0;
  std::uint64_t serial = 0;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Coordinator::Stub> coordinator;
  std::unique_ptr<v1::Barrier::Stub> barrier;
};

double chance();  // uniform in [0, 1)

class Link {
 public:
  Link(ClientOptions options, std::string ca, std::string token);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  std::shared_ptr<const Line> line();
  // To be called right before something is given to queue(). gRPC orders that by itself; this says it in a way that
  // ThreadSanitizer sees, too, since Debian's gRPC is not instrumented.
  grpc::CompletionQueue* queue() {
    handed_over_.fetch_add(1, std::memory_order_release);
    return &queue_;
  }
  // Sets the deadline (on gRPC's own clock) and the bearer token.
  void prepare(grpc::ClientContext& context, BootTime deadline);

  // To be told of each attempt's end, and of how long it waited. lost(): the next line() is another endpoint's, or a
  // fresh connection.
  void answered(const Line& line);
  void lost(const Line& line, const Failed& why, Duration waited);
  // UNAUTHENTICATED: true if the token file holds another token by now.
  bool refresh_token();

  // An error that no waiting heals was seen at every endpoint; asks the network (probe.h) where gRPC is vague, for
  // at most 1.5 s an endpoint, and only before the first answer.
  std::optional<Error> hopeless(const Line& line, const Failed& why, BootTime until, const StopSource* stop);
  // Names every endpoint and what was wrong there last.
  Error unreachable(Duration tried) const;

  [[nodiscard]] bool ever_answered() const { return ever_answered_.load(std::memory_order_acquire); }
  [[nodiscard]] std::string answered_by() const;
  [[nodiscard]] const ClientOptions& options() const { return options_; }
  [[nodiscard]] std::string endpoint_text(const Line& line) const { return options_.endpoints[line.endpoint].text(); }

 private:
  struct Trouble {
    std::string said;
    bool mismatch = false;
    std::string reason;
    std::optional<Error> daemon;  // what a daemon itself said: told as it is
  };
  std::shared_ptr<const Line> open(std::size_t endpoint);

  const ClientOptions options_;
  const std::string ca_;
  std::atomic<bool> ever_answered_{false};
  mutable std::mutex mutex_;
  std::string token_;
  std::size_t active_ = 0;
  std::uint64_t serials_ = 0;
  std::vector<std::shared_ptr<const Line>> lines_;  // by endpoint; null: none open
  std::vector<Trouble> troubles_;                   // by endpoint
  std::string answered_by_;
  grpc::CompletionQueue queue_;
  std::atomic<std::uint64_t> handed_over_{0};
  std::thread thread_;  // takes from queue_ until it is shut down and empty
};

// How each call is started on a line: the only place that pairs a request with its method.
#define SYZYGY_CALL(service, method)                                                                         \
  inline auto start_call(const Line& line, grpc::ClientContext* context, const v1::method##Request& request, \
                         grpc::CompletionQueue* queue) {                                                     \
    return line.service->Async##method(context, request, queue);                                             \
  }
SYZYGY_CALL(coordinator, Join)
SYZYGY_CALL(coordinator, Renew)
SYZYGY_CALL(coordinator, Confirm)
SYZYGY_CALL(coordinator, Progress)
SYZYGY_CALL(coordinator, Report)
SYZYGY_CALL(coordinator, Leave)
SYZYGY_CALL(coordinator, Sever)
SYZYGY_CALL(coordinator, Resolve)
SYZYGY_CALL(coordinator, SetTarget)
SYZYGY_CALL(coordinator, GetTarget)
SYZYGY_CALL(coordinator, ListTargets)
SYZYGY_CALL(coordinator, ListEvents)
SYZYGY_CALL(barrier, Enter)
SYZYGY_CALL(barrier, Await)
SYZYGY_CALL(barrier, SeverBarrier)
#undef SYZYGY_CALL

// What a completion of the queue points to.
class Completion {
 public:
  virtual void complete(bool ok) = 0;

 protected:
  ~Completion() = default;
};

template <class Response>
class Flight final : public Completion, public std::enable_shared_from_this<Flight<Response>> {
 public:
  Flight(std::shared_ptr<const Line> line, std::shared_ptr<Waker> waker)
      : sent_at(BootClock::now()), line_(std::move(line)), waker_(std::move(waker)) {}

  template <class Request>
  void launch(Link& link, const Request& request, BootTime deadline) {
    link.prepare(context_, deadline);
    self_ = this->shared_from_this();
    reader_ = start_call(*line_, &context_, request, link.queue());
    reader_->Finish(&response, &status_, static_cast<Completion*>(this));
  }
  void complete(bool) override {
    // The owner may let go as soon as it sees done_.
    const auto self = std::move(self_);
    done_.store(true, std::memory_order_release);
    waker_->wake();
  }
  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }
  void cancel() { context_.TryCancel(); }
  // REQUIRES: done(), for all below.
  [[nodiscard]] const grpc::Status& status() const { return status_; }
  [[nodiscard]] const Line& line() const { return *line_; }

  Response response;
  const BootTime sent_at;  // before the request was sent: what a lease in the answer counts from

 private:
  std::shared_ptr<const Line> line_;
  std::shared_ptr<Waker> waker_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<Response>> reader_;
  grpc::Status status_;
  std::atomic<bool> done_{false};
  std::shared_ptr<Flight> self_;  // while the queue knows of it
};

// One attempt, started. Its bytes are taken here: `request` may go.
template <class Response, class Request>
std::shared_ptr<Flight<Response>> start_flight(Link& link, const Request& request, BootTime deadline,
                                               std::shared_ptr<Waker> waker) {
  auto flight = std::make_shared<Flight<Response>>(link.line(), std::move(waker));
  flight->launch(link, request, deadline);
  return flight;
}

// What a finished flight came to; tells the link.
template <class Response>
std::expected<Response, Failed> land(Link& link, Flight<Response>& flight) {
  if (flight.status().ok()) {
    link.answered(flight.line());
    return std::move(flight.response);
  }
  Failed why = failed(flight.status(), link.endpoint_text(flight.line()));
  if (why.passing) {
    link.lost(flight.line(), why, BootClock::now() - flight.sent_at);
  } else {
    link.answered(flight.line());
  }
  return std::unexpected(std::move(why));
}

inline std::unexpected<Error> stopped_by_request() {
  return failure(ErrorCode::kCancelled, "STOPPED", "Stopped on request before the daemon answered.");
}

}  // namespace syzygy
