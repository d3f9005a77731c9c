// dialect.h - which database's SQL a text is written in. It decides how the text is cut into statements and what they
// mean; nothing else in the plan depends on it.
#pragma once

#include <cstdint>
#include <string_view>

namespace syzygy {

enum class Dialect : std::uint8_t { kPostgres, kSqlite };

std::string_view to_string(Dialect dialect);  // "PostgreSQL", "SQLite"

}  // namespace syzygy
