#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_move_or_rename_schema(const Action& action, const Subject& subject, Report& report) {
  if (action.kind == ActionKind::kSetSchema) {
    if (action.object.kind == ObjectKind::kExtension) return;
    for (std::size_t i = subject.index + 1; i < subject.meanings.size() && subject.in_transaction; ++i) {
      for (const Action& later : subject.meanings[i].actions) {
        if (later.kind == ActionKind::kCreate && later.object.name == action.object.name)
          return;  // a view in its place
      }
    }
    report.add("moves " + describe(action.object) + " to schema " + action.new_name +
               ", where old code does not look for it");
  }
  if (renames(action, ObjectKind::kSchema))
    report.add("renames " + describe(action.object) + " to " + action.new_name + ", which old code does not know");
}

}  // namespace

const Rule kMoveOrRenameSchema{
    .id = "move-or-rename-schema",
    .title = "A schema is renamed, or an object moved to another one",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers = "ALTER ... SET SCHEMA, ALTER SCHEMA ... RENAME TO.",
    .why = "Code that qualifies its names, or finds them by its search_path, knows only one of the places.",
    .safe = R"sql(ALTER TABLE orders SET SCHEMA archive;
CREATE VIEW orders AS SELECT * FROM archive.orders;  -- in the same transaction)sql",
    .fires = {{.sql = "ALTER TABLE orders SET SCHEMA archive", .breaks = "SELECT id FROM orders"},
              {.sql = "ALTER SCHEMA archive RENAME TO attic", .breaks = "SELECT id FROM archive.orders_2019"}},
    .silent = {{.sql = R"sql(ALTER TABLE orders SET SCHEMA archive;
CREATE VIEW orders AS SELECT * FROM archive.orders)sql"}},
    .check = check_move_or_rename_schema,
};

}  // namespace syzygy
