#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_new_unique(const Action& action, const Subject& subject, Report& report) {
  const bool index = action.kind == ActionKind::kCreate && action.object.kind == ObjectKind::kIndex &&
                     action.constraint == ConstraintKind::kUnique;
  const bool constraint = adds(action, ConstraintKind::kUnique) || adds(action, ConstraintKind::kPrimaryKey) ||
                          adds(action, ConstraintKind::kExclude);
  if (!index && (!constraint || !action.using_index.empty())) return;
  const ObjectName& table = index ? action.on : action.object;
  for (const std::string& column : action.columns) {
    if (done_before(subject, ActionKind::kAddColumn, table, column) != nullptr)
      return;  // old code does not know the column
  }
  report.add("makes " + sql_names(action.columns) + " of " + describe(table) + " unique, which old code may not keep");
}

}  // namespace

const Rule kNewUnique{
    .id = "new-unique",
    .aliases = {"ADD_UNIQUE"},
    .title = "A new uniqueness that old code does not keep",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers = "ADD UNIQUE, PRIMARY KEY or EXCLUDE, or CREATE UNIQUE INDEX, on a table in use, before the deployment.",
    .why =
        "Old code may write the same value twice, which now fails; where there are such rows already, the statement "
        "itself fails.",
    .safe = R"sql(-- post_deploy, outside a transaction
CREATE UNIQUE INDEX CONCURRENTLY orders_note_key ON orders (note);
-- then, in a migration of its own, short
ALTER TABLE orders ADD CONSTRAINT orders_note_key UNIQUE USING INDEX orders_note_key;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD CONSTRAINT orders_note_key UNIQUE (note))sql",
               .breaks = "UPDATE orders SET note = 'same'"},
              {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE UNIQUE INDEX orders_note_key ON orders (note))sql",
               .breaks = "UPDATE orders SET note = 'same'"},
              {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD CONSTRAINT one_note EXCLUDE USING btree (note WITH =))sql",
               .breaks = "UPDATE orders SET note = 'same'"}},
    .silent = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_note_key UNIQUE (note)"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE INDEX orders_total ON orders (total))sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD COLUMN tag text;
CREATE UNIQUE INDEX orders_tag_key ON orders (tag))sql"}},
    .check = check_new_unique,
};

}  // namespace syzygy
