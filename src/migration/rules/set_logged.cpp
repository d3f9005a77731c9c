#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_set_logged(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kAlterOther || (action.note != "SET LOGGED" && action.note != "SET UNLOGGED")) return;
  report.add(action.note + " writes " + describe(action.object) + " anew while everything waits");
}

}  // namespace

const Rule kSetLogged{
    .id = "set-logged",
    .title = "A table becomes LOGGED or UNLOGGED",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "SET LOGGED, SET UNLOGGED.",
    .why = "The whole table is written anew under an ACCESS EXCLUSIVE lock. What is UNLOGGED is empty after a crash.",
    .safe = "Create a table of the other kind, fill it in batches, and swap the names.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders SET UNLOGGED"}},
    .silent = {{.sql = "CREATE UNLOGGED TABLE parcels (id bigint)"},
               {.sql = "ALTER TABLE orders SET (fillfactor = 90)"}},
    .check = check_set_logged,
};

}  // namespace syzygy
