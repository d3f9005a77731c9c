#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_detach_partition(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kDetachPartition || action.concurrently || !action.note.empty() || subject.server < 14)
    return;
  report.add("detaches " + describe(action.other) + " while every query of " + describe(action.object) + " waits",
             "-- syzygy:no-transaction\nALTER TABLE " + sql_name(action.object) + " DETACH PARTITION " +
                 sql_name(action.other) + " CONCURRENTLY;");
}

}  // namespace

const Rule kDetachPartition{
    .id = "detach-partition",
    .aliases = {"require-concurrent-partition-detach"},
    .title = "A partition is detached while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .triggers = "DETACH PARTITION without CONCURRENTLY (PostgreSQL 14 and later have it).",
    .why = "It takes an ACCESS EXCLUSIVE lock on the parent: every query of any partition waits.",
    .safe = R"sql(-- syzygy:no-transaction
ALTER TABLE events DETACH PARTITION events_2025 CONCURRENTLY;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive,
                   .other = LockMode::kAccessExclusive,
                   .table = "events",
                   .other_table = "events_2025"},
    .fires = {{.sql = "ALTER TABLE events DETACH PARTITION events_2025"}},
    .silent = {{.sql = R"sql(-- syzygy:no-transaction
ALTER TABLE events DETACH PARTITION events_2025 CONCURRENTLY)sql"}},
    .check = check_detach_partition,
};

}  // namespace syzygy
