#include "daemon/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grpc/support/log.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <string_view>
#include <system_error>
#include <thread>

#include "api/service.h"
#include "base/name.h"
#include "daemon/build.h"
#include "daemon/log.h"
#include "daemon/metrics.h"
#include "daemon/notify.h"
#include "daemon/round_log.h"
#include "daemon/store_command.h"
#include "engine/engine.h"
#include "engine/replay.h"
#include "store/open.h"
#include "transport/grpc/server.h"
#include "transport/http/server.h"

namespace syzygy::daemon {
namespace {

constexpr std::size_t kLanesOfSharedStore = 4;

sigset_t stop_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// As many descriptors as we may have: every waiting client holds a connection.
rlim_t raise_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
  }
  return limit.rlim_cur;
}

std::string random_id() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", device(), device(), device(), device());
}

// Whole or not at all: who waits for the file to appear reads both lines.
Result<void> write_port_file(const std::string& path, const std::string& content) {
  const std::string temporary = path + ".new";
  const auto failed = [&] {
    return failure(
        ErrorCode::kUnavailable, "PORT_FILE",
        fmt::format("Cannot write --port-file {}: {}.", printable(path, 200), std::system_category().message(errno)));
  };
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(temporary.c_str(), "we"), &std::fclose);
  if (!file) return failed();
  if (std::fwrite(content.data(), 1, content.size(), file.get()) != content.size() || std::fflush(file.get()) != 0) {
    return failed();
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return failed();
  return {};
}

std::string with_port(const std::string& address, std::uint16_t port) {
  return fmt::format("{}:{}", address.substr(0, address.rfind(':')), port);
}

// Made from the bottom up; stop() takes it down from the top, in the order that it says.
class Daemon {
 public:
  explicit Daemon(const Config& config) : config_(config) {}

  Result<void> start() {
    const rlim_t descriptors = raise_descriptors();
    connections_ = std::make_shared<transport::Connections>();
    auto store = open_store(config_.store);
    if (!store) return std::unexpected(std::move(store.error()));
    store_ = *std::move(store);
    if (auto here = refuse_if_moved(*store_); !here) return here;
    for (const std::string& text : store_->warnings()) log::warning(text, {{"part", "store"}});

    engine::Options options;
    options.rounds = config_.rounds;
    options.barriers = config_.barriers;
    options.boot = random_id();
    options.waiters_max = config_.waiters_max;
    options.history_max = config_.history_max;
    options.poll = config_.poll;
    options.replay_directory = config_.replay_directory;
    // One writer is the embedded store's nature; a server commits for several at once.
    options.lanes = store_->shared() ? kLanesOfSharedStore : 1;
    engine_ = engine::make_engine(*store_, std::move(options));
    if (auto ok = engine_->start(); !ok) return ok;
    service_ = std::make_unique<api::Service>(*engine_);
    if (auto watching = engine_->watch_all("", [this](const engine::Update& update) { round_log_.see(update); })) {
      watching_ = *std::move(watching);
    }

    auto grpc = transport::GrpcServer::start(
        *service_, {.address = config_.grpc, .tls = config_.tls, .token = config_.token, .connections = connections_});
    if (!grpc) return std::unexpected(std::move(grpc.error()));
    grpc_ = *std::move(grpc);

    http::Options web;
    web.address = config_.http;
    if (config_.tls) web.tls = http::Tls{config_.tls->certificate_chain, config_.tls->private_key};
    web.token = config_.token;
    web.allowed_hosts = config_.allowed_hosts;
    web.connections = connections_;
    web.collectables = {make_metrics(*grpc_, connections_)};
    web.log = [](const std::string& text) { log::info(text, {{"part", "http"}}); };
    auto served = http::Server::start(*service_, std::move(web));
    if (!served) return std::unexpected(std::move(served.error()));
    http_ = *std::move(served);

    const std::string http = with_port(config_.http, http_->port());
    const std::string rpc = with_port(config_.grpc, grpc_->port());
    log::info("serving", {{"http", http},
                          {"grpc", rpc},
                          {"store", store_->describe()},
                          {"epoch", store_->epoch()},
                          {"tls", config_.tls ? "yes" : "no"},
                          {"token", config_.token.empty() ? "no" : "yes"},
                          {"connections_max", std::to_string(connections_->max())},
                          {"descriptors", std::to_string(descriptors)}});
    if (!config_.port_file.empty()) {
      if (auto ok = write_port_file(config_.port_file, fmt::format("http={}\ngrpc={}\n", http, rpc)); !ok) return ok;
      wrote_port_file_ = true;
    }
    notify("READY=1\nSTATUS=Serving HTTP on " + http + ", gRPC on " + rpc);
    return {};
  }

