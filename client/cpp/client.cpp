#include "client/cpp/client.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "client/cpp/client_impl.h"
#include "client/cpp/credentials.h"

namespace syzygy {

namespace {

// An attempt that was not answered is given more time when it is repeated: a slow daemon must not be asked for ever
// by attempts that are each too short.
constexpr int kPatienceMax = 6;

int stop_fd(const Bound& bound) { return bound.stop != nullptr ? bound.stop->fd() : -1; }
bool wants_stop(const Bound& bound) { return bound.stop != nullptr && bound.stop->signal() != 0; }

// Sleeps before the next try. False: stopped, or `until` has come.
bool rest(Duration pause, BootTime until, const Bound& bound) {
  Waker waker;
  const BootTime wake_at = std::min(plus(BootClock::now(), pause), until);
  while (!wants_stop(bound) && BootClock::now() < wake_at) waker.wait(wake_at, stop_fd(bound));
  return !wants_stop(bound) && BootClock::now() < until;
}

// Counts the tries of one call: the endpoints are tried one after another without a pause, then there is one.
class Tries {
 public:
  explicit Tries(const ClientOptions& options)
      : options_(options), backoff_(options.backoff_first, options.backoff_max) {}

  Duration pause_after(const Failed& why) {
    patience_ = why.error.reason == "NO_ANSWER" ? std::min(patience_ + 1, kPatienceMax) : 1;
    if (++in_round_ < options_.endpoints.size()) return Duration{0};
    in_round_ = 0;
    return backoff_.pause(chance(), why.error.retry_after);
  }
  void reset() {
    in_round_ = 0;
    patience_ = 1;
    backoff_.reset();
  }
  [[nodiscard]] Duration attempt_timeout() const { return options_.attempt_timeout * patience_; }

 private:
  const ClientOptions& options_;
  Backoff backoff_;
  std::size_t in_round_ = 0;
  int patience_ = 1;
};

// One operation of a stream. Its owner waits for done() before it goes.
class Signal final : public Completion {
 public:
  explicit Signal(std::shared_ptr<Waker> waker) : waker_(std::move(waker)) {}

  void complete(bool ok) override {
    const auto waker = waker_;  // the owner may go as soon as it sees the state
    state_.store(ok ? kOk : kFailed, std::memory_order_release);
    waker->wake();
  }
  void reset() { state_.store(kPending, std::memory_order_relaxed); }
  [[nodiscard]] bool done() const { return state_.load(std::memory_order_acquire) != kPending; }
  [[nodiscard]] bool ok() const { return state_.load(std::memory_order_acquire) == kOk; }
  void* tag() { return static_cast<Completion*>(this); }

