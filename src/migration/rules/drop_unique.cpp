#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_drop_unique(const Action& action, const Subject& subject, Report& report) {
  if (drops(action, ObjectKind::kIndex)) {
    const KnownIndex* index = subject.schema.index(action.object);
    if (index == nullptr || !index->unique) return;
    report.add("drops unique " + describe(action.object) + ", which ON CONFLICT of old code may need");
  }
  if (action.kind != ActionKind::kDropConstraint) return;
  const KnownConstraint* constraint = subject.schema.constraint(action.object, action.part);
  const bool unique = constraint != nullptr &&
                      (constraint->kind == ConstraintKind::kUnique || constraint->kind == ConstraintKind::kPrimaryKey);
  const bool by_name = constraint == nullptr && (action.part.ends_with("_pkey") || action.part.ends_with("_key"));
  if (unique || by_name)
    report.add("drops uniqueness " + part_of(action, "constraint") + ", which ON CONFLICT of old code may need");
}

}  // namespace

const Rule kDropUnique{
    .id = "drop-unique",
    .title = "Uniqueness that ON CONFLICT may use is dropped",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .when = When::kBeforeDeployment,
    .triggers = "A unique index, UNIQUE constraint or primary key is dropped before the deployment.",
    .why =
        "INSERT ... ON CONFLICT (column) of old code needs it, and fails without it; so does a foreign key that "
        "references it.",
    .safe = R"sql(-- post_deploy, when no old code runs
DROP INDEX CONCURRENTLY orders_number;)sql",
    .fires = {{.sql = R"sql(-- syzygy:stage pre_deploy
DROP INDEX orders_number)sql",
               .breaks = "INSERT INTO orders (id, number) VALUES (2001, 1) ON CONFLICT (number) DO NOTHING"},
              {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders DROP CONSTRAINT orders_pkey)sql",
               .breaks = "INSERT INTO orders (id, number) VALUES (1, 2001) ON CONFLICT (id) DO NOTHING"}},
    .silent = {{.sql = "DROP INDEX orders_number"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
DROP INDEX orders_note)sql"},
               {.sql = R"sql(-- syzygy:stage pre_deploy
ALTER TABLE orders DROP CONSTRAINT orders_total_check)sql"}},
    .check = check_drop_unique,
};

}  // namespace syzygy
