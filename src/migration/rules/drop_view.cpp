#include "migration/rules/replaced.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_view(const Action& action, const Subject& subject, Report& report) {
  if (!drops(action, ObjectKind::kView) && !drops(action, ObjectKind::kMaterializedView)) return;
  if (is_made_again(action.object, subject) || is_named_here(action.object, subject)) return;
  report.add("drops " + describe(action.object) + " while old code still reads it");
}

}  // namespace

const Rule kDropView{
    .id = "drop-view",
    .title = "A view is dropped while old code reads it",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers =
        "DROP VIEW or DROP MATERIALIZED VIEW before the deployment, without creating it anew in the same transaction.",
    .why =
        "Old code still reads it. One that is created anew is a replacement: old code survives it where the new "
        "one has every column that it reads, which is yours to say (stage-ambiguous).",
    .safe = R"sql(-- post_deploy, when no old code runs
DROP VIEW customer_names;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
DROP VIEW customer_names)sql",
               .breaks = "SELECT id FROM customer_names"}},
    .silent = {{.sql = "DROP VIEW customer_names"}, {.sql = R"sql(-- syzygy:stage pre_deploy
DROP VIEW customer_names;
CREATE VIEW customer_names AS SELECT id, name, 1 AS level FROM customers)sql"}},
    .check = check_drop_view,
};

}  // namespace syzygy
