#include "migration/rules/rules.h"
#include "migration/rules/types.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

// As far as is known: of a table that nothing is known of, each column may.
bool stands_in_index(const Schema& schema, const Action& action) {
  return schema.table(action.object) == nullptr || schema.is_indexed(action.object, action.part);
}

void check_rewrite_type(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kAlterColumnType || action.object.kind != ObjectKind::kTable) return;
  const KnownColumn* column = subject.schema.column(action.object, action.part);
  const TypeChange change = type_change(column != nullptr ? column->type : "", action.type);
  const bool rewrites = change.rewrites || (column == nullptr && action.converts);
  const bool collates =
      column != nullptr && column->collation ? *column->collation != action.collation : !action.collation.empty();
  if (!rewrites && collates && stands_in_index(subject.schema, action)) {
    const std::string collation = action.collation.empty() ? "" : " COLLATE " + sql_name(action.collation);
    report.add(
        "changes the collation of " + part_of(action) + " to " +
            (action.collation.empty() ? "its type's own" : "\"" + action.collation + "\"") +
            ", which builds every index on it anew while everything waits",
        "-- an index with the new collation beside it, outside a transaction; drop the old one before the change\n"
        "CREATE INDEX CONCURRENTLY ... ON " +
            sql_name(action.object) + " (" + sql_name(action.part) + collation + ");");
    return;
  }
  if (!rewrites) return;
  std::string message = "changes the type of " + part_of(action) + (column != nullptr ? " from " + column->type : "") +
                        " to " + action.type + ", which writes the table anew while everything waits";
  if (!change.known) message += " (assumed: the old type is not known)";
  if (change.unless_utc) message += " (unless the session's TimeZone is UTC)";
  report.add(std::move(message));
}

}  // namespace

const Rule kRewriteType{
    .id = "rewrite-type",
    .aliases = {"changing-column-type"},
    .title = "A type change writes the whole table anew",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers =
        "ALTER COLUMN ... TYPE to a type whose values are stored differently, or to another collation on a "
        "column that has an index.",
    .why =
        "The table and its indexes are written anew under an ACCESS EXCLUSIVE lock. Growing a varchar, varchar to "
        "text, more digits of a numeric with the same scale, cidr to inet are free; timestamp to timestamptz is only "
        "where TimeZone is UTC.",
    .safe = R"sql(-- pre_deploy: a new column, kept by a trigger, filled in batches
ALTER TABLE orders ADD COLUMN quantity_new bigint;
-- post_deploy: swap the names in one short transaction, then drop the old one)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders ALTER COLUMN quantity TYPE bigint"},
              {.sql = "ALTER TABLE orders ALTER COLUMN note TYPE varchar(200)"},
              {.sql = R"sql(SET TimeZone = 'Europe/Berlin';
ALTER TABLE orders ALTER COLUMN placed_at TYPE timestamptz)sql"},
              {.sql = R"sql(ALTER TABLE orders ALTER COLUMN note TYPE text COLLATE "C")sql",
               .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true}},
              {.sql = "ALTER TABLE orders ALTER COLUMN tag TYPE varchar",
               .before = R"sql(ALTER TABLE orders ADD COLUMN tag text COLLATE "C";
CREATE INDEX orders_tag ON orders (tag))sql",
               .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true}}},
    .silent = {{.sql = "ALTER TABLE orders ALTER COLUMN state TYPE varchar(40)"},
               {.sql = "ALTER TABLE orders ALTER COLUMN state TYPE text"},
               {.sql = R"sql(ALTER TABLE orders ALTER COLUMN state TYPE text COLLATE "C")sql"},
               {.sql = R"sql(ALTER TABLE orders ALTER COLUMN tag TYPE varchar COLLATE "C")sql",
                .before = R"sql(ALTER TABLE orders ADD COLUMN tag text COLLATE "C";
CREATE INDEX orders_tag ON orders (tag))sql"},
               {.sql = "ALTER TABLE orders ALTER COLUMN weight TYPE numeric(14,2)"}},
    .check = check_rewrite_type,
};

}  // namespace syzygy
