// command_line.h - from argv, the environment and syzygy.toml to Settings.
#pragma once

#include <functional>
#include <string>
#include <variant>

#include "client/cli/settings.h"

namespace syzygy::cli {

// The process ends now: help or version (code 0, on standard output), or a usage error (code 2, on standard error).
struct Ends {
  int code = 0;
  std::string text;
};

// `environment` answers for a variable's name, or nullptr. An error names the flag, variable or key that is wrong.
std::variant<Settings, Ends> parse_command_line(int argc, const char* const* argv,
                                                const std::function<const char*(const std::string&)>& environment);

}  // namespace syzygy::cli
