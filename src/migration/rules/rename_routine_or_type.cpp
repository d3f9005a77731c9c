#include "migration/rules/replaced.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_rename_routine_or_type(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kRename || action.note == "value" || action.note == "constraint") return;
  const ObjectKind kind = action.object.kind;
  if (kind != ObjectKind::kFunction && kind != ObjectKind::kType && kind != ObjectKind::kDomain &&
      kind != ObjectKind::kSequence)
    return;
  if (action.part.empty() && is_made_again(action.object, subject)) return;
  report.add("renames " + part_of(action, "attribute") + " to " + action.new_name + ", which old code does not know");
}

}  // namespace

const Rule kRenameRoutineOrType{
    .id = "rename-routine-or-type",
    .title = "A function, type or sequence is renamed",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers =
        "ALTER FUNCTION, TYPE, DOMAIN or SEQUENCE ... RENAME TO, or RENAME ATTRIBUTE; not where the same "
        "transaction makes another one of the old name.",
    .why = "Old code calls it, or casts to it, by its old name.",
    .safe = R"sql(-- pre_deploy: both names
CREATE FUNCTION count_of_orders() RETURNS bigint LANGUAGE sql AS 'SELECT order_count()';
-- post_deploy, in a later release
DROP FUNCTION order_count();)sql",
    .fires = {{.sql = "ALTER FUNCTION order_count() RENAME TO count_of_orders", .breaks = "SELECT order_count()"}},
    .silent = {{.sql = "ALTER DOMAIN positive RENAME CONSTRAINT positive_check TO is_positive"},
               {.sql = R"sql(ALTER FUNCTION order_count() RENAME TO old_count;
CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql AS 'SELECT 2::bigint')sql"}},
    .check = check_rename_routine_or_type,
};

}  // namespace syzygy
