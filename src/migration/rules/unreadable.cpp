#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
const Rule kUnreadable{
    .id = "unreadable",
    .title = "A file that is no migration",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .sqlite = true,
    .triggers =
        "A name without a number, a number that another file has, a marker that is none; a string, comment, "
        "parenthesis or body that never ends, a command of psql or of the sqlite3 shell, COPY FROM STDIN. A migration "
        "in another language is a note: it is not looked into.",
    .why = "Neither a server nor this linter can read it; `syzygy migrate` refuses it.",
    .safe = "Mend it where the message points.",
    .fires = {{.sql = R"sql(ALTER TABLE orders ADD COLUMN a text DEFAULT 'x;
SELECT 1)sql"},
              {.sql = "\\connect shop"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN a text DEFAULT 'x;'"}},
};

}  // namespace syzygy
