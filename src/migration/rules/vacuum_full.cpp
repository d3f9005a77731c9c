#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_vacuum_full(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kMaintenance || action.note != "VACUUM FULL") return;
  report.add("VACUUM FULL writes " +
             (action.object.name.empty() ? std::string("every table") : describe(action.object)) +
             " anew while everything waits");
}

}  // namespace

const Rule kVacuumFull{
    .id = "vacuum-full",
    .title = "VACUUM FULL rewrites the table while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "VACUUM FULL.",
    .why =
        "It writes the table and its indexes anew under an ACCESS EXCLUSIVE lock. A plain VACUUM runs beside "
        "everything.",
    .safe = "VACUUM orders;  -- or an extension that does it beside running code (pg_repack)",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = R"sql(-- syzygy:no-transaction
VACUUM FULL orders)sql"}},
    .silent = {{.sql = R"sql(-- syzygy:no-transaction
VACUUM orders)sql"},
               {.sql = R"sql(-- syzygy:no-transaction
VACUUM (FULL false) orders)sql"}},
    .check = check_vacuum_full,
};

}  // namespace syzygy
