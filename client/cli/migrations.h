// migrations.h - a migrations directory and the database it is for, as the flags name them: what is pending now.
//
// The directory is read once; the database each time. Belongs to one thread, as its Target does.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "client/cli/commands.h"
#include "client/cli/settings.h"
#include "migration/plan/plan.h"
#include "migration/source/source.h"
#include "migration/target/target.h"

namespace syzygy::cli {

struct Looked {
  migration::Snapshot snapshot;
  MigrationPlan plan;
};

class Migrations {
 public:
  // Errors: those of read_directory() and open_target(); plan_exit_code() tells 65 from 66.
  static Result<Migrations> open(const Context& context);

  // Reads the history and makes the plan. An unadopted history of another tool, or a fence of another
  // target's name, is an error that names the command.
  Result<Looked> look();
  [[nodiscard]] Result<MigrationPlan> plan(const migration::Snapshot& snapshot) const;

  [[nodiscard]] migration::Target& target() { return *target_; }
  [[nodiscard]] std::string describe() const { return target_->describe(); }
  [[nodiscard]] std::vector<migration::KnownStep> known() const { return migration::known_steps(directory_); }
  [[nodiscard]] const std::vector<Migration>& directory() const { return directory_; }

 private:
  std::unique_ptr<migration::Target> target_;
  std::vector<Migration> directory_;
  PlanRequest request_;
  migration::TargetOptions options_;
};

Dialect dialect_of(const std::string& database_url);
// --dialect, else by --database, else PostgreSQL.
Dialect dialect_of(const Settings& settings);
PlanRequest plan_request(const Settings& settings);
migration::TargetOptions target_options(const Context& context);

// Writes the target's name into its fence. Only another name there is an error: a role that may not write is no reason
// to end a party that only votes, and who claims writes it, too.
std::optional<Error> bind(migration::Target& target);

}  // namespace syzygy::cli
