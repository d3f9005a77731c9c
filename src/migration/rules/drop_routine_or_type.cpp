#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_routine_or_type(const Action& action, const Subject& subject, Report& report) {
  const bool ours = drops(action, ObjectKind::kFunction) || drops(action, ObjectKind::kType) ||
                    drops(action, ObjectKind::kDomain) || drops(action, ObjectKind::kSequence) ||
                    drops(action, ObjectKind::kExtension);
  if (!ours) return;
  for (std::size_t i = subject.index + 1; i < subject.meanings.size() && subject.in_transaction; ++i) {
    for (const Action& later : subject.meanings[i].actions) {
      const bool creates = later.kind == ActionKind::kCreate || later.kind == ActionKind::kReplace;
      if (creates && later.object.kind == action.object.kind && later.object.name == action.object.name) return;
    }
  }
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
        "in the same transaction.",
    .why = "Old code, or a default, trigger or view that it relies on, still calls it or casts to it.",
    .safe = R"sql(-- post_deploy, when no old code runs
DROP FUNCTION order_count();)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
DROP FUNCTION order_count())sql",
               .breaks = "SELECT order_count()"}},
    .silent = {{.sql = "DROP FUNCTION order_count()"}, {.sql = R"sql(-- syzygy:stage pre_deploy
DROP FUNCTION order_count();
CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint')sql"}},
    .check = check_drop_routine_or_type,
};

}  // namespace syzygy
