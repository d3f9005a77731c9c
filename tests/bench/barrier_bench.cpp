// One barrier, four ways, in turn: how long from the moment at which the last party sends its request to the return of
// the last party. Every party is a process of its own, connected before the clock starts.
//
//   barrier_bench measure --parties N --rounds R --settle-us US KIND[:NAME]=HOST:PORT[,HOST:PORT...]...
//                         prints one JSON object of samples, by NAME; with several addresses the parties take turns
//   barrier_bench serve-floor FILE N | serve-grpc                                   prints its port, serves until
//   killed
//
// floor    raw TCP: each sends 64 bytes; at the Nth the server writes 4 kB, one fdatasync, and 64 bytes to each
// grpc     our own API on our own gRPC library, with a server that only counts: no store, nothing durable
// etcd     one transaction for each party, which also opens the barrier for the Nth; the others watch for that
// syzygy   the plain barrier: Enter with a wait, on the durable embedded store
#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "syzygy/v1/syzygy.grpc.pb.h"
#include "tests/bench/channel.h"
#include "tests/bench/etcd.grpc.pb.h"
#include "tests/bench/processes.h"

extern char** environ;

namespace syzygy::bench {
namespace {

constexpr std::size_t kMessage = 64;
constexpr int kSeatsFd = 3;  // where a party finds the seats
constexpr std::int64_t kPatience = 60'000'000'000;

template <class Number = std::uint32_t>
Number number(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) give_up("{} is no number", text);
  return value;
}

sockaddr_in address_of(std::string_view text) {
  const auto colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string_view::npos ||
      ::inet_pton(AF_INET, std::string(text.substr(0, colon)).c_str(), &address.sin_addr) != 1) {
    give_up("{} is not HOST:PORT with an IPv4 address", text);
  }
  address.sin_port = htons(number<std::uint16_t>(text.substr(colon + 1)));
  return address;
}

// ---- the parties ----

class Party {
 public:
  virtual ~Party() = default;
  virtual void enter(std::uint32_t round) = 0;  // returns once all have entered
};

class FloorParty final : public Party {
 public:
  explicit FloorParty(const std::string& address) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_in to = address_of(address);
    if (::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) give_up_errno("connect");
    const int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  void enter(std::uint32_t /*round*/) override {
    std::array<char, kMessage> message{};
    if (::send(socket_, message.data(), message.size(), MSG_NOSIGNAL) != kMessage) give_up_errno("send");
    if (::recv(socket_, message.data(), message.size(), MSG_WAITALL) != kMessage) give_up_errno("recv");
  }

 private:
  int socket_;
};

std::shared_ptr<grpc::Channel> connected(const std::string& address) {
  auto channel = grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), as_the_client_library());
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30))) {
    give_up("cannot connect to {}", address);
  }
  return channel;
}

class BarrierParty final : public Party {
 public:
  BarrierParty(const std::string& address, std::uint32_t parties, std::uint32_t index)
      : stub_(v1::Barrier::NewStub(connected(address))), index_(index) {
    request_.set_namespace_("bench-" + std::to_string(parties));
    request_.set_quorum(parties);
    request_.set_party("party-" + std::to_string(index));
    request_.mutable_wait()->set_seconds(30);
  }
  void enter(std::uint32_t round) override {
    request_.set_incarnation(fmt::format("0f0e0d0c-0b0a-4908-{:08}-{:04}", round, index_));
    grpc::ClientContext context;
    v1::BarrierResponse response;
    const grpc::Status status = stub_->Enter(&context, request_, &response);
    if (!status.ok() || response.state() != v1::BARRIER_STATE_OPEN) {
      give_up("round {}: {} {}", round, status.error_message(), response.ShortDebugString());
    }
  }

 private:
  std::unique_ptr<v1::Barrier::Stub> stub_;
  std::uint32_t index_;
  v1::EnterRequest request_;
};

