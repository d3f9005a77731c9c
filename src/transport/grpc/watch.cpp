#include "transport/grpc/watch.h"

#include <grpcpp/impl/codegen/proto_utils.h>

#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "transport/grpc/status.h"
#include "transport/wire/backlog.h"
#include "transport/wire/response.h"
#include "transport/wire/update_cache.h"

namespace syzygy::transport {
namespace {

// What both streams do alike. `Queue` collects updates and gives out messages; it is used under the stream's mutex only
// for put() and take(), and outside of it for encode(), which may be dear.
//
// The order of things: an update is put (engine thread) and a visit of the fan-out is booked, unless one is booked or a
// write is in flight; the visit, or the end of the write, takes the next one and writes it. Finish() is called exactly
// once, and never while a write is in flight.
template <class Message, class Queue>
class Stream final : public grpc::ServerWriteReactor<Message>,
                     public Parked,
                     public std::enable_shared_from_this<Stream<Message, Queue>> {
 public:
  static std::shared_ptr<Stream> start(Context& context) {
    std::shared_ptr<Stream> stream(new Stream(context));
    stream->self_ = stream;
    context.streams.fetch_add(1, std::memory_order_relaxed);
    (void)context.gate.enter();  // where it is closed, so is the parking, which ends the stream
    context.parking.add(stream);
    return stream;
  }

  void put(const engine::Update& update) {
    {
      const std::lock_guard lock(mutex_);
      if (ending_) return;
      queue_.put(update, context_.gaps);
      if (busy_) return;
      busy_ = true;
    }
    context_.fanout.post(shard_, [self = this->shared_from_this()] { self->write_next(); });
  }

  // The subscription that feeds it, or why there is none.
  void feed(Result<engine::SubscriptionPtr> subscription) {
    if (!subscription) return end(subscription.error());
    const std::lock_guard lock(mutex_);
    // Ended meanwhile: the subscription ends when `subscription` goes out of scope, after the lock.
    if (!ending_) subscription_ = *std::move(subscription);
  }

  void end(const Error& error) override { finish(to_status(error)); }

  void OnCancel() override { finish(grpc::Status::CANCELLED); }

  void OnWriteDone(bool ok) override {
    if (ok) {
      write_next();
    } else {
      finish(grpc::Status::CANCELLED, true);
    }
  }

  void OnDone() override {
    context_.parking.remove(this);
    context_.streams.fetch_sub(1, std::memory_order_relaxed);
    std::shared_ptr<Stream> last;
    {
      // After OnCancel(), which may have run on another thread: whoever lets go of it last sees what that left.
      const std::lock_guard lock(mutex_);
      last = std::move(self_);
    }
    context_.gate.leave();
  }

 private:
  explicit Stream(Context& context) : context_(context), shard_(context.fanout.next_shard()) {}

  // REQUIRES: this caller holds `busy_`, and no write is in flight.
  void write_next() {
    std::optional<typename Queue::Item> item;
    std::optional<grpc::Status> ending;
    {
      const std::lock_guard lock(mutex_);
      if (ending_) {
        ending = ending_;
      } else {
        item = queue_.take();
        if (!item) {
          busy_ = false;
          message_ = {};
        }
      }
    }
    if (ending) return this->Finish(*ending);
    if (!item) return;
    try {
      Queue::encode(context_, *item, &message_);
    } catch (const std::exception& e) {
      return finish({grpc::StatusCode::INTERNAL, std::string("The state could not be written: ") + e.what()}, true);
    }
    this->StartWrite(&message_);
  }

  // The first status wins. Whoever holds `busy_` calls Finish(): if that is a write in flight, its end does.
  void finish(grpc::Status status, bool holds_busy = false) {
    engine::SubscriptionPtr subscription;  // ends outside of the lock: its destructor waits for a put() that runs
    {
      const std::lock_guard lock(mutex_);
      if (!ending_) ending_ = std::move(status);
      status = *ending_;
      subscription = std::move(subscription_);
      queue_ = {};
      if (busy_ && !holds_busy) return;
      busy_ = true;
    }
    subscription.reset();
    this->Finish(status);
  }

  Context& context_;
  const std::size_t shard_;
  std::mutex mutex_;
  Queue queue_;
  bool busy_ = false;                   // somebody is writing, is about to, or has finished the stream
  std::optional<grpc::Status> ending_;  // set: no more updates
  engine::SubscriptionPtr subscription_;
  Message message_;  // of the write in flight
  std::shared_ptr<Stream> self_;
};

// Updates of one target, in order.
struct TargetQueue {
  using Item = wire::Untold;
  wire::Backlog backlog;

