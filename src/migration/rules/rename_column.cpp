#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_rename_column(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kRename || action.part.empty() || action.note != "column" ||
      action.object.kind != ObjectKind::kTable)
    return;
  report.add("renames " + part_of(action) + " to " + action.new_name +
                 ": old code knows only the old name, new code only the new one",
             "add " + sql_name(action.new_name) + ", keep both equal by a trigger, move the code, then drop " +
                 sql_name(action.part) + " (see syzygy split)");
}

}  // namespace

const Rule kRenameColumn{
    .id = "rename-column",
    .aliases = {"RENAME_COLUMN", "renaming-column"},
    .title = "A column is renamed",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .sqlite = true,
    .triggers = "RENAME COLUMN on a table in use.",
    .why =
        "There is no moment for it: before the deployment old code fails, which uses the old name; after it new code "
        "fails until it ran, which uses the new one.",
    .safe = R"sql(-- pre_deploy: both names, kept equal by a trigger (syzygy split writes it)
ALTER TABLE orders ADD COLUMN remark text;
-- post_deploy, in a later release
ALTER TABLE orders DROP COLUMN note;)sql",
    .fires = {{.sql = "ALTER TABLE orders RENAME COLUMN note TO remark", .breaks = "SELECT note FROM orders"}},
    .silent = {{.sql = "ALTER TABLE orders RENAME CONSTRAINT orders_total_check TO total_is_positive"},
               {.sql = "CREATE TABLE parcels (a int); ALTER TABLE parcels RENAME COLUMN a TO b"}},
    .check = check_rename_column,
};

}  // namespace syzygy
