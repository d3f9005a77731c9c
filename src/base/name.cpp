#include "base/name.h"

#include <cstdint>
#include <cstring>
#include <string>

namespace syzygy {
namespace {

// Decodes one code point at the front of `bytes` and removes it. False if it is malformed.
bool next_code_point(std::string_view& bytes, std::uint32_t& point) {
  const auto lead = static_cast<unsigned char>(bytes.front());
  const std::size_t size = lead < 0x80 ? 1 : lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if ((lead >= 0x80 && lead < 0xC2) || lead > 0xF4 || bytes.size() < size) return false;
  point = size == 1 ? lead : lead & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    if ((byte & 0xC0) != 0x80) return false;
    point = (point << 6) | (byte & 0x3Fu);
  }
  static constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (point < kSmallest[size] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return false;
  bytes.remove_prefix(size);
  return true;
}

bool is_control(std::uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029;
}

// Marks, embeddings, overrides and isolates of writing direction: they show text in another order than it has.
bool reorders(std::uint32_t point) {
  return point == 0x200E || point == 0x200F || (point >= 0x202A && point <= 0x202E) ||
         (point >= 0x2066 && point <= 0x2069);
}

void append_escaped(std::string& out, char c) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const auto byte = static_cast<unsigned char>(c);
  out.append({'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]});
}

}  // namespace

bool is_utf8(std::string_view bytes) {
  std::uint32_t point = 0;
  while (!bytes.empty()) {
    // Nearly all of nearly every text is ASCII: eight of it at a time.
    std::uint64_t eight = 0;
    while (bytes.size() >= sizeof eight) {
      std::memcpy(&eight, bytes.data(), sizeof eight);
      if ((eight & 0x8080808080808080U) != 0) break;
      bytes.remove_prefix(sizeof eight);
    }
    if (bytes.empty()) break;
    if (!next_code_point(bytes, point)) return false;
  }
  return true;
}

std::string legible(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    std::string_view rest = bytes;
    std::uint32_t point = 0;
    if (!next_code_point(rest, point)) {
      append_escaped(out, bytes.front());
      bytes.remove_prefix(1);
      continue;
    }
    const std::string_view one = bytes.substr(0, bytes.size() - rest.size());
    bytes = rest;
    if (point == '\n' || point == '\r' || point == '\t') {
      out.push_back(' ');
    } else if (is_control(point) || reorders(point)) {
      for (const char c : one) append_escaped(out, c);
    } else {
      out.append(one);
    }
  }
  return out;
}

std::string printable(std::string_view bytes, std::size_t bytes_max) {
  std::string out;
  for (const char c : bytes.substr(0, bytes_max)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7F && c != '\\') {
      out.push_back(c);
    } else {
      append_escaped(out, c);
    }
  }
  if (bytes.size() > bytes_max) out.append("...");
  return out;
}

Result<void> check_name(std::string_view what, std::string_view name) {
  const auto refuse = [&](const std::string& why) {
    return failure(ErrorCode::kInvalidArgument, "NAME_INVALID",
                   "the " + std::string(what) + " name \"" + printable(name) + "\" " + why + "; use 1 to " +
                       std::to_string(kNameBytesMax) + " bytes of printable UTF-8, such as eu-west",
                   {{"what", std::string(what)}});
  };
  if (name.empty()) return refuse("is empty");
  if (name.size() > kNameBytesMax) return refuse("is " + std::to_string(name.size()) + " bytes long");
  if (name.front() == ' ' || name.back() == ' ') return refuse("starts or ends with a space");
  std::uint32_t point = 0;
  while (!name.empty()) {
    std::string_view rest = name;
    if (!next_code_point(rest, point)) return refuse("is not valid UTF-8");
    if (is_control(point)) return refuse("contains a control character or a line break");
    name = rest;
  }
  return {};
}

}  // namespace syzygy
