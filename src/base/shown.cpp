#include "base/shown.h"

#include <algorithm>

#include "base/name.h"

namespace syzygy {
namespace {

bool is_control(std::string_view character) {
  const auto first = static_cast<unsigned char>(character.front());
  if (character.size() == 1) return first < 0x20 || first == 0x7F;
  if (character.size() == 2) return first == 0xC2 && static_cast<unsigned char>(character[1]) < 0xA0;
  return character == "\u2028" || character == "\u2029";
}

}  // namespace

std::string shown(std::string_view text) {
  // Nearly always there is nothing to do.
  if (std::ranges::all_of(text, [](char c) { return c >= 0x20 && c < 0x7F; })) return std::string(text);
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t size = 1;
    while (size <= std::min<std::size_t>(4, text.size()) && !is_utf8(text.substr(0, size))) ++size;
    const bool valid = size <= std::min<std::size_t>(4, text.size());
    if (!valid) size = 1;
    const std::string_view character = text.substr(0, size);
    if (!valid) {
      out.push_back('?');
    } else if (is_control(character)) {
      out.push_back(' ');
    } else {
      out += character;
    }
    text.remove_prefix(size);
  }
  return out;
}

std::string shown_lines(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find_first_of("\n\t", begin), text.size());
    out += shown(text.substr(begin, end - begin));
    if (end < text.size()) out.push_back(text[end]);
    begin = end + 1;
  }
  return out;
}

}  // namespace syzygy
