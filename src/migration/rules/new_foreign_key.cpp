#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_new_foreign_key(const Action& action, const Subject& subject, Report& report) {
  if (!adds(action, ConstraintKind::kForeignKey) || action.object.kind != ObjectKind::kTable) return;
  if (!action.columns.empty() &&
      done_before(subject, ActionKind::kAddColumn, action.object, action.columns.front()) != nullptr) {
    return;  // old code does not know the column
  }
  report.add("adds a foreign key" + (action.part.empty() ? "" : " " + action.part) + " to " + describe(action.object) +
             ", which old code may not keep");
}

}  // namespace

const Rule kNewForeignKey{
    .id = "new-foreign-key",
    .title = "A new foreign key that old code does not keep",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .sqlite = true,
    .triggers = "ADD CONSTRAINT of a foreign key on a table in use, before the deployment, whether NOT VALID or not.",
    .why = "NOT VALID spares only the rows that are there: every row that old code writes from now on is checked.",
    .safe = R"sql(-- post_deploy: new code is known to keep it
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;
-- and in a transaction of its own
ALTER TABLE orders VALIDATE CONSTRAINT ...;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers NOT VALID)sql",
               .breaks = "INSERT INTO orders (id, number, customer_id) VALUES (1001, 1001, 999999)"}},
    .silent = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES "
                       "customers NOT VALID"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders ADD COLUMN origin bigint;
ALTER TABLE orders ADD CONSTRAINT orders_origin FOREIGN KEY (origin) REFERENCES customers NOT VALID)sql"}},
    .check = check_new_foreign_key,
};

}  // namespace syzygy
