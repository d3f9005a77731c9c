#include <algorithm>

#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_new_check(const Action& action, const Subject& subject, Report& report) {
  if (!adds(action, ConstraintKind::kCheck) || action.object.kind != ObjectKind::kTable) return;
  // Old code does not know new columns: what it writes has their defaults, or NULL.
  const auto is_kept = [&](const std::string& column) {
    const Action* added = done_before(subject, ActionKind::kAddColumn, action.object, column);
    return added != nullptr && (action.null_passes || added->fills_itself);
  };
  if (!action.columns.empty() && std::ranges::all_of(action.columns, is_kept)) return;
  report.add("adds a CHECK constraint" + (action.part.empty() ? "" : " " + action.part) + " to " +
             describe(action.object) + ", which old code may not keep");
}

}  // namespace

const Rule kNewCheck{
    .id = "new-check",
    .title = "A new CHECK constraint that old code does not keep",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers =
        "ADD CONSTRAINT of a CHECK constraint on a table in use, before the deployment, whether NOT VALID or not.",
    .why = "NOT VALID spares only the rows that are there: every row that old code writes from now on is checked.",
    .safe = R"sql(-- post_deploy: new code is known to keep it
ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) < 50) NOT VALID;
-- and in a transaction of its own
ALTER TABLE orders VALIDATE CONSTRAINT ...;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) < 50) NOT VALID)sql",
               .breaks = "UPDATE orders SET note = repeat('x', 60)"},
              {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD COLUMN size int;
ALTER TABLE orders ADD CONSTRAINT orders_sized CHECK (size IS NOT NULL) NOT VALID)sql",
               .breaks = "INSERT INTO orders (id, number) VALUES (1001, 1001)"}},
    .silent = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) < 50) NOT VALID"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
CREATE TABLE parcels (id bigint); ALTER TABLE parcels ADD CHECK (id > 0))sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD COLUMN size int, ADD CONSTRAINT orders_sized CHECK (size > 0) NOT VALID)sql"}},
    .check = check_new_check,
};

}  // namespace syzygy
