#include "daemon/config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <charconv>
#include <fstream>
#include <map>
#include <sstream>
#include <utility>

#include "base/name.h"
#include "base/shown.h"
#include "daemon/build.h"
#include "store/open.h"
#include "transport/listen/address.h"

namespace syzygy::daemon {
namespace {

constexpr std::size_t kFileBytesMax = 1 << 20;
constexpr const char* kDefaultFile = "/etc/syzygy/syzygyd.toml";

std::unexpected<Error> bad(std::string message) {
  return failure(ErrorCode::kInvalidArgument, "CONFIG_INVALID", std::move(message));
}

// "500ms", "15s", "2m", "1h". A number without a unit would be a guess.
Result<Duration> read_duration(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, text.data() + text.size());
  const std::map<std::string_view, std::int64_t> units = {{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}};
  const auto factor = units.find(unit);
  constexpr std::int64_t kMillisecondsMax = 365LL * 86'400'000;
  if (error != std::errc{} || factor == units.end() || count < 0 || count > kMillisecondsMax / factor->second) {
    return bad("it must be a duration such as 500ms, 15s, 2m or 1h, at most a year");
  }
  return Duration{count * factor->second};
}

Result<std::size_t> read_count(std::string_view text, std::size_t min, std::size_t max) {
  std::size_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc{} || end != text.data() + text.size() || count < min || count > max) {
    return bad(fmt::format("it must be a number from {} to {}", min, max));
  }
  return count;
}

// One thing that can be set: by --name, by SYZYGY_NAME, or as `name = ...` in the file.
struct Setting {
  std::string name;
  std::string value;  // what --help calls it; empty: a switch
  std::string help;
  std::string group;
  std::function<Result<void>(Config&, std::string_view)> set;
  bool list = false;  // may be given several times
};

using Set = std::function<Result<void>(Config&, std::string_view)>;

Set text(std::string Config::* field) {
  return [field](Config& config, std::string_view value) -> Result<void> {
    if (value.empty()) return bad("it must not be empty");
    config.*field = value;
    return {};
  };
}

Set duration(std::function<Duration&(Config&)> field, Duration min = Duration{1}) {
  return [field = std::move(field), min](Config& config, std::string_view value) -> Result<void> {
    const auto read = read_duration(value);
    if (!read) return std::unexpected(read.error());
    if (*read < min) return bad(fmt::format("it must be at least {} ms", min.count()));
    field(config) = *read;
    return {};
  };
}

Set count(std::function<std::size_t&(Config&)> field, std::size_t min, std::size_t max) {
  return [field = std::move(field), min, max](Config& config, std::string_view value) -> Result<void> {
    const auto read = read_count(value, min, max);
    if (!read) return std::unexpected(read.error());
    field(config) = *read;
    return {};
  };
}

template <class Enum>
Set one_of(Enum Config::* field, std::map<std::string, Enum, std::less<>> values) {
  return [field, values = std::move(values)](Config& config, std::string_view value) -> Result<void> {
    const auto found = values.find(value);
    if (found == values.end()) {
      std::string known;
      for (const auto& [name, meaning] : values) known += (known.empty() ? "" : ", ") + name;
      return bad("it must be one of " + known);
    }
    config.*field = found->second;
    return {};
  };
}

