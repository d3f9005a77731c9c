#include "transport/grpc/coordinator.h"

#include <exception>
#include <utility>

#include "syzygy/v1/syzygy.grpc.pb.h"
#include "transport/grpc/status.h"
#include "transport/grpc/unary_call.h"
#include "transport/grpc/watch.h"
#include "transport/wire/request.h"
#include "transport/wire/response.h"

namespace syzygy::transport {
namespace {

// The watch is written as bytes that all watchers share; everything else as messages.
using Base = v1::Coordinator::WithRawCallbackMethod_WatchTarget<v1::Coordinator::CallbackService>;
using Call = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

class Coordinator final : public Base {
 public:
  explicit Coordinator(Context& context) : context_(context) {}

  Unary* Join(Call* call, const v1::JoinRequest* request, v1::JoinResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Renew(Call* call, const v1::RenewRequest* request, v1::RenewResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Confirm(Call* call, const v1::ConfirmRequest* request, v1::ConfirmResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Progress(Call* call, const v1::ProgressRequest* request, v1::ProgressResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Report(Call* call, const v1::ReportRequest* request, v1::ReportResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Leave(Call* call, const v1::LeaveRequest* request, v1::LeaveResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Sever(Call* call, const v1::SeverRequest* request, v1::SeverResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Resolve(Call* call, const v1::ResolveRequest* request, v1::ResolveResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* SetTarget(Call* call, const v1::SetTargetRequest* request, v1::SetTargetResponse* response) override {
    return submit(call, *request, response);
  }

  Unary* GetTarget(Call* call, const v1::GetTargetRequest* request, v1::GetTargetResponse* response) override {
    const auto unary = UnaryCall::start(context_);
    if (unary->refused()) return unary.get();
    const auto wait = wire::to_duration(request->wait(), "wait");
    if (!wait) {
      unary->fail(wait.error());
      return unary.get();
    }
    if (*wait > Duration{0}) unary->park();
    const engine::WaitId parked = context_.service.get(
        caller_of(context_, *call), request->target(), request->epoch(), Revision(request->after_revision()),
        within_deadline(*wait, *call), [unary, response](Result<engine::TargetStatePtr> state) {
          if (!state) return unary->fail(state.error());
          unary->reply([response, state = *std::move(state)]() -> Result<void> {
            *response->mutable_target() = wire::to_proto(*state);
            return {};
          });
        });
    unary->waits_as(parked);
    return unary.get();
  }

  Unary* ListTargets(Call* call, const v1::ListTargetsRequest* request, v1::ListTargetsResponse* response) override {
    const auto unary = UnaryCall::start(context_);
    if (unary->refused()) return unary.get();
    unary->read([this, caller = caller_of(context_, *call), request, response]() -> Result<void> {
      const std::size_t limit = wire::page_size(request->page_size());
      const auto targets = context_.service.list(caller, request->prefix(), request->page_token(), limit);
      if (!targets) return std::unexpected(targets.error());
      for (const engine::TargetStatePtr& state : *targets) *response->add_targets() = wire::to_summary(*state);
      if (targets->size() < limit) return {};
      const std::string& last = targets->back()->record.target.value;
      const auto next = context_.service.list(caller, request->prefix(), last, 1);
      if (!next) return std::unexpected(next.error());
      if (!next->empty()) response->set_next_page_token(last);
      return {};
    });
    return unary.get();
  }

  Unary* ListEvents(Call* call, const v1::ListEventsRequest* request, v1::ListEventsResponse* response) override {
    const auto unary = UnaryCall::start(context_);
    if (unary->refused()) return unary.get();
    unary->read([this, caller = caller_of(context_, *call), request, response]() -> Result<void> {
      const std::size_t limit = wire::page_size(request->page_size());
      const auto events =
          context_.service.events(caller, request->target(), Revision(request->after_revision()), limit);
      if (!events) return std::unexpected(events.error());
      for (const round::Event& event : *events) *response->add_events() = wire::to_proto(event);
      if (events->size() < limit) return {};
      const auto next = context_.service.events(caller, request->target(), events->back().revision, 1);
      if (!next) return std::unexpected(next.error());
      response->set_more(!next->empty());
      return {};
    });
    return unary.get();
  }

  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchTarget(Call* call, const grpc::ByteBuffer* request) override {
    return watch_target(context_, call, *request);
  }
  grpc::ServerWriteReactor<v1::WatchTargetsResponse>* WatchTargets(Call* call,
                                                                   const v1::WatchTargetsRequest* request) override {
    return watch_targets(context_, call, *request);
  }

 private:
  template <class Request, class Response>
  Unary* submit(Call* call, const Request& request, Response* response) {
    const auto unary = UnaryCall::start(context_);
    if (unary->refused()) return unary.get();
    auto command = wire::to_command(request);
    if (!command) {
      unary->fail(command.error());
      return unary.get();
    }
    context_.service.submit(
        caller_of(context_, *call), command->target, std::move(command->command),
        [unary, response](Result<engine::TargetAnswer> answer) {
          if (!answer) return unary->fail(answer.error());
          unary->reply([response, answer = *std::move(answer)] { return wire::to_response(answer, response); });
        });
    return unary.get();
  }

  Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_coordinator(Context& context) { return std::make_unique<Coordinator>(context); }

}  // namespace syzygy::transport
