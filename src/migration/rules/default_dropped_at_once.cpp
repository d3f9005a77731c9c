#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_default_dropped_at_once(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kDropDefault) return;
  const Action* added = done_before(subject, ActionKind::kAddColumn, action.object, action.part);
  const bool set = done_before(subject, ActionKind::kSetNotNull, action.object, action.part) != nullptr;
  if (added == nullptr || (!added->not_null && !set)) return;
  report.add("drops the default of " + part_of(action) +
                 " in the migration that adds it NOT NULL, so that what old code inserts fails",
             "post_deploy, in a migration of its own: ALTER TABLE " + sql_name(action.object) + " ALTER COLUMN " +
                 sql_name(action.part) + " DROP DEFAULT;");
}

}  // namespace

const Rule kDefaultDroppedAtOnce{
    .id = "default-dropped-at-once",
    .aliases = {"NOT_NULL_DEFAULT_DROPPED"},
    .title = "A default that is added and dropped in one stage",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .sqlite = true,
    .triggers =
        "A NOT NULL column is added with a DEFAULT, and the same migration drops that default, as Django writes it.",
    .why = "The default fills the rows that are there; the rows that old code inserts afterwards find none, and fail.",
    .safe = R"sql(-- pre_deploy
ALTER TABLE orders ADD COLUMN channel text NOT NULL DEFAULT 'web';
-- post_deploy, in a migration of its own
ALTER TABLE orders ALTER COLUMN channel DROP DEFAULT;)sql",
    .fires = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text DEFAULT 'web' NOT NULL;
ALTER TABLE orders ALTER COLUMN channel DROP DEFAULT)sql",
               .breaks = "INSERT INTO orders (id, number) VALUES (1001, 1001)"}},
    .silent = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text DEFAULT 'web';
ALTER TABLE orders ALTER COLUMN channel DROP DEFAULT)sql"}},
    .check = check_default_dropped_at_once,
};

}  // namespace syzygy
