// text.h - one migration file's bytes as text that can be judged and sent: valid UTF-8, without BOM and CR.
//
// A line break written as CR LF becomes LF, so that a checkout on Windows has the same checksum; a CR anywhere else is
// refused, since dropping it silently would change a literal. So what is checksummed is exactly what is applied.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"

namespace syzygy {

// A file's bytes, as they are. Refuses what is no regular file (a pipe would block, a directory has no text), is larger
// than kMigrationFileBytesMax, or cannot be read. Errors: MIGRATIONS_UNREADABLE, MIGRATIONS_TOO_LARGE.
Result<std::string> read_bytes(const std::filesystem::path& path);

// Those bytes as text; `path` is for messages. Errors: MIGRATIONS_BAD_TEXT.
Result<std::string> clean_text(std::string bytes, std::string_view path);

}  // namespace syzygy