// The key `count` is put once by each party, so that its version counts them. Who finds the version at N - 1 is the
// last one: the same transaction then puts `open`, which the others have watched since before the clock started.
class EtcdParty final : public Party {
 public:
  EtcdParty(const std::string& address, std::uint32_t parties)
      : channel_(connected(address)), kv_(etcdserverpb::KV::NewStub(channel_)), parties_(parties) {
    watch_stub_ = etcdserverpb::Watch::NewStub(channel_);
    watch_ = watch_stub_->Watch(&watching_);
    prefix_ = "bench-" + std::to_string(parties) + "/";
    etcdserverpb::WatchRequest request;
    request.mutable_create()->set_key(prefix_ + "open");
    etcdserverpb::WatchResponse response;
    if (!watch_->Write(request) || !watch_->Read(&response) || !response.created()) give_up("etcd watches nothing");
  }
  ~EtcdParty() override {
    watching_.TryCancel();
    (void)watch_->Finish();
  }
  void enter(std::uint32_t round) override {
    const std::string count = prefix_ + "count-" + std::to_string(round);
    etcdserverpb::TxnRequest request;
    etcdserverpb::Compare* compare = request.add_compare();
    compare->set_key(count);
    compare->set_version(parties_ - 1);
    for (auto* branch : {request.mutable_success(), request.mutable_failure()}) {
      branch->Add()->mutable_put()->set_key(count);
    }
    etcdserverpb::PutRequest* open = request.add_success()->mutable_put();
    open->set_key(prefix_ + "open");
    open->set_value(std::to_string(round));
    etcdserverpb::TxnResponse response;
    grpc::ClientContext context;
    const grpc::Status status = kv_->Txn(&context, request, &response);
    if (!status.ok()) give_up("etcd: {}", status.error_message());
    if (response.succeeded()) {
      skip_ = std::to_string(round);  // its own watch will tell it, too, and that is not waited for
      return;
    }
    for (;;) {
      etcdserverpb::WatchResponse news;
      if (!watch_->Read(&news) || news.canceled()) give_up("etcd's watch has ended");
      for (const auto& event : news.events()) {
        if (event.kv().value() == std::to_string(round)) return;
        if (event.kv().value() != skip_) give_up("etcd opened round {} in round {}", event.kv().value(), round);
      }
    }
  }

 private:
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<etcdserverpb::KV::Stub> kv_;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch_stub_;
  grpc::ClientContext watching_;
  std::unique_ptr<grpc::ClientReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>> watch_;
  std::int64_t parties_;
  std::string prefix_;
  std::string skip_;
};

int be_party(const std::string& kind, const std::string& addresses, std::uint32_t parties, std::uint32_t index,
             std::uint32_t seat_index, int parent) {
  end_with_parent(parent);
  const std::vector<std::string> each = split(addresses);
  const std::string& address = each[index % each.size()];
  Seat& seat = seat_of(kSeatsFd, seat_index);
  std::unique_ptr<Party> party;
  if (kind == "floor") party = std::make_unique<FloorParty>(address);
  if (kind == "etcd") party = std::make_unique<EtcdParty>(address, parties);
  if (kind == "grpc" || kind == "syzygy") party = std::make_unique<BarrierParty>(address, parties, index);
  if (!party) give_up("{} is no kind of barrier", kind);
  seat.ready.store(1, std::memory_order_release);
  for (std::uint32_t last = 0;;) {
    const std::uint32_t round = seat.go.load(std::memory_order_acquire);
    if (round == kLeave) return 0;
    if (round == last) {
      wait_on(seat.go, last);
      continue;
    }
    last = round;
    seat.sent.store(now_ns(), std::memory_order_release);
    party->enter(round);
    seat.returned.store(now_ns(), std::memory_order_relaxed);
    seat.done.store(round, std::memory_order_release);
  }
}

// ---- the driver ----

struct Group {
  std::string kind;
  std::size_t first = 0;  // its seats are [first, first + parties)
  std::vector<std::int64_t> samples;
};

