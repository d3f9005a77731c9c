#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_set_not_null(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kSetNotNull || action.object.kind != ObjectKind::kTable) return;
  if (done_before(subject, ActionKind::kAddColumn, action.object, action.part) != nullptr) {
    const KnownColumn* column = subject.schema.column(action.object, action.part);
    if (column != nullptr && column->has_default) return;  // its default fills what old code leaves out
  }
  report.add("sets NOT NULL on " + part_of(action) + ", which old code may still leave empty",
             "post_deploy: ALTER TABLE " + sql_name(action.object) + " ALTER COLUMN " + sql_name(action.part) +
                 " SET NOT NULL;");
}

}  // namespace

const Rule kSetNotNull{
    .id = "set-not-null",
    .title = "NOT NULL on a column that old code leaves empty",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers = "SET NOT NULL before the deployment.",
    .why = "Old code may write NULL into the column, or leave it out, and fails.",
    .safe = R"sql(-- post_deploy, in steps that do not scan under a lock
ALTER TABLE orders ADD CONSTRAINT orders_note_present CHECK (note IS NOT NULL) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT orders_note_present;
ALTER TABLE orders ALTER COLUMN note SET NOT NULL;
ALTER TABLE orders DROP CONSTRAINT orders_note_present;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ALTER COLUMN note SET NOT NULL)sql",
               .breaks = "INSERT INTO orders (id, number) VALUES (1001, 1001)"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN note SET NOT NULL"}, {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ALTER COLUMN number DROP NOT NULL)sql"}},
    .check = check_set_not_null,
};

}  // namespace syzygy
