#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_cluster(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kMaintenance || action.note != "CLUSTER") return;
  report.add("CLUSTER writes " +
             (action.object.name.empty() ? std::string("every clustered table") : describe(action.object)) +
             " anew while everything waits");
}

}  // namespace

const Rule kCluster{
    .id = "cluster",
    .title = "CLUSTER rewrites the table while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "CLUSTER of a table in use.",
    .why = "It writes the table and its indexes anew under an ACCESS EXCLUSIVE lock.",
    .safe = "Use an extension that does it beside running code (pg_repack), outside of migrations.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "CLUSTER orders USING orders_number"}},
    .silent = {{.sql = "ALTER TABLE orders CLUSTER ON orders_number"}},
    .check = check_cluster,
};

}  // namespace syzygy
