// grpc_world.h - a whole daemon's inside in this process: store in memory, engine, service, gRPC port; and clients for
// it.
#pragma once

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "api/service.h"
#include "engine/engine.h"
#include "store/memory.h"
#include "syzygy/rpc/status.pb.h"
#include "syzygy/v1/syzygy.grpc.pb.h"
#include "tests/support/slowness.h"
#include "transport/grpc/server.h"

namespace syzygy::transport {

// A store whose commits can be held back, so that a test can be sure that an answer is still to come.
class GatedStore final : public Store {
 public:
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    {
      const std::lock_guard lock(mutex_);
      held_ = false;
    }
    open_.notify_all();
  }
  bool holds_one_back() {
    const std::lock_guard lock(mutex_);
    return waiting_ > 0;
  }

  Result<std::optional<Loaded>> load(const std::string& key) override { return store_.load(key); }
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override {
    return store_.scan(prefix, after, limit);
  }
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override {
    return store_.history(key, after, limit);
  }
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override {
    std::unique_lock lock(mutex_);
    ++waiting_;
    open_.wait(lock, [&] { return !held_; });
    --waiting_;
    return store_.commit(changes);
  }
  void watch(Hint hint) override { store_.watch(std::move(hint)); }
  Result<Instant> now() override { return store_.now(); }
  [[nodiscard]] std::string epoch() const override { return store_.epoch(); }
  [[nodiscard]] std::string describe() const override { return store_.describe(); }

 private:
  MemoryStore store_;
  std::mutex mutex_;
  std::condition_variable open_;
  bool held_ = false;
  int waiting_ = 0;
};

// Waits for a condition, at most 30 s (on a slow machine longer).
inline bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30) * test::slowness();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

class World {
 public:
  explicit World(GrpcOptions options = {}) {
    engine::Options scaled;
    scaled.boot = "boot";
    // Nobody renews here, or is quick to confirm: that is no matter of these tests, however slow the machine is.
    scaled.rounds.lease = scaled.rounds.decline = scaled.rounds.lease_max;
    engine = engine::make_engine(store, std::move(scaled));
    EXPECT_TRUE(engine->start());
    service = std::make_unique<api::Service>(*engine);
    options.address = "127.0.0.1:0";
    auto started = GrpcServer::start(*service, std::move(options));
    EXPECT_TRUE(started) << started.error().message;
    server = *std::move(started);
  }
  ~World() {
    store.release();
    if (server) server->stop(Duration{0});
    engine->stop();
  }

  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(server->port()); }

  // A connection of its own for each channel.
  [[nodiscard]] std::shared_ptr<grpc::Channel> channel(
      const std::shared_ptr<grpc::ChannelCredentials>& credentials = grpc::InsecureChannelCredentials()) const {
    grpc::ChannelArguments arguments;
    arguments.SetInt("grpc.use_local_subchannel_pool", 1);
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    return grpc::CreateCustomChannel(address(), credentials, arguments);
  }

  GatedStore store;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<api::Service> service;
  std::unique_ptr<GrpcServer> server;
};

inline std::unique_ptr<grpc::ClientContext> within(std::chrono::milliseconds timeout = std::chrono::seconds(30) *
                                                                                       test::slowness()) {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + timeout);
  return context;
}

struct Details {
  rpc::Status status;
  rpc::ErrorInfo info;
  std::optional<rpc::RetryInfo> retry;
};

// What a client reads out of the status' details; fails the test where they are not there.
inline Details details_of(const grpc::Status& status) {
  Details details;
  EXPECT_TRUE(details.status.ParseFromString(status.error_details()));
  EXPECT_EQ(details.status.code(), static_cast<int>(status.error_code()));
  bool info = false;
  for (const google::protobuf::Any& any : details.status.details()) {
    if (any.type_url() == "type.googleapis.com/google.rpc.ErrorInfo") {
      info = details.info.ParseFromString(any.value());
    } else if (any.type_url() == "type.googleapis.com/google.rpc.RetryInfo") {
      rpc::RetryInfo retry;
      EXPECT_TRUE(retry.ParseFromString(any.value()));
      details.retry = retry;
    }
  }
  EXPECT_TRUE(info) << status.error_message();
  EXPECT_EQ(details.info.domain(), "syzygy");
  return details;
}

inline v1::JoinRequest join_request(const std::string& target, const std::string& party, std::uint32_t quorum,
                                    int steps = 1) {
  v1::JoinRequest request;
  request.mutable_request()->set_incarnation("i-" + party);
  request.mutable_request()->set_sequence(1);
  request.set_target(target);
  request.set_party(party);
  request.mutable_plan()->set_stage(v1::STAGE_PRE_DEPLOY);
  for (int i = 1; i <= steps; ++i) {
    v1::Step* step = request.mutable_plan()->add_steps();
    step->set_id("step-" + std::to_string(10'000 + i));
    step->set_stage(v1::STAGE_PRE_DEPLOY);
    step->set_content(std::string(64, 'a'));
    step->set_atomic(true);
  }
  request.mutable_quorum()->set_parties(quorum);
  return request;
}

}  // namespace syzygy::transport
