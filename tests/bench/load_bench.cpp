// Clients that only load a daemon, over gRPC; each prints one line of JSON, or what the runner waits for.
//
// Where several addresses are given, separated by commas, the parties take turns.
//
//   load_bench joins HOST:PORT SECONDS
//     joins of new parties to 1,000 targets, 256 in flight: how many are acknowledged
//   load_bench rush HOST:PORT,... PARTIES TARGETS
//     that many parties join that many targets, all at once
//   load_bench wait HOST:PORT,... PARTIES EACH
//     that many parties wait in rounds of EACH that lack one, as `syzygy migrate` does: a connection, a watch and a
//     heartbeat for every party; prints "ready", waits until killed
//   load_bench crowd HOST:PORT,... PARTIES
//     that many parties join one target at once, and each watches it as soon as it has joined: until each has seen all
#include <grpcpp/alarm.h>
#include <grpcpp/create_channel.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "syzygy/v1/syzygy.grpc.pb.h"
#include "tests/bench/channel.h"
#include "tests/bench/processes.h"

namespace syzygy::bench {
namespace {

using Clock = std::chrono::steady_clock;

v1::JoinRequest join_request(const std::string& target, const std::string& party, std::uint32_t quorum) {
  v1::JoinRequest request;
  request.mutable_request()->set_incarnation("0f0e0d0c-0b0a-4908-8706-" + party);
  request.mutable_request()->set_sequence(1);
  request.set_target(target);
  request.set_party(party);
  request.set_host("host-of-" + party);
  request.set_client_version("0.1.0");
  request.mutable_plan()->set_stage(v1::STAGE_PRE_DEPLOY);
  v1::Step* step = request.mutable_plan()->add_steps();
  step->set_id("0001_first");
  step->set_stage(v1::STAGE_PRE_DEPLOY);
  step->set_content(std::string(64, 'a'));
  step->set_atomic(true);
  request.mutable_quorum()->set_parties(quorum);
  return request;
}

std::shared_ptr<grpc::Channel> connection_of_its_own(const std::string& address) {
  grpc::ChannelArguments arguments = as_the_client_library();
  arguments.SetInt("grpc.use_local_subchannel_pool", 1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// ---- joins ----

struct Join {
  v1::JoinResponse response;
  grpc::ClientContext context;
  grpc::Status status;
  std::int64_t sent = 0;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::JoinResponse>> reader;
};

int joins(const std::string& address, int seconds) {
  constexpr int kTargets = 1'000;
  constexpr int kInFlight = 256;
  constexpr int kConnections = 8;
  std::vector<std::unique_ptr<v1::Coordinator::Stub>> stubs;
  stubs.reserve(kConnections);
  for (int i = 0; i < kConnections; ++i) stubs.push_back(v1::Coordinator::NewStub(connection_of_its_own(address)));
  grpc::CompletionQueue queue;
  int started = 0;
  const auto start = [&] {
    const int n = started++;
    auto* join = new Join;
    const auto request =
        join_request("bench-" + std::to_string(n % kTargets), "party-" + std::to_string(n / kTargets), kTargets);
    join->sent = now_ns();
    join->reader = stubs[static_cast<std::size_t>(n % kConnections)]->AsyncJoin(&join->context, request, &queue);
    join->reader->Finish(&join->response, &join->status, join);
  };
  const std::int64_t began = now_ns();
  const std::int64_t end = began + seconds * 1'000'000'000L;
  std::vector<std::int64_t> latencies;
  for (int i = 0; i < kInFlight; ++i) start();
  int in_flight = kInFlight;
  void* tag = nullptr;
  bool ok = false;
  std::int64_t last = began;
  while (in_flight > 0 && queue.Next(&tag, &ok)) {
    const std::unique_ptr<Join> join(static_cast<Join*>(tag));
    if (!join->status.ok()) give_up("a join failed: {}", join->status.error_message());
    last = now_ns();
    latencies.push_back(last - join->sent);
    --in_flight;
    if (last < end) {
      start();
      ++in_flight;
    }
  }
  fmt::print("{{\"joins\": {}, \"seconds\": {:.4f}, \"latencies\": [{}]}}\n", latencies.size(),
             static_cast<double>(last - began) / 1e9, fmt::join(latencies, ","));
  return 0;
}

// ---- rush ----

int rush(const std::vector<std::string>& addresses, int parties, int targets) {
  constexpr std::size_t kConnections = 8;  // to each address
  std::vector<std::unique_ptr<v1::Coordinator::Stub>> stubs;
  for (std::size_t i = 0; i < kConnections * addresses.size(); ++i) {
    const auto channel = connection_of_its_own(addresses[i % addresses.size()]);
    if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30))) {
      give_up("cannot connect to {}", addresses[i % addresses.size()]);
    }
    stubs.push_back(v1::Coordinator::NewStub(channel));
  }
  grpc::CompletionQueue queue;
  for (int n = 0; n < parties; ++n) {
    auto* join = new Join;
    const auto request = join_request("bench-rush-" + std::to_string(n % targets), "party-" + std::to_string(n),
                                      static_cast<std::uint32_t>(parties));
    join->sent = now_ns();
    // Those of one target come by way of all daemons.
    const auto by = static_cast<std::size_t>(n / targets + n) % stubs.size();
    join->reader = stubs[by]->AsyncJoin(&join->context, request, &queue);
    join->reader->Finish(&join->response, &join->status, join);
  }
  std::vector<std::int64_t> latencies;
  void* tag = nullptr;
  bool ok = false;
  for (int left = parties; left > 0 && queue.Next(&tag, &ok); --left) {
    const std::unique_ptr<Join> join(static_cast<Join*>(tag));
    if (!join->status.ok()) give_up("a join failed: {}", join->status.error_message());
    latencies.push_back(now_ns() - join->sent);
  }
  fmt::print("{{\"latencies\": [{}]}}\n", fmt::join(latencies, ","));
  return 0;
}

// ---- wait ----

class Waiter;

// What a completion means.
struct Tag {
  Waiter* waiter;
  void (Waiter::*then)(bool ok);
};

struct Timers {
  using Due = std::pair<Clock::time_point, Waiter*>;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due;
};

class Waiter {
 public:
  Waiter(const std::string& address, int number, int each, grpc::CompletionQueue& queue, Timers& timers)
      : stub_(v1::Coordinator::NewStub(connection_of_its_own(address))), queue_(queue), timers_(timers) {
    target_ = "bench-idle-" + std::to_string(number / each);
    request_ = join_request(target_, "party-" + std::to_string(number), static_cast<std::uint32_t>(each) + 1);
  }

