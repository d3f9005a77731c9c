#include "migration/rules/replaced.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_rename_view(const Action& action, const Subject& subject, Report& report) {
  const bool view = action.object.kind == ObjectKind::kView || action.object.kind == ObjectKind::kMaterializedView;
  if (action.kind != ActionKind::kRename || !view) return;
  if (action.part.empty() && is_made_again(action.object, subject)) return;
  report.add("renames " + part_of(action) + " to " + action.new_name +
             ": old code knows only the old name, new code only the new one");
}

}  // namespace

const Rule kRenameView{
    .id = "rename-view",
    .title = "A view or a column of one is renamed",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers =
        "ALTER VIEW or ALTER MATERIALIZED VIEW ... RENAME TO, or RENAME COLUMN; not where the same "
        "transaction makes another view of the old name.",
    .why = "Old code knows only the old name, new code only the new one.",
    .safe = R"sql(-- pre_deploy: both
CREATE VIEW names_of_customers AS SELECT * FROM customer_names;
-- post_deploy, in a later release
DROP VIEW customer_names;)sql",
    .fires = {{.sql = "ALTER VIEW customer_names RENAME TO names_of_customers",
               .breaks = "SELECT id FROM customer_names"},
              {.sql = "ALTER VIEW customer_names RENAME COLUMN name TO title",
               .breaks = "SELECT name FROM customer_names"}},
    .silent = {{.sql = "CREATE VIEW fresh AS SELECT 1 AS a; ALTER VIEW fresh RENAME TO fresher"},
               {.sql = R"sql(ALTER VIEW customer_names RENAME TO old_names;
CREATE VIEW customer_names AS SELECT id, name FROM customers)sql"}},
    .check = check_rename_view,
};

}  // namespace syzygy
