#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_not_null_column(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kDropColumn) return;
  const KnownColumn* column = subject.schema.column(action.object, action.part);
  if (column == nullptr || !column->not_null || column->has_default) return;
  report.add(
      "drops " + part_of(action) + ", which is NOT NULL without a default: until this ran, what new code inserts fails",
      "pre_deploy:  ALTER TABLE " + sql_name(action.object) + " ALTER COLUMN " + sql_name(action.part) +
          " DROP NOT NULL;\npost_deploy: ALTER TABLE " + sql_name(action.object) + " DROP COLUMN " +
          sql_name(action.part) + ";");
}

}  // namespace

const Rule kDropNotNullColumn{
    .id = "drop-not-null-column",
    .title = "A NOT NULL column is dropped without its prelude",
    .group = HazardGroup::kBreaksNewCode,
    .severity = Severity::kError,
    .when = When::kAfterDeployment,
    .sqlite = true,
    .triggers = "DROP COLUMN after the deployment of a column that is NOT NULL and has no default.",
    .why =
        "New code does not know the column and leaves it out: between the deployment and this migration its INSERT "
        "statements fail.",
    .safe = R"sql(-- pre_deploy, in a migration of its own
ALTER TABLE orders ALTER COLUMN number DROP NOT NULL;
-- post_deploy
ALTER TABLE orders DROP COLUMN number;)sql",
    .fires = {{.sql = "ALTER TABLE orders DROP COLUMN number", .seen = "INSERT INTO orders (id) VALUES (1001)"}},
    .silent = {{.sql = "ALTER TABLE orders DROP COLUMN note"},
               {.sql = "ALTER TABLE orders DROP COLUMN number",
                .before = "ALTER TABLE orders ALTER COLUMN number DROP NOT NULL"},
               {.sql = "ALTER TABLE orders DROP COLUMN state"}},
    .check = check_drop_not_null_column,
};

}  // namespace syzygy