  void start() {
    joining_ = stub_->AsyncJoin(&join_context_, request_, &queue_);
    joining_->Finish(&joined_, &status_, &on_joined_);
    sent_ = Clock::now();
  }

  void renew() {
    v1::RenewRequest request;
    request.set_target(target_);
    request.set_incarnation(request_.request().incarnation());
    renew_context_ = std::make_unique<grpc::ClientContext>();
    sent_ = Clock::now();
    renewing_ = stub_->AsyncRenew(renew_context_.get(), request, &queue_);
    renewing_->Finish(&renewed_, &status_, &on_renewed_);
  }

  // Not before all have joined: what is measured is how they wait, and each join is news for everybody who watches.
  void watch() {
    v1::WatchTargetRequest request;
    request.set_target(target_);
    watch_ = stub_->AsyncWatchTarget(&watch_context_, request, &queue_, &on_watching_);
  }

  // At once: so each hears of all who come after it.
  void watch_from_the_start() { watches_at_once_ = true; }

  [[nodiscard]] bool waits() const { return waits_; }
  [[nodiscard]] int seen() const { return seen_; }  // of the round's members
  [[nodiscard]] std::int64_t told() const { return told_; }
  [[nodiscard]] std::int64_t bytes() const { return bytes_; }

 private:
  void joined(bool /*ok*/) {
    if (!status_.ok()) give_up("a join failed: {}", status_.error_message());
    again_after(joined_.renew_after());
    waits_ = true;
    if (watches_at_once_) watch();
  }
  void renewed(bool /*ok*/) {
    if (!status_.ok()) give_up("a renewal failed: {}", status_.error_message());
    again_after(renewed_.renew_after());
  }
  void watching(bool ok) {
    if (!ok) give_up("a watch has ended");
    if (news_.has_target()) {
      ++told_;
      bytes_ += static_cast<std::int64_t>(news_.ByteSizeLong());
      if (news_.target().rounds_size() > 0) seen_ = news_.target().rounds(0).members_size();
    }
    watch_->Read(&news_, &on_watching_);
  }
  void again_after(const google::protobuf::Duration& pause) {
    timers_.due.emplace(sent_ + std::chrono::seconds(pause.seconds()) + std::chrono::nanoseconds(pause.nanos()), this);
  }

