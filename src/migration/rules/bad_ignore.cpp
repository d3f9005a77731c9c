#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
const Rule kBadIgnore{
    .id = "bad-ignore",
    .title = "An ignore without a reason or a rule",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers = "-- syzygy:ignore with a rule that there is not, or without a reason.",
    .why = "It ignores nothing, and hides that. The reason is for who reads the file next year.",
    .safe = "-- syzygy:ignore drop-column because nobody reads it since 3.2",
    .fires = {{.sql = R"sql(-- syzygy:ignore drop-colum because nobody reads it
ALTER TABLE orders DROP COLUMN note)sql"},
              {.sql = R"sql(-- syzygy:ignore create-index
CREATE INDEX orders_total ON orders (total))sql"}},
    .silent = {{.sql = R"sql(-- syzygy:ignore DROP_COLUMN because nobody reads it
ALTER TABLE orders DROP COLUMN note)sql"}},
};

}  // namespace syzygy