template <class Condition>
void await(const char* what, Condition condition) {
  const std::int64_t until = now_ns() + kPatience;
  while (!condition()) {
    int status = 0;
    if (::waitpid(-1, &status, WNOHANG) > 0) give_up("a party has ended before its time");
    if (now_ns() > until) give_up("{}: not within a minute", what);
    pause_ns(500'000);
  }
}

std::int64_t run_round(Seat* seats, const Group& group, std::uint32_t parties, std::uint32_t round,
                       std::int64_t settle) {
  Seat* own = seats + group.first;
  const std::uint32_t last = round % parties;
  for (std::uint32_t i = 0; i < parties; ++i) own[i].sent.store(0, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < parties; ++i) {
    if (i != last) tell(own[i].go, round);
  }
  const auto each = [&](auto holds) {
    for (std::uint32_t i = 0; i < parties; ++i) {
      if (!holds(i)) return false;
    }
    return true;
  };
  await("the first parties enter", [&] {
    return each([&](std::uint32_t i) { return i == last || own[i].sent.load(std::memory_order_acquire) != 0; });
  });
  pause_ns(settle);  // now they all wait
  tell(own[last].go, round);
  pause_ns(settle);  // the driver must not take the processor from those who are released
  await("the parties return",
        [&] { return each([&](std::uint32_t i) { return own[i].done.load(std::memory_order_acquire) == round; }); });
  std::int64_t end = 0;
  for (std::uint32_t i = 0; i < parties; ++i) end = std::max(end, own[i].returned.load(std::memory_order_relaxed));
  return end - own[last].sent.load(std::memory_order_relaxed);
}

int measure(std::vector<std::string> arguments) {
  std::uint32_t parties = 3;
  std::uint32_t rounds = 100;
  std::int64_t settle = 5'000'000;
  std::vector<std::pair<std::string, std::string>> kinds;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    const auto value = [&] { return i + 1 < arguments.size() ? arguments[++i] : std::string(); };
    if (argument == "--parties") {
      parties = number(value());
    } else if (argument == "--rounds") {
      rounds = number(value());
    } else if (argument == "--settle-us") {
      settle = number<std::int64_t>(value()) * 1'000;
    } else if (const auto equals = argument.find('='); equals != std::string::npos) {
      kinds.emplace_back(argument.substr(0, equals), argument.substr(equals + 1));
    } else {
      give_up("{}: no such flag", argument);
    }
  }
  int fd = -1;
  const std::size_t count = kinds.size() * parties;
  Seat* seats = make_seats(count, &fd);
  std::vector<Group> groups;
  std::vector<pid_t> children;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, fd, kSeatsFd);
  for (const auto& [kind, address] : kinds) {
    const auto colon = kind.find(':');
    groups.push_back({colon == std::string::npos ? kind : kind.substr(colon + 1), groups.size() * parties, {}});
    for (std::uint32_t i = 0; i < parties; ++i) {
      std::vector<std::string> words = {"barrier_bench",
                                        "party",
                                        kind.substr(0, kind.find(':')),
                                        address,
                                        std::to_string(parties),
                                        std::to_string(i),
                                        std::to_string(groups.back().first + i),
                                        std::to_string(::getpid())};
      std::vector<char*> argv;
      for (std::string& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      pid_t pid = 0;
      if (::posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ) != 0) give_up("cannot spawn");
      children.push_back(pid);
    }
  }
  await("the parties connect", [&] {
    for (std::size_t i = 0; i < count; ++i) {
      if (seats[i].ready.load(std::memory_order_acquire) == 0) return false;
    }
    return true;
  });
  const std::uint32_t warm = std::max(3U, rounds / 20);
  for (std::uint32_t round = 1; round <= warm + rounds; ++round) {
    // Who comes after whom changes, too.
    std::ranges::rotate(groups, groups.begin() + 1);
    for (Group& group : groups) {
      const std::int64_t took = run_round(seats, group, parties, round, settle);
      if (round > warm) group.samples.push_back(took);
    }
  }
  for (std::size_t i = 0; i < count; ++i) tell(seats[i].go, kLeave);
  for (const pid_t child : children) {
    int status = 0;
    if (::waitpid(child, &status, 0) != child || status != 0) give_up("a party failed");
  }
  std::string json;
  for (const Group& group : groups) {
    json += fmt::format("{}\"{}\": [{}]", json.empty() ? "" : ", ", group.kind, fmt::join(group.samples, ","));
  }
  fmt::print("{{{}}}\n", json);
  return 0;
}

