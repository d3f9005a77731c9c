// redis_version.h - a Version as Redis keeps it: "EPOCH:COUNTER:COMMIT". Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/store.h"

namespace syzygy {

std::string redis_text_of(const Version& version);
std::optional<Version> redis_version_of(std::string_view text);  // nullopt: it is none

}  // namespace syzygy
