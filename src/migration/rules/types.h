// types.h - what ALTER COLUMN ... TYPE costs and loses: PostgreSQL's matrix, as the tests find it on a real server.
#pragma once

#include <string_view>

namespace syzygy {

struct TypeChange {
  bool known = true;        // false: the old type is not known, and the worst is assumed
  bool rewrites = false;    // the table is written anew
  bool narrows = false;     // some value of the old type does not fit into the new one
  bool unless_utc = false;  // the rewrite is spared where the session's TimeZone is UTC
};

// Types as Action::type spells them: "varchar(20)", "int8", "numeric(10,2)", "text[]". An empty `from` is unknown.
TypeChange type_change(std::string_view from, std::string_view to);

}  // namespace syzygy
