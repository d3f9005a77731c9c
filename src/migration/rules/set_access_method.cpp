#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_set_access_method(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kAlterOther || action.note != "SET ACCESS METHOD") return;
  report.add("SET ACCESS METHOD writes " + describe(action.object) + " anew while everything waits");
}

}  // namespace

const Rule kSetAccessMethod{
    .id = "set-access-method",
    .title = "A table gets another access method",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "SET ACCESS METHOD.",
    .why = "The whole table is written anew under an ACCESS EXCLUSIVE lock.",
    .safe = "Create a table of the other kind, fill it in batches, and swap the names.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders SET ACCESS METHOD heap2"}},
    .silent = {{.sql = "CREATE TABLE parcels (id bigint) USING heap"}},
    .check = check_set_access_method,
};

}  // namespace syzygy
