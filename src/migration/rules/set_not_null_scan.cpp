#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_set_not_null_scan(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kSetNotNull || action.object.kind != ObjectKind::kTable) return;
  const KnownColumn* column = subject.schema.column(action.object, action.part);
  if (column != nullptr && column->not_null) return;
  if (subject.server >= 12 && subject.schema.is_proved_not_null(action.object, action.part)) return;
  const std::string table = "ALTER TABLE " + sql_name(action.object);
  const std::string name = sql_name(action.object.name + "_" + action.part + "_present");
  report.add("sets NOT NULL on " + part_of(action) + " and reads the table while everything waits",
             table + " ADD CONSTRAINT " + name + " CHECK (" + sql_name(action.part) +
                 " IS NOT NULL) NOT VALID;\n-- then, each in a transaction of its own\n" + table +
                 " VALIDATE CONSTRAINT " + name + ";\n" + table + " ALTER COLUMN " + sql_name(action.part) +
                 " SET NOT NULL;\n" + table + " DROP CONSTRAINT " + name + ";");
}

}  // namespace

const Rule kSetNotNullScan{
    .id = "set-not-null-scan",
    .aliases = {"adding-not-nullable-field", "adding-not-null-field"},
    .title = "SET NOT NULL reads the table while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "SET NOT NULL on a column that no valid CHECK (column IS NOT NULL) covers.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock and reads the whole table while it holds it. With a valid CHECK, PostgreSQL "
        "12 and later skip the scan.",
    .safe = R"sql(ALTER TABLE orders ADD CONSTRAINT present CHECK (note IS NOT NULL) NOT VALID;
-- in a transaction of its own
ALTER TABLE orders VALIDATE CONSTRAINT present;
-- and then
ALTER TABLE orders ALTER COLUMN note SET NOT NULL;
ALTER TABLE orders DROP CONSTRAINT present;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true},
    .fires = {{.sql = "ALTER TABLE orders ALTER COLUMN note SET NOT NULL"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN note SET NOT NULL",
                .before = R"sql(ALTER TABLE orders ADD CONSTRAINT present CHECK (note IS NOT NULL) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT present)sql"},
               {.sql = "ALTER TABLE orders ALTER COLUMN number SET NOT NULL"}},
    .check = check_set_not_null_scan,
};

}  // namespace syzygy
