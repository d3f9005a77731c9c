#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_set_tablespace(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kAlterOther || action.note != "SET TABLESPACE") return;
  report.add("moves " + describe(action.object) + " to another tablespace, copying all of it while everything waits");
}

}  // namespace

const Rule kSetTablespace{
    .id = "set-tablespace",
    .title = "A table is moved to another tablespace",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "SET TABLESPACE on a table or an index in use.",
    .why = "The whole table is copied under an ACCESS EXCLUSIVE lock.",
    .safe = "Use an extension that does it beside running code (pg_repack), outside of migrations.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders SET TABLESPACE fast"}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN note SET STATISTICS 500"}},
    .check = check_set_tablespace,
};

}  // namespace syzygy
