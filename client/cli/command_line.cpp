#include "client/cli/command_line.h"

#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include "base/name.h"
#include "base/shown.h"
#include "base/version.h"

namespace syzygy::cli {
namespace {

constexpr const char* kFooter =
    R"(Every flag has an environment variable, SYZYGY_<FLAG> (--lock-timeout: SYZYGY_LOCK_TIMEOUT), and a key in
syzygy.toml (lock_timeout, at top level or under [migrate]). The flag wins, then the variable, then the file.

Example, in each of three clusters' pipelines, at the same time:
  syzygy migrate --target orders --party eu-west --quorum 3 --database postgresql://orders@db/orders --dir migrations --pre-deploy

Exit codes: 0 applied, or nothing to do, or applied by another party; 2 usage; 65 the plan cannot be made; 66 the database is
unreachable or refuses, before anything ran; 69 daemon unreachable; 75 a limit, try again; 77 denied; 128+n left on a signal;
80 the apply failed; 81 quorum not reached in time; 82 parties disagree; 83 severed or cancelled; 84 indeterminate;
85 still being applied elsewhere at my deadline; 86 held by the release gate at my deadline.)";

std::string key_of(const std::string& flag) {  // "--lock-timeout" -> "lock_timeout"
  std::string key = flag.substr(2);
  std::ranges::replace(key, '-', '_');
  return key;
}

std::string variable_of(const std::string& key) {
  std::string name = "SYZYGY_";
  for (const char c : key) name.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
  return name;
}

// The flags of one command, each known by its key too.
class Flags {
 public:
  explicit Flags(CLI::App* app) : app_(app) {}

  CLI::Option* text(const std::string& flag, std::string& value, const std::string& help) {
    return keep(flag, app_->add_option(flag, value, help)->type_name("TEXT"));
  }
  CLI::Option* one_of(const std::string& flag, std::string& value, const std::string& help,
                      const std::set<std::string>& values) {
    return keep(flag, app_->add_option(flag, value, help)->check(CLI::IsMember(values)));
  }
  template <class N>
  CLI::Option* number(const std::string& flag, N& value, const std::string& help) {
    return keep(flag, app_->add_option(flag, value, help)->type_name("N"));
  }
  CLI::Option* yes(const std::string& flag, bool& value, const std::string& help) {
    return keep(flag, app_->add_flag(flag, value, help));
  }
  CLI::Option* list(const std::string& flag, std::vector<std::string>& values, const std::string& help) {
    return keep(flag, app_->add_option(flag, values, help)->delimiter(',')->type_name("A,B,..."));
  }
  // May be given several times, each with one value that is taken as it is.
  CLI::Option* each(const std::string& flag, std::vector<std::string>& values, const std::string& help) {
    return keep(flag, app_->add_option(flag, values, help)->allow_extra_args(false)->type_name("TEXT"));
  }
  CLI::Option* duration(const std::string& flag, Duration& value, const std::string& help) {
    CLI::Option* option = app_->add_option_function<std::string>(
        flag,
        [&value, flag](const std::string& text) {
          const auto parsed = parse_duration(text);
          if (!parsed)
            throw CLI::ValidationError(flag,
                                       "\"" + printable(text) + "\" is no duration; write 30s, 500ms, 2h or 1h30m");
          value = *parsed;
        },
        help);
    return keep(flag, option->type_name("DURATION"));
  }

  // Fills what the command line left open. Returns what is wrong, or nothing.
  std::string fill(const std::function<const char*(const std::string&)>& environment, const toml::table& file,
                   const std::string& command) {
    for (const auto& [flag, option] : options_) {
      if (option->count() > 0) continue;
      const std::string key = key_of(flag);
      std::string source;
      std::vector<std::string> values;
      if (const char* value = environment(variable_of(key)); value != nullptr && *value != '\0') {
        source = variable_of(key);
        values.emplace_back(value);
      } else if (const toml::node* node = find(file, command, key)) {
        if (key == "severity" && node->is_table()) continue;  // [lint.severity]: read_severities()
        source = "the key " + key + " in syzygy.toml";
        values = text_of(*node);
        if (values.empty()) return source + " is neither text, a number, true or false, nor a list of texts";
      } else {
        continue;
      }
      try {
        for (const std::string& value : values) option->add_result(value);
        option->run_callback();
      } catch (const CLI::Error& error) {
        return source + ": " + error.what();
      }
    }
    return {};
  }

  // No variable and no key: it says where the keys are.
  void accept_config(std::string& config) const { app_->add_option("--config", config, "Configuration file"); }

