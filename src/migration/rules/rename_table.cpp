#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_rename_table(const Action& action, const Subject& subject, Report& report) {
  if (!renames(action, ObjectKind::kTable)) return;
  for (std::size_t i = subject.index + 1; i < subject.meanings.size() && subject.in_transaction; ++i) {
    for (const Action& later : subject.meanings[i].actions) {  // a view, or another table, takes its place at once
      const bool takes_name = (later.kind == ActionKind::kCreate || later.kind == ActionKind::kReplace) &&
                              later.object.name == action.object.name;
      if (takes_name || (renames(later, ObjectKind::kTable) && later.new_name == action.object.name)) return;
    }
  }
  report.add("renames " + describe(action.object) + " to " + action.new_name +
                 ": old code knows only the old name, new code only the new one",
             "in the same transaction: CREATE VIEW " + sql_name(action.object) + " AS SELECT * FROM " +
                 sql_name(action.new_name) + ";");
}

}  // namespace

const Rule kRenameTable{
    .id = "rename-table",
    .aliases = {"RENAME_TABLE", "renaming-table"},
    .title = "A table is renamed",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .sqlite = true,
    .triggers = "ALTER TABLE ... RENAME TO on a table in use.",
    .why = "There is no moment for it: old code knows only the old name, new code only the new one.",
    .safe = R"sql(BEGIN;
ALTER TABLE orders RENAME TO purchases;
CREATE VIEW orders AS SELECT * FROM purchases;  -- simple enough to be written through
COMMIT;
-- post_deploy, in a later release
DROP VIEW orders;)sql",
    .fires = {{.sql = "ALTER TABLE orders RENAME TO purchases", .breaks = "SELECT id FROM orders"}},
    .silent = {{.sql = R"sql(ALTER TABLE orders RENAME TO purchases;
CREATE VIEW orders AS SELECT * FROM purchases)sql"},
               {.sql = "ALTER INDEX orders_note RENAME TO orders_note_idx"}},
    .check = check_rename_table,
};

}  // namespace syzygy
