#include "tests/support/redis.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/postgres.h"

namespace syzygy::test {
namespace {

using std::chrono::steady_clock;

constexpr auto kWaitMax = std::chrono::seconds(30);
constexpr const char* kProgram = "/usr/bin/redis-server";

std::string text_of_file(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

// A test helper may look again and again: nothing tells it.
bool wait_until(const std::function<bool()>& holds) {
  const auto deadline = steady_clock::now() + kWaitMax;
  while (!holds()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// A free port whose cluster bus (10,000 above) is a port, too.
int free_server_port() {
  for (;;) {
    if (const int port = free_port(); port < 50'000) return port;
  }
}

bool listens(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return connected;
}

pid_t spawn(const std::vector<std::string>& argv, const std::filesystem::path& log) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) {
    const bool ready = ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent &&
                       ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0 && ::chdir("/") == 0;
    if (ready) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(output);
  return pid;
}

std::string text_of(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_INTEGER:
      return std::to_string(reply.integer);
    case REDIS_REPLY_ERROR:
      return "ERR: " + std::string(reply.str, reply.len);
    case REDIS_REPLY_ARRAY: {
      std::string text;
      for (std::size_t i = 0; i < reply.elements; ++i) text += text_of(*reply.element[i]) + "\n";
      return text;
    }
    case REDIS_REPLY_NIL:
      return "";
    default:
      return {reply.str, reply.len};
  }
}

}  // namespace

RedisServer& RedisServer::shared() {
  static RedisServer server;
  return server;
}

RedisServer::RedisServer(std::vector<std::string> settings, bool sentinel, bool tls)
    : settings_(std::move(settings)), sentinel_(sentinel), tls_(tls) {
  std::string name = (std::filesystem::temp_directory_path() / "syzygy-redis-XXXXXX").native();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a directory like " + name);
  directory_ = name;
  start();
}

RedisServer::~RedisServer() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void RedisServer::start() {
  if (pid_ > 0) return;
  const auto log = directory_ / "log";
  const auto config = directory_ / "redis.conf";
  const auto pid_file = directory_ / "pid";
  const bool again = port_ != 0;
  // Its port is held for it; the one of a cluster's bus is not, and may be taken: then the next pair.
  for (int attempt = 0; attempt < 10; ++attempt) {
    if (!again) port_ = free_server_port();
    // A sentinel writes into its file what it has learned.
    if (!again || !sentinel_) {
      std::ofstream file(config);
      file << "bind 127.0.0.1\nprotected-mode no\ndaemonize no\nsave \"\"\ndir " << directory_.native() << "\n";
      file << "pidfile " << pid_file.native() << "\n";
      file << (tls_ ? "port 0\ntls-port " : "port ") << port_ << "\n";
      if (!sentinel_)
        file << "appendonly yes\nappendfsync always\nrepl-diskless-sync-delay 0\nrepl-ping-replica-period 1\n";
      for (const std::string& line : settings_) file << line << "\n";
    }
    std::vector<std::string> argv = {kProgram, config};
    if (sentinel_) argv.emplace_back("--sentinel");
    pid_ = spawn(argv, log);
    bool ended = false;
    const bool up = wait_until([&] {
      ended = ::waitpid(pid_, nullptr, WNOHANG) == pid_;
      if (ended) return true;
      // Written when it listens: it is not another test's server that took the port in between.
      if (std::atol(text_of_file(pid_file).c_str()) != pid_) return false;
      if (tls_) return listens(port_);
      // With a password it says so, and that is an answer, too.
      const std::string answer = ask({"PING"});
      return !answer.empty() && answer.find("LOADING") == std::string::npos;
    });
    if (up && !ended) return;
    if (!ended) kill();
    pid_ = -1;
  }
  throw std::runtime_error("Redis does not start:\n" + text_of_file(log));
}

void RedisServer::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

void RedisServer::pause() { ::kill(pid_, SIGSTOP); }
void RedisServer::resume() { ::kill(pid_, SIGCONT); }

std::string RedisServer::url(const std::string& options) const {
  return "redis://" + address() + "/" + (options.empty() ? "" : "?" + options);
}

std::string RedisServer::ask(const Words& words) const {
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  const std::unique_ptr<redisContext, decltype(&redisFree)> connection(
      redisConnectWithTimeout("127.0.0.1", port_, limit), &redisFree);
  if (!connection || connection->err != 0) return {};
  redisSetTimeout(connection.get(), limit);
  std::vector<const char*> text;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    text.push_back(word.data());
    sizes.push_back(word.size());
  }
  auto* const reply = static_cast<redisReply*>(
      redisCommandArgv(connection.get(), static_cast<int>(words.size()), text.data(), sizes.data()));
  if (reply == nullptr) return {};
  std::string answer = text_of(*reply);
  freeReplyObject(reply);
  return answer;
}

bool RedisServer::becomes(const Words& words, const std::string& text) const {
  return wait_until([&] { return ask(words).find(text) != std::string::npos; });
}

// ---- a cluster ----

RedisCluster::RedisCluster() {
  for (int i = 0; i < 3; ++i) {
    nodes_.push_back(
        std::make_unique<RedisServer>(std::vector<std::string>{"cluster-enabled yes", "cluster-node-timeout 15000"}));
  }
  constexpr int kSlots = 16'384;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const auto first = static_cast<int>(i * kSlots / nodes_.size());
    const auto last = static_cast<int>((i + 1) * kSlots / nodes_.size()) - 1;
    nodes_[i]->ask({"CLUSTER", "ADDSLOTSRANGE", std::to_string(first), std::to_string(last)});
    nodes_[i]->ask({"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)});
  }
  // A node whose handshake took longer than the node timeout is forgotten by who was told to meet it: told again.
  const auto introduce = [&] {
    const std::string known = nodes_[0]->ask({"CLUSTER", "NODES"});
    for (std::size_t i = 1; i < nodes_.size(); ++i) {
      if (known.find(nodes_[i]->address() + "@") == std::string::npos)
        nodes_[0]->ask({"CLUSTER", "MEET", "127.0.0.1", std::to_string(nodes_[i]->port())});
    }
  };
  for (const auto& node : nodes_) {
    const auto whole = [&] {
      introduce();
      const std::string info = node->ask({"CLUSTER", "INFO"});
      return info.find("cluster_state:ok") != std::string::npos &&
             info.find("cluster_known_nodes:3") != std::string::npos;
    };
    if (!wait_until(whole)) {
      std::string said = "the cluster does not come together:\n";
      for (const auto& one : nodes_) said += one->ask({"CLUSTER", "INFO"}) + one->ask({"CLUSTER", "NODES"});
      throw std::runtime_error(said);
    }
  }
}

int RedisCluster::slot_of(RedisServer& any, const std::string& key) {
  return std::stoi(any.ask({"CLUSTER", "KEYSLOT", key}));
}

RedisServer& RedisCluster::owner_of(int slot) {
  for (const auto& node : nodes_) {
    if (node->ask({"CLUSTER", "COUNTKEYSINSLOT", std::to_string(slot)}) != "0") return *node;
  }
  throw std::runtime_error("no node has a key in slot " + std::to_string(slot));
}

void RedisCluster::begin_move(int slot, RedisServer& from, RedisServer& to) {
  const std::string number = std::to_string(slot);
  to.ask({"CLUSTER", "SETSLOT", number, "IMPORTING", from.ask({"CLUSTER", "MYID"})});
  from.ask({"CLUSTER", "SETSLOT", number, "MIGRATING", to.ask({"CLUSTER", "MYID"})});
}

void RedisCluster::move_keys(int slot, RedisServer& from, RedisServer& to) {
  for (;;) {
    std::istringstream keys(from.ask({"CLUSTER", "GETKEYSINSLOT", std::to_string(slot), "10"}));
    std::string key;
    bool any = false;
    while (std::getline(keys, key)) {
      any = true;
      const std::string moved = from.ask({"MIGRATE", "127.0.0.1", std::to_string(to.port()), key, "0", "5000"});
      if (moved != "OK") throw std::runtime_error("cannot move " + key + ": " + moved);
    }
    if (!any) return;
  }
}

void RedisCluster::finish_move(int slot, RedisServer& from, RedisServer& to) {
  const std::string owner = to.ask({"CLUSTER", "MYID"});
  for (RedisServer* node : {&to, &from}) node->ask({"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", owner});
}

// ---- sentinels ----

RedisSentinels::RedisSentinels() {
  servers_.push_back(std::make_unique<RedisServer>());
  const std::string master_port = std::to_string(servers_[0]->port());
  for (int i = 0; i < 2; ++i)
    servers_.push_back(std::make_unique<RedisServer>(std::vector<std::string>{"replicaof 127.0.0.1 " + master_port}));
  for (std::size_t i = 1; i < servers_.size(); ++i) {
    if (!servers_[i]->becomes({"INFO", "replication"}, "master_link_status:up"))
      throw std::runtime_error("a replica does not follow its master");
  }
  for (int i = 0; i < 3; ++i) {
    sentinels_.push_back(std::make_unique<RedisServer>(
        std::vector<std::string>{"sentinel monitor main 127.0.0.1 " + master_port + " 2",
                                 "sentinel down-after-milliseconds main 1500", "sentinel failover-timeout main 1000"},
        true));
  }
  for (const auto& sentinel : sentinels_) {
    const auto knows = [&] {
      const std::string info = sentinel->ask({"INFO", "sentinel"});
      return info.find("slaves=2,sentinels=3") != std::string::npos;
    };
    if (!wait_until(knows)) throw std::runtime_error("the sentinels do not find each other");
  }
}

std::string RedisSentinels::url(const std::string& options) const {
  std::string hosts;
  for (const auto& sentinel : sentinels_) hosts += (hosts.empty() ? "" : ",") + sentinel->address();
  return "redis+sentinel://" + hosts + "/?master=main" + (options.empty() ? "" : "&" + options);
}

RedisServer& RedisSentinels::master() {
  const std::string answer = sentinels_[0]->ask({"SENTINEL", "get-master-addr-by-name", "main"});
  for (const auto& server : servers_) {
    if (answer.find("\n" + std::to_string(server->port()) + "\n") != std::string::npos) return *server;
  }
  throw std::runtime_error("the sentinels know no master: " + answer);
}

}  // namespace syzygy::test