  void keys(std::set<std::string>& into) const {
    for (const auto& [flag, option] : options_) into.insert(key_of(flag));
  }

 private:
  CLI::Option* keep(const std::string& flag, CLI::Option* option) {
    options_.emplace_back(flag.substr(0, flag.find(',')), option);
    return option;
  }

  static const toml::node* find(const toml::table& file, const std::string& command, const std::string& key) {
    if (const toml::table* section = file[command].as_table()) {
      if (const toml::node* node = section->get(key)) return node;
    }
    const toml::node* node = file.get(key);
    return node != nullptr && node->is_table() ? nullptr : node;  // [plan] is a command's section, not --plan
  }

  static std::vector<std::string> text_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return {text->get()};
    if (const auto* number = node.as_integer()) return {std::to_string(number->get())};
    if (const auto* yes = node.as_boolean()) return {yes->get() ? "true" : "false"};
    std::vector<std::string> values;
    if (const auto* list = node.as_array()) {
      for (const auto& element : *list) {
        const auto* text = element.as_string();
        if (text == nullptr) return {};
        values.push_back(text->get());
      }
    }
    return values;
  }

  CLI::App* app_;
  std::vector<std::pair<std::string, CLI::Option*>> options_;
};

void add_daemon(Flags& flags, Settings& s) {
  flags.text("--daemon", s.daemon, "Where syzygyd answers gRPC: host:port, several separated by commas")
      ->capture_default_str();
  flags.yes("--tls", s.tls, "Speak TLS with the daemon");
  flags.text("--ca-file", s.ca_file, "PEM file of the authority that signed the daemon's certificate (implies --tls)");
  flags.text("--server-name", s.server_name, "The name that the daemon's certificate must carry");
  flags.text("--token-file", s.token_file, "File that holds the bearer token");
  flags.yes("--insecure-token", s.insecure_token, "Send the token without TLS to other machines, too");
  flags.duration("--connect-timeout", s.connect_timeout, "How long to wait for the first answer of any daemon [30s]");
}
void add_output(Flags& flags, Settings& s) {
  flags.one_of("--output", s.output, "How to print: text or json", {"text", "json"})->capture_default_str();
}
void add_target(Flags& flags, Settings& s) {
  flags.text("--target", s.target, "The name that the clusters share for this application's schema, e.g. orders-prod");
}
void add_round(Flags& flags, Settings& s) {
  add_target(flags, s);
  flags.text("--party", s.party, "The name of this cluster, e.g. eu-west; never a host's or a pod's");
  flags.number("--quorum", s.quorum, "How many clusters must be here before anything is applied");
  flags.list("--expect", s.expect, "Exactly which clusters must be here, instead of --quorum");
  flags.text("--release", s.release, "The release that is being deployed");
  flags.duration("--timeout", s.timeout, "How long to wait for the others; never cuts off a running apply [30m]");
  flags.duration("--lease", s.lease, "After which silence the others go on without this process [the daemon's: 15s]");
  flags.yes("--voter-only", s.voter_only, "Count towards the quorum, but never apply");
  flags.one_of("--on-divergence", s.on_divergence, "When parties hold different plans: wait or fail", {"wait", "fail"})
      ->capture_default_str();
  flags.text("--result", s.result_file, "Write the outcome as JSON to this file");
}
void add_database(Flags& flags, Settings& s) {
  flags.text("--database", s.database, "postgresql://user@host/db or sqlite:///path/file.db");
  flags.text("--application,--app", s.application, "Which application's schema in that database")
      ->capture_default_str();
}
void add_directory(Flags& flags, Settings& s) {
  flags.text("--dir", s.dir, "The migrations directory");
  flags.text("--format", s.format, "golang-migrate, flyway, goose, dbmate, atlas or plain [recognised]");
}
void add_actor(Flags& flags, Settings& s) {
  flags.text("--reason", s.reason, "Why: kept in the history");
  flags.text("--actor", s.actor, "Who does this [the user's name]");
}

std::optional<Stage> stage_of(const toml::node& value) {
  const auto* text = value.as_string();
  if (text == nullptr) return std::nullopt;
  if (text->get() == "pre_deploy") return Stage::kPreDeploy;
  if (text->get() == "post_deploy") return Stage::kPostDeploy;
  return std::nullopt;
}

