#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_serial_column(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kAddColumn || !action.serial) return;
  report.add("adds " + part_of(action) + ", a " + action.type + ", which writes the table anew while everything waits");
}

}  // namespace

const Rule kSerialColumn{
    .id = "serial-column",
    .aliases = {"adding-serial-primary-key-field"},
    .title = "A serial column writes the whole table anew",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD COLUMN of type serial, bigserial or smallserial on a table in use.",
    .why = "Each row gets a number of its own: the table is written anew under an ACCESS EXCLUSIVE lock.",
    .safe = R"sql(ALTER TABLE orders ADD COLUMN place bigint;
CREATE SEQUENCE orders_place OWNED BY orders.place;
ALTER TABLE orders ALTER COLUMN place SET DEFAULT nextval('orders_place');
-- then fill the rows that are there in batches)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN place bigserial"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN place bigint"}, {.sql = "CREATE TABLE parcels (id bigserial)"}},
    .check = check_serial_column,
};

}  // namespace syzygy
