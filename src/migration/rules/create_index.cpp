#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_create_index(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kCreate || action.object.kind != ObjectKind::kIndex || action.concurrently) return;
  const KnownTable* table = subject.schema.table(action.on);
  const std::string name = sql_name(action.object.name.empty() ? action.on.name + "_idx" : action.object.name);
  const std::string unique = action.constraint == ConstraintKind::kUnique ? "UNIQUE " : "";
  if (table != nullptr && table->partitioned) {
    report.add("builds an index on all partitions of " + describe(action.on) + " while writes wait",
               "CREATE " + unique + "INDEX ON ONLY " + sql_name(action.on) +
                   " ...; then CREATE INDEX CONCURRENTLY on each partition, and ALTER INDEX ... ATTACH PARTITION");
    return;
  }
  // In a body the statement is another one.
  const std::string made =
      in_body(subject) ? "CREATE " + unique + "INDEX CONCURRENTLY " + name + " ON ...;" : concurrently_text(subject);
  report.add("builds an index on " + describe(action.on) + " while writes to it wait",
             "-- syzygy:no-transaction\n" + made);
}

}  // namespace

const Rule kCreateIndex{
    .id = "create-index",
    .aliases = {"CREATE_INDEX", "require-concurrent-index-creation"},
    .title = "An index is built while writes wait",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "CREATE INDEX without CONCURRENTLY on a table in use.",
    .why = "It reads the whole table under a SHARE lock: every INSERT, UPDATE and DELETE waits until it is built.",
    .safe = R"sql(-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY orders_total ON orders (total);)sql",
    .claim = Claim{.lock = LockMode::kShare, .scans = true},
    .fires = {{.sql = "CREATE INDEX orders_total ON orders (total)"},
              {.sql = "CREATE UNIQUE INDEX orders_twice ON orders (id, number)"}},
    .silent = {{.sql = R"sql(-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY orders_total ON orders (total))sql"},
               {.sql = "CREATE TABLE parcels (id bigint); CREATE INDEX parcels_id ON parcels (id)"}},
    .check = check_create_index,
};

}  // namespace syzygy
