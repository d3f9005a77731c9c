#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_truncate(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kTruncate) return;
  report.add("empties " + describe(action.object) + (action.cascade ? " and every table that references it" : ""));
}

}  // namespace

const Rule kTruncate{
    .id = "truncate",
    .aliases = {"ban-truncate-cascade"},
    .title = "A table is emptied",
    .group = HazardGroup::kLosesData,
    .severity = Severity::kError,
    .triggers = "TRUNCATE of a table in use.",
    .why =
        "Its rows are gone for old and new code, it takes an ACCESS EXCLUSIVE lock, and with CASCADE every table that "
        "references it is emptied, too.",
    .safe = "Delete what is meant, in batches: DELETE FROM orders WHERE id BETWEEN 1 AND 10000;",
    .fires = {{.sql = "TRUNCATE orders", .seen = "SELECT count(*) = 0 FROM orders"},
              {.sql = "TRUNCATE customers CASCADE", .seen = "SELECT count(*) = 0 FROM customers"}},
    .silent = {{.sql = "CREATE TABLE parcels (id bigint); TRUNCATE parcels"},
               {.sql = "DELETE FROM orders WHERE id = 1"}},
    .check = check_truncate,
};

}  // namespace syzygy
