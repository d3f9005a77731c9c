#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_transaction_control(const Action& action, const Subject& subject, Report& report) {
  const bool controls =
      action.kind == ActionKind::kBegin || action.kind == ActionKind::kCommit || action.kind == ActionKind::kRollback;
  if (!controls || subject.script.no_transaction) return;
  const auto wraps = [](const Meaning& meaning, ActionKind kind) {
    return meaning.plain_wrapper && meaning.actions.front().kind == kind;
  };
  const std::size_t last = subject.meanings.size() - 1;
  const bool wrapped = last > 0 && wraps(subject.meanings.front(), ActionKind::kBegin) &&
                       wraps(subject.meanings.back(), ActionKind::kCommit);
  if (wrapped && (subject.index == 0 || subject.index == last)) return;
  report.add(action.note + " in a migration that runs in one transaction");
}

}  // namespace

const Rule kTransactionControl{
    .id = "transaction-control",
    .aliases = {"transaction-nesting"},
    .title = "BEGIN or COMMIT in a migration that is a transaction",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers =
        "BEGIN, COMMIT or ROLLBACK in a migration that runs in one transaction, unless the whole file stands between a "
        "plain BEGIN and COMMIT.",
    .why =
        "A COMMIT ends the transaction that guards the migration: what failed afterwards would leave it half applied "
        "and not in the history.",
    .safe = "Remove it (each migration is a transaction already), or write -- syzygy:no-transaction.",
    .fires = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN a int;
COMMIT;
ALTER TABLE orders ADD COLUMN b int)sql",
               .seen = "SELECT pg_current_xact_id_if_assigned() IS NULL"}},
    .silent = {{.sql = R"sql(BEGIN;
ALTER TABLE orders ADD COLUMN a int;
COMMIT)sql"},
               {.sql = R"sql(SAVEPOINT here;
ALTER TABLE orders ADD COLUMN a int)sql"}},
    .check = check_transaction_control,
};

}  // namespace syzygy
