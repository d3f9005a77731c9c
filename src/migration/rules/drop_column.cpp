#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_column(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kDropColumn) return;
  report.add("drops " + part_of(action) + " while old code still names it",
             "post_deploy: ALTER TABLE " + sql_name(action.object) + " DROP COLUMN " + sql_name(action.part) + ";");
}

}  // namespace

const Rule kDropColumn{
    .id = "drop-column",
    .aliases = {"DROP_COLUMN", "ban-drop-column"},
    .title = "A column is dropped while old code uses it",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers = "DROP COLUMN in a migration that runs before the deployment, or whose stage is not told.",
    .why =
        "Old code names the column in its INSERT, UPDATE and SELECT statements (an ORM names every column), and fails "
        "from the moment it is gone.",
    .safe = R"sql(-- pre_deploy, where the column is NOT NULL: let new code leave it out
ALTER TABLE orders ALTER COLUMN note DROP NOT NULL;
-- post_deploy, when no old code runs
ALTER TABLE orders DROP COLUMN note;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders DROP COLUMN note)sql",
               .breaks = "SELECT id, note FROM orders"}},
    .silent = {{.sql = "ALTER TABLE orders DROP COLUMN note"},
               {.sql = R"sql(-- syzygy:stage post_deploy
ALTER TABLE orders DROP COLUMN note)sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE TABLE parcels (id bigint, note text); ALTER TABLE parcels DROP COLUMN note)sql"}},
    .check = check_drop_column,
};

}  // namespace syzygy
