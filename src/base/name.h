// name.h - what may be the name of a target, a party, a release or a barrier.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace syzygy {

inline constexpr std::size_t kNameBytesMax = 200;

// A name is 1 to kNameBytesMax bytes of valid UTF-8 without control characters (C0, DEL, C1), without the line and
// paragraph separators U+2028/9, and without a space at either end. `what` is the word for it in the message ("party",
// "target"). Errors: kInvalidArgument, reason NAME_INVALID, metadata "what"; the message never echoes more than 40
// bytes, escaped.
Result<void> check_name(std::string_view what, std::string_view name);

// True for well-formed UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF.
bool is_utf8(std::string_view bytes);

// `bytes` with everything that is not printable ASCII escaped as \xNN, cut to `bytes_max` bytes of input; safe in a log
// line.
std::string printable(std::string_view bytes, std::size_t bytes_max = 40);

// `bytes` for people: what is printable UTF-8 stays, line breaks and tabs become spaces, and everything that could move
// a terminal's cursor, reorder its text or is no UTF-8 is escaped as \xNN.
std::string legible(std::string_view bytes);

}  // namespace syzygy