// [stages.group.NAME]: files, and the stage that they have, or fall back to.
std::string read_stage_group(const std::string& name, const toml::node& node, StageGroup& group) {
  const std::string where = "[stages.group." + name + "]";
  const toml::table* table = node.as_table();
  if (table == nullptr) return where + " in syzygy.toml is not a table";
  group.name = name;
  for (const auto& [key_node, value] : *table) {
    const std::string key(key_node.str());
    if (key == "files") {
      const toml::array* patterns = value.as_array();
      for (std::size_t i = 0; patterns != nullptr && i < patterns->size(); ++i) {
        const auto* pattern = patterns->get(i)->as_string();
        if (pattern != nullptr && !pattern->get().empty()) group.files.push_back(pattern->get());
      }
      if (patterns == nullptr || group.files.size() != patterns->size()) {
        return where + " files in syzygy.toml must be a list of patterns, such as [\"vendor/*\", \"*_river_*.sql\"]";
      }
    } else if (key == "override" || key == "fallback") {
      const auto stage = stage_of(value);
      if (!stage) return where + " " + key + " in syzygy.toml must be \"pre_deploy\" or \"post_deploy\"";
      (key == "override" ? group.override_all : group.fallback_all) = stage;
    } else {
      return where + " " + key + " in syzygy.toml is not known; there are files, fallback, override";
    }
  }
  if (group.files.empty()) return where + " in syzygy.toml names no files: files = [\"vendor/*\"]";
  if (!group.override_all && !group.fallback_all) {
    return where + " in syzygy.toml gives no stage: fallback = \"pre_deploy\" (or override)";
  }
  return {};
}

// [stages] of syzygy.toml: new_constraint, [stages.override], [stages.fallback] and [stages.group.NAME].
std::string read_stages(const toml::table& file, StageRules& rules) {
  const toml::node* node = file.get("stages");
  if (node == nullptr) return {};
  const toml::table* stages = node->as_table();
  if (stages == nullptr) return "[stages] in syzygy.toml is not a table";
  const auto wrong = [](const std::string& key) {
    return "[stages] " + key + " in syzygy.toml must be \"pre_deploy\" or \"post_deploy\"";
  };
  for (const auto& [key_node, value] : *stages) {
    const std::string key(key_node.str());
    if (key == "new_constraint") {
      const auto stage = stage_of(value);
      if (!stage) return wrong(key);
      rules.new_constraint = *stage;
    } else if (key == "override" || key == "fallback") {
      const toml::table* table = value.as_table();
      if (table == nullptr) return "[stages." + key + "] in syzygy.toml is not a table";
      for (const auto& [id, text] : *table) {
        const auto stage = stage_of(text);
        if (!stage) return wrong(key + "." + std::string(id.str()));
        if (id.str() == "*") {
          (key == "override" ? rules.override_all : rules.fallback_all) = stage;
        } else {
          (key == "override" ? rules.overrides : rules.fallbacks)[std::string(id.str())] = *stage;
        }
      }
    } else if (key == "group") {
      const toml::table* groups = value.as_table();
      if (groups == nullptr) return "[stages] group in syzygy.toml is not a table; write [stages.group.NAME]";
      for (const auto& [name, group] : *groups) {
        if (std::string why = read_stage_group(std::string(name.str()), group, rules.groups.emplace_back());
            !why.empty()) {
          return why;
        }
      }
    } else {
      return "[stages] " + key + " in syzygy.toml is not known; there are override, fallback, group, new_constraint";
    }
  }
  return {};
}

// [lint.severity] of syzygy.toml: rule = "off", "note", "warning" or "error".
std::string read_severities(const toml::table& file, std::vector<std::pair<std::string, std::string>>& severities) {
  const toml::node* node = file["lint"]["severity"].node();
  if (node == nullptr) return {};
  const toml::table* table = node->as_table();
  if (table == nullptr) return "[lint.severity] in syzygy.toml is not a table";
  for (const auto& [rule, level] : *table) {
    const auto* text = level.as_string();
    if (text == nullptr) return "[lint.severity] " + std::string(rule.str()) + " in syzygy.toml must be a text";
    severities.emplace_back(rule.str(), text->get());
  }
  return {};
}

struct File {
  toml::table table;
  std::string wrong;
};

File read_file(const std::string& path, bool must_exist) {
  File file;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    if (must_exist) file.wrong = "the configuration file " + path + " does not exist";
    return file;
  }
  constexpr std::size_t kBytesMax = 1 << 20;
  std::ifstream in(path, std::ios::binary);
  std::string text(kBytesMax + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.empty() && (std::filesystem::is_directory(path, ignored) || !in.is_open())) {
    file.wrong = "the configuration file " + path +
                 " cannot be read: " + (in.is_open() ? "it is a directory" : "this user may not read it");
    return file;
  }
  if (text.size() > kBytesMax) {
    file.wrong = "the configuration file " + path + " is larger than 1 MiB: it cannot be the right file";
    return file;
  }
  try {
    file.table = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    std::ostringstream where;
    where << path << ":" << error.source().begin.line << ":" << error.source().begin.column << ": "
          << error.description();
    file.wrong = where.str();
  } catch (const std::exception& error) {
    file.wrong = path + " cannot be read: " + error.what();
  }
  return file;
}

