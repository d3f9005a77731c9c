#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_no_way_back(const Action& action, const Subject& subject, Report& report) {
  if (subject.has_down || !subject.others_have_down || subject.index != 0 ||
      &action != &subject.meanings[0].actions.front())
    return;
  report.add("has no down migration, as others here have");
}

}  // namespace

const Rule kNoWayBack{
    .id = "no-way-back",
    .aliases = {"RUNSQL_REVERSIBLE"},
    .title = "No down migration",
    .group = HazardGroup::kLosesData,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers = "A migration without a down script, in a directory where others have one.",
    .why = "It cannot be reverted with `syzygy migrate --revert-to`.",
    .safe = "Write one below -- syzygy:down, or as N_name.down.sql; an empty one says that nothing has to be done.",
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN b int", .before = R"sql(ALTER TABLE orders ADD COLUMN a int;
-- syzygy:down
ALTER TABLE orders DROP COLUMN a)sql"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN b int"},
               {.sql = R"sql(ALTER TABLE orders ADD COLUMN b int;
-- syzygy:down
ALTER TABLE orders DROP COLUMN b)sql",
                .before = R"sql(ALTER TABLE orders ADD COLUMN a int;
-- syzygy:down
ALTER TABLE orders DROP COLUMN a)sql"}},
    .check = check_no_way_back,
};

}  // namespace syzygy
