#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_not_understood(const Action& action, const Subject&, Report& report) {
  if (action.kind != ActionKind::kUnknown) return;
  report.add(action.note, action.new_name.empty()
                              ? ""
                              : "-- say which stage it is, and that you know\n-- syzygy:stage pre_deploy\n-- "
                                "syzygy:ignore not-understood because " +
                                    action.new_name + " reads it");
}

}  // namespace

const Rule kNotUnderstood{
    .id = "not-understood",
    .aliases = {"syntax-error"},
    .title = "A statement that is not understood",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers =
        "Text that is no statement of PostgreSQL 15's grammar (or of SQLite's), is nested too deep, or is too large to "
        "judge.",
    .why = "Nothing can be said of it. Where it is newer syntax it may well run.",
    .safe =
        "Mend it; or, where it is newer syntax, say so, and which stage it is: -- syzygy:stage pre_deploy, and -- "
        "syzygy:ignore not-understood because PostgreSQL 17 reads it. `syzygy migrate` sends it to the server as it "
        "is.",
    .fires = {{.sql = "ALTER TABEL orders ADD COLUMN a int"},
              {.sql = "CREATE VIEW books AS SELECT JSON_OBJECT('id' VALUE id ABSENT ON NULL) AS book FROM orders"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN a int"}},
    .check = check_not_understood,
};

}  // namespace syzygy
