#include "migration/rules/rules.h"
#include "migration/rules/types.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_narrow_type(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kAlterColumnType) return;
  const KnownColumn* column = subject.schema.column(action.object, action.part);
  if (column == nullptr) {
    const TypeChange to_any = type_change("", action.type);
    if (to_any.narrows)
      report.add("changes the type of " + part_of(action) + " to " + action.type +
                 ", which may hold less than what old code writes");
    return;
  }
  if (!type_change(column->type, action.type).narrows) return;
  report.add("changes the type of " + part_of(action) + " from " + column->type + " to " + action.type +
             ", which does not hold all that old code writes");
}

}  // namespace

const Rule kNarrowType{
    .id = "narrow-type",
    .aliases = {"ALTER_COLUMN"},
    .title = "A type that holds less than what old code writes",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers =
        "ALTER COLUMN ... TYPE to a type that does not hold every value of the old one: shorter varchar, smaller "
        "integer, fewer digits, text to anything, or any USING.",
    .why =
        "Values that do not fit make the statement fail, or are cut by USING; old code goes on writing such values, "
        "which then fail.",
    .safe = R"sql(-- pre_deploy: a new column of the new type, filled by a trigger and a backfill in batches
ALTER TABLE orders ADD COLUMN state_short varchar(5);
-- post_deploy, in a later release: swap, and drop the old one)sql",
    .fires = {{.sql = "ALTER TABLE orders ALTER COLUMN state TYPE varchar(5)",
               .breaks = "UPDATE orders SET state = 'delivered'"},
              {.sql = "ALTER TABLE orders ALTER COLUMN number TYPE integer",
               .breaks = "UPDATE orders SET number = 3000000000 WHERE id = 1"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN state TYPE varchar(40)"},
               {.sql = "ALTER TABLE orders ALTER COLUMN state TYPE text"},
               {.sql = "ALTER TABLE orders ALTER COLUMN total TYPE numeric(14,2)"}},
    .check = check_narrow_type,
};

}  // namespace syzygy