// A key that no command knows is a mistake that would otherwise go unseen.
std::string unknown_key(const toml::table& file, const std::map<std::string, std::set<std::string>>& keys) {
  std::set<std::string> all;
  for (const auto& [command, known] : keys) all.insert(known.begin(), known.end());
  for (const auto& [node, value] : file) {
    const std::string key(node.str());
    if (key == "stages") continue;
    if (const auto section = keys.find(key); section != keys.end() && value.is_table()) {
      for (const auto& [inner, unused] : *value.as_table()) {
        if (key == "lint" && inner.str() == "severity") continue;
        if (!section->second.contains(std::string(inner.str()))) {
          return "the key " + std::string(inner.str()) + " under [" + key +
                 "] in syzygy.toml is not known; see syzygy " + key + " --help";
        }
      }
      continue;
    }
    if (!all.contains(key)) return "the key " + key + " in syzygy.toml is not known; see syzygy --help";
  }
  return {};
}

// The first word that is no flag must be a command: CLI11 would only say that one is missing.
std::string unknown_command(const CLI::App& app, int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--config") ++i;
    if (word.starts_with('-')) continue;
    std::string names;
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) {
      if (sub->get_name() == word) return {};
      names += (names.empty() ? "" : ", ") + sub->get_name();
    }
    return "syzygy: there is no command \"" + printable(word) + "\"; there are " + names + "\nSee: syzygy --help\n";
  }
  return {};
}

std::string help_hint(const std::string& command) {
  return "\nSee: syzygy " + (command.empty() ? "" : command + " ") + "--help\n";
}

// What goes to the daemon as text must be text: Protobuf drops anything else on the way, and the daemon's answer would
// be about that. Paths, addresses and the wrapped command are bytes, and stay here.
std::string not_text(const Settings& s) {
  std::vector<std::pair<std::string, std::string>> texts{
      {"the target", s.target}, {"the party", s.party},       {"the party", s.excuse_party},
      {"--release", s.release}, {"--reason", s.reason},       {"--actor", s.actor},
      {"--round", s.round},     {"--plan-hash", s.plan_hash}, {"--incarnation", s.incarnation},
      {"--app", s.application},
  };
  for (const std::string& party : s.expect) texts.emplace_back("a party of --expect", party);
  for (const auto& [what, text] : texts) {
    if (!is_utf8(text)) return what + " \"" + printable(text) + "\" is not valid UTF-8";
  }
  return {};
}

}  // namespace

std::optional<Duration> parse_duration(const std::string& text) {
  static const std::map<std::string, std::int64_t> kUnits{
      {"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}, {"d", 86'400'000}};
  constexpr std::int64_t kMax = std::int64_t{30} * 86'400'000;
  std::int64_t total = 0;
  std::size_t at = 0;
  if (text.empty()) return std::nullopt;
  while (at < text.size()) {
    std::int64_t value = 0;
    const std::size_t digits = at;
    while (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at])) != 0) {
      value = value * 10 + (text[at++] - '0');
      if (value > kMax) return std::nullopt;
    }
    if (at == digits) return std::nullopt;
    std::string unit;
    while (at < text.size() && std::isalpha(static_cast<unsigned char>(text[at])) != 0) unit.push_back(text[at++]);
    if (unit.empty() && digits == 0 && at == text.size()) unit = "s";
    const auto scale = kUnits.find(unit);
    if (scale == kUnits.end()) return std::nullopt;
    total += value * scale->second;
    if (total > kMax) return std::nullopt;
  }
  return Duration{total};
}

