#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_create_partition(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kCreate || action.note != "PARTITION OF" || subject.is_new(action.other)) return;
  report.add("creates " + describe(action.object) + " as a partition while every query of " + describe(action.other) +
                 " waits",
             "CREATE TABLE " + sql_name(action.object) + " (LIKE " + sql_name(action.other) +
                 " INCLUDING ALL);\nALTER TABLE " + sql_name(action.other) + " ATTACH PARTITION " +
                 sql_name(action.object) + " FOR VALUES ...;");
}

}  // namespace

const Rule kCreatePartition{
    .id = "create-partition",
    .title = "A partition is created in place while everything waits",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "CREATE TABLE ... PARTITION OF a parent in use.",
    .why =
        "It takes an ACCESS EXCLUSIVE lock on the parent. CREATE TABLE (LIKE ...) and ATTACH PARTITION lets queries "
        "through.",
    .safe = R"sql(CREATE TABLE events_2027 (LIKE events INCLUDING ALL);
ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .table = "events"},
    .fires = {{.sql = "CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"}},
    .silent = {{.sql = R"sql(CREATE TABLE events_2027 (LIKE events INCLUDING ALL);
ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'))sql"},
               {.sql = R"sql(CREATE TABLE days (day date) PARTITION BY RANGE (day);
CREATE TABLE days_2027 PARTITION OF days FOR VALUES FROM ('2027-01-01') TO ('2028-01-01'))sql"}},
    .check = check_create_partition,
};

}  // namespace syzygy
