// syzygy plan: what runs now, what is held back, and why. The engine is that of `syzygy migrate`.
#include "client/cli/plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>

#include "base/shown.h"
#include "client/cli/exit_codes.h"
#include "client/cli/lint_git.h"
#include "client/cli/migrations.h"

namespace syzygy::cli {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

json::object as_json(const PlannedStep& step) {
  return {{"id", step.step.id.value},
          {"name", step.name},
          {"file", step.file},
          {"direction", to_string(step.step.direction)},
          {"stage", to_string(step.step.stage)},
          {"source", to_string(step.decision.source)},
          {"why", step.decision.why},
          {"atomic", step.step.atomic},
          {"statements", step.statements.size()},
          {"content", step.step.content}};
}

json::object as_json(const HeldBack& back) {
  return {{"id", back.id.value},
          {"file", back.file},
          {"stage", to_string(back.decision.stage)},
          {"source", to_string(back.decision.source)},
          {"why", back.why}};
}

int refuse(const Context& context, const Error& error) {
  if (context.settings.output == "json") {
    json::object about{{"reason", error.reason}, {"message", error.message}};
    for (const auto& [key, value] : error.metadata) about[key] = value;
    fmt::print("{}\n", json::serialize(json::object{{"error", about}}));
  }
  return fail(context, plan_exit_code(error), error.message);
}

// What stands on the revision counts as applied.
Result<std::vector<AppliedStep>> applied_on(const Settings& settings, const std::vector<Migration>& migrations) {
  auto changed = changed_since(settings.dir, settings.since);
  if (!changed) return std::unexpected(changed.error());
  std::vector<AppliedStep> applied;
  for (const Migration& migration : migrations) {
    const std::string name = fs::path(migration.up.path).lexically_relative(settings.dir).string();
    if (!changed->contains(name)) applied.push_back({migration.id, migration.up.content, std::nullopt});
  }
  return applied;
}

}  // namespace

int show_plan(const Context& context, const std::string& where, const MigrationPlan& plan) {
  const std::string& target = context.settings.target;
  const std::string hash = plan.plan.steps.empty() || target.empty() ? "" : plan_hash(plan.plan).value;
  if (context.settings.output == "json") {
    json::array steps;
    json::array held;
    json::array unknown;
    for (const PlannedStep& step : plan.steps) steps.push_back(as_json(step));
    for (const HeldBack& back : plan.held_back) held.push_back(as_json(back));
    for (const StepId& id : plan.not_in_directory) unknown.emplace_back(id.value);
    fmt::print("{}\n", json::serialize(json::object{{"target", target},
                                                    {"stage", to_string(plan.plan.stage)},
                                                    {"plan_hash", hash},
                                                    {"steps", steps},
                                                    {"held_back", held},
                                                    {"not_in_directory", unknown}}));
    return kExitOk;
  }
  fmt::print("{}{}, stage {}\n", target.empty() ? "" : target + " on ", shown(where), to_string(plan.plan.stage));
  if (plan.steps.empty()) {
    fmt::print("{}\n", plan.held_back.empty() ? "nothing is pending" : "nothing to run in this stage");
  }
  std::size_t width = 24;
  const auto named = [](const PlannedStep& step) {
    return shown(step.step.id.value + (step.name.empty() ? "" : "_" + step.name));
  };
  for (const PlannedStep& step : plan.steps) width = std::min<std::size_t>(60, std::max(width, named(step).size()));
  for (const PlannedStep& step : plan.steps) {
    fmt::print("  {:<5} {:<{}} {:<12} {}  {}\n", to_string(step.step.direction), named(step), width,
               to_string(step.step.stage), step.step.atomic ? "in a transaction     " : "outside a transaction",
               shown(step.decision.why));
  }
  for (const HeldBack& back : plan.held_back) fmt::print("  held back {}: {}\n", shown(back.id.value), shown(back.why));
  for (const StepId& id : plan.not_in_directory)
    fmt::print("  applied, but not in this directory (an older image?): {}\n", shown(id.value));
  if (!hash.empty()) fmt::print("plan hash {}\n", hash);
  return kExitOk;
}

int run_plan(const Context& context) {
  Settings settings = context.settings;
  if (!settings.positional_directory.empty()) settings.dir = settings.positional_directory;
  if (settings.dir.empty()) {
    return fail(context, kExitUsage,
                "the migrations directory is missing: syzygy plan migrations/, or dir = \"migrations\" in syzygy.toml");
  }
  if (settings.pre_deploy && settings.post_deploy) {
    return fail(context, kExitUsage,
                "--pre-deploy and --post-deploy exclude each other; leave both out to see whatever is pending");
  }
  if (!settings.database.empty() && !settings.since.empty()) {
    return fail(context, kExitUsage,
                "--since says what counts as applied where no database does; leave out --since or --database");
  }
  if (!settings.database.empty()) {
    auto opened = Migrations::open({settings, context.narrator, context.stop, context.quit});
    if (!opened) return refuse(context, opened.error());
    auto looked = opened->look();
    if (!looked) return refuse(context, looked.error());
    const int code = show_plan(context, opened->describe(), looked->plan);
    if (settings.target.empty() && settings.output == "text" && !looked->plan.steps.empty()) {
      context.narrator.say("the plan hash needs --target, the name that the clusters share");
    }
    return code;
  }
  const PlanRequest request = plan_request(settings);
  const auto migrations = read_directory(settings.dir, {request.dialect, settings.format});
  if (!migrations) return refuse(context, migrations.error());
  std::vector<AppliedStep> applied;
  if (!settings.since.empty()) {
    auto on_revision = applied_on(settings, *migrations);
    if (!on_revision) return fail(context, kExitUsage, on_revision.error().message);
    applied = std::move(*on_revision);
  } else if (!settings.revert_to.empty()) {
    // Without a history: the way back from the whole directory.
    for (const Migration& migration : *migrations) {
      applied.push_back({migration.id, migration.up.content, std::nullopt});
    }
  }
  const auto plan = make_plan(*migrations, applied, request);
  if (!plan) return refuse(context, plan.error());
  const std::string where = !settings.since.empty()       ? "what " + settings.since + " lacks"
                            : !settings.revert_to.empty() ? "as if all were applied (no --database)"
                                                          : "as on an empty database (no --database)";
  return show_plan(context, where, *plan);
}

}  // namespace syzygy::cli