std::variant<Settings, Ends> parse_command_line(int argc, const char* const* argv,
                                                const std::function<const char*(const std::string&)>& environment) {
  Settings s;
  CLI::App app{
      "syzygy: migrations that run once, when every cluster is there, and release everybody the moment they stand",
      "syzygy"};
  app.footer(kFooter);
  app.set_version_flag("--version", "syzygy " + std::string(kVersion));
  std::string config;
  app.add_option("--config", config, "Configuration file [syzygy.toml in this directory, if it is there]")
      ->envname("SYZYGY_CONFIG");
  app.require_subcommand(1);
  app.fallthrough(false);

  std::map<std::string, Flags> commands;
  const auto command = [&](CLI::App& parent, const std::string& name, const std::string& help,
                           const std::string& path) {
    CLI::App* sub = parent.add_subcommand(name, help);
    const auto entry = commands.emplace(path, Flags(sub)).first;
    return std::pair<CLI::App*, Flags*>(sub, &entry->second);
  };

  {
    auto [sub, flags] =
        command(app, "migrate", "Gather the clusters, apply what is pending once, release everybody", "migrate");
    add_round(*flags, s);
    add_database(*flags, s);
    add_directory(*flags, s);
    add_daemon(*flags, s);
    add_output(*flags, s);
    flags->yes("--pre-deploy", s.pre_deploy, "Only what old code survives: before the deployment");
    flags->yes("--post-deploy", s.post_deploy, "Only what had to wait: after the deployment");
    flags->yes("--plan", s.plan_only, "Show the plan (order, stage, hash) and change nothing");
    flags->text("--to", s.to, "Forwards, up to and including this migration");
    flags->text("--revert-to", s.revert_to, "Backwards: revert everything above this migration (zero: all)");
    flags->yes("--allow-out-of-order", s.allow_out_of_order, "Apply pending migrations below the highest applied one");
    flags->duration("--lock-timeout", s.lock_timeout,
                    "How long a statement may wait for a lock before the transaction is retried [500ms]");
    flags->duration("--apply-timeout", s.apply_timeout, "Stop an apply that runs longer [no limit]");
    flags
        ->one_of("--on-blocked", s.on_blocked, "When an old applier's session still runs: wait or terminate it",
                 {"wait", "terminate"})
        ->capture_default_str();
    flags->yes("--break-glass", s.break_glass,
               "The daemon is down and this cannot wait: apply alone, behind the fence (needs --reason)");
    flags->yes("--attest-stopped", s.attest_stopped,
               "With --break-glass: I made sure that the unfenced run before has ended");
    flags->yes("--ignore-gate", s.ignore_gate, "With --break-glass: also apply post-deploy steps");
    add_actor(*flags, s);
  }
  {
    auto [sub, flags] = command(app, "exec", "Gather the clusters, run any command once, release everybody", "exec");
    add_round(*flags, s);
    add_database(*flags, s);
    add_daemon(*flags, s);
    flags->text("--plan-hash", s.plan_hash,
                "What the command would apply: any text that changes when it does, e.g. a build's id");
    flags->yes("--pre-deploy", s.pre_deploy, "This run belongs before the deployment");
    flags->yes("--post-deploy", s.post_deploy, "This run belongs after the deployment");
    flags->yes("--again", s.again, "Run it although the same plan hash was the last that succeeded here");
    flags->yes("--checked", s.checked, "I know by myself that this is pending");
    flags
        ->one_of("--on-applier-lost", s.on_applier_lost,
                 "When the process that runs it is lost: stop, or retry elsewhere", {"stop", "retry"})
        ->capture_default_str();
    flags
        ->one_of(
            "--mode", s.mode,
            "What tells the database of a stale run: settings (of the session, which nobody looks at), reject (the "
            "guard must be there: syzygy guard install), require (it must also refuse DDL without a token)",
            {"settings", "reject", "require"})
        ->capture_default_str();
    flags->duration("--apply-timeout", s.apply_timeout, "Stop a command that runs longer [no limit]");
    sub->add_option("command", s.child, "The command and its arguments, after --")->required();
    sub->positionals_at_end();
  }
  {
    auto [sub, flags] = command(app, "status", "Who is here, who is missing, who applies, which step", "status");
    add_target(*flags, s);
    add_daemon(*flags, s);
    add_output(*flags, s);
    flags->yes("--watch", s.watch, "Stay, and show each change");
  }
  {
    CLI::App* target = app.add_subcommand("target", "Pin a quorum, excuse a party, rebind a target");
    target->require_subcommand(1);
    auto [set, set_flags] =
        command(*target, "set", "Pin the quorum or the roster of a target on the server", "target set");
    set->add_option("target", s.positional_target, "The target")->required();
    set_flags->number("--quorum", s.quorum, "How many clusters must be here");
    set_flags->list("--expect", s.expect, "Exactly which clusters must be here");
    set_flags->yes("--clear", s.clear_pin, "Remove the pin");
    add_actor(*set_flags, s);
    add_daemon(*set_flags, s);
    add_output(*set_flags, s);
    auto [excuse, excuse_flags] = command(*target, "excuse", "Go on without a party for a time", "target excuse");
    excuse->add_option("target", s.positional_target, "The target")->required();
    excuse->add_option("party", s.excuse_party, "The party that is not waited for")->required();
    excuse_flags->duration("--for", s.excuse_for, "For how long, e.g. 2h");
    excuse_flags->yes("--end", s.excuse_end, "End the excuse now");
    add_actor(*excuse_flags, s);
    add_daemon(*excuse_flags, s);
    add_output(*excuse_flags, s);
    auto [rebind, rebind_flags] = command(
        *target, "rebind", "The target's database was restored, cloned or moved: bind it anew", "target rebind");
    rebind->add_option("target", s.positional_target, "The target")->required();
    add_database(*rebind_flags, s);
    add_actor(*rebind_flags, s);
    add_daemon(*rebind_flags, s);
    add_output(*rebind_flags, s);
  }
  {
    CLI::App* history = app.add_subcommand("history", "What was applied, by whom, when; adopt, accept and repair");
    auto& flags = commands.emplace("history", Flags(history)).first->second;
    add_target(flags, s);
    add_database(flags, s);
    add_daemon(flags, s);
    add_output(flags, s);
    history->require_subcommand(0, 1);
    auto [adopt, adopt_flags] = command(*history, "adopt", "Take over what another tool applied", "history adopt");
    adopt_flags->text("--at", s.at, "Everything up to this migration counts as applied [read the other tool's table]");
    add_target(*adopt_flags, s);
    add_database(*adopt_flags, s);
    add_directory(*adopt_flags, s);
    add_actor(*adopt_flags, s);
    add_output(*adopt_flags, s);
    auto [accept, accept_flags] =
        command(*history, "accept", "A file that was applied has changed, and that is well", "history accept");
    accept->add_option("migration", s.step, "The migration, e.g. 0003")->required();
    add_target(*accept_flags, s);
    add_database(*accept_flags, s);
    add_directory(*accept_flags, s);
    add_actor(*accept_flags, s);
    add_output(*accept_flags, s);
    auto [repair, repair_flags] =
        command(*history, "repair",
                "A migration outside a transaction was cut off; I looked, and it may run again (with a daemon: syzygy "
                "resolve)",
                "history repair");
    repair->add_option("migration", s.step, "The migration, e.g. 0003")->required();
    add_database(*repair_flags, s);
    add_actor(*repair_flags, s);
  }
  {
    CLI::App* guard =
        app.add_subcommand("guard", "The trigger in a PostgreSQL target that refuses stale wrapped tools");
    auto& flags = commands.emplace("guard", Flags(guard)).first->second;
    add_database(flags, s);
    add_output(flags, s);
    guard->require_subcommand(0, 1);
    auto [install, install_flags] =
        command(*guard, "install", "Create it, or replace it (as a superuser)", "guard install");
    add_database(*install_flags, s);
    install_flags
        ->one_of("--mode", s.guard_mode, "reject: DDL with a stale token; require: also DDL without one",
                 {"reject", "require"})
        ->capture_default_str();
    install_flags->list("--allow-role", s.allow_roles, "Login roles whose DDL needs no token, with --mode require");
    install_flags->yes("--print", s.print_only, "Print the SQL for a superuser, and change nothing");
    add_actor(*install_flags, s);
    auto [remove, remove_flags] = command(*guard, "remove", "Remove it (as a superuser)", "guard remove");
    add_database(*remove_flags, s);
    add_actor(*remove_flags, s);
  }
  {
    auto [sub, flags] = command(app, "sever", "Dissolve a gathering round, or ask a running one to stop", "sever");
    add_target(*flags, s);
    flags->text("--round", s.round, "The round [the one that holds the target, else all that gather]");
    add_actor(*flags, s);
    add_daemon(*flags, s);
    add_output(*flags, s);
  }
  {
    auto [sub, flags] = command(app, "leave", "Take a process out of its round", "leave");
    add_target(*flags, s);
    flags->text("--incarnation", s.incarnation, "The process, as syzygy status --output json names it");
    add_actor(*flags, s);
    add_daemon(*flags, s);
    add_output(*flags, s);
  }
  {
    auto [sub, flags] = command(app, "resolve", "Say how an INDETERMINATE round ended, after having looked", "resolve");
    add_target(*flags, s);
    add_database(*flags, s);
    flags->text("--round", s.round, "The round [the INDETERMINATE one]");
    flags->one_of("--as", s.verdict, "How it ended, where the target itself does not say", {"succeeded", "failed"});
    flags->number("--revision", s.revision, "The target's revision that you saw [the present one]");
    flags->yes("--attest-stopped", s.attest_stopped,
               "I made sure that processes and sessions of the lost run are gone");
    flags->yes("--attest-database-gone", s.attest_database_gone, "The database no longer exists");
    add_actor(*flags, s);
    add_daemon(*flags, s);
    add_output(*flags, s);
  }
  {
    auto [sub, flags] = command(app, "doctor", "Check what usually goes wrong, and say what to type next", "doctor");
    add_target(*flags, s);
    flags->text("--party", s.party, "The name of this cluster");
    add_database(*flags, s);
    add_directory(*flags, s);
    add_daemon(*flags, s);
    add_output(*flags, s);
  }

  {
    auto [sub, flags] =
        command(app, "lint", "What in these migrations breaks code, blocks, rewrites or loses data", "lint");
    sub->add_option("path", s.paths, "The migrations directory [--dir], or files of it: then only those");
    add_directory(*flags, s);
    flags->text("--since", s.since, "Only migrations that changed since this git revision, e.g. origin/main");
    add_database(*flags, s);
    flags->list("--include", s.include, "Only files that match one of these globs");
    flags->list("--exclude", s.exclude, "No files that match one of these globs");
    flags->text("--baseline", s.baseline, "Leave out the findings that this file lists");
    flags->text("--write-baseline", s.write_baseline, "Write all findings to this file, and end well");
    flags->list("--severity", s.lint_severity, "RULE=off|note|warning|error, over [lint.severity] in syzygy.toml");
    flags->yes("--warnings-as-errors", s.warnings_as_errors, "End with 1 on warnings, too");
    flags->yes("--quality", s.quality, "Also what is only bad taste: json, char(n), keys of 32 bits ...");
    flags->yes("--one-phase", s.one_phase, "Judge as if everything ran before the deployment, as other tools apply it");
    flags->one_of("--dialect", s.dialect, "postgresql or sqlite [by --database, else postgresql]",
                  {"postgresql", "sqlite"});
    flags->number("--server-version", s.server_version, "PostgreSQL's major version [asked with --database, else 15]");
    flags
        ->one_of("--output", s.output, "text, json, sarif, github, gitlab or junit",
                 {"text", "json", "sarif", "github", "gitlab", "junit"})
        ->capture_default_str();
    sub->footer("Exit codes: 0 clean, 1 findings, 2 it could not run.");
  }
  {
    CLI::App* sub =
        app.add_subcommand("explain", "What a hazard is, its lock, the safe form; without a name, all of them");
    commands.emplace("explain", Flags(sub));
    sub->add_option("rule", s.rule, "Its name, or what django-migration-linter or squawk call it");
  }

  const auto add_dialect = [&](Flags& flags) {
    flags.one_of("--dialect", s.dialect, "postgresql or sqlite [by --database, else postgresql]",
                 {"postgresql", "sqlite"});
  };
  {
    auto [sub, flags] =
        command(app, "plan", "What runs now, in which order, what is held back, and why; changes nothing", "plan");
    sub->add_option("directory", s.positional_directory, "The migrations directory [--dir]");
    add_target(*flags, s);
    add_database(*flags, s);
    add_directory(*flags, s);
    add_output(*flags, s);
    add_dialect(*flags);
    flags->yes("--pre-deploy", s.pre_deploy, "Only what old code survives: before the deployment");
    flags->yes("--post-deploy", s.post_deploy, "Only what had to wait: after the deployment");
    flags->text("--to", s.to, "Forwards, up to and including this migration");
    flags->text("--revert-to", s.revert_to, "Backwards: revert everything above this migration (zero: all)");
    flags->yes("--allow-out-of-order", s.allow_out_of_order, "Apply pending migrations below the highest applied one");
    flags->text("--since", s.since, "Without --database: what is on this git revision counts as applied");
    sub->footer(R"(Examples:
  syzygy plan migrations/ --pre-deploy                          # as on an empty database
  syzygy plan migrations/ --pre-deploy --since origin/main      # what this branch adds
  syzygy plan --target orders --database postgresql://... --dir migrations --pre-deploy --output json

The plan hash is what `syzygy migrate` would bring to the daemon; it needs --target and --database.
Exit codes: 0 there is a plan (also an empty one), 2 usage, 65 the plan cannot be made, 66 the database.)");
  }
  {
    auto [sub, flags] = command(app, "split", "Write a migration as its pre-deploy and post-deploy halves", "split");
    sub->add_option("file", s.file, "The migration's file");
    add_database(*flags, s);
    add_directory(*flags, s);
    add_dialect(*flags);
    flags->yes("--check", s.check, "Write nothing; exit 1 if there is something to split");
    flags->yes("--diff", s.diff, "Write nothing; show what would be written");
    flags->yes("--organize", s.organize, "Only sort the statements into the halves; rewrite none");
    flags->each("--default", s.bridging_defaults,
                "COLUMN=EXPRESSION (or TABLE.COLUMN=, or for all EXPRESSION): what rows get until the deployment is "
                "through");
    flags->one_of("--stage", s.unclear_stage,
                  "Where statements go whose stage cannot be told: pre_deploy or post_deploy",
                  {"pre_deploy", "post_deploy"});
    flags->yes("--bridge-renames", s.bridge_renames,
               "Let both names work until the post-deploy half drops the old one");
    flags->yes("--drop-defaults", s.drop_defaults, "The code holds the defaults of new columns: drop them afterwards");
    flags->text("--finish", s.finish, "Finish an interrupted split of this directory");
    sub->footer(R"(Examples:
  syzygy split migrations/0007_drop_email.sql                   # writes the halves
  syzygy split migrations/0007_drop_email.sql --diff            # looks first
  syzygy split migrations/0008_phone.sql --default "phone=''"   # NOT NULL without a default needs one for a while
  syzygy split migrations/0009_mixed.sql --organize             # sorts, rewrites nothing
  syzygy split migrations/0010_rename.sql --bridge-renames      # both names work between the halves

Only for migrations that were applied nowhere yet. Columns are known from the migrations before it, or from --database.
Exit codes: 0 written, or nothing to split; 1 with --check: there is something to split; 2 usage; 65 it cannot be split.)");
  }
  {
    auto [sub, flags] =
        command(app, "check", "Can this branch ship in one pre-deploy, deploy, post-deploy? Else why not", "check");
    sub->add_option("directory", s.positional_directory, "The migrations directory [--dir]");
    flags->text("--base", s.base, "The git revision that it will be merged into, e.g. origin/main");
    add_directory(*flags, s);
    add_dialect(*flags);
    flags->one_of("--output", s.output, "text, json or github", {"text", "json", "github"})->capture_default_str();
    sub->footer(R"(Examples:
  syzygy check migrations/ --base origin/main
  syzygy check migrations/ --base origin/main --output github   # annotations on the pull request

Exit codes: 0 it can, 2 it could not be found out (usage, git), 65 it cannot.)");
  }

  // Also behind the command, where one writes all the others.
  for (const auto& [path, flags] : commands) flags.accept_config(config);

  if (const std::string wrong = unknown_command(app, argc, argv); !wrong.empty()) return Ends{2, wrong};
  std::string chosen;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream out, err;
    const bool asked = error.get_exit_code() == 0;
    app.exit(error, out, err);
    if (asked) return Ends{0, out.str()};
    // What was wrong (perhaps a word with control characters in it), then where to look.
    const std::string text = err.str();
    const std::string wrong = text.substr(0, std::min(text.rfind("\nRun with "), text.find_last_not_of('\n') + 1));
    for (auto within = app.get_subcommands(); !within.empty(); within = within.front()->get_subcommands()) {
      chosen += (chosen.empty() ? "" : " ") + within.front()->get_name();
    }
    return Ends{2, "syzygy: " + shown(wrong) + help_hint(chosen)};
  }
  const CLI::App* picked = app.get_subcommands().front();
  s.command = picked->get_name();
  chosen = s.command;
  if (const auto nested = picked->get_subcommands(); !nested.empty()) {
    s.subcommand = nested.front()->get_name();
    chosen += " " + s.subcommand;
  }

  const File file = read_file(config.empty() ? "syzygy.toml" : config, !config.empty());
  if (!file.wrong.empty()) return Ends{2, "syzygy: " + shown(file.wrong) + "\n"};
  std::map<std::string, std::set<std::string>> keys;
  for (const auto& [path, flags] : commands) flags.keys(keys[path.substr(0, path.find(' '))]);
  if (const std::string wrong = unknown_key(file.table, keys); !wrong.empty())
    return Ends{2, "syzygy: " + shown(wrong) + "\n"};
  if (const std::string wrong = read_stages(file.table, s.stages); !wrong.empty())
    return Ends{2, "syzygy: " + shown(wrong) + "\n"};
  if (const std::string wrong = read_severities(file.table, s.lint_severities); !wrong.empty())
    return Ends{2, "syzygy: " + shown(wrong) + "\n"};
  if (const std::string wrong = commands.at(chosen).fill(environment, file.table, s.command); !wrong.empty()) {
    return Ends{2, "syzygy: " + shown(wrong) + help_hint(chosen)};
  }
  if (!s.ca_file.empty()) s.tls = true;
  if (!s.positional_target.empty()) s.target = s.positional_target;
  if (const std::string wrong = not_text(s); !wrong.empty()) return Ends{2, "syzygy: " + wrong + help_hint(chosen)};
  return s;
}

}  // namespace syzygy::cli
