#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_json_column(const Action& action, const Subject&, Report& report) {
  if (action.kind == ActionKind::kAddColumn && action.type == "json")
    report.add(part_of(action) + " is json; jsonb has equality and can be indexed");
}

}  // namespace

const Rule kJsonColumn{
    .id = "json-column",
    .aliases = {"prefer-jsonb"},
    .title = "json instead of jsonb",
    .group = HazardGroup::kQuality,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "A column of type json.",
    .why = "It keeps the text as it came: no index, no equality (so no DISTINCT, no UNION), parsed at every use.",
    .safe = "jsonb",
    .fires = {{.sql = "CREATE TABLE parcels (id bigint, body json)"}},
    .silent = {{.sql = "CREATE TABLE parcels (id bigint, body jsonb)"}},
    .check = check_json_column,
    .parts = true,
};

}  // namespace syzygy
