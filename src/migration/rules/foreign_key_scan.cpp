#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_foreign_key_scan(const Action& action, const Subject& subject, Report& report) {
  const bool constraint = adds(action, ConstraintKind::kForeignKey) && !action.not_valid;
  const bool column = action.kind == ActionKind::kAddColumn && !action.other.name.empty() && action.fills_itself;
  if (!constraint && !column) return;
  const std::string name =
      action.part.empty() || column
          ? action.object.name + "_" + (action.columns.empty() ? "" : action.columns.front()) + "_fkey"
          : action.part;
  report.add("adds a foreign key from " + describe(action.object) + " to " + describe(action.other) +
                 " and checks every row while writes to both wait",
             constraint && !in_body(subject)
                 ? not_valid_text(action, subject, name)
                 : std::string(column ? "add the column without REFERENCES, then\n" : "") + "ALTER TABLE " +
                       sql_name(action.object) + " ADD CONSTRAINT " + sql_name(name) + " FOREIGN KEY (" +
                       sql_names(action.columns) + ") REFERENCES " + sql_name(action.other) +
                       " ... NOT VALID;\n-- in a transaction of its own\nALTER TABLE " + sql_name(action.object) +
                       " VALIDATE CONSTRAINT " + sql_name(name) + ";");
}

}  // namespace

const Rule kForeignKeyScan{
    .id = "foreign-key-scan",
    .aliases = {"adding-foreign-key-constraint"},
    .title = "A foreign key is checked while both tables are locked",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD FOREIGN KEY without NOT VALID, or ADD COLUMN ... REFERENCES with a default, on a table in use.",
    .why =
        "It takes a SHARE ROW EXCLUSIVE lock on both tables and reads all rows while it holds them: writes to either "
        "wait.",
    .safe =
        R"sql(ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers NOT VALID;
-- in a transaction of its own
ALTER TABLE orders VALIDATE CONSTRAINT orders_customer;)sql",
    .claim = Claim{.lock = LockMode::kShareRowExclusive, .other = LockMode::kShareRowExclusive, .scans = true},
    .fires = {{.sql =
                   "ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES customers"},
              {.sql = "ALTER TABLE orders ADD COLUMN payer_id bigint DEFAULT 1 REFERENCES customers",
               .claim =
                   Claim{.lock = LockMode::kAccessExclusive, .other = LockMode::kShareRowExclusive, .scans = true}}},
    .silent = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_customer FOREIGN KEY (customer_id) REFERENCES "
                       "customers NOT VALID"},
               {.sql = "ALTER TABLE orders ADD COLUMN payer_id bigint REFERENCES customers"},
               {.sql = "CREATE TABLE parcels (order_id bigint REFERENCES orders)"}},
    .check = check_foreign_key_scan,
};

}  // namespace syzygy
