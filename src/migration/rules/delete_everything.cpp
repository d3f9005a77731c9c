#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_delete_everything(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kDelete || !action.whole_table) return;
  report.add("deletes every row of " + describe(action.object));
}

}  // namespace

const Rule kDeleteEverything{
    .id = "delete-everything",
    .title = "Every row is deleted",
    .group = HazardGroup::kLosesData,
    .severity = Severity::kError,
    .sqlite = true,
    .triggers = "DELETE without WHERE on a table in use.",
    .why = "Its rows are gone for old and new code, and there is no way back.",
    .safe = "Say which rows: DELETE FROM orders WHERE state = 'void';",
    .fires = {{.sql = "DELETE FROM orders", .seen = "SELECT count(*) = 0 FROM orders"}},
    .silent = {{.sql = "DELETE FROM orders WHERE state = 'void'"},
               {.sql = "CREATE TABLE parcels (id bigint); DELETE FROM parcels"}},
    .check = check_delete_everything,
};

}  // namespace syzygy
