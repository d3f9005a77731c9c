#include <algorithm>

#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_overwritten_data(const Action& action, const Subject& subject, Report& report) {
  if (subject.has_down) return;
  if (action.kind == ActionKind::kDelete) {
    if (!action.whole_table)
      report.add("deletes rows of " + describe(action.object) + ", and nothing brings them back");
    return;
  }
  if (action.kind != ActionKind::kUpdate || action.columns.empty()) return;
  // What fills a column that this migration adds overwrites nothing.
  const bool fills = std::ranges::all_of(action.columns, [&](const std::string& column) {
    return done_before(subject, ActionKind::kAddColumn, action.object, column) != nullptr;
  });
  if (!fills) {
    report.add("overwrites " + sql_names(action.columns) + " in " + describe(action.object) +
               ", and nothing brings the old values back");
  }
}

}  // namespace

const Rule kOverwrittenData{
    .id = "overwritten-data",
    .title = "A backfill without a way back",
    .group = HazardGroup::kLosesData,
    .severity = Severity::kNote,
    .sqlite = true,
    .triggers =
        "UPDATE of a column that the migration does not add, or DELETE ... WHERE, in a table in use, in a migration "
        "without a down script.",
    .why = "What the rows held before is gone: reverting the migration cannot bring it back.",
    .safe = R"sql(-- keep what is overwritten until nobody wants it back
CREATE TABLE orders_state_kept AS SELECT id, state FROM orders WHERE state = 'open';
UPDATE orders SET state = 'new' WHERE state = 'open';)sql",
    .fires = {{.sql = "UPDATE orders SET state = 'new' WHERE state = 'open'",
               .seen = "SELECT count(*) = 0 FROM orders WHERE state = 'open'"},
              {.sql = "DELETE FROM orders WHERE total = 0", .seen = "SELECT count(*) = 0 FROM orders WHERE total = 0"}},
    .silent = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text;
UPDATE orders SET channel = 'web' WHERE id < 10)sql"},
               {.sql = R"sql(UPDATE orders SET state = 'new' WHERE state = 'open';
-- syzygy:down
UPDATE orders SET state = 'open' WHERE state = 'new')sql"},
               {.sql = "DELETE FROM pg_temp.scratch WHERE id = 1",
                .before = "CREATE TEMPORARY TABLE scratch (id int)"}},
    .check = check_overwritten_data,
};

}  // namespace syzygy