  void put(const engine::Update& update, std::atomic<std::uint64_t>& gaps) {
    gaps.fetch_add(backlog.put(update), std::memory_order_relaxed);
  }

  std::optional<Item> take() { return backlog.take(); }

  // Shared, not copied: a slice keeps its bytes alive for as long as gRPC needs them.
  static void encode(Context& context, const Item& item, grpc::ByteBuffer* message) {
    std::vector<grpc::Slice> slices;
    for (wire::Bytes& piece : context.updates.encode(item)) {
      auto* held = new wire::Bytes(std::move(piece));
      slices.emplace_back(
          const_cast<char*>((*held)->data()), (*held)->size(),
          [](void* bytes) { delete static_cast<wire::Bytes*>(bytes); }, held);
    }
    *message = grpc::ByteBuffer(slices.data(), slices.size());
  }
};

// Of each target only the newest state counts.
struct SummaryQueue {
  using Item = engine::TargetStatePtr;
  std::map<TargetName, engine::TargetStatePtr> newest;

  void put(const engine::Update& update, std::atomic<std::uint64_t>& /*gaps*/) {
    newest[update.state->record.target] = update.state;
  }

  std::optional<Item> take() {
    if (newest.empty()) return std::nullopt;
    return std::move(newest.extract(newest.begin()).mapped());
  }

  static void encode(Context& /*context*/, const Item& item, v1::WatchTargetsResponse* message) {
    *message->mutable_target() = wire::to_summary(*item);
  }
};

}  // namespace

grpc::ServerWriteReactor<grpc::ByteBuffer>* watch_target(Context& context, grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer& request) {
  const auto stream = Stream<grpc::ByteBuffer, TargetQueue>::start(context);
  v1::WatchTargetRequest asked;
  grpc::ByteBuffer bytes(request);
  if (!grpc::SerializationTraits<v1::WatchTargetRequest>::Deserialize(&bytes, &asked).ok()) {
    stream->end({ErrorCode::kInvalidArgument, "REQUEST_MALFORMED", "The request is not a WatchTargetRequest.", {}, {}});
    return stream.get();
  }
  const std::weak_ptr weak = stream;  // the stream owns the subscription that owns the sink
  stream->feed(context.service.watch(caller_of(context, *call), asked.target(), asked.epoch(),
                                     Revision(asked.revision()), [weak](const engine::Update& update) {
                                       if (const auto alive = weak.lock()) alive->put(update);
                                     }));
  return stream.get();
}

grpc::ServerWriteReactor<v1::WatchTargetsResponse>* watch_targets(Context& context, grpc::CallbackServerContext* call,
                                                                  const v1::WatchTargetsRequest& request) {
  const auto stream = Stream<v1::WatchTargetsResponse, SummaryQueue>::start(context);
  // So that the caller knows from when on it sees everything: there may be nothing to say for hours. gRPC sends it once
  // this function has returned, and then the subscription stands.
  stream->StartSendInitialMetadata();
  const std::weak_ptr weak = stream;
  stream->feed(
      context.service.watch_all(caller_of(context, *call), request.prefix(), [weak](const engine::Update& update) {
        if (const auto alive = weak.lock()) alive->put(update);
      }));
  return stream.get();
}

}  // namespace syzygy::transport
