#include "migration/rules/rules.h"

namespace syzygy {

const Rule kUnusedIgnore{
    .id = "unused-ignore",
    .title = "An ignore that is not needed",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kNote,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers =
        "-- syzygy:ignore of a rule that finds nothing there. Not told with --database, which keeps rules quiet.",
    .why = "It would hide the next finding at this place, which nobody has looked at.",
    .safe = "Remove the line, or move it to the statement it is for.",
    .fires = {{.sql = R"sql(-- syzygy:ignore create-index because the table is small
CREATE TABLE parcels (id bigint))sql"},
              {.sql = R"sql(CREATE TABLE parcels (id bigint);
-- syzygy:ignore create-index because the table is small)sql"}},
    .silent = {{.sql = R"sql(-- syzygy:ignore create-index because the table is small
CREATE INDEX orders_total ON orders (total))sql"},
               {.sql = R"sql(CREATE INDEX orders_total ON orders (total);
-- syzygy:ignore-file create-index because the table is small)sql"}},
};

}  // namespace syzygy
