#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_dropped_data(const Action& action, const Subject&, Report& report) {
  const bool column = action.kind == ActionKind::kDropColumn;
  if (!column && !drops(action, ObjectKind::kTable)) return;
  report.add("drops " + part_of(action) + " with all it holds");
}

}  // namespace

const Rule kDroppedData{
    .id = "dropped-data",
    .title = "What a table or column holds is dropped",
    .group = HazardGroup::kLosesData,
    .severity = Severity::kNote,
    .when = When::kAfterDeployment,
    .sqlite = true,
    .triggers = "DROP TABLE or DROP COLUMN after the deployment (before it, drop-table and drop-column say more).",
    .why = "A down migration brings back the table or the column, and not what it held.",
    .safe = R"sql(-- where it may be wanted again
CREATE TABLE orders_note_kept AS SELECT id, note FROM orders WHERE note IS NOT NULL;
ALTER TABLE orders DROP COLUMN note;)sql",
    .fires = {{.sql = "ALTER TABLE orders DROP COLUMN note",
               .seen = "SELECT count(*) = 0 FROM pg_stats WHERE tablename = 'orders' AND attname = 'note'"},
              {.sql = "DROP TABLE orders", .seen = "SELECT to_regclass('orders') IS NULL"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN note DROP DEFAULT"}, {.sql = "DROP VIEW customer_names"}},
    .check = check_dropped_data,
};

}  // namespace syzygy
