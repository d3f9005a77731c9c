// syzygyd as a process: it starts, serves, says why it cannot, stops as asked, and keeps what it acknowledged.
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <fstream>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "engine/replay.h"
#include "syzygy/v1/syzygy.grpc.pb.h"
#include "tests/daemon/process.h"

namespace syzygy::daemon_tests {
namespace {

std::unique_ptr<v1::Coordinator::Stub> stub_of(const Daemon& daemon) {
  return v1::Coordinator::NewStub(grpc::CreateChannel(daemon.grpc, grpc::InsecureChannelCredentials()));
}

grpc::Status join(v1::Coordinator::Stub& stub, const std::string& target, const std::string& party,
                  std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
  v1::JoinRequest request;
  request.mutable_request()->set_incarnation("i-" + party);
  request.mutable_request()->set_sequence(1);
  request.set_target(target);
  request.set_party(party);
  v1::Step* step = request.mutable_plan()->add_steps();
  step->set_id("0001");
  step->set_stage(v1::STAGE_PRE_DEPLOY);
  step->set_content(std::string(64, 'a'));
  step->set_atomic(true);
  request.mutable_quorum()->set_parties(1'000);
  v1::JoinResponse response;
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + timeout);
  return stub.Join(&context, request, &response);
}

std::set<std::string> parties_of(v1::Coordinator::Stub& stub, const std::string& target) {
  v1::GetTargetRequest request;
  request.set_target(target);
  v1::GetTargetResponse response;
  grpc::ClientContext context;
  const grpc::Status status = stub.GetTarget(&context, request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::set<std::string> parties;
  for (const v1::Member& member : response.target().rounds(0).members()) parties.insert(member.party());
  return parties;
}

TEST(Syzygyd, StartsServesAndStopsAsAsked) {
  for (const int signal : {SIGTERM, SIGINT}) {
    const Directory directory;
    Daemon daemon(directory);
    EXPECT_TRUE(join(*stub_of(daemon), "orders", "eu").ok());
    daemon.process.signal(signal);
    const auto ended = daemon.process.wait();
    ASSERT_TRUE(ended);
    EXPECT_EQ(ended->code, 0) << ended->err;
    EXPECT_NE(ended->err.find("msg=\"serving\" http=" + daemon.http + " grpc=" + daemon.grpc), std::string::npos)
        << ended->err;
    EXPECT_NE(ended->err.find("msg=\"stopped\""), std::string::npos);
    EXPECT_NE(ended->err.find("target=orders"), std::string::npos) << "rounds are in the log";
    EXPECT_FALSE(std::filesystem::exists(directory / "ports"));
  }
}

TEST(Syzygyd, SaysWhatItIs) {
  const Directory directory;
  const Ended version = run(directory, {"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_TRUE(version.out.starts_with("syzygyd 0.")) << version.out;
  EXPECT_NE(version.out.find("gRPC 1."), std::string::npos);
  const Ended help = run(directory, {"--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_NE(help.out.find("Examples:"), std::string::npos);
  const Ended unknown = run(directory, {"--frobnicate"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("--frobnicate"), std::string::npos);
  EXPECT_TRUE(unknown.out.empty());
}

TEST(Syzygyd, ReplaysWhatAFrozenTargetLeft) {
  const Directory directory;
  engine::Replay left;
  left.is_barrier = true;
  left.broken = "a generation opened without its quorum";
  barrier::Record record;
  record.name = "gate";
  record.generation = Generation{1};
  record.state = barrier::State::kOpen;
  record.quorum = 3;
  left.record = barrier::encode(record);
  left.commands = {barrier::encode(barrier::Command{barrier::Tick{}})};
  const auto file = engine::write_replay(directory / "replay", "gate", left);
  ASSERT_TRUE(file.has_value());
  const Ended replayed = run(directory, {"--replay", *file});
  EXPECT_EQ(replayed.code, 0) << replayed.err;
  EXPECT_NE(replayed.out.find("barrier gate at revision 0, 1 commands"), std::string::npos) << replayed.out;
  EXPECT_NE(replayed.out.find("found now: a generation opened without its quorum"), std::string::npos);
  const Ended damaged = run(directory, {"--replay", directory.write("odd", "nonsense")});
  EXPECT_EQ(damaged.code, 65);
  EXPECT_NE(damaged.err.find("no replay file"), std::string::npos) << damaged.err;
  EXPECT_EQ(run(directory, {"--replay", "/nowhere/at/all"}).code, 69);
}

TEST(Syzygyd, JsonLogsAreJson) {
  const Directory directory;
  Daemon daemon(directory, {"--log-format", "json"});
  daemon.process.signal(SIGTERM);
  const auto ended = daemon.process.wait();
  ASSERT_TRUE(ended);
  std::istringstream lines(ended->err);
  std::string line;
  int count = 0;
  while (std::getline(lines, line)) {
    ++count;
    EXPECT_TRUE(line.starts_with("{\"time\":\"") && line.ends_with("}")) << line;
  }
  EXPECT_GE(count, 3);
}

TEST(Syzygyd, APortThatIsTakenIsOneClearLine) {
  const Directory directory;
  const Directory other;
  const Daemon first(directory);
  for (const char* flag : {"--http", "--grpc"}) {
    const std::string taken = flag == std::string("--http") ? first.http : first.grpc;
    const std::string unused = flag == std::string("--http") ? "--grpc" : "--http";
    const Ended ended = run(other, {flag, taken, unused, "127.0.0.1:0", "--store", "sqlite:" + (other / "state")});
    EXPECT_EQ(ended.code, 69) << ended.err;
    EXPECT_NE(ended.err.find("reason=ADDRESS_IN_USE"), std::string::npos) << ended.err;
    EXPECT_NE(ended.err.find(taken), std::string::npos) << ended.err;
  }
  EXPECT_TRUE(join(*stub_of(first), "orders", "eu").ok());
}

TEST(Syzygyd, TwoOnOneDirectoryAreOneTooMany) {
  const Directory directory;
  const Daemon first(directory);
  const Directory other;
  const Ended second =
      run(other, {"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store", "sqlite:" + (directory / "state")});
  EXPECT_EQ(second.code, 69) << second.err;
  EXPECT_NE(second.err.find("level=error"), std::string::npos);
  EXPECT_NE(second.err.find(directory / "state"), std::string::npos) << second.err;
  EXPECT_TRUE(join(*stub_of(first), "orders", "eu").ok());
}

TEST(Syzygyd, AStateThatCannotBeUsedIsSaidAndLeftAlone) {
  const Directory directory;
  const std::vector<std::string> ports = {"--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--store"};
  const auto start = [&](const std::string& store) {
    std::vector<std::string> arguments = ports;
    arguments.push_back(store);
    return run(directory, arguments);
  };
  const Ended file = start("sqlite:" + directory.write("a-file", "x") + "/state");
  EXPECT_EQ(file.code, 2) << file.err;
  EXPECT_NE(file.err.find("a-file"), std::string::npos) << file.err;

  {
    Daemon daemon(directory);
    EXPECT_TRUE(join(*stub_of(daemon), "orders", "eu").ok());
    daemon.process.signal(SIGTERM);
    EXPECT_TRUE(daemon.process.wait());
  }
  const std::string database = directory / "state/syzygy.db";
  {
    std::fstream damage(database, std::ios::in | std::ios::out | std::ios::binary);
    damage.seekp(4'096);
    damage << std::string(200, '\x55');
  }
  const std::string damaged = read(database);
  const Ended corrupt = start("sqlite:" + (directory / "state"));
  EXPECT_EQ(corrupt.code, 65) << corrupt.err;
  EXPECT_NE(corrupt.err.find("level=error"), std::string::npos);
  EXPECT_EQ(read(database), damaged) << "evidence is not touched";
}

TEST(Syzygyd, KilledAndStartedAgainItKnowsEveryJoinThatItAcknowledged) {
  const Directory directory;
  std::set<std::string> acknowledged;
  for (int life = 0; life < 3; ++life) {
    Daemon daemon(directory);
    std::mutex mutex;
    std::atomic<bool> stop = false;
    const std::size_t wanted = acknowledged.size() + 30;
    std::vector<std::thread> clients;
    for (int client = 0; client < 4; ++client) {
      clients.emplace_back([&, client] {
        const auto stub = stub_of(daemon);
        for (int i = 0; !stop; ++i) {
          const std::string party =
              "p-" + std::to_string(life) + "-" + std::to_string(client) + "-" + std::to_string(i);
          if (!join(*stub, "orders", party, std::chrono::seconds(5)).ok()) return;
          const std::lock_guard lock(mutex);
          acknowledged.insert(party);
        }
      });
    }
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      return acknowledged.size() >= wanted;
    }));
    daemon.process.signal(SIGKILL);  // in the middle of whatever it does
    stop = true;
    for (std::thread& client : clients) client.join();
    EXPECT_TRUE(daemon.process.wait());
  }
  const Daemon daemon(directory);
  const std::set<std::string> known = parties_of(*stub_of(daemon), "orders");
  for (const std::string& party : acknowledged) EXPECT_TRUE(known.contains(party)) << party << " is forgotten";
}

// Whoever reads its log stopped reading: the last lines cannot be written, and the stop cannot end by itself.
TEST(Syzygyd, ASecondSignalDoesNotWait) {
  const Directory directory;
  int log[2];
  ASSERT_EQ(pipe2(log, O_CLOEXEC), 0);
  Daemon daemon(directory, {}, {}, log[1]);
  ASSERT_FALSE(daemon.grpc.empty());
  ASSERT_EQ(fcntl(log[1], F_SETFL, O_NONBLOCK), 0);
  while (write(log[1], "x", 1) == 1) {
  }
  ASSERT_EQ(fcntl(log[1], F_SETFL, 0), 0);
  daemon.process.signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(directory / "ports"); })) << "it is stopping";
  EXPECT_FALSE(daemon.process.wait(std::chrono::seconds(0)));
  daemon.process.signal(SIGINT);
  const auto ended = daemon.process.wait();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 128 + SIGINT);
  close(log[0]);
  close(log[1]);
}

int connection_to(const std::string& address) {
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(connection, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
  return connection;
}

// HTTP/2 by hand: the headers of a Join whose message never comes.
std::string join_without_a_message() {
  std::string headers;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{":method", "POST"},
                                                        {":scheme", "http"},
                                                        {":path", "/syzygy.v1.Coordinator/Join"},
                                                        {":authority", "test"},
                                                        {"te", "trailers"},
                                                        {"content-type", "application/grpc"}}) {
    headers += '\0';  // a literal that enters no table
    headers += static_cast<char>(name.size()) + name;
    headers += static_cast<char>(value.size()) + value;
  }
  const auto frame = [](char type, char flags, char stream, const std::string& payload) {
    return std::string{'\0', '\0', static_cast<char>(payload.size()), type, flags, '\0', '\0', '\0', stream} + payload;
  };
  return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, "") + frame(1, 4, 1, headers);
}

