#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_row_security(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kRestrict || action.object.name.empty()) return;
  report.add(action.note + " for " + describe(action.on.name.empty() ? action.object : action.on) +
             ", which old code is not written for");
}

}  // namespace

const Rule kRowSecurity{
    .id = "row-security",
    .title = "Row level security is turned on while old code runs",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .triggers = "ENABLE or FORCE ROW LEVEL SECURITY, or a restrictive policy, before the deployment.",
    .why =
        "Without a policy that lets them, all but the owner see no rows and may write none. Old code does not set what "
        "the new policies look at.",
    .safe = R"sql(-- pre_deploy: the policies, which do nothing yet
CREATE POLICY orders_all ON orders USING (true);
-- post_deploy
ALTER TABLE orders ENABLE ROW LEVEL SECURITY;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ENABLE ROW LEVEL SECURITY)sql",
               .breaks = "SET ROLE clerk; SELECT 1 / count(*) FROM orders"}},
    .silent = {{.sql = "ALTER TABLE orders ENABLE ROW LEVEL SECURITY"}, {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders DISABLE ROW LEVEL SECURITY)sql"}},
    .check = check_row_security,
};

}  // namespace syzygy
