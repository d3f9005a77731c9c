// newer_syntax.h - what a statement that PostgreSQL 15's grammar stopped at has of later versions.
//
// The parser is libpg_query's, which knows PostgreSQL 15. A statement of 16, 17 or 18 is no mistake of its author:
// where the place it stopped at is known to be such syntax, that is said instead. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace syzygy {

struct NewerSyntax {
  int since = 0;          // PostgreSQL's major version
  std::string_view what;  // "MERGE ... RETURNING"
};

// `stopped_at`: the byte that the parser names, with its `message`. nullopt: nothing that is known.
std::optional<NewerSyntax> newer_syntax(std::string_view statement, std::size_t stopped_at, std::string_view message);

}  // namespace syzygy