std::vector<Setting> settings() {
  const std::string listen = "Listening";
  const std::string state = "State";
  const std::string rules = "Rules (for every target)";
  const std::string limits = "Limits";
  const std::string output = "Output";
  return {
      {"http", "HOST:PORT", "HTTP/JSON, metrics and dashboard; port 0 takes any free one [127.0.0.1:7410]", listen,
       text(&Config::http)},
      {"grpc", "HOST:PORT", "gRPC; port 0 takes any free one [127.0.0.1:7411]", listen, text(&Config::grpc)},
      {"tls-cert", "FILE", "the server's certificate chain in PEM, for both ports", listen,
       text(&Config::tls_cert_file)},
      {"tls-key", "FILE", "its private key in PEM, not encrypted", listen, text(&Config::tls_key_file)},
      {"token-file", "FILE", "holds the bearer token that callers of both ports must present", listen,
       text(&Config::token_file)},
      {"insecure-listen", "", "listen beyond this machine without TLS or without a token", listen,
       [](Config& config, std::string_view value) -> Result<void> {
         if (value != "true" && value != "false") return bad("it must be true or false");
         config.insecure_listen = value == "true";
         return {};
       }},
      {"allow-host", "NAME", "a further name under which a browser may call a loopback daemon without a token", listen,
       [](Config& config, std::string_view value) -> Result<void> {
         if (value.empty() || value.find_first_of(" /:@") != std::string_view::npos) {
           return bad("it must be a host's name without port");
         }
         config.allowed_hosts.emplace_back(value);
         return {};
       },
       true},
      {"store", "KIND:WHERE",
       "where the truth is kept: " + kinds_of_store() +
           " [sqlite:/var/lib/syzygy, or below $XDG_STATE_HOME where that cannot be written]",
       state, text(&Config::store)},
      {"replay-dir", "DIR",
       "where a broken invariant leaves what replays it [replay below the directory of sqlite:/DIR or of the default "
       "store]",
       state, text(&Config::replay_directory)},
      {"poll", "DURATION",
       "how often a daemon looks for what others did to a store that they share, and was not told of [2s]", state,
       duration([](Config& c) -> Duration& { return c.poll; }, Duration{100})},
      {"lease", "DURATION", "how long a silent party is still taken for alive [15s]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.lease; }, Duration{100})},
      {"lease-max", "DURATION", "the longest lease that a client may ask for [5m]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.lease_max; }, Duration{100})},
      {"lease-unfenced", "DURATION", "the lease of an applier that the target cannot fence [60s]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.lease_unfenced; }, Duration{100})},
      {"lock-delay", "DURATION", "how long nobody takes over after an unfenced applier was lost [10s]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.lock_delay_unfenced; })},
      {"kill-after", "DURATION",
       "how long clients let a stopped command live before they kill it; the lock delay must be longer [3s]", rules,
       duration([](Config& c) -> Duration& { return c.kill_after; })},
      {"linger", "DURATION", "how long a finished round answers late and retrying callers [10m]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.linger; })},
      {"decline", "DURATION", "how long a party that could not reach the database is not elected [5s]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.decline; })},
      {"timeout", "DURATION", "how long a party waits that does not say how long [30m]", rules,
       duration([](Config& c) -> Duration& { return c.rounds.wait_default; })},
      {"barrier-lease", "DURATION", "the same as --lease, for plain barriers [60s]", rules,
       duration([](Config& c) -> Duration& { return c.barriers.lease; }, Duration{100})},
      {"barrier-linger", "DURATION", "the same as --linger, for plain barriers [10m]", rules,
       duration([](Config& c) -> Duration& { return c.barriers.linger; })},
      {"parties-max", "N", "parties of one round [1000]", limits,
       [](Config& config, std::string_view value) -> Result<void> {
         const auto read = read_count(value, 1, 100'000);
         if (!read) return std::unexpected(read.error());
         config.rounds.parties_max = config.barriers.parties_max = *read;
         return {};
       }},
      {"gathering-max", "N", "rounds of one target that gather at once [64]", limits,
       count([](Config& c) -> std::size_t& { return c.rounds.gathering_max; }, 1, 10'000)},
      {"waiters-max", "N", "calls that wait at once [20000]", limits,
       count([](Config& c) -> std::size_t& { return c.waiters_max; }, 1, 1'000'000)},
      {"history-max", "N", "newest events that each target keeps; 0: all [50000]", limits,
       count([](Config& c) -> std::size_t& { return c.history_max; }, 0, 1'000'000'000)},
      {"drain", "DURATION", "how long a stop waits for calls that are being answered [5s]", limits,
       duration([](Config& c) -> Duration& { return c.drain; }, Duration{0})},
      {"port-file", "FILE", "written once both ports serve: two lines, http=HOST:PORT and grpc=HOST:PORT", output,
       text(&Config::port_file)},
      {"log-format", "FORMAT", "logfmt or json, to stderr [logfmt]", output,
       one_of(&Config::log_format, {{"logfmt", LogFormat::kLogfmt}, {"json", LogFormat::kJson}})},
      {"log-level", "LEVEL", "debug, info, warning or error [info]", output,
       one_of(&Config::log_level, {{"debug", LogLevel::kDebug},
                                   {"info", LogLevel::kInfo},
                                   {"warning", LogLevel::kWarning},
                                   {"error", LogLevel::kError}})},
  };
}

constexpr const char* kFooter = R"(Examples:
  syzygyd                                          embedded store, loopback only: HTTP 7410, gRPC 7411
  syzygyd --store sqlite:/var/lib/syzygy --http 127.0.0.1:7410 --grpc 127.0.0.1:7411
  syzygyd --http 0.0.0.0:7410 --grpc 0.0.0.0:7411 --tls-cert server.pem --tls-key server.key --token-file token
  syzygyd store check --store redis://cache/       what to know of a store before it is relied on
  SYZYGY_LEASE=30s syzygyd --config /etc/syzygy/syzygyd.toml

Every flag is also an environment variable (--tls-cert: SYZYGY_TLS_CERT) and a key of the file (tls-cert = "server.pem").
A flag wins over the environment, the environment over the file.

Exit codes: 0 stopped as asked, 2 usage or configuration, 65 the store's file is damaged or of a newer version,
69 a port or the state directory cannot be had, 128+n a second signal n forced the end.)";

std::string variable_of(const std::string& name) {
  std::string variable = "SYZYGY_";
  for (const char c : name) variable += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return variable;
}

Result<std::string> read_file(const std::string& path, std::string_view what) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return bad(fmt::format("Cannot read the {} {}: it is a directory.", what, printable(path, 200)));
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    return bad(
        fmt::format("Cannot read the {} {}: {}.", what, printable(path, 200), std::system_category().message(errno)));
  }
  std::string content(kFileBytesMax + 1, '\0');
  in.read(content.data(), static_cast<std::streamsize>(content.size()));
  content.resize(static_cast<std::size_t>(in.gcount()));
  if (content.size() > kFileBytesMax) {
    return bad(fmt::format("The {} {} is larger than 1 MiB: it cannot be the right file.", what, printable(path, 200)));
  }
  return content;
}

// The file's values as texts, by name. Errors name the file, and the line where there is one.
Result<std::map<std::string, std::vector<std::string>>> read_toml(const std::string& path,
                                                                  const std::vector<Setting>& known) {
  const auto content = read_file(path, "configuration file");
  if (!content) return std::unexpected(content.error());
  toml::table table;
  try {
    table = toml::parse(*content, path);
  } catch (const toml::parse_error& e) {
    return bad(fmt::format("{}:{}: {}.", path, e.source().begin.line, e.description()));
  }
  std::map<std::string, std::vector<std::string>> values;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = fmt::format("{}:{}: {}", path, node.source().begin.line, printable(name));
    const auto setting = std::ranges::find(known, name, &Setting::name);
    if (setting == known.end())
      return bad(where +
                 " is not a key of this file; syzygyd --help lists the flags, and each "
                 "is a key without its dashes.");
    std::vector<std::string>& texts = values[name];
    const auto add = [&](const toml::node& item) -> bool {
      if (const auto* string = item.as_string()) {
        texts.push_back(string->get());
      } else if (const auto* integer = item.as_integer()) {
        texts.push_back(std::to_string(integer->get()));
      } else if (const auto* boolean = item.as_boolean()) {
        texts.emplace_back(boolean->get() ? "true" : "false");
      } else {
        return false;
      }
      return true;
    };
    bool understood = true;
    if (const auto* array = node.as_array(); array != nullptr && setting->list) {
      for (const toml::node& item : *array) understood = understood && add(item);
    } else {
      understood = add(node);
    }
    if (!understood) {
      return bad(where +
                 (setting->list ? " must be a list of strings." : " must be a string, a number, true or false."));
    }
  }
  return values;
}

bool writable_or_creatable(const std::filesystem::path& directory) {
  std::error_code error;
  if (std::filesystem::exists(directory, error)) return access(directory.c_str(), W_OK | X_OK) == 0;
  return access(directory.parent_path().c_str(), W_OK | X_OK) == 0;
}

Result<std::string> default_directory(const Environment& environment) {
  if (writable_or_creatable("/var/lib/syzygy")) return "/var/lib/syzygy";
  const auto set = [&](const char* name) -> const char* {
    const char* value = environment(name);
    return value != nullptr && *value != '\0' ? value : nullptr;
  };
  if (const char* state = set("XDG_STATE_HOME")) return fmt::format("{}/syzygy", state);
  if (const char* home = set("HOME")) return fmt::format("{}/.local/state/syzygy", home);
  return bad(
      "There is no directory for the state: /var/lib/syzygy cannot be written, and neither XDG_STATE_HOME nor HOME "
      "is set. Say which: --store sqlite:/DIR.");
}

Result<void> check_listening(const Config& config) {
  for (const auto& [flag, text] : {std::pair{"--http", &config.http}, std::pair{"--grpc", &config.grpc}}) {
    const auto address = transport::parse_address(*text);
    if (!address) return bad(fmt::format("{}: {}", flag, address.error().message));
    if (transport::is_loopback(address->host) || config.insecure_listen || (config.tls && !config.token.empty())) {
      continue;
    }
    std::string lacks;
    if (!config.tls) lacks = "TLS (--tls-cert, --tls-key)";
    if (config.token.empty()) lacks += std::string(lacks.empty() ? "" : " and ") + "a token (--token-file)";
    return bad(
        fmt::format("{} {} can be reached from other machines, and there is no protection by {}. Give what is "
                    "missing, listen on 127.0.0.1, or accept that anybody who reaches the port may steer your "
                    "migrations: --insecure-listen.",
                    flag, printable(*text, 200), lacks));
  }
  return {};
}

Result<void> read_secrets(Config& config) {
  if (config.tls_cert_file.empty() != config.tls_key_file.empty()) {
    return bad("--tls-cert and --tls-key belong together: one of them is missing.");
  }
  if (!config.tls_cert_file.empty()) {
    auto certificate = read_file(config.tls_cert_file, "TLS certificate");
    if (!certificate) return std::unexpected(certificate.error());
    auto key = read_file(config.tls_key_file, "TLS key");
    if (!key) return std::unexpected(key.error());
    config.tls = transport::Tls{*std::move(certificate), *std::move(key)};
    if (auto ok = transport::check(*config.tls); !ok) {
      return bad(fmt::format("{} (--tls-cert {}, --tls-key {})", ok.error().message,
                             printable(config.tls_cert_file, 200), printable(config.tls_key_file, 200)));
    }
  }
  if (!config.token_file.empty()) {
    auto token = read_file(config.token_file, "token file");
    if (!token) return std::unexpected(token.error());
    token->erase(token->find_last_not_of(" \t\r\n") + 1);
    const bool plain = std::ranges::all_of(*token, [](char c) { return c > ' ' && c < '\x7f'; });
    if (token->size() < 16 || token->size() > 4'096 || !plain) {
      return bad(
          fmt::format("The token in {} must be one line of 16 to 4096 printable characters without spaces; "
                      "`openssl rand -hex 32` makes a good one.",
                      printable(config.token_file, 200)));
    }
    config.token = *std::move(token);
  }
  return {};
}

Result<void> check_rules(const Config& config) {
  if (config.rounds.lock_delay_unfenced <= config.kill_after) {
    return bad(
        fmt::format("--lock-delay ({} ms) must be longer than --kill-after ({} ms): a stopped command may live that "
                    "long, and nobody may take over before it is gone.",
                    config.rounds.lock_delay_unfenced.count(), config.kill_after.count()));
  }
  if (config.rounds.lease > config.rounds.lease_max) {
    return bad(fmt::format("--lease ({} ms) is longer than --lease-max ({} ms).", config.rounds.lease.count(),
                           config.rounds.lease_max.count()));
  }
  return check_store(config.store);
}

// `syzygyd store ...`, beside the flags of the daemon itself.
struct StoreFlags {
  CLI::App* check;
  CLI::App* migrate;
  CLI::App* reopen;
  CLI::App* store;

  [[nodiscard]] StoreCommand::Kind chosen() const {
    if (check->parsed()) return StoreCommand::Kind::kCheck;
    if (migrate->parsed()) return StoreCommand::Kind::kMigrate;
    return reopen->parsed() ? StoreCommand::Kind::kReopen : StoreCommand::Kind::kNone;
  }

  // Empty: one of them was given, or `store` was not.
  [[nodiscard]] std::string what_is_wrong() const {
    if (!store->parsed() || chosen() != StoreCommand::Kind::kNone) return {};
    const std::vector<std::string> given = store->remaining();
    return (given.empty() ? "store is missing what to do" : fmt::format("store cannot do \"{}\"", given.front())) +
           ": check, migrate and reopen are what it can; syzygyd store --help says more.";
  }
};

StoreFlags add_store_commands(CLI::App& app, StoreCommand& command) {
  CLI::App* store = app.add_subcommand("store", "Looks at a store, moves it to another kind or place, takes it back");
  store->require_subcommand(1);
  StoreFlags flags{};
  flags.store = store;
  const auto output = [&command](CLI::App* to) {
    to->add_option_function<std::string>(
          "--output", [&command](const std::string& value) { command.json = value == "json"; }, "text or json [text]")
        ->check(CLI::IsMember({"text", "json"}))
        ->type_name("FORMAT");
  };
  const std::string url = "KIND:WHERE";
  flags.check = store->add_subcommand("check", "Connects as a daemon would, and says what to know of it");
  flags.check->add_option("--store", command.store, kinds_of_store() + " [the daemon's own]")->type_name(url);
  output(flags.check);
  flags.check->footer(
      R"(It looks at rights, settings, version, clock and round trip, by writing a record of its own. Where there is no store
yet, it makes an empty one, as a daemon would.

Exit codes: 0 good, or only warnings; 1 something is bad; 2 usage; 65 damaged or of a newer version; 69 it cannot be
reached, or refuses; 75 a daemon holds it (sqlite: ask that daemon's /readyz).)");
  flags.migrate = store->add_subcommand("migrate", "Copies everything to an empty store, and compares");
  flags.migrate->add_option("--from", command.from, "the store that is used now")->type_name(url)->required();
  flags.migrate->add_option("--to", command.to, "an empty one: " + kinds_of_store())->type_name(url)->required();
  output(flags.migrate);
  flags.migrate->footer(
      R"(Stop every daemon that uses either store first: it refuses while one does. It can be run again after an interruption,
and goes on. The old store stays as it is, and no daemon serves it any more.

Exit codes: 0 moved; 2 usage; 65 damaged or of a newer version; 69 a store cannot be reached, or refuses; 75 in use.)");
  flags.reopen = store->add_subcommand("reopen", "Takes a store back that was moved away");
  flags.reopen->add_option("--store", command.store, "the store that was --from")->type_name(url)->required();
  flags.reopen->footer("Only before a daemon has used the new one: what happened there since is not here.");
  return flags;
}

}  // namespace

Parsed parse(int argc, const char* const* argv, const Environment& environment) {
  const auto usage = [](const std::string& message) {
    return Parsed{std::nullopt,
                  "syzygyd: " + shown(without_passwords(message)) + "\nsyzygyd --help lists what can be set.\n",
                  kExitUsage};
  };
  const std::vector<Setting> known = settings();

  CLI::App app(
      "Syzygy's daemon: brings the clusters of a migration together, elects who applies it, and tells the others.",
      "syzygyd");
  app.footer(kFooter);
  app.set_version_flag("--version", build_text());
  app.get_formatter()->column_width(34);
  std::string file;
  app.add_option("--config", file, "reads this file first [/etc/syzygy/syzygyd.toml, if it is there]")
      ->type_name("FILE")
      ->group("State");
  std::string replay;
  app.add_option("--replay", replay,
                 "folds what a frozen target left in DIR/replay again, prints what happens, and ends")
      ->type_name("FILE")
      ->group("State");
  std::map<std::string, std::vector<std::string>> flags;
  for (const Setting& setting : known) {
    const std::string flag = "--" + setting.name;
    if (setting.value.empty()) {
      app.add_flag_callback(
             flag, [&flags, name = setting.name] { flags[name] = {"true"}; }, setting.help)
          ->group(setting.group);
    } else {
      auto* option = app.add_option(flag, flags[setting.name], setting.help);
      option->type_name(setting.value)->group(setting.group)->expected(1);
      if (!setting.list) option->multi_option_policy(CLI::MultiOptionPolicy::Throw);
    }
  }
  StoreCommand store;
  const StoreFlags store_flags = add_store_commands(app, store);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream out;
    if (e.get_exit_code() == 0) {
      (void)app.exit(e, out, out);
      return {std::nullopt, out.str(), 0};
    }
    const std::string wrong = store_flags.what_is_wrong();
    return usage(wrong.empty() ? e.what() : wrong);
  }
  if (!replay.empty()) return {std::nullopt, {}, 0, replay};
  store.kind = store_flags.chosen();
  if (store.kind == StoreCommand::Kind::kMigrate) {
    for (const auto& [flag, url] : {std::pair{"--from", &store.from}, std::pair{"--to", &store.to}}) {
      if (auto ok = check_store(*url); !ok) return usage(fmt::format("{}: {}", flag, ok.error().message));
    }
    return {std::nullopt, {}, 0, {}, std::move(store)};
  }

  Config config;
  const auto given = [&](const std::string& name) -> std::optional<std::string> {
    const char* value = environment(variable_of(name).c_str());
    return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
  };
  if (file.empty()) file = given("config").value_or("");
  std::error_code ignored;
  if (file.empty() && std::filesystem::exists(kDefaultFile, ignored)) file = kDefaultFile;
  std::map<std::string, std::vector<std::string>> from_file;
  if (!file.empty()) {
    auto read = read_toml(file, known);
    if (!read) return usage(read.error().message);
    from_file = *std::move(read);
    config.file = file;
  }
  for (const Setting& setting : known) {
    std::vector<std::string> values;
    std::string source;
    if (const auto& flag = flags[setting.name]; !flag.empty()) {
      values = flag;
      source = "--" + setting.name;
    } else if (const auto variable = given(setting.name)) {
      values = {*variable};
      source = variable_of(setting.name);
    } else if (const auto found = from_file.find(setting.name); found != from_file.end()) {
      values = found->second;
      source = fmt::format("{} in {}", setting.name, file);
    }
    for (const std::string& value : values) {
      if (auto ok = setting.set(config, value); !ok) {
        return usage(fmt::format("{} is \"{}\": {}.", source, printable(value, 200), ok.error().message));
      }
    }
  }
  if (config.store.empty()) {
    const auto directory = default_directory(environment);
    if (!directory) return usage(directory.error().message);
    config.store = "sqlite:" + *directory;
    config.store_chosen = true;
  }
  if (store.kind != StoreCommand::Kind::kNone) {
    if (store.store.empty()) store.store = config.store;
    if (auto ok = check_store(store.store); !ok) return usage(ok.error().message);
    return {std::nullopt, {}, 0, {}, std::move(store)};
  }
  if (config.replay_directory.empty()) {
    std::string directory = directory_of_store(config.store);
    // Best effort: a daemon whose store is elsewhere may run where there is no directory to write to.
    if (directory.empty()) directory = default_directory(environment).value_or("");
    if (!directory.empty()) config.replay_directory = directory + "/replay";
  }
  for (const auto& check : {read_secrets(config), check_rules(config)}) {
    if (!check) return usage(check.error().message);
  }
  if (auto ok = check_listening(config); !ok) return usage(ok.error().message);
  return {std::move(config), {}, 0};
}

}  // namespace syzygy::daemon
