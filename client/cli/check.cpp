// syzygy check --base origin/main: can this branch ship in one pre-deploy, deploy, post-deploy? Else why not.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/name.h"
#include "base/shown.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/lint_git.h"
#include "client/cli/migrations.h"
#include "migration/source/formats.h"
#include "migration/source/text.h"

namespace syzygy::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

struct Problem {
  std::string reason;
  std::string file;  // empty: the directory as a whole
  std::string line = "1";
  std::string message;
};

struct Verdict {
  std::vector<Problem> problems;
  std::vector<std::string> before;  // the files, in their order
  std::vector<std::string> after;
};

Problem problem_of(const Error& error) {
  const auto of = [&](const std::string& key) {
    const auto found = error.metadata.find(key);
    return found == error.metadata.end() ? std::string() : found->second;
  };
  Problem problem{error.reason, of("file").empty() ? of("path") : of("file"), "1", shown_lines(error.message)};
  if (!of("line").empty() && of("line") != "0") problem.line = of("line");
  return problem;
}

bool is_migration(std::string_view name) { return name.ends_with(".sql"); }

// Flyway's: its next text is run as well, so it may change and go.
bool is_repeatable(const std::string& name) { return fs::path(name).filename().string().starts_with("R__"); }

// What is merged may be applied somewhere already.
void look_at_merged(const BranchFiles& files, const std::string& directory, const std::string& base,
                    std::vector<Problem>& problems) {
  const auto add = [&](const std::string& name, std::string reason, const std::string& what) {
    if (!is_migration(name) || is_repeatable(name)) return;
    const std::string path = shown((fs::path(directory) / name).string());
    problems.push_back({std::move(reason), path, "1",
                        shown(path + ": this migration is on " + base + " already, and " + what +
                              ": databases that applied it will never run the new text. Restore it (git checkout " +
                              base + " -- " + path + "), and write what is to change as a new migration")});
  };
  for (const std::string& name : files.changed) add(name, "MERGED_CHANGED", "this branch changes it");
  for (const std::string& name : files.removed) add(name, "MERGED_REMOVED", "this branch removes or renames it");
}

// The directory as it will be: the work tree, with what came to the base meanwhile.
Result<Listing> as_merged(const Settings& settings, const BranchFiles& files, Dialect dialect,
                          std::vector<Problem>& problems) {
  auto listing = list_directory(settings.dir, {dialect, settings.format});
  if (!listing) return listing;
  for (const auto& [name, bytes] : files.merged) {
    if (files.added.contains(name)) {
      const std::string path = (fs::path(settings.dir) / name).string();
      if (is_migration(name)) {
        problems.push_back(
            {"MERGED_CHANGED", path, "1",
             shown(path + ": " + settings.base + " has got a migration of this name as well; rebase on " +
                   settings.base + ", and give this one another number")});
      }
      continue;
    }
    if (!is_migration(name)) continue;
    auto text = clean_text(bytes, name);
    if (!text) continue;  // the base's own trouble
    SourceFile file{name, fs::path(settings.dir) / name, std::move(*text), {}};
    if (file.text != bytes) file.bytes = bytes;
    listing->files.push_back(std::move(file));
  }
  std::ranges::sort(listing->files, {}, &SourceFile::name);
  if (!files.merged.empty() && listing->others.contains("atlas.sum")) {
    listing->others["atlas.sum"] = atlas_sum(*listing);  // git itself makes a conflict of that file
  }
  return listing;
}

void make_plans(const Settings& settings, const std::vector<Migration>& migrations, const BranchFiles& files,
                Verdict& verdict) {
  PlanRequest request = plan_request(settings);
  request.stage = PlanStage::kPreDeploy;
  std::vector<AppliedStep> applied;
  for (const Migration& migration : migrations) {
    const std::string name = fs::path(migration.up.path).lexically_relative(settings.dir).string();
    const bool pending = files.added.contains(name) || (migration.repeatable && files.changed.contains(name));
    if (!pending) applied.push_back({migration.id, "", std::nullopt});
  }
  auto before = make_plan(migrations, applied, request);
  if (!before) {
    verdict.problems.push_back(problem_of(before.error()));
    return;
  }
  for (const PlannedStep& step : before->steps) {
    verdict.before.push_back(step.file);
    applied.push_back({step.step.id, "", step.step.stage});
  }
  request.stage = PlanStage::kAll;
  request.allow_out_of_order = true;  // what the first half held back lies below what it applied
  auto after = make_plan(migrations, applied, request);
  if (!after) {
    verdict.problems.push_back(problem_of(after.error()));
    return;
  }
  for (const PlannedStep& step : after->steps) verdict.after.push_back(step.file);
}

