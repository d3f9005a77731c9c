#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_hidden_invalid_index(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kCreate || action.object.kind != ObjectKind::kIndex || !action.concurrently ||
      !action.if_exists)
    return;
  for (std::size_t i = 0; i < subject.index; ++i) {
    for (const Action& before : subject.meanings[i].actions) {
      if (drops(before, ObjectKind::kIndex) && before.object.name == action.object.name) return;
    }
  }
  report.add(
      "builds " + describe(action.object) + " only if there is none, and one that a failed build left INVALID counts",
      "DROP INDEX CONCURRENTLY IF EXISTS " + sql_name(action.object) + ";  -- before it");
}

}  // namespace

const Rule kHiddenInvalidIndex{
    .id = "hidden-invalid-index",
    .title = "IF NOT EXISTS that hides an INVALID index",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kWarning,
    .triggers = "CREATE INDEX CONCURRENTLY IF NOT EXISTS.",
    .why =
        "A build that failed leaves an INVALID index under the name; the next run finds it, does nothing, and reports "
        "success, and no query ever uses the index. `syzygy migrate` looks and builds it anew; other tools do not.",
    .safe = R"sql(-- syzygy:no-transaction
DROP INDEX CONCURRENTLY IF EXISTS orders_total;
CREATE INDEX CONCURRENTLY orders_total ON orders (total);)sql",
    .fires = {{.sql = R"sql(-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_total ON orders (total))sql",
               .before = R"sql(CREATE INDEX orders_total ON orders (total);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'orders_total'::regclass  -- as a failed build leaves it)sql",
               .seen = "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass('orders_total')"}},
    .silent = {{.sql = R"sql(-- syzygy:no-transaction
DROP INDEX CONCURRENTLY IF EXISTS orders_total;
CREATE INDEX CONCURRENTLY IF NOT EXISTS orders_total ON orders (total))sql"},
               {.sql = R"sql(-- syzygy:no-transaction
CREATE INDEX CONCURRENTLY orders_total ON orders (total))sql"}},
    .check = check_hidden_invalid_index,
};

}  // namespace syzygy
