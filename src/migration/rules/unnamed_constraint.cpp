#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_unnamed_constraint(const Action& action, const Subject&, Report& report) {
  if (action.kind == ActionKind::kAddConstraint && action.part.empty() &&
      action.constraint != ConstraintKind::kPrimaryKey)
    report.add("a constraint of " + describe(action.object) + " has no name");
}

}  // namespace

const Rule kUnnamedConstraint{
    .id = "unnamed-constraint",
    .title = "A constraint without a name",
    .group = HazardGroup::kQuality,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "ADD CONSTRAINT, or a constraint of a new table, without a name.",
    .why = "The server chooses one, which may differ between databases; dropping it later needs it.",
    .safe = "ADD CONSTRAINT orders_note_short CHECK (...)",
    .fires = {{.sql = "ALTER TABLE orders ADD CHECK (total >= 0) NOT VALID"}},
    .silent = {{.sql = "ALTER TABLE orders ADD CONSTRAINT c CHECK (total >= 0) NOT VALID"}},
    .check = check_unnamed_constraint,
    .parts = true,
};

}  // namespace syzygy
