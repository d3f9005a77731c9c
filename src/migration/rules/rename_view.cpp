#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check(const Action& action, const Subject&, Report& report) {
  const bool view = action.object.kind == ObjectKind::kView || action.object.kind == ObjectKind::kMaterializedView;
  if (action.kind != ActionKind::kRename || !view) return;
  report.add("renames " + part_of(action) + " to " + action.new_name +
             ": old code knows only the old name, new code only the new one");
}

}  // namespace

const Rule kRenameView{
    .id = "rename-view",
    .title = "A view or a column of one is renamed",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers = "ALTER VIEW or ALTER MATERIALIZED VIEW ... RENAME TO, or RENAME COLUMN.",
    .why = "Old code knows only the old name, new code only the new one.",
    .safe = R"sql(-- pre_deploy: both
CREATE VIEW pending_orders AS SELECT * FROM open_orders;
-- post_deploy, in a later release
DROP VIEW open_orders;)sql",
    .fires = {{.sql = "ALTER VIEW open_orders RENAME TO pending_orders", .breaks = "SELECT id FROM open_orders"},
              {.sql = "ALTER VIEW open_orders RENAME COLUMN note TO remark", .breaks = "SELECT note FROM open_orders"}},
    .silent = {{.sql = "CREATE VIEW fresh AS SELECT 1 AS a; ALTER VIEW fresh RENAME TO fresher"}},
    .check = check,
};

}  // namespace syzygy
