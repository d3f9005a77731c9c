#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_reindex(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kReindex || action.concurrently) return;
  report.add("rebuilds " +
                 (action.object.name.empty() ? std::string("indexes")
                                             : "the indexes of " + describe(table_of(action, subject.schema))) +
                 " while writes wait",
             "-- syzygy:no-transaction\nREINDEX ... CONCURRENTLY ...;");
}

}  // namespace

const Rule kReindex{
    .id = "reindex",
    .aliases = {"REINDEX", "require-concurrent-reindex"},
    .title = "An index is rebuilt while writes wait",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers = "REINDEX without CONCURRENTLY.",
    .why = "It reads the whole table under a SHARE lock, and reads that would use the index wait as well.",
    .safe = R"sql(-- syzygy:no-transaction
REINDEX TABLE CONCURRENTLY orders;)sql",
    .claim = Claim{.lock = LockMode::kShare, .scans = true, .rewrites = true},
    .fires = {{.sql = "REINDEX TABLE orders"}, {.sql = "REINDEX INDEX orders_note"}},
    .silent = {{.sql = R"sql(-- syzygy:no-transaction
REINDEX TABLE CONCURRENTLY orders)sql"},
               {.sql = "CREATE TABLE parcels (id bigint PRIMARY KEY); REINDEX TABLE parcels"}},
    .check = check_reindex,
};

}  // namespace syzygy
