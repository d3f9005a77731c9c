#include "base/shown.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_schema(const Action& action, const Subject& subject, Report& report) {
  if (drops(action, ObjectKind::kDatabase)) report.add("drops " + describe(action.object) + ", with all that is in it");
  const bool owned = drops(action, ObjectKind::kOther) && action.note == "everything owned by";
  if (owned) report.add("drops everything that " + shown(action.object.name) + " owns in this database");
  const bool before = subject.one_phase || subject.stage != Stage::kPostDeploy;
  if (drops(action, ObjectKind::kSchema) && before)
    report.add("drops " + describe(action.object) + " while old code may still use what is in it");
}

}  // namespace

const Rule kDropSchema{
    .id = "drop-schema",
    .aliases = {"ban-drop-database"},
    .title = "A schema, a database or all that a role owns is dropped",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers = "DROP SCHEMA before the deployment; DROP DATABASE and DROP OWNED at any time.",
    .why =
        "All that stands in it goes with it, for old code and for everybody else. A migration is no place to drop a "
        "database.",
    .safe = R"sql(-- post_deploy, one object at a time, so that nothing goes that nobody named
DROP TABLE archive.orders_2019;
DROP SCHEMA archive RESTRICT;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
DROP SCHEMA archive CASCADE)sql",
               .breaks = "SELECT id FROM archive.orders_2019"},
              {.sql = R"sql(-- syzygy:no-transaction
-- syzygy:stage post_deploy
DROP DATABASE shop)sql"}},
    .silent = {{.sql = R"sql(-- syzygy:stage post_deploy
DROP SCHEMA archive RESTRICT)sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE SCHEMA fresh; DROP SCHEMA fresh)sql"}},
    .check = check_drop_schema,
};

}  // namespace syzygy
