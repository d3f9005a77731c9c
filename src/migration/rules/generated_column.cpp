#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_generated_column(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kAddColumn || !action.generated) return;
  report.add("adds " + part_of(action) + ", generated and stored, which writes the table anew while everything waits");
}

}  // namespace

const Rule kGeneratedColumn{
    .id = "generated-column",
    .aliases = {"adding-generated-column"},
    .title = "A stored generated column writes the whole table anew",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD COLUMN ... GENERATED ALWAYS AS (...) STORED on a table in use.",
    .why = "It is computed for each row: the table is written anew under an ACCESS EXCLUSIVE lock.",
    .safe = R"sql(ALTER TABLE orders ADD COLUMN doubled numeric;
-- a trigger keeps it, a backfill in batches fills it)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN doubled numeric GENERATED ALWAYS AS (total * 2) STORED"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN doubled numeric"},
               {.sql = "CREATE TABLE parcels (id bigint, twice bigint GENERATED ALWAYS AS (id * 2) STORED)"}},
    .check = check_generated_column,
};

}  // namespace syzygy
