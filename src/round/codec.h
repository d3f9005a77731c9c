// codec.h - Record <-> versioned bytes. A newer version than this program knows is refused, naming both; a malformed
// record too.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "round/round.h"

namespace syzygy::round {

inline constexpr std::uint64_t kRecordVersion = 2;  // 2: epoch, resynchronisation

std::string encode(const Record& record);
// Errors: kDataLoss, reasons RECORD_NEWER and RECORD_CORRUPT.
Result<Record> decode(std::string_view bytes);

}  // namespace syzygy::round
