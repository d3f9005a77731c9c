// The two streams: what a watcher is told, resuming, slow readers, many at once, and the end of a server.
#include <atomic>
#include <future>
#include <vector>

#include "grpc_world.h"

namespace syzygy::transport {
namespace {

using v1::Coordinator;

std::unique_ptr<grpc::ClientReader<v1::WatchTargetResponse>> watch(Coordinator::Stub& stub,
                                                                   grpc::ClientContext* context,
                                                                   const std::string& target,
                                                                   const std::string& epoch = "",
                                                                   std::uint64_t revision = 0) {
  v1::WatchTargetRequest request;
  request.set_target(target);
  request.set_epoch(epoch);
  request.set_revision(revision);
  return stub.WatchTarget(context, request);
}

void pin(Coordinator::Stub& stub, const std::string& target, std::uint64_t sequence, const std::string& reason) {
  v1::SetTargetRequest set;
  set.mutable_request()->set_incarnation("i-operator");
  set.mutable_request()->set_sequence(sequence);
  set.set_target(target);
  set.set_actor("ann");
  set.set_reason(reason);
  // A pin of another size each time, so that each one changes something.
  set.mutable_pin()->mutable_quorum()->set_parties(static_cast<std::uint32_t>(2 + sequence));
  v1::SetTargetResponse response;
  const grpc::Status status = stub.SetTarget(within().get(), set, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
}

TEST(Watch, TellsTheStateAndThenEachChangeInOrder) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 9), &joined).ok());
  const auto context = within();
  const auto stream = watch(*stub, context.get(), "orders");
  v1::WatchTargetResponse update;
  ASSERT_TRUE(stream->Read(&update));
  EXPECT_EQ(update.target().revision(), joined.target().revision());
  std::uint64_t revision = update.target().revision();
  for (std::uint64_t i = 1; i <= 5; ++i) {
    pin(*stub, "orders", i, "change " + std::to_string(i));
    ASSERT_TRUE(stream->Read(&update));
    EXPECT_FALSE(update.gap());
    for (const v1::Event& event : update.events()) EXPECT_EQ(event.revision(), ++revision);
    EXPECT_EQ(update.target().revision(), revision);
  }
}

TEST(Watch, ResumesWhereItWas) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 9), &joined).ok());
  for (std::uint64_t i = 1; i <= 3; ++i) pin(*stub, "orders", i, "while away");
  const auto context = within();
  const auto stream = watch(*stub, context.get(), "orders", joined.target().epoch(), joined.target().revision());
  v1::WatchTargetResponse update;
  ASSERT_TRUE(stream->Read(&update));
  EXPECT_FALSE(update.gap());
  ASSERT_GE(update.events_size(), 3);
  EXPECT_EQ(update.events(0).revision(), joined.target().revision() + 1);
  EXPECT_EQ(update.events(update.events_size() - 1).revision(), update.target().revision());

  const auto other = within();
  const auto foreign = watch(*stub, other.get(), "orders", "another-epoch", 1);
  ASSERT_TRUE(foreign->Read(&update));
  EXPECT_TRUE(update.gap()) << "a revision of another life of the store means nothing here";
}

TEST(Watch, ATargetThatNobodyNamedYetIsAnnouncedWithItsFirstCommit) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  const auto context = within();
  const auto stream = watch(*stub, context.get(), "later");
  EXPECT_TRUE(eventually([&] { return world.engine->stats().waiters == 1; }));
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("later", "eu", 2), &joined).ok());
  v1::WatchTargetResponse update;
  ASSERT_TRUE(stream->Read(&update));
  EXPECT_EQ(update.target().rounds(0).members(0).party(), "eu");
}

