#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
const Rule kStageAmbiguous{
    .id = "stage-ambiguous",
    .title = "A migration without one stage",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers =
        "Its statements belong to both stages, or to none that can be told (a backfill, TRUNCATE, code that builds its "
        "statements, a view or function that is dropped and created anew).",
    .why =
        "`syzygy migrate` refuses to plan it: run before the deployment it could break old code, run after it new "
        "code.",
    .safe = R"sql(-- two migrations (syzygy split --organize), or, where you know better:
-- syzygy:stage post_deploy)sql",
    .fires = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text;
ALTER TABLE orders DROP COLUMN note)sql"},
              {.sql = "UPDATE orders SET note = 'x' WHERE id = 1"},
              {.sql = R"sql(DROP VIEW customer_names;
CREATE VIEW customer_names AS SELECT id, name, 1 AS level FROM customers)sql"}},
    .silent = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN channel text;
CREATE TABLE parcels (id bigint))sql"},
               {.sql = R"sql(-- syzygy:stage post_deploy
UPDATE orders SET note = 'x' WHERE id = 1)sql"},
               {.sql = "CREATE OR REPLACE VIEW customer_names AS SELECT id, name, 1 AS level FROM customers"}},
};

}  // namespace syzygy
