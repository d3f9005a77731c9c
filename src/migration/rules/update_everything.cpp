#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_update_everything(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kUpdate || !action.whole_table) return;
  report.add("updates every row of " + describe(action.object) + " in one statement");
}

}  // namespace

const Rule kUpdateEverything{
    .id = "update-everything",
    .title = "Every row is updated in one statement",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .tables = Tables::kFilled,
    .sqlite = true,
    .triggers = "UPDATE without WHERE on a table in use.",
    .why =
        "It locks every row until the transaction ends, writes the table a second time, and cannot be stopped half-way "
        "and gone on with.",
    .safe = R"sql(-- in batches, each in a transaction of its own
UPDATE orders SET note = 'x' WHERE id BETWEEN 1 AND 10000 AND note IS NULL;)sql",
    .claim = Claim{.lock = LockMode::kRowExclusive, .scans = true},
    .fires = {{.sql = "UPDATE orders SET note = 'x'"}},
    .silent = {{.sql = "UPDATE orders SET note = 'x' WHERE id < 10000"},
               {.sql = "CREATE TABLE parcels (id bigint); UPDATE parcels SET id = 1"}},
    .check = check_update_everything,
};

}  // namespace syzygy