TEST(Watch, ASlowReaderGetsTheNewestStateAndIsTold) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;  // its plan makes every state some 200 kB: more than the connection's window holds
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 9, 2'000), &joined).ok());
  const auto context = within();
  const auto stream = watch(*stub, context.get(), "orders");
  v1::WatchTargetResponse update;
  ASSERT_TRUE(stream->Read(&update));
  // How much lies between daemon and reader is gRPC's to say, and it may take more as it goes.
  std::uint64_t changes = 0;
  const auto writer = Coordinator::NewStub(world.channel());
  EXPECT_TRUE(eventually([&] {
    pin(*writer, "orders", ++changes, "x");
    return world.server->stats().gaps > 0;
  }));
  v1::GetTargetRequest get;
  get.set_target("orders");
  v1::GetTargetResponse newest;
  ASSERT_TRUE(writer->GetTarget(within().get(), get, &newest).ok());

  std::uint64_t revision = update.target().revision();
  int updates = 0;
  int gaps = 0;
  while (revision < newest.target().revision()) {
    ASSERT_TRUE(stream->Read(&update));
    ++updates;
    EXPECT_GT(update.target().revision(), revision);
    if (update.gap()) {
      ++gaps;
    } else {
      ASSERT_GT(update.events_size(), 0);
      EXPECT_EQ(update.events(0).revision(), revision + 1) << "in order, or it says that it cannot";
    }
    revision = update.target().revision();
  }
  EXPECT_GT(gaps, 0);
  EXPECT_LT(updates, static_cast<int>(changes));
}

TEST(Watch, WhatHappensWhileAMessageIsOnItsWayIsToldWithTheNext) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;  // states of some 500 kB: a few of them fill what lies between daemon and reader
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 9, 5'000), &joined).ok());
  const auto context = within();
  const auto stream = watch(*stub, context.get(), "orders");
  v1::WatchTargetResponse update;
  ASSERT_TRUE(stream->Read(&update));
  std::uint64_t revision = update.target().revision();
  constexpr std::uint64_t kChanges = 60;  // fewer than a backlog holds
  const auto writer = Coordinator::NewStub(world.channel());
  for (std::uint64_t i = 1; i <= kChanges; ++i) pin(*writer, "orders", i, "x");
  int updates = 0;
  for (const std::uint64_t newest = revision + kChanges; revision < newest; ++updates) {
    ASSERT_TRUE(stream->Read(&update));
    EXPECT_FALSE(update.gap());
    for (const v1::Event& event : update.events()) EXPECT_EQ(event.revision(), ++revision);
    EXPECT_EQ(update.target().revision(), revision) << "the newest of what it tells";
  }
  EXPECT_LT(updates, static_cast<int>(kChanges)) << "the whole state went out with each change";
  EXPECT_EQ(world.server->stats().gaps, 0U);
}

TEST(WatchTargets, SummarisesWhatMovesUnderThePrefix) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  const auto context = within();
  v1::WatchTargetsRequest request;
  request.set_prefix("prod-");
  const auto stream = stub->WatchTargets(context.get(), request);
  stream->WaitForInitialMetadata();
  EXPECT_EQ(world.engine->stats().waiters, 1U) << "subscribed before the caller hears of it";
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("test-orders", "eu", 2), &joined).ok());
  ASSERT_TRUE(stub->Join(within().get(), join_request("prod-orders", "eu", 2), &joined).ok());
  v1::WatchTargetsResponse update;
  ASSERT_TRUE(stream->Read(&update));
  EXPECT_EQ(update.target().name(), "prod-orders");
  EXPECT_EQ(update.target().present(), 1U);
  EXPECT_EQ(update.target().needed(), 2U);
}

// One stream by the callback API: counts what it read, and remembers how it ended.
class Watcher final : public grpc::ClientReadReactor<v1::WatchTargetResponse> {
 public:
  Watcher(Coordinator::Stub& stub, const std::string& target, std::atomic<int>& ready, std::atomic<int>& released,
          std::atomic<int>& ended)
      : ready_(ready), released_(released), ended_(ended) {
    v1::WatchTargetRequest request;
    request.set_target(target);
    stub.async()->WatchTarget(&context_, &request, this);
    StartRead(&update_);
    StartCall();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    (seen_++ == 0 ? ready_ : released_)++;
    StartRead(&update_);
  }
  void OnDone(const grpc::Status& status) override {
    status_ = status;
    ended_++;
  }
  void cancel() { context_.TryCancel(); }
  [[nodiscard]] const grpc::Status& status() const { return status_; }

 private:
  std::atomic<int>& ready_;
  std::atomic<int>& released_;
  std::atomic<int>& ended_;
  int seen_ = 0;
  grpc::ClientContext context_;
  v1::WatchTargetResponse update_;
  grpc::Status status_;
};

