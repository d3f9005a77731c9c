#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_revoke(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kRestrict || !action.object.name.empty() || action.note != "revokes rights") return;
  report.add("revokes rights that old code may still use");
}

}  // namespace

const Rule kRevoke{
    .id = "revoke",
    .title = "Rights are taken away while old code runs",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kWarning,
    .when = When::kBeforeDeployment,
    .triggers = "REVOKE before the deployment, on something in use.",
    .why = "Old code may still use the rights.",
    .safe = R"sql(-- post_deploy, when no old code runs
REVOKE INSERT ON orders FROM clerk;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
REVOKE SELECT ON orders FROM clerk)sql",
               .breaks = "SET ROLE clerk; SELECT id FROM orders"}},
    .silent = {{.sql = "REVOKE SELECT ON orders FROM clerk"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
GRANT INSERT ON orders TO clerk)sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE TABLE parcels (id bigint);
REVOKE ALL ON parcels FROM PUBLIC)sql"}},
    .check = check_revoke,
};

}  // namespace syzygy
