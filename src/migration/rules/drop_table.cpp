#include "migration/rules/replaced.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_table(const Action& action, const Subject& subject, Report& report) {
  if (!drops(action, ObjectKind::kTable)) return;
  // What became of the name that old code knows, rename-table tells.
  if (is_named_here(action.object, subject)) return;
  report.add("drops " + describe(action.object) + " while old code still uses it",
             "post_deploy: DROP TABLE " + sql_name(action.object) + ";");
}

}  // namespace

const Rule kDropTable{
    .id = "drop-table",
    .aliases = {"DROP_TABLE", "ban-drop-table"},
    .title = "A table is dropped while old code uses it",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers =
        "DROP TABLE in a migration that runs before the deployment, or whose stage is not told. Not DROP TABLE IF "
        "EXISTS of a name that no migration so far has made (nor the catalogue knows) and that this one creates next.",
    .why = "Old code still reads and writes the table. What is in it is gone, too.",
    .safe = R"sql(-- post_deploy, when no old code runs
DROP TABLE orders;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
DROP TABLE orders CASCADE)sql",
               .breaks = "SELECT id FROM orders"},
              {.sql = R"sql(-- syzygy:stage pre_deploy
DROP TABLE IF EXISTS orders CASCADE;
CREATE TABLE orders (id bigint, number text))sql",
               .breaks = "SELECT note FROM orders"}},
    .silent = {{.sql = "DROP TABLE orders CASCADE"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE TABLE new_orders (LIKE orders INCLUDING ALL);
ALTER TABLE orders RENAME TO old_orders;
ALTER TABLE new_orders RENAME TO orders;
DROP TABLE old_orders CASCADE)sql"},
               {.sql = R"sql(-- syzygy:stage post_deploy
DROP TABLE orders CASCADE)sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE TABLE parcels (id bigint); DROP TABLE parcels)sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
DROP TABLE IF EXISTS parcels;
CREATE TABLE parcels (id bigint))sql"}},
    .check = check_drop_table,
};

}  // namespace syzygy