std::string joined(const std::vector<std::string>& files) {
  std::string text;
  for (const std::string& file : files) text += (text.empty() ? "" : ", ") + shown(fs::path(file).filename().string());
  return text;
}

std::string for_github(std::string_view text, bool property) {
  std::string escaped;
  for (const char c : text) {
    const bool also = property && (c == ':' || c == ',');
    if (c == '%' || c == '\n' || c == '\r' || also) {
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

std::string summary(const Settings& settings, const Verdict& verdict) {
  if (!verdict.problems.empty()) {
    return fmt::format("this branch cannot ship in one pre-deploy, deploy, post-deploy: {} problem{}\n",
                       verdict.problems.size(), verdict.problems.size() == 1 ? "" : "s");
  }
  if (verdict.before.empty() && verdict.after.empty()) {
    return "no new migrations since " + shown(settings.base) + "\n";
  }
  return "this branch can ship in one pre-deploy, deploy, post-deploy\n  pre-deploy   " +
         (verdict.before.empty() ? "nothing" : joined(verdict.before)) + "\n  post-deploy  " +
         (verdict.after.empty() ? "nothing" : joined(verdict.after)) + "\n";
}

std::string render(const Settings& settings, const Verdict& verdict) {
  if (settings.output == "json") {
    json::array problems;
    for (const Problem& problem : verdict.problems) {
      problems.push_back(json::object{{"reason", problem.reason},
                                      {"file", problem.file},
                                      {"line", std::stoll(problem.line)},
                                      {"message", problem.message}});
    }
    return json::serialize(json::object{{"base", settings.base},
                                        {"ships", verdict.problems.empty()},
                                        {"pre_deploy", json::value_from(verdict.before)},
                                        {"post_deploy", json::value_from(verdict.after)},
                                        {"problems", problems}}) +
           "\n";
  }
  std::string text;
  for (const Problem& problem : verdict.problems) {
    if (settings.output == "github") {
      text += "::error " + (problem.file.empty() ? "" : "file=" + for_github(problem.file, true) + ",") +
              "line=" + problem.line + ",title=" + for_github(problem.reason, true) +
              "::" + for_github(problem.message, false) + "\n";
    } else {
      text += problem.message + "\n\n";
    }
  }
  return text + summary(settings, verdict);
}

}  // namespace

int run_check(const Context& context) {
  Settings settings = context.settings;
  if (!settings.positional_directory.empty()) settings.dir = settings.positional_directory;
  if (settings.dir.empty()) {
    return fail(context, kExitUsage,
                "the migrations directory is missing: syzygy check migrations/ --base origin/main, or dir = "
                "\"migrations\" in syzygy.toml");
  }
  if (const int code = require(context, settings.base, "--base", "origin/main")) return code;
  const Dialect dialect = dialect_of(settings);
  Verdict verdict;
  if (auto there = list_directory(settings.dir, {dialect, settings.format}); !there) {
    return fail(context, plan_exit_code(there.error()), there.error().message);
  }
  const auto files = branch_files(settings.dir, settings.base);
  if (!files) return fail(context, kExitUsage, files.error().message);
  look_at_merged(*files, settings.dir, settings.base, verdict.problems);
  const auto listing = as_merged(settings, *files, dialect, verdict.problems);
  if (!listing) return fail(context, plan_exit_code(listing.error()), listing.error().message);
  const auto migrations = read_listing(*listing, {dialect, settings.format});
  if (migrations) {
    make_plans(settings, *migrations, *files, verdict);
  } else {
    verdict.problems.push_back(problem_of(migrations.error()));
  }
  const std::string text = render(settings, verdict);
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return fail(context, kExitUsage, "the answer cannot be written to standard output");
  }
  return verdict.problems.empty() ? kExitOk : kExitPlan;
}

}  // namespace syzygy::cli
