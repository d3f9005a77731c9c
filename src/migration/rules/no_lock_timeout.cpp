#include "migration/rules/linter.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_no_lock_timeout(const Action& action, const Subject& subject, Report& report) {
  if (subject.lock_timeout || lock_of(action, subject.server) < LockMode::kShare) return;
  report.add("waits for its lock on " + describe(table_of(action, subject.schema)) +
                 " without a lock_timeout, and everybody behind it",
             "SET lock_timeout = '2s';");
}

}  // namespace

const Rule kNoLockTimeout{
    .id = "no-lock-timeout",
    .aliases = {"require-timeout-settings", "require-lock-timeout"},
    .title = "No lock_timeout",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kOff,
    .triggers =
        "A statement that takes a strong lock on a table in use, in a migration that sets no lock_timeout before it.",
    .why =
        "While it waits for its lock, everything that comes after waits behind it. `syzygy migrate` sets a "
        "lock_timeout for every statement (500 ms, retried with pauses), so this rule is off; turn it on where another "
        "tool applies the migrations.",
    .safe = "SET lock_timeout = '2s';",
    .claim = Claim{.lock = LockMode::kAccessExclusive},
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN channel text"}},
    .silent = {{.sql = R"sql(SET lock_timeout = '2s';
ALTER TABLE orders ADD COLUMN channel text)sql"}},
    .check = check_no_lock_timeout,
};

}  // namespace syzygy
