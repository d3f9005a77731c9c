// unary_call.h - one call with one answer: the first of answer, cancellation, deadline and shutdown ends it.
//
// Lives as long as gRPC or a callback of the engine knows it. A call that ended before its answer came costs nothing
// more: the answer is dropped where it arrives. What the engine committed for it stays committed. Threads: any.
#pragma once

#include <grpcpp/support/server_callback.h>

#include <atomic>
#include <functional>
#include <memory>

#include "base/result.h"
#include "transport/grpc/context.h"
#include "transport/grpc/parking.h"

namespace syzygy::transport {

class UnaryCall final : public grpc::ServerUnaryReactor, public Parked, public std::enable_shared_from_this<UnaryCall> {
 public:
  static std::shared_ptr<UnaryCall> start(Context& context);

  // The server stops, and the caller has been told so: ask the service nothing.
  [[nodiscard]] bool refused() const { return refused_; }

  // `write` fills in the response, on a thread of the fan-out, and only if nothing has ended the call yet.
  using Write = std::move_only_function<Result<void>()>;
  void reply(Write write);
  // The same for what reads the store: it may block, and must not hold up those who are told of a commit.
  void read(Write write);
  void fail(const Error& error);

  // It will wait: found again when the server stops.
  void park() { context_.parking.add(shared_from_this()); }
  // The engine's wait that will answer it: ended too, if the call ends first.
  void waits_as(engine::WaitId wait);
  void end(const Error& error) override;

  void OnCancel() override;
  void OnDone() override;

 private:
  explicit UnaryCall(Context& context)
      : context_(context), shard_(context.fanout.next_shard()), refused_(!context.gate.enter()) {}
  void answer_on(Fanout& threads, Write write);
  void cancel_wait();
  bool claim() { return !ended_.exchange(true); }

  Context& context_;
  const std::size_t shard_;
  const bool refused_;
  std::atomic<bool> ended_{false};
  std::atomic<engine::WaitId> wait_{0};
  std::shared_ptr<UnaryCall> self_;  // gRPC's hold on it, until OnDone()
};

}  // namespace syzygy::transport
