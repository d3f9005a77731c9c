#include "transport/http/handlers.h"

#include <fmt/format.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include "base/name.h"
#include "syzygy/v1/syzygy.pb.h"
#include "transport/http/assets.h"
#include "transport/http/connection.h"
#include "transport/http/metrics.h"
#include "transport/http/streams.h"
#include "transport/wire/json.h"
#include "transport/wire/request.h"
#include "transport/wire/response.h"

namespace syzygy::http {

namespace {

constexpr std::size_t kWorkers = 2;
constexpr std::size_t kWorkersQueueMax = 256;
constexpr std::size_t kInlineBodyMax = 65'536;  // larger ones are parsed by a worker

constexpr std::string_view kText = "text/plain; charset=utf-8";

// The page loads nothing from elsewhere, runs no inline script, and cannot be framed.
constexpr std::string_view kContentSecurityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

Error invalid(std::string reason, std::string message, const std::string& field) {
  return {ErrorCode::kInvalidArgument, std::move(reason), std::move(message), {{"field", field}}, std::nullopt};
}

Response answer_error(const Error& error) { return respond_with(to_problem(error)); }

template <class Message>
Response answer_message(const Message& message) {
  return respond_with(wire::to_json(message) + "\n");
}

Result<Duration> wait_of(const Match& match) {
  const auto text = match.parameter("wait");
  if (!text) return Duration{0};
  const auto wait = parse_duration(*text);
  if (!wait) {
    return std::unexpected(invalid("DURATION_INVALID",
                                   fmt::format("\"{}\" is no wait. Write 30s, 500ms or 2m (at most {} s are waited).",
                                               printable(*text), api::kWaitMax.count() / 1'000),
                                   "wait"));
  }
  return *wait;
}

Result<std::uint64_t> number_of(const Match& match, std::string_view key) {
  const auto text = match.parameter(key);
  if (!text || text->empty()) return 0;
  const auto number = parse_number(*text);
  if (!number) {
    return std::unexpected(invalid(
        "NUMBER_INVALID", fmt::format("\"{}\" is no whole number for {}.", printable(*text), key), std::string(key)));
  }
  return *number;
}

Result<std::size_t> page_size_of(const Match& match) {
  const auto number = number_of(match, "pageSize");
  if (!number) return std::unexpected(number.error());
  return wire::page_size(static_cast<std::uint32_t>(std::min<std::uint64_t>(*number, api::kPageSizeMax)));
}

// `request` of a message that has none, from the Idempotency-Key field; quotes around it are the draft's, not the
// key's.
Result<void> add_request_id(std::string_view key, google::protobuf::Message& message) {
  const auto* field = message.GetDescriptor()->FindFieldByName("request");
  if (key.empty() || field == nullptr || message.GetReflection()->HasField(message, field)) return {};
  if (key.size() >= 2 && key.starts_with('"') && key.ends_with('"')) key = key.substr(1, key.size() - 2);
  if (key.empty() || key.size() > kNameBytesMax || !is_utf8(key)) {
    return std::unexpected(invalid("IDEMPOTENCY_KEY_INVALID",
                                   fmt::format("An Idempotency-Key has 1 to {} bytes of UTF-8.", kNameBytesMax),
                                   "Idempotency-Key"));
  }
  auto* id = static_cast<v1::RequestId*>(message.GetReflection()->MutableMessage(&message, field));
  id->set_incarnation(std::string(key));
  id->set_sequence(1);
  return {};
}

}  // namespace

struct Handlers::Impl {
  Impl(api::Service& s, Common& c) : service(s), common(c) {}

  api::Service& service;
  Common& common;
  StateCache states;
  boost::asio::thread_pool pool{kWorkers};
  std::atomic<std::size_t> queued{0};

