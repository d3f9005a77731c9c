#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_not_in_transaction(const Action& action, const Subject& subject, Report& report) {
  if (!subject.in_transaction || &action != &subject.meanings[subject.index].actions.front()) return;
  const Meaning& meaning = subject.meanings[subject.index];
  if (meaning.in_transaction == InTransaction::kAllowed) return;
  report.add(meaning.transaction_note + (meaning.in_transaction == InTransaction::kRefused
                                             ? " cannot run in a transaction, and this migration is one"
                                             : " does nothing in a transaction, and this migration is one"),
             "-- syzygy:no-transaction, with this statement alone in the file");
}

}  // namespace

const Rule kNotInTransaction{
    .id = "not-in-transaction",
    .aliases = {"ban-concurrent-index-creation-in-transaction"},
    .title = "A statement that cannot run in a transaction",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers =
        "CREATE INDEX CONCURRENTLY, DROP INDEX CONCURRENTLY, REINDEX CONCURRENTLY, VACUUM, CREATE DATABASE, ALTER "
        "SYSTEM and their like, in a migration that runs in one. In SQLite, a PRAGMA that does nothing there.",
    .why = "The server refuses it (SQLite ignores it), and the migration fails.",
    .safe = R"sql(-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY orders_total ON orders (total);)sql",
    .fires = {{.sql = "CREATE INDEX CONCURRENTLY orders_total ON orders (total)", .refused_as = "25001"},
              {.sql = "VACUUM orders", .refused_as = "25001"}},
    .silent = {{.sql = R"sql(-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY orders_total ON orders (total))sql"},
               {.sql = "CREATE TABLE parcels (id bigint)"}},
    .check = check_not_in_transaction,
};

}  // namespace syzygy
