#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_refresh_materialized_view(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kMaintenance || action.note != "REFRESH MATERIALIZED VIEW" || action.concurrently)
    return;
  report.add("refreshes " + describe(action.object) + " while its readers wait",
             "REFRESH MATERIALIZED VIEW CONCURRENTLY " + sql_name(action.object) + ";");
}

}  // namespace

const Rule kRefreshMaterializedView{
    .id = "refresh-materialized-view",
    .title = "A materialized view is refreshed while its readers wait",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .triggers = "REFRESH MATERIALIZED VIEW without CONCURRENTLY.",
    .why = "It takes an ACCESS EXCLUSIVE lock on the view for as long as its query takes.",
    .safe = "REFRESH MATERIALIZED VIEW CONCURRENTLY customer_counts;  -- needs a unique index on it",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true, .table = "customer_counts"},
    .fires = {{.sql = "REFRESH MATERIALIZED VIEW customer_counts"}},
    .silent = {{.sql = "REFRESH MATERIALIZED VIEW CONCURRENTLY customer_counts"}},
    .check = check_refresh_materialized_view,
};

}  // namespace syzygy
