// config.h - what a deployment may set, and where from: flags before SYZYGY_* variables before syzygyd.toml.
//
// Everything is checked here, before anything is opened: an unknown flag or key, a value that cannot be meant, an
// address that would be open to others without protection. Files that are named (certificate, key, token) are read
// here, too; their contents never reach an error or a log.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "daemon/store_command.h"
#include "round/barrier.h"
#include "round/round.h"
#include "transport/listen/tls.h"

namespace syzygy::daemon {

enum class LogFormat { kLogfmt, kJson };
enum class LogLevel { kDebug, kInfo, kWarning, kError };

struct Config {
  std::string http = "127.0.0.1:7410";
  std::string grpc = "127.0.0.1:7411";
  std::string store;  // as store/open.h takes it; may hold a password: show without_passwords(store)
  std::string replay_directory;
  bool store_chosen = false;  // by default, not by the operator: worth a line in the log

  std::string tls_cert_file;
  std::string tls_key_file;
  std::string token_file;
  std::optional<transport::Tls> tls;  // read from those files
  std::string token;
  bool insecure_listen = false;
  std::vector<std::string> allowed_hosts;

  std::string port_file;
  LogFormat log_format = LogFormat::kLogfmt;
  LogLevel log_level = LogLevel::kInfo;
  Duration drain{5'000};
  Duration poll{2'000};
  Duration kill_after{3'000};  // from SIGTERM to SIGKILL of a stopped child; the lock delay must be longer
  std::size_t waiters_max = 20'000;
  std::size_t history_max = 50'000;

  round::Settings rounds;
  barrier::Settings barriers;

  std::string file;  // the syzygyd.toml that was read; empty: none
};

// What main() has to do: run with this configuration, replay what a frozen target left, or print a text and exit.
struct Parsed {
  std::optional<Config> config;
  std::string text;  // to stdout where code is 0, else to stderr
  int code = 0;
  std::string replay = {};  // not empty: the file
  StoreCommand store = {};  // not kNone: that
};

inline constexpr int kExitUsage = 2;  // flags, file, values, certificates, token

using Environment = std::function<const char*(const char* name)>;

Parsed parse(int argc, const char* const* argv, const Environment& environment);

}  // namespace syzygy::daemon
