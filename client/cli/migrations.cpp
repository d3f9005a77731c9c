#include "client/cli/migrations.h"

namespace syzygy::cli {

Dialect dialect_of(const std::string& database_url) {
  return database_url.starts_with("sqlite:") ? Dialect::kSqlite : Dialect::kPostgres;
}

migration::TargetOptions target_options(const Context& context) {
  const Settings& settings = context.settings;
  migration::TargetOptions options;
  options.application = settings.application;
  options.target = settings.target;
  options.lock_timeout = settings.lock_timeout;
  options.quit = context.quit;
  return options;
}

std::optional<Error> bind(migration::Target& target) {
  auto bound = target.bind();
  if (bound || bound.error().reason != "TARGET_NAME_DIFFERS") return std::nullopt;
  return bound.error();
}

Dialect dialect_of(const Settings& settings) {
  if (settings.dialect.empty()) return dialect_of(settings.database);
  return settings.dialect == "sqlite" ? Dialect::kSqlite : Dialect::kPostgres;
}

PlanRequest plan_request(const Settings& settings) {
  PlanRequest request;
  request.target = TargetName{settings.target.empty() ? "unnamed" : settings.target};
  request.dialect = dialect_of(settings);
  request.stage = settings.pre_deploy    ? PlanStage::kPreDeploy
                  : settings.post_deploy ? PlanStage::kPostDeploy
                                         : PlanStage::kAll;
  if (!settings.to.empty()) request.to = StepId{settings.to};
  if (!settings.revert_to.empty()) request.revert_to = StepId{settings.revert_to};
  request.allow_out_of_order = settings.allow_out_of_order;
  request.stages = settings.stages;
  return request;
}

Result<Migrations> Migrations::open(const Context& context) {
  const Settings& settings = context.settings;
  Migrations migrations;
  migrations.request_ = plan_request(settings);
  auto directory = read_directory(settings.dir, {migrations.request_.dialect, settings.format});
  if (!directory) return std::unexpected(directory.error());
  migrations.directory_ = std::move(*directory);
  migrations.options_ = target_options(context);
  auto target = migration::open_target(settings.database, migrations.options_);
  if (!target) return std::unexpected(target.error());
  migrations.target_ = std::move(*target);
  return migrations;
}

Result<MigrationPlan> Migrations::plan(const migration::Snapshot& snapshot) const {
  return make_plan(directory_, migration::applied_steps(snapshot), request_);
}

Result<Looked> Migrations::look() {
  auto snapshot = target_->snapshot();
  if (!snapshot) return std::unexpected(snapshot.error());
  if (auto refusal = migration::refuses_other_name(target_->describe(), options_, snapshot->target)) {
    return std::unexpected(*refusal);
  }
  if (auto refusal = migration::refuses_unadopted(*snapshot, known())) return std::unexpected(*refusal);
  auto made = plan(*snapshot);
  if (!made) return std::unexpected(made.error());
  return Looked{std::move(*snapshot), std::move(*made)};
}

}  // namespace syzygy::cli
