#include "migration/rules/replaced.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_routine_or_type(const Action& action, const Subject& subject, Report& report) {
  const bool ours = drops(action, ObjectKind::kFunction) || drops(action, ObjectKind::kType) ||
                    drops(action, ObjectKind::kDomain) || drops(action, ObjectKind::kSequence) ||
                    drops(action, ObjectKind::kExtension);
  if (!ours) return;
  if (is_made_again(action.object, subject) || is_named_here(action.object, subject)) return;
  report.add("drops " + describe(action.object) + " while old code may still use it");
}

}  // namespace

const Rule kDropRoutineOrType{
    .id = "drop-routine-or-type",
    .title = "A function, type, sequence or extension is dropped while old code uses it",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .triggers =
        "DROP FUNCTION, PROCEDURE, TYPE, DOMAIN, SEQUENCE or EXTENSION before the deployment, without creating it anew "
        "in the same transaction; not of what the same migration has renamed before, which rename-routine-or-type "
        "tells.",
    .why = "Old code, or a default, trigger or view that it relies on, still calls it or casts to it.",
    .safe = R"sql(-- post_deploy, when no old code runs
DROP FUNCTION order_count();)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
DROP FUNCTION order_count())sql",
               .breaks = "SELECT order_count()"},
              {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE OR REPLACE FUNCTION order_count(a int) RETURNS int LANGUAGE sql AS 'SELECT a';
DROP FUNCTION order_count())sql",
               .breaks = "SELECT order_count()"}},
    .silent = {{.sql = "DROP FUNCTION order_count()"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
DROP FUNCTION order_count();
CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint')sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE OR REPLACE FUNCTION half(a int) RETURNS int LANGUAGE sql AS 'SELECT a / 2';
UPDATE customers SET name = half(4)::text WHERE id = 1;
DROP FUNCTION half(int))sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER FUNCTION order_count() RENAME TO old_count;
CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql AS 'SELECT 2::bigint';
DROP FUNCTION old_count())sql"}},
    .check = check_drop_routine_or_type,
};

}  // namespace syzygy