  // About once a second: what changed in the engine's health.
  void look() {
    const engine::Health health = engine_->health();
    if (health.ready != ready_ || health.frozen_targets != frozen_) {
      if (health.ready) {
        log::info("the engine is ready", {{"store", health.store}});
      } else {
        log::warning("the engine is not ready", {{"why", health.why}, {"store", health.store}});
      }
      if (health.frozen_targets > frozen_) {
        log::error("a target is frozen: its record is of a newer syzygyd, or damaged, or an invariant failed",
                   {{"targets", std::to_string(health.frozen_targets)}, {"look_in", config_.replay_directory}});
      }
    }
    ready_ = health.ready;
    frozen_ = health.frozen_targets;
  }

  // The order in which things end. Each line waits for what it ends.
  void stop() {
    notify("STOPPING=1");
    if (http_) http_->stop(config_.drain);  // accepts no more; tells those who wait to ask elsewhere; answers the rest
    if (grpc_) grpc_->stop(config_.drain);  // the same
    watching_.reset();
    if (engine_) engine_->stop();  // refuses, drains the committer, joins its threads
    http_.reset();                 // now no callback can come for a transport any more
    grpc_.reset();
    service_.reset();
    engine_.reset();
    store_.reset();  // closed: the next daemon may have the directory
    if (wrote_port_file_) (void)std::remove(config_.port_file.c_str());
  }

 private:
  const Config& config_;
  std::shared_ptr<transport::Connections> connections_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<engine::Engine> engine_;
  std::unique_ptr<api::Service> service_;
  RoundLog round_log_;
  engine::SubscriptionPtr watching_;
  std::unique_ptr<transport::GrpcServer> grpc_;
  std::unique_ptr<http::Server> http_;
  bool wrote_port_file_ = false;
  bool ready_ = true;
  std::size_t frozen_ = 0;
};

// gRPC reports what peers do wrong as errors of its own, on stderr and in a format of its own. Only the words with
// which it aborts must get out at once: our own log is written by a thread that ends with the process.
void take_over_grpc_log() {
  gpr_set_log_function([](gpr_log_func_args* said) {
    if (std::string_view(said->message).starts_with("assertion failed")) {
      std::fprintf(stderr, "%s:%d: %s\n", said->file, said->line, said->message);
    }
    log::debug(printable(said->message, 500), {{"part", "grpc"}});
  });
}

int exit_code_of(const Error& error) {
  if (error.code == ErrorCode::kDataLoss) return kExitData;
  return error.code == ErrorCode::kInvalidArgument ? kExitUsage : kExitUnavailable;
}

int wait_for_signal(Daemon& daemon) {
  const sigset_t set = stop_signals();
  constexpr timespec kBeat{.tv_sec = 1, .tv_nsec = 0};
  for (;;) {
    const int signal = sigtimedwait(&set, nullptr, &kBeat);
    if (signal > 0) return signal;
    if (errno == EAGAIN) daemon.look();
  }
}

// Somebody who asks twice does not want to wait.
void end_at_second_signal() {
  std::thread([] {
    const sigset_t set = stop_signals();
    int signal = 0;
    sigwait(&set, &signal);
    _exit(128 + signal);
  }).detach();
}

}  // namespace

void hold_signals() {
  const sigset_t set = stop_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  (void)std::signal(SIGPIPE, SIG_IGN);
  // A file that may not grow (ulimit -f) is a full disk: the write fails, the store says so, and the daemon lives.
  (void)std::signal(SIGXFSZ, SIG_IGN);
}

int replay(const std::string& path) {
  const auto replayed = engine::replay(path);
  if (!replayed) {
    fmt::print(stderr, "syzygyd: {}\n", replayed.error().message);
    return exit_code_of(replayed.error());
  }
  fmt::print("{}", replayed->text);
  return 0;
}

int run(const Config& config) {
  log::open(config.log_format, config.log_level);
  take_over_grpc_log();
  log::info("syzygyd starts", {{"version", version()},
                               {"commit", commit()},
                               {"pid", std::to_string(getpid())},
                               {"file", config.file.empty() ? "none" : config.file}});
  if (config.store == "memory:") {
    log::warning("the store is in memory: a restart forgets every target", {{"store", config.store}});
  } else if (config.store_chosen) {
    log::info("no --store given: chose one", {{"store", without_passwords(config.store)}});
  }
  if (config.insecure_listen) {
    log::warning("--insecure-listen: whoever reaches the ports may steer migrations",
                 {{"http", config.http}, {"grpc", config.grpc}});
  }
  int code = 0;
  {
    Daemon daemon(config);
    if (auto ok = daemon.start(); !ok) {
      log::error(ok.error().message, {{"reason", ok.error().reason}});
      code = exit_code_of(ok.error());
      daemon.stop();
    } else {
      const int signal = wait_for_signal(daemon);
      end_at_second_signal();
      log::info("stopping", {{"signal", strsignal(signal)}});
      daemon.stop();
      log::info("stopped");
    }
  }
  log::close();
  return code;
}

}  // namespace syzygy::daemon
