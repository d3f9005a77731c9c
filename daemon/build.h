// build.h - which program this is.
#pragma once

#include <string>

namespace syzygy::daemon {

std::string version();     // "0.1.0"
std::string commit();      // of the sources, abbreviated; "unknown" outside of a checkout
std::string build_text();  // for --version: version, commit, compiler, libraries

}  // namespace syzygy::daemon
