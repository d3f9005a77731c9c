// readers.h - how each dialect's statements are read; read_meaning() is the door.
#pragma once

#include <string_view>

#include "migration/sql/meaning.h"

namespace syzygy {

// Action::note of a function that RETURNS trigger: nothing but a trigger can call it.
inline constexpr std::string_view kTriggerFunction = "TRIGGER FUNCTION";

Meaning read_postgres(std::string_view statement);  // from the parse tree
Meaning read_sqlite(std::string_view statement);    // from the tokens

}  // namespace syzygy
