#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
const Rule kBadIgnore{
    .id = "bad-ignore",
    .title = "An ignore that names no rule",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers = "-- syzygy:ignore with a rule that there is not.",
    .why = "It ignores nothing, and hides that.",
    .safe = "See `syzygy explain` for the rules.",
    .fires = {{.sql = R"sql(-- syzygy:ignore drop-colum because nobody reads it
ALTER TABLE orders DROP COLUMN note)sql"}},
    .silent = {{.sql = R"sql(-- syzygy:ignore DROP_COLUMN because nobody reads it
ALTER TABLE orders DROP COLUMN note)sql"}},
};

}  // namespace syzygy
