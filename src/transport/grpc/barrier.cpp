#include "transport/grpc/barrier.h"

#include <utility>

#include "syzygy/v1/syzygy.grpc.pb.h"
#include "transport/grpc/unary_call.h"
#include "transport/wire/request.h"
#include "transport/wire/response.h"

namespace syzygy::transport {
namespace {

using Call = grpc::CallbackServerContext;
using Unary = grpc::ServerUnaryReactor;

class Barrier final : public v1::Barrier::CallbackService {
 public:
  explicit Barrier(Context& context) : context_(context) {}

  Unary* Enter(Call* call, const v1::EnterRequest* request, v1::BarrierResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* Await(Call* call, const v1::AwaitRequest* request, v1::BarrierResponse* response) override {
    return submit(call, *request, response);
  }
  Unary* SeverBarrier(Call* call, const v1::SeverBarrierRequest* request, v1::BarrierResponse* response) override {
    return submit(call, *request, response);
  }

 private:
  template <class Request>
  Unary* submit(Call* call, const Request& request, v1::BarrierResponse* response) {
    const auto unary = UnaryCall::start(context_);
    if (unary->refused()) return unary.get();
    auto command = wire::to_command(request);
    if (!command) {
      unary->fail(command.error());
      return unary.get();
    }
    if (command->wait > Duration{0}) unary->park();
    const engine::WaitId wait = context_.service.barrier(
        caller_of(context_, *call), command->name, std::move(command->command), within_deadline(command->wait, *call),
        [unary, response, name = command->name](Result<engine::BarrierAnswer> answer) {
          if (!answer) return unary->fail(answer.error());
          unary->reply(
              [response, name, answer = *std::move(answer)] { return wire::to_response(name, answer, response); });
        });
    unary->waits_as(wait);
    return unary.get();
  }

  Context& context_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_barrier(Context& context) { return std::make_unique<Barrier>(context); }

}  // namespace syzygy::transport
