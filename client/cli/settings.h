// settings.h - what the command line, the environment and syzygy.toml say, as plain values.
//
// For each setting: the flag wins over SYZYGY_<FLAG>, which wins over the key in syzygy.toml (`[command]` before top
// level), which wins over the default. Nothing here is looked up twice, and nothing is guessed: a party is never a
// host's name, N is never 1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "migration/stage/stage.h"

namespace syzygy::cli {

struct Settings {
  std::string command;     // "migrate"
  std::string subcommand;  // "set" of "target set"

  // The way to the daemon.
  std::string daemon = "127.0.0.1:7411";
  bool tls = false;
  std::string ca_file;
  std::string server_name;
  std::string token_file;
  bool insecure_token = false;
  Duration connect_timeout{30'000};
  std::string output = "text";  // or "json"

  // Who, and with whom.
  std::string target;
  std::string party;
  std::optional<std::uint32_t> quorum;
  std::vector<std::string> expect;
  std::string release;
  Duration timeout{1'800'000};
  Duration lease{0};
  bool voter_only = false;
  std::string on_divergence = "wait";  // or "fail"
  std::string result_file;

  // migrate
  std::string database;
  std::string application = "default";
  std::string dir;
  std::string format;
  bool pre_deploy = false;
  bool post_deploy = false;
  bool plan_only = false;
  std::string to;
  std::string revert_to;
  bool allow_out_of_order = false;
  Duration lock_timeout{500};
  Duration apply_timeout{0};
  std::string on_blocked = "wait";  // or "terminate"
  bool break_glass = false;
  bool attest_stopped = false;
  bool ignore_gate = false;
  StageRules stages;

  // lint, explain
  std::vector<std::string> paths;  // a directory, or files of one
  std::string since;
  std::vector<std::string> include, exclude;
  std::string baseline;
  std::string write_baseline;
  bool warnings_as_errors = false;
  bool quality = false;
  bool one_phase = false;
  std::string dialect;  // "postgresql", "sqlite"; empty: by the database's URL
  std::optional<int> server_version;
  std::vector<std::string> lint_severity;                            // RULE=LEVEL
  std::vector<std::pair<std::string, std::string>> lint_severities;  // [lint.severity] of syzygy.toml
  std::string rule;

  // plan, check
  std::string positional_directory;
  std::string base;

  // split
  std::string file;
  bool check = false;
  bool diff = false;
  bool organize = false;
  bool bridge_renames = false;
  bool drop_defaults = false;
  std::vector<std::string> bridging_defaults;  // [TABLE.]COLUMN=EXPRESSION, or EXPRESSION for all
  std::string unclear_stage;                   // "pre_deploy", "post_deploy"
  std::string finish;                          // the directory of an interrupted split

  // exec
  std::string plan_hash;
  bool again = false;
  bool checked = false;
  std::string on_applier_lost = "stop";  // or "retry"
  std::string mode = "settings";         // or "reject", "require": what the target's guard of DDL must do
  std::vector<std::string> child;

  // operators
  std::string round;
  std::string reason;
  std::string actor;
  bool watch = false;
  bool clear_pin = false;
  std::string excuse_party;
  Duration excuse_for{0};
  bool excuse_end = false;
  std::string step;  // history accept, repair
  std::string at;    // history adopt --at
  std::string verdict;
  std::uint64_t revision = 0;
  bool attest_database_gone = false;
  std::string incarnation;
  std::string positional_target;

  // guard
  std::string guard_mode = "reject";  // or "require"
  std::vector<std::string> allow_roles;
  bool print_only = false;
};

// "30s", "500ms", "2h", "1h30m", "45" (seconds). nullopt: not one, or longer than 30 days.
std::optional<Duration> parse_duration(const std::string& text);

}  // namespace syzygy::cli
