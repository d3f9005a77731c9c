#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_loosen_constraint(const Action& action, const Subject& subject, Report& report) {
  if (action.object.kind != ObjectKind::kTable) return;
  if (action.kind == ActionKind::kDropNotNull) {
    report.add("drops NOT NULL from " + part_of(action) + ": readers may meet a NULL");
    return;
  }
  if (action.kind != ActionKind::kDropConstraint) return;
  const KnownConstraint* constraint = subject.schema.constraint(action.object, action.part);
  if (constraint == nullptr ||
      (constraint->kind != ConstraintKind::kCheck && constraint->kind != ConstraintKind::kForeignKey))
    return;
  const KnownColumn* column = subject.schema.column(action.object, constraint->only_not_null);
  if (column != nullptr && column->not_null) return;  // the bridge to SET NOT NULL, which has done its work
  report.add("drops " + part_of(action, "constraint") + ": readers may meet what it kept out");
}

}  // namespace

const Rule kLoosenConstraint{
    .id = "loosen-constraint",
    .aliases = {"ban-drop-not-null"},
    .title = "What readers may rely on is loosened",
    .group = HazardGroup::kBreaksNewCode,
    .severity = Severity::kNote,
    .triggers = "DROP NOT NULL, or DROP CONSTRAINT of a CHECK or foreign key, on a table in use.",
    .why =
        "Code that reads may rely on it: a NULL or a missing parent that can now appear is a case that it never met. "
        "It is the first half of many a safe change, so this is only a note.",
    .safe =
        "Make sure that whatever reads the column, old and new code alike, survives what can be written from now on.",
    .fires = {{.sql = "ALTER TABLE orders ALTER COLUMN number DROP NOT NULL",
               .seen = "INSERT INTO orders (id) VALUES (1001)"},
              {.sql = "ALTER TABLE orders DROP CONSTRAINT orders_total_check",
               .seen = "INSERT INTO orders (id, number, total) VALUES (1001, 1001, -1)"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN note SET DEFAULT 'x'"},
               {.sql = "ALTER TABLE orders DROP CONSTRAINT present",
                .before = R"sql(ALTER TABLE orders ADD CONSTRAINT present CHECK (note IS NOT NULL);
ALTER TABLE orders ALTER COLUMN note SET NOT NULL)sql"}},
    .check = check_loosen_constraint,
};

}  // namespace syzygy
