#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_timestamp_without_zone(const Action& action, const Subject&, Report& report) {
  const std::string& type = action.type;
  if (action.kind == ActionKind::kAddColumn && (type == "timestamp" || type.starts_with("timestamp(")))
    report.add(part_of(action) + " is timestamp without time zone");
}

}  // namespace

const Rule kTimestampWithoutZone{
    .id = "timestamp-without-zone",
    .aliases = {"prefer-timestamp-tz", "prefer-timestamptz"},
    .title = "timestamp without time zone",
    .group = HazardGroup::kQuality,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "A column of type timestamp.",
    .why =
        "It holds a wall clock without saying whose: two sessions with different TimeZone mean different moments by "
        "it.",
    .safe = "timestamptz",
    .fires = {{.sql = "CREATE TABLE parcels (sent timestamp)"}},
    .silent = {{.sql = "CREATE TABLE parcels (sent timestamptz, day date)"}},
    .check = check_timestamp_without_zone,
    .parts = true,
};

}  // namespace syzygy
