// version.h - the version of this build, as CMakeLists.txt has it.
#pragma once

#include <string_view>

namespace syzygy {

inline constexpr std::string_view kVersion = SYZYGY_VERSION;

}  // namespace syzygy