  void work(const Ticket& ticket, std::function<void()> job) {
    if (queued.fetch_add(1) >= kWorkersQueueMax) {
      queued.fetch_sub(1);
      Problem problem{503, "WORKERS_BUSY",  fmt::format("{} requests wait for the store already.", kWorkersQueueMax),
                      {},  Duration{1'000}, {}};
      ticket.respond(respond_with(problem));
      return;
    }
    boost::asio::post(pool, [this, job = std::move(job)] {
      job();
      queued.fetch_sub(1);
    });
  }

  // Body and path as a message. The path wins.
  template <class Message>
  Result<Message> read(const Request& request, void (*name)(Message&, const std::string&)) {
    Message message;
    if (auto ok = wire::from_json(request.body, &message); !ok) return std::unexpected(ok.error());
    // Not UTF-8: said by name, and not left to the serialiser.
    if (!is_utf8(request.match.name)) {
      return std::unexpected(invalid("NAME_INVALID", "The name in the path is not UTF-8.", "path"));
    }
    name(message, request.match.name);
    if (auto ok = add_request_id(request.idempotency_key, message); !ok) return std::unexpected(ok.error());
    return message;
  }

  template <class Message, class Answer>
  void submit(const Request& request, const Ticket& ticket) {
    auto message = read<Message>(request, [](Message& m, const std::string& name) { m.set_target(name); });
    if (!message) return ticket.respond(answer_error(message.error()));
    auto command = wire::to_command(*message);
    if (!command) return ticket.respond(answer_error(command.error()));
    service.submit(request.caller, command->target, std::move(command->command),
                   [ticket](Result<engine::TargetAnswer> answer) {
                     // Made into text on the connection's thread: the engine's has better things to do.
                     ticket.then([answer = std::move(answer)](Connection& connection) {
                       if (!answer) return connection.respond(answer_error(answer.error()));
                       Answer out;
                       if (auto ok = wire::to_response(*answer, &out); !ok) {
                         return connection.respond(answer_error(ok.error()));
                       }
                       connection.respond(answer_message(out));
                     });
                   });
  }

  template <class Message>
  void barrier(const Request& request, const Ticket& ticket) {
    auto message = read<Message>(request, [](Message& m, const std::string& name) { m.set_namespace_(name); });
    if (!message) return ticket.respond(answer_error(message.error()));
    auto command = wire::to_command(*message);
    if (!command) return ticket.respond(answer_error(command.error()));
    if (request.match.parameter("wait")) {
      const auto wait = wait_of(request.match);
      if (!wait) return ticket.respond(answer_error(wait.error()));
      command->wait = *wait;
    }
    const Duration wait = command->wait;
    waiting(ticket, wait, [this, ticket, command = *std::move(command), caller = request.caller]() mutable {
      return service.barrier(caller, command.name, std::move(command.command), command.wait,
                             [ticket, name = command.name](Result<engine::BarrierAnswer> answer) {
                               ticket.then([answer = std::move(answer), name](Connection& connection) {
                                 if (!answer) return connection.respond(answer_error(answer.error()));
                                 v1::BarrierResponse out;
                                 if (auto ok = wire::to_response(name, *answer, &out); !ok) {
                                   return connection.respond(answer_error(ok.error()));
                                 }
                                 connection.respond(answer_message(out));
                               });
                             });
    });
  }

  void get(const Request& request, const Ticket& ticket) {
    const auto after = number_of(request.match, "revision");
    const auto wait = wait_of(request.match);
    if (!after || !wait) return ticket.respond(answer_error(!after ? after.error() : wait.error()));
    waiting(ticket, *wait,
            [this, ticket, after = Revision{*after}, wait = *wait, name = request.match.name, caller = request.caller,
             epoch = request.match.parameter("epoch").value_or("")] {
              return service.get(caller, name, epoch, after, wait,
                                 [this, ticket](Result<engine::TargetStatePtr> state) {
                                   ticket.then([this, state = std::move(state)](Connection& connection) {
                                     connection.respond(state ? states.respond(*state) : answer_error(state.error()));
                                   });
                                 });
            });
  }

  // Asks on the connection's thread, where it is known whether somebody still wants the answer: a wait whose caller
  // goes is cancelled, and does not count against the engine's limit until its time is over.
  template <class Ask>
  void waiting(const Ticket& ticket, Duration wait, Ask ask) {
    if (wait == Duration{0}) {
      ask();
      return;
    }
    ticket.then([this, ask = std::move(ask)](Connection& connection) mutable {
      const engine::WaitId id = ask();
      if (id != 0) connection.park([this, id] { service.cancel(id); });
    });
  }

  void watch(const Request& request, const Ticket& ticket) {
    auto after = number_of(request.match, "revision");
    if (!after) return ticket.respond(answer_error(after.error()));
    Seen seen{request.match.parameter("epoch").value_or(""), Revision{*after}};
    if (!request.last_event_id.empty()) {
      const auto last = parse_event_id(request.last_event_id);
      if (!last) {
        return ticket.respond(answer_error(
            invalid("EVENT_ID_INVALID", "The Last-Event-ID is none of this daemon's: it has the form EPOCH-REVISION.",
                    "Last-Event-ID")));
      }
      seen = *last;
    }
    ticket.then([this, ticket, seen, name = request.match.name, caller = request.caller](Connection& connection) {
      open(
          connection, std::make_unique<TargetStream>(states, common.counters),
          [&](const engine::Engine::OnUpdate& sink) {
            return service.watch(caller, name, seen.epoch, seen.revision, sink);
          },
          ticket);
    });
  }

  void watch_all(const Request& request, const Ticket& ticket) {
    ticket.then([this, ticket, prefix = request.match.parameter("prefix").value_or(""),
                 caller = request.caller](Connection& connection) {
      open(
          connection, std::make_unique<SummaryStream>(),
          [&](const engine::Engine::OnUpdate& sink) { return service.watch_all(caller, prefix, sink); }, ticket);
    });
  }

  // The subscription first: where it is refused, the answer is a problem and no stream. What it says before the stream
  // is open waits in the mailbox.
  template <class S, class Subscribe>
  void open(Connection& connection, std::unique_ptr<S> stream, const Subscribe& subscribe, const Ticket& ticket) {
    auto subscription = subscribe([ticket](const engine::Update& update) {
      ticket.then([update](Connection& c) {
        if (auto* s = static_cast<S*>(c.stream())) {
          s->add(update);
          c.pump();
        }
      });
    });
    if (!subscription) return connection.respond(answer_error(subscription.error()));
    connection.stream(std::move(stream), *std::move(subscription));
  }

  void list(const Request& request, const Ticket& ticket) {
    const auto size = page_size_of(request.match);
    if (!size) return ticket.respond(answer_error(size.error()));
    work(ticket,
         [this, ticket, size = *size, caller = request.caller, prefix = request.match.parameter("prefix").value_or(""),
          after = request.match.parameter("pageToken").value_or("")] {
           // One more than is shown tells whether there are more.
           auto targets = service.list(caller, prefix, after, size + 1);
           if (!targets) return ticket.respond(answer_error(targets.error()));
           const bool more = targets->size() > size;
           if (more) targets->resize(size);
           v1::ListTargetsResponse out;
           for (const auto& state : *targets) *out.add_targets() = wire::to_summary(*state);
           if (more) out.set_next_page_token(targets->back()->record.target.value);
           ticket.respond(answer_message(out));
         });
  }

  void events(const Request& request, const Ticket& ticket) {
    const auto size = page_size_of(request.match);
    const auto after = number_of(request.match, "after");
    if (!size || !after) return ticket.respond(answer_error(!size ? size.error() : after.error()));
    work(ticket,
         [this, ticket, size = *size, after = Revision{*after}, caller = request.caller, name = request.match.name] {
           const auto events = service.events(caller, name, after, size);
           if (!events) return ticket.respond(answer_error(events.error()));
           v1::ListEventsResponse out;
           if (events->size() == size) {
             const auto next = service.events(caller, name, events->back().revision, 1);
             if (!next) return ticket.respond(answer_error(next.error()));
             out.set_more(!next->empty());
           }
           for (const auto& event : *events) *out.add_events() = wire::to_proto(event);
           ticket.respond(answer_message(out));
         });
  }

  void ready(const Ticket& ticket) {
    const engine::Health health = service.health();
    if (health.ready) {
      std::string text = fmt::format("ready: {}\n", printable(health.store, 500));
      if (health.frozen_targets > 0) {
        fmt::format_to(std::back_inserter(text), "frozen targets: {} (see the log)\n", health.frozen_targets);
      }
      if (health.resynchronising_targets > 0) {
        fmt::format_to(std::back_inserter(text),
                       "resynchronising targets: {} (the store went back in time; see their status)\n",
                       health.resynchronising_targets);
      }
      return ticket.respond(respond_with(std::move(text), kText));
    }
    Problem problem{503, "NOT_READY",     health.why.empty() ? "The store does not answer." : health.why,
                    {},  Duration{1'000}, {}};
    if (!health.store.empty()) problem.metadata["store"] = health.store;
    ticket.respond(respond_with(problem));
  }

  void metrics(const Ticket& ticket) {
    const engine::Stats stats = service.stats();
    const engine::Health health = service.health();
    ticket.respond(respond_with(metrics_text({stats, health, common.counters, common.options.collectables}),
                                "text/plain; version=0.0.4; charset=utf-8"));
  }

  static void asset(const Ticket& ticket, std::string_view bytes, std::string_view content_type, bool page = false) {
    Response response = respond_with(std::string(bytes), content_type);
    response.headers.emplace_back("Cache-Control", "no-cache");
    response.headers.emplace_back("Referrer-Policy", "no-referrer");
    response.headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
    if (page) {
      response.headers.emplace_back("Content-Security-Policy", kContentSecurityPolicy);
      response.headers.emplace_back("X-Frame-Options", "DENY");
    }
    ticket.respond(std::move(response));
  }

  void route(const Request& request, const Ticket& ticket) {
    switch (request.match.route->operation) {
      case Operation::kListTargets:
        return list(request, ticket);
      case Operation::kGetTarget:
        return get(request, ticket);
      case Operation::kWatchTarget:
        return watch(request, ticket);
      case Operation::kWatchTargets:
        return watch_all(request, ticket);
      case Operation::kListEvents:
        return events(request, ticket);
      case Operation::kJoin:
        return submit<v1::JoinRequest, v1::JoinResponse>(request, ticket);
      case Operation::kRenew:
        return submit<v1::RenewRequest, v1::RenewResponse>(request, ticket);
      case Operation::kConfirm:
        return submit<v1::ConfirmRequest, v1::ConfirmResponse>(request, ticket);
      case Operation::kProgress:
        return submit<v1::ProgressRequest, v1::ProgressResponse>(request, ticket);
      case Operation::kReport:
        return submit<v1::ReportRequest, v1::ReportResponse>(request, ticket);
      case Operation::kLeave:
        return submit<v1::LeaveRequest, v1::LeaveResponse>(request, ticket);
      case Operation::kSever:
        return submit<v1::SeverRequest, v1::SeverResponse>(request, ticket);
      case Operation::kResolve:
        return submit<v1::ResolveRequest, v1::ResolveResponse>(request, ticket);
      case Operation::kSetTarget:
        return submit<v1::SetTargetRequest, v1::SetTargetResponse>(request, ticket);
      case Operation::kEnter:
        return barrier<v1::EnterRequest>(request, ticket);
      case Operation::kAwait:
        return barrier<v1::AwaitRequest>(request, ticket);
      case Operation::kSeverBarrier:
        return barrier<v1::SeverBarrierRequest>(request, ticket);
      case Operation::kLive:
        return ticket.respond(respond_with("ok\n", kText));
      case Operation::kReady:
        return ready(ticket);
      case Operation::kMetrics:
        return metrics(ticket);
      case Operation::kOpenApi:
        return asset(ticket, assets::kOpenApi, "application/yaml");
      case Operation::kDashboard:
        return asset(ticket, assets::kDashboard, "text/html; charset=utf-8", true);
      case Operation::kDashboardScript:
        return asset(ticket, assets::kDashboardScript, "text/javascript; charset=utf-8");
      case Operation::kDashboardStyle:
        return asset(ticket, assets::kDashboardStyle, "text/css; charset=utf-8");
    }
  }
};

Handlers::Handlers(api::Service& service, Common& common) : impl_(std::make_unique<Impl>(service, common)) {}
Handlers::~Handlers() { stop(); }

void Handlers::stop() { impl_->pool.join(); }

void Handlers::handle(Request request, const Ticket& ticket) {
  if (request.body.size() <= kInlineBodyMax) return impl_->route(request, ticket);
  impl_->work(ticket, [impl = impl_.get(), request = std::move(request), ticket] { impl->route(request, ticket); });
}

}  // namespace syzygy::http
