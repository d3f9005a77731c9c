// client.h - one process's connection to whichever daemon answers, and the API's calls as plain functions.
//
// A call blocks its thread until it has an answer, its bound is over, or a stop is requested. It is repeated over
// reconnects, and over endpoints, with jittered exponential backoff, always with the same bytes: every call of the API
// is idempotent, by its request id or by nature. Errors of the daemon come back as they are (reason and metadata of its
// ErrorInfo, retry_after of its RetryInfo) and are not repeated, save UNAVAILABLE. All members may be called by any
// thread at any time. One per process: streams are cheaper than connections.
//
// Errors of the client itself: kUnavailable DAEMON_UNREACHABLE (names every endpoint tried, and why each failed),
// kCancelled STOPPED, kUnavailable TLS_MISMATCH / TLS_REFUSED / NOT_SYZYGY (would not heal by waiting, so said at
// once).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "client/cpp/boot_clock.h"
#include "client/cpp/endpoints.h"
#include "client/cpp/stop.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy {

struct ClientOptions {
  std::vector<Endpoint> endpoints;
  bool tls = false;
  std::string ca_file;               // PEM; empty: the system's certificates
  std::string server_name;           // that the certificate must carry; empty: the endpoint's host
  std::string token_file;            // empty: no bearer token. Read again when the daemon says UNAUTHENTICATED
  bool insecure_token = false;       // sends the token without TLS to other machines, too
  Duration connect_timeout{30'000};  // until the first answer of any daemon; afterwards only a call's own bound counts
  Duration attempt_timeout{5'000};   // one attempt at one endpoint
  Duration backoff_first{50};        // between rounds over all endpoints: doubles, jittered by half
  Duration backoff_max{3'000};
  std::string user_agent = "syzygy";
  bool connect_at_once = false;  // open() begins to connect to the first endpoint, on a thread of its own
};

// How long a call may take, and who may end it early.
struct Bound {
  BootTime until = BootTime::max();
  const StopSource* stop = nullptr;
};

// 128 random bits as 32 hexadecimal digits.
IncarnationId random_incarnation();
// For a call of its own, outside a session: a fresh incarnation's first request.
v1::RequestId fresh_request();

class Client {
 public:
  // Reads the token and the CA file; waits for no connection. Errors: kInvalidArgument: TOKEN_FILE, CA_FILE
  // (unreadable, empty, or not what it should be), TOKEN_OVER_PLAINTEXT, ENDPOINT_INVALID (none given).
  static Result<std::shared_ptr<Client>> open(ClientOptions options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Result<v1::JoinResponse> join(const v1::JoinRequest& request, const Bound& bound);
  Result<v1::RenewResponse> renew(const v1::RenewRequest& request, const Bound& bound);
  Result<v1::ConfirmResponse> confirm(const v1::ConfirmRequest& request, const Bound& bound);
  Result<v1::ProgressResponse> progress(const v1::ProgressRequest& request, const Bound& bound);
  Result<v1::ReportResponse> report(const v1::ReportRequest& request, const Bound& bound);
  Result<v1::LeaveResponse> leave(const v1::LeaveRequest& request, const Bound& bound);
  Result<v1::SeverResponse> sever(const v1::SeverRequest& request, const Bound& bound);
  Result<v1::ResolveResponse> resolve(const v1::ResolveRequest& request, const Bound& bound);
  Result<v1::SetTargetResponse> set_target(const v1::SetTargetRequest& request, const Bound& bound);
  // With `wait` the call blocks that long at the daemon; the attempt's own timeout comes on top.
  Result<v1::GetTargetResponse> get_target(const v1::GetTargetRequest& request, const Bound& bound);
  Result<v1::ListTargetsResponse> list_targets(const v1::ListTargetsRequest& request, const Bound& bound);
  Result<v1::ListEventsResponse> list_events(const v1::ListEventsRequest& request, const Bound& bound);

  Result<v1::BarrierResponse> enter(const v1::EnterRequest& request, const Bound& bound);
  Result<v1::BarrierResponse> await(const v1::AwaitRequest& request, const Bound& bound);
  Result<v1::BarrierResponse> sever_barrier(const v1::SeverBarrierRequest& request, const Bound& bound);

  // Streams: the callbacks run on the calling thread, one at a time. After a lost connection the watch goes on from the
  // last (epoch, revision) delivered; what comes twice is dropped. `on_change` returns false to end the watch (the call
  // then returns a value). `on_contact`, if set, hears nullptr when the stream delivers (again), and why when it was
  // lost. Ends with an error: a definite one of the daemon, the bound is over (kDeadlineExceeded WATCH_OVER), STOPPED.
  using OnContact = std::function<void(const Error*)>;
  Result<void> watch_target(v1::WatchTargetRequest from,
                            const std::function<bool(const v1::WatchTargetResponse&)>& on_change, const Bound& bound,
                            const OnContact& on_contact = {});
  Result<void> watch_targets(const v1::WatchTargetsRequest& request,
                             const std::function<bool(const v1::WatchTargetsResponse&)>& on_change, const Bound& bound,
                             const OnContact& on_contact = {});

  // The endpoint that answered last; empty before the first answer.
  [[nodiscard]] std::string answered_by() const;
  [[nodiscard]] const ClientOptions& options() const;

 private:
  friend class Session;
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// True where repeating the call later can help: nothing answered, or the daemon said UNAVAILABLE.
bool may_heal(const Error& error);

}  // namespace syzygy
