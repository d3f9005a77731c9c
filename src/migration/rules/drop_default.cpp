#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_default(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kDropDefault || action.object.kind != ObjectKind::kTable) return;
  const KnownColumn* column = subject.schema.column(action.object, action.part);
  if (column != nullptr && !column->not_null) return;
  if (done_before(subject, ActionKind::kAddColumn, action.object, action.part) != nullptr)
    return;  // default-dropped-at-once
  report.add("drops the default of " + part_of(action) + ", which old code leaves to it",
             "post_deploy: ALTER TABLE " + sql_name(action.object) + " ALTER COLUMN " + sql_name(action.part) +
                 " DROP DEFAULT;");
}

}  // namespace

const Rule kDropDefault{
    .id = "drop-default",
    .title = "A default that old code relies on is dropped",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers =
        "DROP DEFAULT, SET DEFAULT NULL, DROP IDENTITY or DROP EXPRESSION before the deployment, on a column that is "
        "NOT NULL as far as is known.",
    .why = "Old code leaves the column out of its INSERT statements, and fails.",
    .safe = R"sql(-- post_deploy, once all code names the column
ALTER TABLE orders ALTER COLUMN state DROP DEFAULT;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ALTER COLUMN state DROP DEFAULT)sql",
               .breaks = "INSERT INTO orders (id, number) VALUES (1001, 1001)"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN state DROP DEFAULT"}, {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ALTER COLUMN note DROP DEFAULT)sql"}},
    .check = check_drop_default,
};

}  // namespace syzygy
