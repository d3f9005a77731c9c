#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_attach_partition(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kAttachPartition || action.note == "INHERIT" ||
      action.object.kind != ObjectKind::kTable)
    return;
  if (subject.is_new(action.other) || subject.schema.is_small(action.other)) return;
  if (const KnownTable* partition = subject.schema.table(action.other)) {
    for (const KnownConstraint& constraint : partition->constraints) {
      if (constraint.kind == ConstraintKind::kCheck && constraint.valid) return;
    }
  }
  report.add("attaches " + describe(action.other) + " to " + describe(action.object) +
             " and reads all of it under a lock, as no CHECK is known that spares it");
}

}  // namespace

const Rule kAttachPartition{
    .id = "attach-partition",
    .title = "A partition is attached that has to be read first",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .triggers = "ATTACH PARTITION of a table without a valid CHECK that implies the bounds.",
    .why =
        "It reads the whole partition under an ACCESS EXCLUSIVE lock on it, to see that every row belongs there. With "
        "such a CHECK it does not.",
    .safe =
        R"sql(ALTER TABLE events_2026 ADD CONSTRAINT in_2026 CHECK (day >= '2026-01-01' AND day < '2027-01-01' AND day IS NOT NULL) NOT VALID;
-- each in a transaction of its own
ALTER TABLE events_2026 VALIDATE CONSTRAINT in_2026;
ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
ALTER TABLE events_2026 DROP CONSTRAINT in_2026;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive,
                   .other = LockMode::kShareUpdateExclusive,
                   .scans = true,
                   .table = "events_2026",
                   .other_table = "events"},
    .fires = {{.sql =
                   "ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')"}},
    .silent = {{.sql =
                    "ALTER TABLE events ATTACH PARTITION events_2026 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
                .before = "ALTER TABLE events_2026 ADD CONSTRAINT in_2026 CHECK (day >= '2026-01-01' AND day < "
                          "'2027-01-01' AND day IS NOT NULL)"},
               {.sql = "CREATE TABLE events_2027 (LIKE events); ALTER TABLE events ATTACH PARTITION events_2027 FOR "
                       "VALUES FROM ('2027-01-01') TO ('2028-01-01')"}},
    .check = check_attach_partition,
};

}  // namespace syzygy
