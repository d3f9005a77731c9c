// syzygy lint DIR: reads the directory, chooses what to look at, and prints what the rules say.
#include <malloc.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "base/name.h"
#include "client/cli/baseline.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/lint_catalogue.h"
#include "client/cli/lint_directory.h"
#include "client/cli/lint_git.h"
#include "client/cli/lint_output.h"
#include "client/cli/migrations.h"
#include "migration/rules/linter.h"
#include "migration/source/files.h"

namespace syzygy::cli {
namespace {

namespace fs = std::filesystem;

int refuse(const Context& context, const std::string& why) { return fail(context, kExitUsage, why); }

bool matches(const std::vector<std::string>& globs, const std::string& path) {
  return std::ranges::any_of(globs, [&](const std::string& glob) { return names_file(glob, path); });
}

std::string canonical(const std::string& path) {
  std::error_code failed;
  const fs::path real = fs::canonical(path, failed);
  return failed ? path : real.string();
}

// What is looked at: a directory and, where not all of it, the files.
struct Scope {
  std::string directory;
  std::set<std::string> files;
};

Result<Scope> scope_of(const Settings& settings) {
  const auto refuse = [](std::string why) {
    return failure(ErrorCode::kInvalidArgument, "LINT_PATHS", std::move(why));
  };
  // What cannot be looked at (links in a circle, no right to) is none of these; who reads the directory says why.
  const auto kind_of = [](const std::string& path) {
    std::error_code failed;
    return fs::status(path, failed).type();
  };
  Scope scope;
  if (settings.paths.size() == 1 && (kind_of(settings.paths.front()) == fs::file_type::directory ||
                                     kind_of(settings.paths.front()) == fs::file_type::none)) {
    scope.directory = settings.paths.front();
    return scope;
  }
  for (const std::string& path : settings.paths) {
    if (kind_of(path) == fs::file_type::directory)
      return refuse(path + " is a directory; give one directory, or files of one");
    if (kind_of(path) == fs::file_type::not_found || kind_of(path) == fs::file_type::none)
      return refuse(path + ": there is no such file or directory; give a migrations directory");
    scope.files.insert(canonical(path));
  }
  // Files come alone, from a hook: --dir says what they are part of, else it is the directory that they are in.
  const auto below = [](const std::string& directory, const std::string& file) {
    return (file + "/").starts_with(canonical(directory) + "/");
  };
  scope.directory = settings.dir;
  const auto all_below = [&] {
    return std::ranges::all_of(scope.files, [&](const auto& file) { return below(scope.directory, file); });
  };
  if (!scope.files.empty() && (scope.directory.empty() || !all_below())) {
    scope.directory = fs::path(settings.paths.front()).parent_path().string();
    if (scope.directory.empty()) scope.directory = ".";
    if (!all_below())
      return refuse("the files are of several directories; lint each by itself, or name theirs by --dir");
  }
  if (scope.directory.empty()) {
    return refuse(
        "the migrations directory is missing: syzygy lint migrations/, or dir = \"migrations\" in syzygy.toml");
  }
  return scope;
}

// The severities of syzygy.toml and of --severity RULE=LEVEL, which wins.
Result<std::map<std::string, Severity>> severities(const Settings& settings) {
  std::map<std::string, Severity> chosen;
  const auto set = [&](const std::string& name, const std::string& level) -> Result<void> {
    const Rule* rule = find_rule(name);
    const auto severity = severity_of(level);
    if (rule == nullptr) {
      return failure(ErrorCode::kInvalidArgument, "RULE_UNKNOWN",
                     "there is no rule \"" + printable(name) + "\" to set the severity of; see syzygy explain");
    }
    if (!severity) {
      return failure(
          ErrorCode::kInvalidArgument, "SEVERITY_UNKNOWN",
          "\"" + printable(level) + "\" is no severity of " + name + "; there are off, note, warning, error");
    }
    chosen[std::string(rule->id)] = *severity;
    return {};
  };
  for (const auto& [name, level] : settings.lint_severities) {
    if (auto done = set(name, level); !done) return std::unexpected(done.error());
  }
  for (const std::string& given : settings.lint_severity) {
    const auto equals = given.find('=');
    const std::string level = equals == std::string::npos ? "" : given.substr(equals + 1);
    if (auto done = set(given.substr(0, equals), level); !done) return std::unexpected(done.error());
  }
  return chosen;
}

// What the database has not applied yet, by its own history.
Result<std::set<std::string>> applied_in(const Context& context) {
  auto target = migration::open_target(context.settings.database, target_options(context));
  if (!target) return std::unexpected(target.error());
  const auto snapshot = (*target)->snapshot();
  if (!snapshot) return std::unexpected(snapshot.error());
  if (const auto refusal = migration::refuses_unadopted(*snapshot)) return std::unexpected(*refusal);
  std::set<std::string> ids;
  for (const AppliedStep& step : migration::applied_steps(*snapshot)) ids.insert(step.id.value);
  return ids;
}

}  // namespace

int run_lint(const Context& context) {
#ifdef __GLIBC__
  // The parser takes and gives back its memory in blocks for every statement: not to the system each time.
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
  ::mallopt(M_TOP_PAD, 16 << 20);
  ::mallopt(M_MMAP_THRESHOLD, 256 << 20);
  ::mallopt(M_MXFAST, 0);
#endif
  const Settings& settings = context.settings;
  const auto scope = scope_of(settings);
  if (!scope) return refuse(context, scope.error().message);
  const std::string& directory = scope->directory;
  LintOptions options;
  options.dialect = settings.dialect == "sqlite"       ? Dialect::kSqlite
                    : settings.dialect == "postgresql" ? Dialect::kPostgres
                                                       : dialect_of(settings.database);
  options.stages = settings.stages;
  options.one_phase = settings.one_phase;
  options.quality = settings.quality;
  if (settings.server_version) {
    options.server = *settings.server_version;
    options.server_known = true;
  }
  auto chosen = severities(settings);
  if (!chosen) return refuse(context, chosen.error().message);
  options.severities = std::move(*chosen);

  const auto listing = read_what_can_be_read(directory, {options.dialect, settings.format});
  if (!listing) return refuse(context, listing.error().message);
  const std::vector<Migration>& migrations = listing->migrations;

  std::vector<bool> selected(migrations.size(), true);
  const auto keep = [&](auto&& wanted) {
    for (std::size_t i = 0; i < migrations.size(); ++i) selected[i] = selected[i] && wanted(migrations[i]);
  };
  if (!scope->files.empty()) {
    keep([&](const Migration& migration) { return scope->files.contains(canonical(migration.up.path)); });
  }
  if (!settings.include.empty()) {
    keep([&](const Migration& migration) { return matches(settings.include, migration.up.path); });
  }
  keep([&](const Migration& migration) { return !matches(settings.exclude, migration.up.path); });
  std::optional<std::set<std::string>> changed;
  if (!settings.since.empty()) {
    auto since = changed_since(directory, settings.since);
    if (!since) return refuse(context, since.error().message);
    changed = std::move(*since);
    keep([&](const Migration& migration) {
      return changed->contains(fs::path(migration.up.path).lexically_relative(directory).string());
    });
    options.one_plan = true;
  }
  Catalogue catalogue;
  if (!settings.database.empty()) {
    const auto applied = applied_in(context);
    if (!applied) return refuse(context, applied.error().message);
    keep([&](const Migration& migration) {
      return std::ranges::none_of(*applied, [&](const std::string& id) { return same_id(StepId{id}, migration.id); });
    });
    options.one_plan = true;
    if (options.dialect == Dialect::kPostgres) {
      auto read = read_catalogue(settings.database);
      if (!read) return refuse(context, read.error().message);
      catalogue = std::move(*read);
      options.catalogue = &catalogue.schema;
      options.server = catalogue.server;
      options.server_known = true;
    }
  }

  options.unseen = !listing->refused.empty();
  LintReport report = lint(migrations, selected, options);
  for (const Error& error : listing->refused) {
    auto finding = refused_file(error, options);
    if (!finding || matches(settings.exclude, finding->file)) continue;
    if (!settings.include.empty() && !matches(settings.include, finding->file)) continue;
    if (!scope->files.empty() && !scope->files.contains(canonical(finding->file))) continue;
    if (changed && !changed->contains(fs::path(finding->file).lexically_relative(directory).string())) continue;
    report.findings.push_back(std::move(*finding));
  }
  LintView view{report, std::vector<bool>(report.findings.size(), true), {}};
  Fingerprints known;
  if (!settings.baseline.empty()) {
    auto read = read_baseline(settings.baseline);
    if (!read) return refuse(context, read.error().message);
    known = std::move(*read);
  }
  for (std::size_t i = 0; i < report.findings.size(); ++i) {
    const Finding& finding = report.findings[i];
    view.shown[i] = !finding.ignored_because && !known.contains(finding.fingerprint);
    auto& count = finding.ignored_because                  ? view.counts.ignored
                  : !view.shown[i]                         ? view.counts.known
                  : finding.severity == Severity::kError   ? view.counts.errors
                  : finding.severity == Severity::kWarning ? view.counts.warnings
                                                           : view.counts.notes;
    ++count;
  }
  if (!settings.write_baseline.empty()) {
    std::ofstream file(settings.write_baseline, std::ios::trunc);
    if (!(file << baseline_of(report)).flush()) {
      return refuse(context, "the baseline " + settings.write_baseline + " cannot be written");
    }
    context.narrator.say("wrote " + std::to_string(view.counts.errors + view.counts.warnings + view.counts.known) +
                         " findings to " + settings.write_baseline + "; pass --baseline " + settings.write_baseline +
                         " from now on");
    return kExitOk;
  }
  bool written = true;
  render(view, settings.output, [&](std::string_view piece) {
    written = written && std::fwrite(piece.data(), 1, piece.size(), stdout) == piece.size();
  });
  if (!written || std::fflush(stdout) != 0) {
    return refuse(context, "the findings cannot be written to standard output");
  }
  const bool bad = view.counts.errors > 0 || (settings.warnings_as_errors && view.counts.warnings > 0);
  return bad ? kExitFindings : kExitOk;
}

}  // namespace syzygy::cli