// Neither a client that is merely connected nor a request that never comes whole is worth waiting for, and who waits is
// told where to go. All of that within much less than the drain.
TEST(Syzygyd, AStopWaitsForAnswersOnly) {
  const Directory directory;
  Daemon daemon(directory, {"--drain", "1h"});
  ASSERT_FALSE(daemon.grpc.empty());
  const auto idle = stub_of(daemon);
  EXPECT_TRUE(join(*idle, "orders", "eu").ok());

  const int half_grpc = connection_to(daemon.grpc);
  const std::string headers = join_without_a_message();
  ASSERT_EQ(send(half_grpc, headers.data(), headers.size(), 0), static_cast<ssize_t>(headers.size()));
  const int half_http = connection_to(daemon.http);
  const std::string line = "POST /v1/targets/orders/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
  ASSERT_EQ(send(half_http, line.data(), line.size(), 0), static_cast<ssize_t>(line.size()));

  v1::WatchTargetRequest watched;
  watched.set_target("orders");
  grpc::ClientContext watching;
  const auto watch = idle->WatchTarget(&watching, watched);
  v1::WatchTargetResponse first;
  EXPECT_TRUE(watch->Read(&first));
  grpc::Status told;
  std::thread waiter([&] {
    v1::EnterRequest enter;
    enter.set_namespace_("gate");
    enter.set_quorum(2);
    enter.set_party("eu");
    enter.set_incarnation("i-eu");
    enter.mutable_wait()->set_seconds(600);
    v1::BarrierResponse entered;
    grpc::ClientContext context;
    told = v1::Barrier::NewStub(grpc::CreateChannel(daemon.grpc, grpc::InsecureChannelCredentials()))
               ->Enter(&context, enter, &entered);
  });
  const auto metrics = [&] {
    const int connection = connection_to(daemon.http);
    const std::string get = "GET /metrics HTTP/1.0\r\n\r\n";
    EXPECT_EQ(send(connection, get.data(), get.size(), 0), static_cast<ssize_t>(get.size()));
    std::string all;
    std::array<char, 4'096> some{};
    for (ssize_t n = 0; (n = recv(connection, some.data(), some.size(), 0)) > 0;) {
      all.append(some.data(), static_cast<std::size_t>(n));
    }
    close(connection);
    return all;
  };
  EXPECT_TRUE(eventually([&] { return metrics().find("\nsyzygy_grpc_parked 2\n") != std::string::npos; })) << metrics();

  daemon.process.signal(SIGTERM);
  const auto ended = daemon.process.wait();
  if (!ended) daemon.process.signal(SIGKILL);
  waiter.join();
  ASSERT_TRUE(ended) << "the stop takes as long as the drain: " << daemon.process.err();
  EXPECT_EQ(ended->code, 0) << ended->err;
  EXPECT_EQ(told.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_NE(told.error_message().find("shutting down"), std::string::npos) << told.error_message();
  v1::WatchTargetResponse more;
  while (watch->Read(&more)) {
  }
  EXPECT_EQ(watch->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  std::array<char, 4'096> answer{};
  EXPECT_GT(recv(half_http, answer.data(), answer.size(), 0), 0);
  EXPECT_TRUE(std::string_view(answer.data()).starts_with("HTTP/1.1 503 ")) << answer.data();
  close(half_grpc);
  close(half_http);
}

// A limit on the size of files kills whoever writes beyond it, unless he asked not to be.
TEST(Syzygyd, AFileThatMayNotGrowIsAFullDisk) {
  const Directory directory;
  Daemon daemon(directory);
  const auto stub = stub_of(daemon);
  EXPECT_TRUE(join(*stub, "orders", "eu").ok());
  const rlimit small{.rlim_cur = 16'384, .rlim_max = RLIM_INFINITY};  // room for the log's lines, not for a commit
  ASSERT_EQ(prlimit(daemon.process.pid(), RLIMIT_FSIZE, &small, nullptr), 0);
  grpc::Status refused;
  EXPECT_TRUE(eventually([&] {
    refused = join(*stub, "orders", "us", std::chrono::seconds(5));
    return refused.error_message().find("Make room") != std::string::npos;
  })) << refused.error_code()
      << " " << refused.error_message();
  EXPECT_FALSE(daemon.process.wait(std::chrono::seconds(0))) << "it lives";
  const rlimit enough{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  ASSERT_EQ(prlimit(daemon.process.pid(), RLIMIT_FSIZE, &enough, nullptr), 0);
  EXPECT_TRUE(eventually([&] { return join(*stub, "orders", "us", std::chrono::seconds(5)).ok(); }));
}

TEST(Syzygyd, TellsSystemd) {
  const Directory directory;
  const std::string path = directory / "notify";
  const int socket = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.size(), sizeof(address.sun_path));
  path.copy(address.sun_path, path.size());
  ASSERT_EQ(bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const timeval timeout{.tv_sec = 20, .tv_usec = 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  const auto next = [&] {
    std::string text(4'096, '\0');
    const ssize_t size = recv(socket, text.data(), text.size(), 0);
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  };
  Daemon daemon(directory, {}, {{"NOTIFY_SOCKET", path}});
  EXPECT_TRUE(next().starts_with("READY=1\n"));
  daemon.process.signal(SIGTERM);
  EXPECT_EQ(next(), "STOPPING=1");
  EXPECT_TRUE(daemon.process.wait());
  close(socket);
}

TEST(Syzygyd, TakesAllTheDescriptorsThatItMay) {
  const Directory directory;
  const Daemon daemon(directory);
  std::ifstream limits("/proc/" + std::to_string(daemon.process.pid()) + "/limits");
  std::string line;
  while (std::getline(limits, line)) {
    if (!line.starts_with("Max open files")) continue;
    std::istringstream fields(line.substr(14));
    std::string soft;
    std::string hard;
    fields >> soft >> hard;
    EXPECT_EQ(soft, hard);
  }
}

// gRPC's own listener never accepts again after one EMFILE (CVE-2023-4785). Ours must, and so must HTTP's.
TEST(Syzygyd, ALackOfDescriptorsPasses) {
  const Directory directory;
  const Daemon daemon(directory);
  const auto before = stub_of(daemon);
  EXPECT_TRUE(join(*before, "orders", "eu").ok());
  std::size_t open_now = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(daemon.process.pid()) + "/fd")) {
    ++open_now;
  }
  const rlimit few{.rlim_cur = open_now + 10, .rlim_max = open_now + 10};
  ASSERT_EQ(prlimit(daemon.process.pid(), RLIMIT_NOFILE, &few, nullptr), 0);
  for (const std::string& address : {daemon.grpc, daemon.http}) {
    std::vector<int> connections;
    connections.reserve(100);
    for (int i = 0; i < 100; ++i) connections.push_back(connection_to(address));
    v1::ListTargetsResponse listed;
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    EXPECT_TRUE(before->ListTargets(&context, {}, &listed).ok()) << "who is connected is served";
    for (const int connection : connections) close(connection);
  }
  // A channel of its own: the process would otherwise share the connection that is there.
  EXPECT_TRUE(eventually([&] {
    grpc::ChannelArguments own;
    own.SetInt("grpc.use_local_subchannel_pool", 1);
    const auto after =
        v1::Coordinator::NewStub(grpc::CreateCustomChannel(daemon.grpc, grpc::InsecureChannelCredentials(), own));
    return join(*after, "orders", "us", std::chrono::seconds(5)).ok();
  }));
}

TEST(Syzygyd, NoSecretInTheLog) {
  const Directory directory;
  const std::string secret = "a-secret-token-of-this-test";
  Daemon daemon(directory, {"--token-file", directory.write("token", secret + "\n"), "--log-level", "debug"});
  const auto stub = stub_of(daemon);
  EXPECT_EQ(join(*stub, "orders", "eu").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + secret);
  v1::ListTargetsResponse listed;
  EXPECT_TRUE(stub->ListTargets(&context, {}, &listed).ok());
  daemon.process.signal(SIGTERM);
  const auto ended = daemon.process.wait();
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->err.find(secret), std::string::npos);
}

}  // namespace
}  // namespace syzygy::daemon_tests
