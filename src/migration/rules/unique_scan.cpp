#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_unique_scan(const Action& action, const Subject&, Report& report) {
  if (action.kind == ActionKind::kAddColumn && action.constraint == ConstraintKind::kUnique) {
    const std::string table = sql_name(action.object);
    const std::string column = sql_name(action.part);
    report.add(
        "adds " + part_of(action) + ", UNIQUE, and builds its index while everything waits",
        "ALTER TABLE " + table + " ADD COLUMN " + column + " " + action.type +
            ";\n-- then, in a migration of its own\n-- syzygy:no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY " +
            sql_name(action.object.name + "_" + action.part + "_key") + " ON " + table + " (" + column + ");");
    return;
  }
  if (!adds(action, ConstraintKind::kUnique) || !action.using_index.empty()) return;
  report.add("adds UNIQUE to " + describe(action.object) + " and builds its index while everything waits",
             with_index_before(action, "UNIQUE"));
}

}  // namespace

const Rule kUniqueScan{
    .id = "unique-scan",
    .aliases = {"disallowed-unique-constraint"},
    .title = "A UNIQUE constraint builds its index while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD UNIQUE without USING INDEX, or ADD COLUMN ... UNIQUE, on a table in use.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock and builds an index from the whole table while it holds it: not even a "
        "SELECT gets through.",
    .safe = R"sql(CREATE UNIQUE INDEX CONCURRENTLY orders_both ON orders (id, number);  -- outside a transaction
ALTER TABLE orders ADD CONSTRAINT orders_both UNIQUE USING INDEX orders_both;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true},
    .fires = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_both UNIQUE (id, number)"},
              {.sql = "ALTER TABLE orders ADD COLUMN code text UNIQUE"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN code text"},
               {.sql = "ALTER TABLE orders ADD CONSTRAINT orders_number_key UNIQUE USING INDEX orders_number"},
               {.sql = "CREATE TABLE parcels (id bigint, UNIQUE (id))"}},
    .check = check_unique_scan,
};

}  // namespace syzygy
