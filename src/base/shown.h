// shown.h - what others wrote (a name in a file, a parser's words), made fit to stand in a line of ours.
//
// Unlike printable() (name.h), which is for bytes that may be anything, this leaves every letter as it is.
#pragma once

#include <string>
#include <string_view>

namespace syzygy {

// `text` on one line of valid UTF-8: each control character (C0, DEL, C1, the separators U+2028/9) is a space, each
// byte that is no UTF-8 a question mark.
std::string shown(std::string_view text);

// The same of each line: line breaks and tabs stay. For what may have several lines, and for a text on a terminal.
std::string shown_lines(std::string_view text);

}  // namespace syzygy
