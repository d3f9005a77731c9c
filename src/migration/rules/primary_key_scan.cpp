#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_primary_key_scan(const Action& action, const Subject&, Report& report) {
  if (!adds(action, ConstraintKind::kPrimaryKey) || !action.using_index.empty()) return;
  report.add("adds PRIMARY KEY to " + describe(action.object) + " and builds its index while everything waits",
             with_index_before(action, "PRIMARY KEY"));
}

}  // namespace

const Rule kPrimaryKeyScan{
    .id = "primary-key-scan",
    .aliases = {"adding-primary-key-constraint"},
    .title = "A primary key builds its index while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD PRIMARY KEY without USING INDEX on a table in use.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock and builds an index from the whole table while it holds it: not even a "
        "SELECT gets through.",
    .safe = R"sql(CREATE UNIQUE INDEX CONCURRENTLY keyless_pkey ON keyless (id);  -- outside a transaction
ALTER TABLE keyless ADD CONSTRAINT keyless_pkey PRIMARY KEY USING INDEX keyless_pkey;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .table = "keyless"},
    .fires = {{.sql = "ALTER TABLE keyless ADD CONSTRAINT keyless_pkey PRIMARY KEY (id)"}},
    .silent = {{.sql = "ALTER TABLE keyless ADD CONSTRAINT keyless_pkey PRIMARY KEY USING INDEX keyless_id"},
               {.sql = "CREATE TABLE parcels (id bigint, PRIMARY KEY (id))"}},
    .check = check_primary_key_scan,
};

}  // namespace syzygy