// ---- the two servers that set the scale ----

int serve_floor(const std::string& path, std::size_t count) {
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) give_up_errno(path.c_str());
  // Written once before: an append would measure the file system's growing of files as well.
  const std::vector<char> space(4 << 20, 'x');
  if (::pwrite(file, space.data(), space.size(), 0) != static_cast<ssize_t>(space.size()) || ::fsync(file) != 0) {
    give_up_errno("write");
  }
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = address_of("127.0.0.1:0");
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener, 1'000) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    give_up_errno("listen");
  }
  fmt::print("{}\n", ntohs(address.sin_port));
  std::fflush(stdout);

  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  epoll_event wanted{.events = EPOLLIN, .data = {.fd = listener}};
  ::epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
  std::vector<int> parties;
  std::size_t entered = 0;
  off_t at = 0;
  std::array<char, 4'096> page{};
  std::array<epoll_event, 256> events{};
  for (;;) {
    const int happened = ::epoll_wait(poll, events.data(), events.size(), -1);
    for (int i = 0; i < happened; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int party = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        const int on = 1;
        ::setsockopt(party, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        wanted.data.fd = party;
        ::epoll_ctl(poll, EPOLL_CTL_ADD, party, &wanted);
        parties.push_back(party);
        continue;
      }
      const ssize_t got = ::recv(fd, page.data(), kMessage, 0);
      if (got <= 0) return 0;  // the measuring is over
      ++entered;
    }
    if (entered < count) continue;
    entered = 0;
    if (::pwrite(file, page.data(), page.size(), at) != static_cast<ssize_t>(page.size()) || ::fdatasync(file) != 0) {
      give_up_errno("fdatasync");
    }
    at = (at + 4'096) % (4 << 20);
    for (const int party : parties) (void)::send(party, page.data(), kMessage, MSG_NOSIGNAL);
  }
}

class CountingBarrier final : public v1::Barrier::CallbackService {
 public:
  grpc::ServerUnaryReactor* Enter(grpc::CallbackServerContext* context, const v1::EnterRequest* request,
                                  v1::BarrierResponse* response) override {
    auto* reactor = context->DefaultReactor();
    response->set_state(v1::BARRIER_STATE_OPEN);
    response->set_present(request->quorum());
    std::vector<grpc::ServerUnaryReactor*> released;
    {
      const std::lock_guard lock(mutex_);
      auto& waiting = waiting_[request->namespace_()];
      waiting.push_back(reactor);
      if (waiting.size() == request->quorum()) released.swap(waiting);
    }
    for (auto* one : released) one->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::vector<grpc::ServerUnaryReactor*>> waiting_;
};

int serve_grpc() {
  CountingBarrier service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port).RegisterService(&service);
  const auto server = builder.BuildAndStart();
  if (!server) give_up("gRPC does not serve");
  fmt::print("{}\n", port);
  std::fflush(stdout);
  server->Wait();
  return 0;
}

}  // namespace
}  // namespace syzygy::bench

int main(int argc, char** argv) {
  using namespace syzygy::bench;
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 7 && words[0] == "party") {
    return be_party(words[1], words[2], number(words[3]), number(words[4]), number(words[5]), number<int>(words[6]));
  }
  if (words.size() == 3 && words[0] == "serve-floor") return serve_floor(words[1], number(words[2]));
  if (words.size() == 1 && words[0] == "serve-grpc") return serve_grpc();
  if (words.size() > 1 && words[0] == "measure") return measure({words.begin() + 1, words.end()});
  give_up("usage: barrier_bench measure ... | serve-floor FILE N | serve-grpc");
}
