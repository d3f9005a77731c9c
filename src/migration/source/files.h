// files.h - which files a pattern of syzygy.toml, or of a flag, means.
//
// Patterns are a shell's: * and ? (which match a / as well), [a-z]. One means a file if it matches its path, or what
// the path ends with, from a folder on: "vendor/*" means migrations/vendor/V7__x.sql, "*_river_*.sql" a file of any
// folder. Pure.
#pragma once

#include <string>
#include <string_view>

namespace syzygy {

bool names_file(const std::string& pattern, std::string_view path);

}  // namespace syzygy
