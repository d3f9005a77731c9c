#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_volatile_default(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kAddColumn || action.default_kind == DefaultKind::kNone) return;
  const bool volatile_one =
      action.default_kind == DefaultKind::kVolatile || action.default_kind == DefaultKind::kFunction;
  if (!volatile_one && subject.server >= 11) return;
  const std::string table = "ALTER TABLE " + sql_name(action.object);
  const std::string column = sql_name(action.part);
  report.add("adds " + part_of(action) + " with a default that is computed for each row" +
                 (action.default_kind == DefaultKind::kFunction ? " (assumed of a function that is not known)" : "") +
                 ", which writes the table anew while everything waits",
             table + " ADD COLUMN " + column + " " + action.type + ";\n" + table + " ALTER COLUMN " + column +
                 " SET DEFAULT ...;\n-- then fill the rows that are there in batches");
}

}  // namespace

const Rule kVolatileDefault{
    .id = "volatile-default",
    .aliases = {"adding-field-with-default"},
    .title = "A default that differs from row to row writes the whole table anew",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kError,
    .tables = Tables::kFilled,
    .triggers =
        "ADD COLUMN with a DEFAULT that calls a volatile function (random(), gen_random_uuid(), clock_timestamp(), "
        "nextval(), or a function that is not known). Before PostgreSQL 11 any default.",
    .why =
        "The value has to be computed for each row: the table is written anew under an ACCESS EXCLUSIVE lock. A "
        "constant, or now(), is kept once for all rows.",
    .safe = R"sql(ALTER TABLE orders ADD COLUMN token uuid;
ALTER TABLE orders ALTER COLUMN token SET DEFAULT gen_random_uuid();
-- then in batches
UPDATE orders SET token = gen_random_uuid() WHERE token IS NULL AND id BETWEEN 1 AND 10000;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN token uuid DEFAULT gen_random_uuid()"},
              {.sql = "ALTER TABLE orders ADD COLUMN lot double precision NOT NULL DEFAULT random()"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN seen timestamptz DEFAULT now()"},
               {.sql = R"sql(ALTER TABLE orders ADD COLUMN token uuid;
ALTER TABLE orders ALTER COLUMN token SET DEFAULT gen_random_uuid())sql"}},
    .check = check_volatile_default,
};

}  // namespace syzygy
