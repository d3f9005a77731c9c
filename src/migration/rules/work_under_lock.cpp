#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_work_under_lock(const Action& action, const Subject& subject, Report& report) {
  if (!subject.in_transaction || subject.held != LockMode::kAccessExclusive) return;
  // CONCURRENTLY is refused there anyway.
  const bool builds = action.kind == ActionKind::kCreate && action.object.kind == ObjectKind::kIndex &&
                      !action.concurrently && !subject.is_new(action.on);
  const bool changes =
      (action.kind == ActionKind::kUpdate || action.kind == ActionKind::kDelete) && !subject.is_new(action.object);
  const bool validates = action.kind == ActionKind::kValidateConstraint;
  if (!builds && !changes && !validates) return;
  const Place since = subject.statements[subject.held_since].place;
  report.add(std::string(builds    ? "builds an index"
                         : changes ? "changes rows of " + describe(action.object)
                                   : "validates a constraint") +
             " while line " + std::to_string(since.line) + " still keeps everybody out of " +
             (subject.held_on.kind == ObjectKind::kIndex ? "the table of " : "") + describe(subject.held_on));
}

}  // namespace

const Rule kWorkUnderLock{
    .id = "work-under-lock",
    .aliases = {"CREATE_INDEX_EXCLUSIVE"},
    .title = "Slow work while an ACCESS EXCLUSIVE lock is held",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .triggers =
        "A statement that reads or writes many rows (index build, UPDATE, DELETE, INSERT ... SELECT, validation) after "
        "one that took an ACCESS EXCLUSIVE lock on a table in use, in the same transaction.",
    .why =
        "The lock is held until the transaction ends: not even a SELECT of that table gets through while the work goes "
        "on.",
    .safe = "Put the statements that lock into a short migration of their own, and the work into another.",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true},
    .fires = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text;
UPDATE orders SET channel = 'web')sql",
               .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true}},
              {.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text;
CREATE INDEX orders_channel ON orders (channel))sql",
               .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true}}},
    .silent = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text;
CREATE INDEX CONCURRENTLY orders_channel ON orders (channel))sql"},
               {.sql = R"sql(UPDATE orders SET note = 'web' WHERE id < 10;
ALTER TABLE orders ADD COLUMN channel text)sql"},
               {.sql = R"sql(CREATE TABLE parcels (id bigint);
UPDATE orders SET note = 'x' WHERE id = 1)sql"},
               {.sql = R"sql(-- syzygy:no-transaction
ALTER TABLE orders ADD COLUMN channel text;
UPDATE orders SET channel = 'web' WHERE id < 10)sql"}},
    .check = check_work_under_lock,
};

}  // namespace syzygy
