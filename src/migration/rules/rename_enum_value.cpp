#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_rename_enum_value(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kRename || action.note != "value") return;
  report.add("renames value " + action.part + " of " + describe(action.object) + " to " + action.new_name +
             ", which old code still writes");
}

}  // namespace

const Rule kRenameEnumValue{
    .id = "rename-enum-value",
    .title = "A value of an enum is renamed",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers = "ALTER TYPE ... RENAME VALUE.",
    .why =
        "Old code writes and compares with the old value, new code with the new one; each fails while the other one "
        "stands.",
    .safe = R"sql(-- pre_deploy: a second value, which code that reads takes for the same
ALTER TYPE mood ADD VALUE 'fine';
-- then move the rows in batches, and leave the old value unused)sql",
    .fires = {{.sql = "ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'",
               .breaks = "INSERT INTO orders (id, number, feeling) VALUES (1001, 1001, 'ok')"}},
    .silent = {{.sql = "ALTER TYPE mood ADD VALUE 'fine'"}},
    .check = check_rename_enum_value,
};

}  // namespace syzygy
