#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_validate_at_once(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kValidateConstraint || !subject.in_transaction) return;
  if (done_before(subject, ActionKind::kAddConstraint, action.object, action.part) == nullptr) return;
  report.add("validates " + part_of(action, "constraint") + " while the lock that adding it took is still held",
             "in a migration of its own: ALTER TABLE " + sql_name(action.object) + " VALIDATE CONSTRAINT " +
                 sql_name(action.part) + ";");
}

}  // namespace

const Rule kValidateAtOnce{
    .id = "validate-at-once",
    .title = "A constraint is validated in the transaction that adds it",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "VALIDATE CONSTRAINT in the same transaction as the ADD CONSTRAINT ... NOT VALID.",
    .why =
        "The lock that adding took is held until the transaction ends, so the scan that NOT VALID put off happens "
        "under it after all.",
    .safe = "Put VALIDATE CONSTRAINT into the next migration.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true},
    .fires = {{.sql = R"sql(ALTER TABLE orders ADD CONSTRAINT short CHECK (length(note) < 50) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT short)sql"}},
    .silent = {{.sql = "ALTER TABLE orders VALIDATE CONSTRAINT short",
                .before = "ALTER TABLE orders ADD CONSTRAINT short CHECK (length(note) < 50) NOT VALID"}},
    .check = check_validate_at_once,
};

}  // namespace syzygy