TEST(ManyStreams, AllAreToldOfOneCommitAndAllEndWithTheServer) {
  World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 9), &joined).ok());
  constexpr int kOnOneConnection = 1'500;
  constexpr int kConnections = 200;
  constexpr int kAll = kOnOneConnection + kConnections;
  std::atomic<int> ready = 0;
  std::atomic<int> released = 0;
  std::atomic<int> ended = 0;
  std::vector<std::unique_ptr<Coordinator::Stub>> stubs;
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < kAll; ++i) {
    if (i >= kOnOneConnection) stubs.push_back(Coordinator::NewStub(world.channel()));
    watchers.push_back(
        std::make_unique<Watcher>(stubs.empty() ? *stub : *stubs.back(), "orders", ready, released, ended));
  }
  EXPECT_TRUE(eventually([&] { return ready == kAll; })) << ready;
  EXPECT_EQ(world.server->stats().streams, static_cast<std::uint64_t>(kAll));
  pin(*stub, "orders", 1, "release them");
  EXPECT_TRUE(eventually([&] { return released == kAll; })) << released;

  world.server->stop(Duration{5'000});
  EXPECT_TRUE(eventually([&] { return ended == kAll; })) << ended;
  for (const auto& watcher : watchers) {
    ASSERT_EQ(watcher->status().error_code(), grpc::StatusCode::UNAVAILABLE) << watcher->status().error_message();
    const Details details = details_of(watcher->status());
    ASSERT_EQ(details.info.reason(), "SHUTTING_DOWN");
    ASSERT_TRUE(details.retry);
  }
  EXPECT_TRUE(eventually([&] { return world.engine->stats().waiters == 0; }));
}

TEST(ManyStreams, CancellingAllInTheMiddleOfAnUpdateLeavesNothing) {
  const World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 9), &joined).ok());
  std::atomic<int> ready = 0;
  std::atomic<int> released = 0;
  std::atomic<int> ended = 0;
  constexpr int kStreams = 500;
  const auto watched = Coordinator::NewStub(world.channel());
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < kStreams; ++i) {
    watchers.push_back(std::make_unique<Watcher>(*watched, "orders", ready, released, ended));
  }
  EXPECT_TRUE(eventually([&] { return ready == kStreams; }));
  std::thread canceller([&] {
    for (const auto& watcher : watchers) watcher->cancel();
  });
  for (std::uint64_t i = 1; i <= 10; ++i) pin(*stub, "orders", i, "meanwhile");
  canceller.join();
  EXPECT_TRUE(eventually([&] {
    return ended == kStreams && world.engine->stats().waiters == 0 && world.server->stats().streams == 0;
  })) << ended
      << " ended, " << world.engine->stats().waiters << " wait";
}

TEST(Stopping, AnswersThoseWhoWaitAndLetsOthersFinish) {
  World world;
  const auto stub = Coordinator::NewStub(world.channel());
  v1::JoinResponse joined;
  ASSERT_TRUE(stub->Join(within().get(), join_request("orders", "eu", 2), &joined).ok());
  std::promise<grpc::Status> waited;
  std::thread waiter([&] {
    v1::EnterRequest enter;
    enter.set_namespace_("n");
    enter.set_quorum(2);
    enter.set_party("p");
    enter.set_incarnation("i");
    enter.mutable_wait()->set_seconds(600);
    v1::BarrierResponse entered;
    waited.set_value(v1::Barrier::NewStub(world.channel())->Enter(within().get(), enter, &entered));
  });
  EXPECT_TRUE(eventually([&] { return world.server->stats().parked == 1; }));
  world.store.hold();
  std::promise<grpc::Status> committed;
  std::thread committer([&] {
    v1::JoinResponse late;
    committed.set_value(stub->Join(within().get(), join_request("orders", "us", 2), &late));
  });
  EXPECT_TRUE(eventually([&] { return world.server->stats().calls == 3; }));
  std::thread stopper([&] { world.server->stop(Duration{20'000}); });
  auto answer = waited.get_future();
  const grpc::Status parked = answer.get();
  EXPECT_EQ(parked.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(details_of(parked).info.reason(), "SHUTTING_DOWN");
  world.store.release();
  EXPECT_TRUE(committed.get_future().get().ok()) << "a call that was being answered is answered";
  stopper.join();
  waiter.join();
  committer.join();
}

}  // namespace
}  // namespace syzygy::transport
