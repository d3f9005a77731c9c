// markers.h - Syzygy's own markers in a migration file: line comments that begin with "-- syzygy:".
//
// A marker counts only as a comment of SQL: inside a string or a function body it is text. An unknown one is an error,
// and so is another tool's directive (goose, dbmate, Atlas), which would otherwise be run as if it were not there.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/plan.h"
#include "base/result.h"
#include "migration/source/source.h"
#include "migration/sql/dialect.h"

namespace syzygy {

struct Marked {
  Script up;  // or, of a file without a down section, the whole of it
  std::optional<Script> down;
  std::size_t down_line = 0;
  std::optional<std::vector<StepId>> depends;  // as written
  std::size_t depends_line = 0;
};

struct MarkerOptions {
  std::string_view tool;       // whose directives may stand here, since its reader has read them: "goose"
  std::size_t first_line = 1;  // of the text in its file
  bool sqlx = false;           // a file that begins with sqlx's "-- no-transaction" is one
};

// `text` as read_text() gives it. Errors: MIGRATIONS_BAD_MARKER, MIGRATIONS_FORMAT, with file and line.
Result<Marked> read_markers(Dialect dialect, std::string_view text, std::string_view path,
                            const MarkerOptions& options = {});

}  // namespace syzygy
