#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_exclude_scan(const Action& action, const Subject&, Report& report) {
  if (!adds(action, ConstraintKind::kExclude)) return;
  report.add("adds EXCLUDE to " + describe(action.object) + " and builds its index while everything waits");
}

}  // namespace

const Rule kExcludeScan{
    .id = "exclude-scan",
    .title = "An EXCLUDE constraint builds its index while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD EXCLUDE on a table in use.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock and builds an index from the whole table while it holds it: not even a "
        "SELECT gets through.",
    .safe =
        "There is no way to build it beside running code: create a new table with the constraint, fill it in batches, "
        "and swap; or let a trigger check.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true},
    .fires = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_apart EXCLUDE USING btree (id WITH =)"}},
    .silent = {{.sql = "CREATE TABLE parcels (a int); ALTER TABLE parcels ADD EXCLUDE USING btree (a WITH =)"},
               {.sql = "CREATE TABLE parcels (id bigint, EXCLUDE USING btree (id WITH =))"}},
    .check = check_exclude_scan,
};

}  // namespace syzygy
