#include "transport/grpc/unary_call.h"

#include <exception>
#include <utility>

#include "transport/grpc/status.h"

namespace syzygy::transport {

std::shared_ptr<UnaryCall> UnaryCall::start(Context& context) {
  std::shared_ptr<UnaryCall> call(new UnaryCall(context));
  call->self_ = call;
  context.calls.fetch_add(1, std::memory_order_relaxed);
  if (call->refused_) call->fail(shutting_down());
  return call;
}

void UnaryCall::reply(Write write) { answer_on(context_.fanout, std::move(write)); }

void UnaryCall::read(Write write) { answer_on(context_.reading, std::move(write)); }

void UnaryCall::answer_on(Fanout& threads, Write write) {
  if (!claim()) return;
  threads.post(shard_, [self = shared_from_this(), write = std::move(write)]() mutable {
    try {
      const Result<void> written = write();
      self->Finish(written ? grpc::Status::OK : to_status(written.error()));
    } catch (const std::exception& e) {
      self->Finish({grpc::StatusCode::INTERNAL, std::string("The answer could not be written: ") + e.what()});
    }
  });
}

void UnaryCall::fail(const Error& error) {
  reply([error]() -> Result<void> { return std::unexpected(error); });
}

void UnaryCall::end(const Error& error) {
  fail(error);
  cancel_wait();
}

void UnaryCall::waits_as(engine::WaitId wait) {
  wait_ = wait;
  if (ended_) cancel_wait();  // ended before the wait had a name
}

void UnaryCall::cancel_wait() {
  if (const engine::WaitId wait = wait_.exchange(0); wait != 0) context_.service.cancel(wait);
}

void UnaryCall::OnCancel() {
  if (!claim()) return;
  cancel_wait();
  Finish(grpc::Status::CANCELLED);
}

void UnaryCall::OnDone() {
  context_.parking.remove(this);
  claim();  // after an OnCancel() on another thread: whoever lets go of it last comes after that, too
  const std::shared_ptr<UnaryCall> last = std::move(self_);
  context_.gate.leave();
}

}  // namespace syzygy::transport
