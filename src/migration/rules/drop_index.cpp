#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_index(const Action& action, const Subject&, Report& report) {
  if (!drops(action, ObjectKind::kIndex) || action.concurrently) return;
  report.add("drops " + describe(action.object) + " under an ACCESS EXCLUSIVE lock of its table",
             "-- syzygy:no-transaction\nDROP INDEX CONCURRENTLY " + std::string(action.if_exists ? "IF EXISTS " : "") +
                 sql_name(action.object) + ";");
}

}  // namespace

const Rule kDropIndex{
    .id = "drop-index",
    .aliases = {"DROP_INDEX", "require-concurrent-index-deletion"},
    .title = "An index is dropped while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .tables = Tables::kFilled,
    .triggers = "DROP INDEX without CONCURRENTLY.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock on the table: it waits for every transaction that uses it, and everything "
        "that comes after waits behind it.",
    .safe = R"sql(-- syzygy:no-transaction
DROP INDEX CONCURRENTLY orders_note;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive},
    .fires = {{.sql = "DROP INDEX orders_note"}},
    .silent =
        {{.sql = R"sql(-- syzygy:no-transaction
DROP INDEX CONCURRENTLY orders_note)sql"},
         {.sql = "CREATE TABLE parcels (id bigint); CREATE INDEX parcels_id ON parcels (id); DROP INDEX parcels_id"}},
    .check = check_drop_index,
};

}  // namespace syzygy
