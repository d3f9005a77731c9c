#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_cascade(const Action& action, const Subject&, Report& report) {
  const bool drop = action.kind == ActionKind::kDrop || action.kind == ActionKind::kDropColumn ||
                    action.kind == ActionKind::kDropConstraint;
  if (drop && action.cascade) report.add("drops " + part_of(action) + " and whatever depends on it");
}

}  // namespace

const Rule kDropCascade{
    .id = "drop-cascade",
    .title = "DROP ... CASCADE",
    .group = HazardGroup::kLosesData,
    .severity = Severity::kWarning,
    .triggers = "CASCADE on DROP of a table, view, type, function, schema, column or constraint.",
    .why = "It drops whatever depends on the object, named nowhere: views, foreign keys, defaults, columns.",
    .safe = "Drop what depends on it by name first; then RESTRICT, which is the default, tells what was forgotten.",
    .fires = {{.sql = "DROP TABLE customers CASCADE", .seen = "SELECT to_regclass('customer_names') IS NULL"},
              {.sql = "ALTER TABLE orders DROP COLUMN note CASCADE"}},
    .silent = {{.sql = "DROP TABLE customers RESTRICT"}, {.sql = "ALTER TABLE orders DROP COLUMN total"}},
    .check = check_drop_cascade,
};

}  // namespace syzygy