 private:
  enum State { kPending, kOk, kFailed };
  std::shared_ptr<Waker> waker_;
  std::atomic<State> state_{kPending};
};

}  // namespace

Duration duration_of(const google::protobuf::Duration& d) {
  constexpr std::int64_t kDay = 86'400;
  return Duration(std::clamp<std::int64_t>(d.seconds(), 0, kDay) * 1'000 + d.nanos() / 1'000'000);
}

IncarnationId random_incarnation() {
  std::array<unsigned char, 16> bytes{};
  std::size_t have = 0;
  while (have < bytes.size()) {
    const ssize_t n = ::getrandom(bytes.data() + have, bytes.size() - have, 0);
    if (n > 0) {
      have += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      std::perror("getrandom");  // two processes with one identity would be worse than none
      std::abort();
    }
  }
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const unsigned char b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return IncarnationId(std::move(text));
}

v1::RequestId fresh_request() {
  v1::RequestId request;
  request.set_incarnation(random_incarnation().value);
  request.set_sequence(1);
  return request;
}

template <class Response, class Request>
Result<Response> Client::Impl::call(const Request& request, const Bound& bound, Duration extra) {
  const BootTime began = BootClock::now();
  const auto waker = std::make_shared<Waker>();
  Tries tries(link.options());
  bool refreshed = false;
  while (true) {
    const BootTime give_up =
        link.ever_answered() ? bound.until : std::min(bound.until, plus(began, link.options().connect_timeout));
    const BootTime now = BootClock::now();
    if (wants_stop(bound)) return stopped_by_request();
    if (now >= give_up) return std::unexpected(link.unreachable(now - began));

    const BootTime deadline = std::min(give_up, plus(now, tries.attempt_timeout() + extra));
    auto flight = start_flight<Response>(link, request, deadline, waker);
    while (!flight->done()) {
      // gRPC ends every attempt by its deadline; the bound here is only a moment to look for a stop.
      waker->wait(BootTime::max(), flight->done() ? -1 : stop_fd(bound));
      if (wants_stop(bound) && !flight->done()) {
        flight->cancel();
        while (!flight->done()) waker->wait(BootTime::max());
      }
    }
    auto landed = land(link, *flight);
    if (landed) return *std::move(landed);
    Failed& why = landed.error();
    if (wants_stop(bound)) return stopped_by_request();
    if (why.error.code == ErrorCode::kUnauthenticated && !std::exchange(refreshed, true) && link.refresh_token())
      continue;
    if (!why.passing) return std::unexpected(std::move(why.error));
    if (auto hopeless = link.hopeless(flight->line(), why, give_up, bound.stop))
      return std::unexpected(*std::move(hopeless));
    if (!rest(tries.pause_after(why), give_up, bound)) continue;  // the head of the loop says which
  }
}

template <class Response, class Start>
std::expected<void, Failed> Client::Impl::stream(Start start, const OnResponse<Response>& on_response,
                                                 BootTime first_by, const Bound& bound,
                                                 const std::function<void()>& on_first) {
  const BootTime began = BootClock::now();
  const auto waker = std::make_shared<Waker>();
  const auto line = link.line();
  grpc::ClientContext context;
  link.prepare(context, BootTime::max());
  Response message;
  Signal started(waker);
  Signal read(waker);
  Signal finished(waker);
  const auto reader = start(*line, &context, link.queue(), started.tag());

  bool first = true;
  bool enough = false;  // by the caller's word
  bool late = false;    // nothing came in time, a stop, or the bound is over
  for (Signal* pending = &started; true;) {
    if (!pending->done()) {
      const BootTime until = first ? std::min(first_by, bound.until) : bound.until;
      if (enough || late) {
        waker->wait(BootTime::max());
      } else if (wants_stop(bound) || BootClock::now() >= until) {
        late = true;
        context.TryCancel();
      } else {
        waker->wait(until, stop_fd(bound));
      }
      continue;
    }
    if (!pending->ok()) break;
    if (pending == &read) {
      if (std::exchange(first, false)) {
        link.answered(*line);
        on_first();
      }
      // After a cancel the rest is only drained.
      if (!enough && !late && !on_response(message)) {
        enough = true;
        context.TryCancel();
      }
    }
    read.reset();
    link.queue();  // reader knows it already: this is the hand-over
    reader->Read(&message, read.tag());
    pending = &read;
  }
  grpc::Status status;
  reader->Finish(&status, finished.tag());
  while (!finished.done()) waker->wait(BootTime::max());
  if (enough) return {};

  Failed why = failed(late && first ? grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "")
                      : status.ok() ? grpc::Status(grpc::StatusCode::UNAVAILABLE, "the daemon ended the stream")
                                    : status,
                      link.endpoint_text(*line));
  // A watch that was ended on purpose, here, says nothing about the endpoint.
  const bool on_purpose = wants_stop(bound) || BootClock::now() >= bound.until;
  if (why.passing && !on_purpose) link.lost(*line, why, BootClock::now() - began);
  if (!why.passing) link.answered(*line);
  if (why.passing && !on_purpose && first) {
    if (auto hopeless = link.hopeless(*line, why, bound.until, bound.stop)) {
      why.error = *std::move(hopeless);
      why.passing = false;
    }
  }
  return std::unexpected(std::move(why));
}

template <class Response, class Start>
Result<void> Client::Impl::watch(Start start, const OnResponse<Response>& on_response, const Bound& bound,
                                 const OnContact& on_contact) {
  const BootTime began = BootClock::now();
  Tries tries(link.options());
  bool refreshed = false;
  bool in_contact = false;
  bool told_lost = false;
  int failures = 0;
  const auto on_first = [&] {
    tries.reset();
    failures = 0;
    refreshed = false;
    told_lost = false;
    if (!std::exchange(in_contact, true) && on_contact) on_contact(nullptr);
  };
  while (true) {
    const BootTime now = BootClock::now();
    if (wants_stop(bound)) return stopped_by_request();
    if (!link.ever_answered() && now - began >= link.options().connect_timeout) {
      return std::unexpected(link.unreachable(now - began));
    }
    if (now >= bound.until) {
      return failure(ErrorCode::kDeadlineExceeded, "WATCH_OVER", "The time given to watch is over.");
    }
    auto ended = stream<Response>(start, on_response, plus(now, tries.attempt_timeout()), bound, on_first);
    if (ended) return {};
    Failed& why = ended.error();
    if (wants_stop(bound) || BootClock::now() >= bound.until) continue;
    if (why.error.code == ErrorCode::kUnauthenticated && !std::exchange(refreshed, true) && link.refresh_token())
      continue;
    if (!why.passing) return std::unexpected(std::move(why.error));
    // One stream that ended is no news if the next one delivers at once: a daemon that restarts, a failover.
    if (++failures > 1 || !in_contact) {
      in_contact = false;
      if (!std::exchange(told_lost, true) && on_contact) on_contact(&why.error);
    }
    rest(tries.pause_after(why), bound.until, bound);
  }
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::~Client() = default;

Result<std::shared_ptr<Client>> Client::open(ClientOptions options) {
  if (options.endpoints.empty()) {
    return failure(ErrorCode::kInvalidArgument, "ENDPOINT_INVALID",
                   "No daemon address was given. Give --daemon host:port, for example 127.0.0.1:7411.");
  }
  std::string token;
  if (!options.token_file.empty()) {
    const auto away = std::ranges::find_if(options.endpoints, [](const Endpoint& e) { return !e.loopback(); });
    if (!options.tls && !options.insecure_token && away != options.endpoints.end()) {
      return failure(ErrorCode::kInvalidArgument, "TOKEN_OVER_PLAINTEXT",
                     "The bearer token would go to " + away->text() +
                         " unencrypted, for anybody on the way to read. Use TLS, or allow it explicitly.",
                     {{"endpoint", away->text()}});
    }
    auto read = read_token(options.token_file);
    if (!read) return std::unexpected(std::move(read.error()));
    token = *std::move(read);
  }
  std::string ca;
  if (options.tls) {
    auto read = read_ca(options.ca_file);
    if (!read) return std::unexpected(std::move(read.error()));
    ca = *std::move(read);
  }
  return std::shared_ptr<Client>(
      new Client(std::make_unique<Impl>(std::move(options), std::move(ca), std::move(token))));
}

Result<v1::JoinResponse> Client::join(const v1::JoinRequest& request, const Bound& bound) {
  return impl_->call<v1::JoinResponse>(request, bound);
}
Result<v1::RenewResponse> Client::renew(const v1::RenewRequest& request, const Bound& bound) {
  return impl_->call<v1::RenewResponse>(request, bound);
}
Result<v1::ConfirmResponse> Client::confirm(const v1::ConfirmRequest& request, const Bound& bound) {
  return impl_->call<v1::ConfirmResponse>(request, bound);
}
Result<v1::ProgressResponse> Client::progress(const v1::ProgressRequest& request, const Bound& bound) {
  return impl_->call<v1::ProgressResponse>(request, bound);
}
Result<v1::ReportResponse> Client::report(const v1::ReportRequest& request, const Bound& bound) {
  return impl_->call<v1::ReportResponse>(request, bound);
}
Result<v1::LeaveResponse> Client::leave(const v1::LeaveRequest& request, const Bound& bound) {
  return impl_->call<v1::LeaveResponse>(request, bound);
}
Result<v1::SeverResponse> Client::sever(const v1::SeverRequest& request, const Bound& bound) {
  return impl_->call<v1::SeverResponse>(request, bound);
}
Result<v1::ResolveResponse> Client::resolve(const v1::ResolveRequest& request, const Bound& bound) {
  return impl_->call<v1::ResolveResponse>(request, bound);
}
Result<v1::SetTargetResponse> Client::set_target(const v1::SetTargetRequest& request, const Bound& bound) {
  return impl_->call<v1::SetTargetResponse>(request, bound);
}
Result<v1::GetTargetResponse> Client::get_target(const v1::GetTargetRequest& request, const Bound& bound) {
  return impl_->call<v1::GetTargetResponse>(request, bound, duration_of(request.wait()));
}
Result<v1::ListTargetsResponse> Client::list_targets(const v1::ListTargetsRequest& request, const Bound& bound) {
  return impl_->call<v1::ListTargetsResponse>(request, bound);
}
Result<v1::ListEventsResponse> Client::list_events(const v1::ListEventsRequest& request, const Bound& bound) {
  return impl_->call<v1::ListEventsResponse>(request, bound);
}
Result<v1::BarrierResponse> Client::enter(const v1::EnterRequest& request, const Bound& bound) {
  return impl_->call<v1::BarrierResponse>(request, bound, duration_of(request.wait()));
}
Result<v1::BarrierResponse> Client::await(const v1::AwaitRequest& request, const Bound& bound) {
  return impl_->call<v1::BarrierResponse>(request, bound, duration_of(request.wait()));
}
Result<v1::BarrierResponse> Client::sever_barrier(const v1::SeverBarrierRequest& request, const Bound& bound) {
  return impl_->call<v1::BarrierResponse>(request, bound);
}

Result<void> Client::watch_target(v1::WatchTargetRequest from,
                                  const std::function<bool(const v1::WatchTargetResponse&)>& on_change,
                                  const Bound& bound, const OnContact& on_contact) {
  bool delivered = from.revision() != 0;
  const auto on_response = [&](const v1::WatchTargetResponse& response) {
    const v1::Target& target = response.target();
    const bool same_epoch = delivered && target.epoch() == from.epoch();
    if (same_epoch && target.revision() <= from.revision() && !response.gap()) return true;  // told already
    v1::WatchTargetResponse news = response;
    if (same_epoch) {
      auto& events = *news.mutable_events();
      events.erase(std::remove_if(events.begin(), events.end(),
                                  [&](const v1::Event& e) { return e.revision() <= from.revision(); }),
                   events.end());
    }
    delivered = true;
    from.set_epoch(target.epoch());
    from.set_revision(target.revision());
    return on_change(news);
  };
  return impl_->watch<v1::WatchTargetResponse>(
      [&](const Line& line, grpc::ClientContext* context, grpc::CompletionQueue* queue, void* tag) {
        return line.coordinator->AsyncWatchTarget(context, from, queue, tag);
      },
      on_response, bound, on_contact);
}

Result<void> Client::watch_targets(const v1::WatchTargetsRequest& request,
                                   const std::function<bool(const v1::WatchTargetsResponse&)>& on_change,
                                   const Bound& bound, const OnContact& on_contact) {
  return impl_->watch<v1::WatchTargetsResponse>(
      [&](const Line& line, grpc::ClientContext* context, grpc::CompletionQueue* queue, void* tag) {
        return line.coordinator->AsyncWatchTargets(context, request, queue, tag);
      },
      on_change, bound, on_contact);
}

std::string Client::answered_by() const { return impl_->link.answered_by(); }
const ClientOptions& Client::options() const { return impl_->link.options(); }

bool may_heal(const Error& error) { return error.code == ErrorCode::kUnavailable; }

}  // namespace syzygy
