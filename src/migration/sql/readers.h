// readers.h - how each dialect's statements are read; read_meaning() is the door.
#pragma once

#include <string_view>

#include "migration/sql/meaning.h"

namespace syzygy {

Meaning read_postgres(std::string_view statement);  // from the parse tree
Meaning read_sqlite(std::string_view statement);    // from the tokens

}  // namespace syzygy
