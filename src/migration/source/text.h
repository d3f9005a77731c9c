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

// Refuses what is no regular file (a pipe would block, a directory has no text), is larger than
// kMigrationFileBytesMax, or cannot be read. Errors: MIGRATIONS_UNREADABLE, MIGRATIONS_TOO_LARGE, MIGRATIONS_BAD_TEXT.
Result<std::string> read_text(const std::filesystem::path& path);

// The same of bytes that were read already; `path` is for messages.
Result<std::string> clean_text(std::string bytes, std::string_view path);

}  // namespace syzygy
