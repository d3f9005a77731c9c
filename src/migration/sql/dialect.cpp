#include "migration/sql/dialect.h"

namespace syzygy {

std::string_view to_string(Dialect dialect) { return dialect == Dialect::kPostgres ? "PostgreSQL" : "SQLite"; }

}  // namespace syzygy
