#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_varchar_limit(const Action& action, const Subject&, Report& report) {
  if (action.kind == ActionKind::kAddColumn && action.type.starts_with("varchar("))
    report.add(part_of(action) + " is " + action.type + "; text with a CHECK changes more easily");
}

}  // namespace

const Rule kVarcharLimit{
    .id = "varchar-limit",
    .aliases = {"prefer-text-field"},
    .title = "varchar(n) instead of text",
    .group = HazardGroup::kQuality,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "A column of type varchar(n).",
    .why = "Shrinking the limit later checks all rows; a CHECK can be added NOT VALID.",
    .safe = "text, with a CHECK of its length where it matters",
    .fires = {{.sql = "CREATE TABLE parcels (code varchar(3))"}},
    .silent = {{.sql = "CREATE TABLE parcels (code text)"}},
    .check = check_varchar_limit,
    .parts = true,
};

}  // namespace syzygy
