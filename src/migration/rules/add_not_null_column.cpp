#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_add_not_null_column(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kAddColumn || !action.not_null || action.fills_itself) return;
  const std::string table = sql_name(action.object);
  report.add("adds " + part_of(action) +
                 ", NOT NULL without a default: it fails on a table with rows, and breaks what old code inserts",
             "pre_deploy:  ALTER TABLE " + table + " ADD COLUMN " + sql_name(action.part) + " " + action.type +
                 " NOT NULL DEFAULT ...;\npost_deploy: ALTER TABLE " + table + " ALTER COLUMN " +
                 sql_name(action.part) + " DROP DEFAULT;");
}

}  // namespace

const Rule kAddNotNullColumn{
    .id = "add-not-null-column",
    .aliases = {"NOT_NULL", "adding-required-field", "adding-not-nullable-field"},
    .title = "A NOT NULL column without a default",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .sqlite = true,
    .triggers = "ADD COLUMN ... NOT NULL without a DEFAULT, identity or generated value, on a table in use.",
    .why =
        "The statement fails where the table has rows. Where it has none, every INSERT of old code fails from then on, "
        "because it does not name the column.",
    .safe = R"sql(-- pre_deploy: old code's rows get the default
ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web';
-- post_deploy, once all code names the column
ALTER TABLE orders ALTER COLUMN channel DROP DEFAULT;)sql",
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN channel text NOT NULL", .refused_as = "23502"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web'"},
               {.sql = "ALTER TABLE orders ADD COLUMN channel text"},
               {.sql = "CREATE TABLE parcels (id bigint); ALTER TABLE parcels ADD COLUMN channel text NOT NULL"}},
    .check = check_add_not_null_column,
};

}  // namespace syzygy
