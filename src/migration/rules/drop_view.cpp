#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_view(const Action& action, const Subject& subject, Report& report) {
  if (!drops(action, ObjectKind::kView) && !drops(action, ObjectKind::kMaterializedView)) return;
  for (std::size_t i = subject.index + 1; i < subject.meanings.size() && subject.in_transaction; ++i) {
    for (const Action& later : subject.meanings[i].actions) {
      const bool creates = later.kind == ActionKind::kCreate || later.kind == ActionKind::kReplace;
      if (creates && later.object.name == action.object.name) return;  // replaced
    }
  }
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
    .why = "Old code still reads it.",
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
