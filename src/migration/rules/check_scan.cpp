#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_check_scan(const Action& action, const Subject& subject, Report& report) {
  if (!adds(action, ConstraintKind::kCheck) || action.not_valid || action.object.kind != ObjectKind::kTable) return;
  if (!action.only_not_null.empty()) {
    const KnownColumn* column = subject.schema.column(action.object, action.only_not_null);
    if (column != nullptr && column->not_null) return;
  }
  const std::string column = action.columns.size() == 1 ? action.columns.front() + "_" : "";
  const std::string name = action.part.empty() ? action.object.name + "_" + column + "check" : action.part;
  report.add("adds a CHECK" + (action.part.empty() ? "" : " " + action.part) + " to " + describe(action.object) +
                 " and checks every row while everything waits",
             in_body(subject) ? std::string() : not_valid_text(action, subject, name));
}

}  // namespace

const Rule kCheckScan{
    .id = "check-scan",
    .aliases = {"constraint-missing-not-valid"},
    .title = "A CHECK is checked while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "ADD CHECK without NOT VALID on a table in use.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock and reads the whole table while it holds it: not even a SELECT gets "
        "through.",
    .safe = R"sql(ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) < 50) NOT VALID;
-- in a transaction of its own
ALTER TABLE orders VALIDATE CONSTRAINT orders_note_short;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true},
    .fires = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) < 50)"}},
    .silent = {{.sql = "ALTER TABLE orders ADD CONSTRAINT orders_note_short CHECK (length(note) < 50) NOT VALID"},
               {.sql = "CREATE TABLE parcels (id bigint); ALTER TABLE parcels ADD CHECK (id > 0)"}},
    .check = check_check_scan,
};

}  // namespace syzygy
