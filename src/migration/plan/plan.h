// plan.h - from a directory and a target's history to what this invocation would apply, in order.
//
// Pure: no database, no files, no clock. The base Plan is what the parties agree on; beside it stands what the applier
// needs (the statements, with their places) and what a person wants to see (what is held back, and why). Every refusal
// is exit 65 and names the migrations, their files, and the way out.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/plan.h"
#include "base/result.h"
#include "migration/source/source.h"
#include "migration/sql/statements.h"
#include "migration/stage/stage.h"

namespace syzygy {

// A row of the target's history that stands (applied, not reverted).
struct AppliedStep {
  StepId id;                   // as recorded
  std::string content;         // checksum of the up text when it was applied, or accepted; empty: not known
  std::optional<Stage> stage;  // as recorded; nullopt: adopted from another tool
};

struct PlanRequest {
  TargetName target;
  Dialect dialect = Dialect::kPostgres;
  PlanStage stage = PlanStage::kAll;
  std::optional<StepId> to;         // forwards, up to and including this one
  std::optional<StepId> revert_to;  // backwards: everything above it is reverted; "zero" reverts everything
  bool allow_out_of_order = false;
  OnApplierLost on_applier_lost = OnApplierLost::kStop;
  StageRules stages;
};

// One step, with all that applying it takes.
struct PlannedStep {
  Step step;         // equals the base plan's step at the same position
  std::string name;  // "add_email"
  std::string file;
  std::vector<Statement> statements;  // to run, in order; empty for a migration without statements
  std::vector<Meaning> meanings;      // of the statements, at the same positions
  bool no_transaction = false;        // runs outside a transaction; then step.atomic is false
  StageDecision decision;
};

struct HeldBack {
  StepId id;
  std::string file;
  StageDecision decision;
  std::string why;  // one line
};

struct MigrationPlan {
  Plan plan;  // no steps: nothing is pending
  std::vector<PlannedStep> steps;
  std::vector<HeldBack> held_back;       // left out by the stage that was asked for
  std::vector<StepId> not_in_directory;  // applied, but the directory lacks them: an older image's normal case
  std::optional<StepId> last_known;      // the directory's highest id: what a visit reports
};

// REQUIRES: `migrations` as read_directory() gives them. Errors: kFailedPrecondition or kInvalidArgument; reasons
// STEP_CHANGED, OUT_OF_ORDER, STAGE_AMBIGUOUS, PLAN_AMBIGUOUS, STEP_UNKNOWN, DOWN_MISSING, REVERT_LEAVES_CHILD,
// REVERT_NOT_IN_DIRECTORY, PLAN_INVALID (to and revert_to together, too many steps), and those of splitting and
// transactions.
Result<MigrationPlan> make_plan(const std::vector<Migration>& migrations, const std::vector<AppliedStep>& applied,
                                const PlanRequest& request);

}  // namespace syzygy