  Tag on_joined_{this, &Waiter::joined};
  Tag on_renewed_{this, &Waiter::renewed};
  Tag on_watching_{this, &Waiter::watching};
  std::unique_ptr<v1::Coordinator::Stub> stub_;
  grpc::CompletionQueue& queue_;
  Timers& timers_;
  std::string target_;
  v1::JoinRequest request_;
  v1::JoinResponse joined_;
  v1::RenewResponse renewed_;
  v1::WatchTargetResponse news_;
  grpc::Status status_;
  grpc::ClientContext join_context_;
  grpc::ClientContext watch_context_;
  std::unique_ptr<grpc::ClientContext> renew_context_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::JoinResponse>> joining_;
  std::unique_ptr<grpc::ClientAsyncResponseReader<v1::RenewResponse>> renewing_;
  std::unique_ptr<grpc::ClientAsyncReader<v1::WatchTargetResponse>> watch_;
  Clock::time_point sent_;
  bool waits_ = false;
  bool watches_at_once_ = false;
  int seen_ = 0;
  std::int64_t told_ = 0;
  std::int64_t bytes_ = 0;
};

void turn(grpc::CompletionQueue& queue, Timers& timers, Clock::time_point until) {
  while (!timers.due.empty() && timers.due.top().first <= Clock::now()) {
    Waiter* waiter = timers.due.top().second;
    timers.due.pop();
    waiter->renew();
  }
  if (!timers.due.empty()) until = std::min(until, timers.due.top().first);
  void* tag = nullptr;
  bool ok = false;
  const auto deadline = std::chrono::system_clock::now() + (until - Clock::now());
  if (queue.AsyncNext(&tag, &ok, deadline) != grpc::CompletionQueue::GOT_EVENT) return;
  const Tag& happened = *static_cast<Tag*>(tag);
  (happened.waiter->*happened.then)(ok);
}

// All join one target at the same time, and watch it: until each has seen all.
int crowd(const std::vector<std::string>& addresses, int parties) {
  grpc::CompletionQueue queue;
  Timers timers;
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (int i = 0; i < parties; ++i) {
    const std::string& address = addresses[static_cast<std::size_t>(i) % addresses.size()];
    waiters.push_back(std::make_unique<Waiter>(address, i, parties, queue, timers));
    waiters.back()->watch_from_the_start();
  }
  const std::int64_t began = now_ns();
  std::int64_t joined = 0;
  for (const auto& waiter : waiters) waiter->start();
  const auto all = [&](auto holds) { return std::ranges::all_of(waiters, holds); };
  while (!all([&](const auto& waiter) { return waiter->seen() == parties; })) {
    if (now_ns() - began > 300'000'000'000) give_up("not everybody saw all within five minutes");
    for (int n = 0; n < 100; ++n) turn(queue, timers, Clock::now() + std::chrono::milliseconds(1));
    if (joined == 0 && all([](const auto& waiter) { return waiter->waits(); })) joined = now_ns();
  }
  const std::int64_t ended = now_ns();
  std::int64_t bytes = 0;
  std::int64_t told = 0;
  for (const auto& waiter : waiters) {
    bytes += waiter->bytes();
    told += waiter->told();
  }
  fmt::print("{{\"joined_ns\": {}, \"seen_ns\": {}, \"bytes\": {}, \"updates\": {}}}\n", joined - began, ended - began,
             bytes, told);
  std::fflush(stdout);
  ::_exit(0);  // a thousand streams that nobody ends in order
}

int wait(const std::vector<std::string>& addresses, int parties, int each) {
  grpc::CompletionQueue queue;
  Timers timers;
  std::vector<std::unique_ptr<Waiter>> waiters;
  const auto turn = [&](Clock::time_point until) { bench::turn(queue, timers, until); };
  // One after another, at a pace at which deployments come: so do their heartbeats.
  constexpr std::chrono::microseconds kApart{2'000};
  for (int i = 0; i < parties; ++i) {
    const std::string& address = addresses[static_cast<std::size_t>(i) % addresses.size()];
    waiters.push_back(std::make_unique<Waiter>(address, i, each, queue, timers));
    waiters.back()->start();
    for (const auto until = Clock::now() + kApart; Clock::now() < until;) turn(until);
  }
  while (!std::ranges::all_of(waiters, [](const auto& waiter) { return waiter->waits(); })) {
    turn(Clock::now() + std::chrono::milliseconds(10));
  }
  for (const auto& waiter : waiters) {
    waiter->watch();
    for (const auto until = Clock::now() + kApart; Clock::now() < until;) turn(until);
  }
  fmt::print("ready\n");
  std::fflush(stdout);
  for (;;) turn(Clock::now() + std::chrono::seconds(1));
}

}  // namespace
}  // namespace syzygy::bench

int main(int argc, char** argv) {
  using namespace syzygy::bench;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 3 && words[0] == "joins") return joins(words[1], std::stoi(words[2]));
  if (words.size() == 4 && words[0] == "rush") return rush(split(words[1]), std::stoi(words[2]), std::stoi(words[3]));
  if (words.size() == 4 && words[0] == "wait") return wait(split(words[1]), std::stoi(words[2]), std::stoi(words[3]));
  if (words.size() == 3 && words[0] == "crowd") return crowd(split(words[1]), std::stoi(words[2]));
  give_up(
      "usage: load_bench joins HOST:PORT SECONDS | rush HOST:PORT,... PARTIES TARGETS | "
      "wait HOST:PORT,... PARTIES EACH | crowd HOST:PORT,... PARTIES");
}
