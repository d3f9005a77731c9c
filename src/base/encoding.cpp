#include "base/encoding.h"

namespace syzygy {

void Writer::number(std::uint64_t value) {
  while (value >= 0x80) {
    bytes_.push_back(static_cast<char>((value & 0x7f) | 0x80));
    value >>= 7;
  }
  bytes_.push_back(static_cast<char>(value));
}

void Writer::signed_number(std::int64_t value) {
  number((static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63));
}

void Writer::string(std::string_view value) {
  number(value.size());
  bytes_.append(value);
}

std::uint64_t Reader::number() {
  std::uint64_t value = 0;
  for (int shift = 0; ok_; shift += 7) {
    if (rest_.empty() || shift > 63) break;
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    if (shift == 63 && byte > 1) break;  // more than 64 bits
    if (shift > 0 && byte == 0) break;   // one value, one way to write it
    value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  ok_ = false;
  return 0;
}

std::int64_t Reader::signed_number() {
  const std::uint64_t zigzag = number();
  return static_cast<std::int64_t>((zigzag >> 1) ^ (~(zigzag & 1) + 1));
}

bool Reader::boolean() {
  const std::uint64_t value = number();
  if (value > 1) ok_ = false;
  return ok_ && value == 1;
}

std::string Reader::string() {
  const std::uint64_t size = number();
  if (!ok_ || size > rest_.size()) {
    ok_ = false;
    return {};
  }
  std::string value(rest_.substr(0, size));
  rest_.remove_prefix(size);
  return value;
}

std::uint64_t Reader::count(std::uint64_t limit) {
  const std::uint64_t value = number();
  if (!ok_ || value > limit || value > rest_.size()) {  // every element takes at least one byte
    ok_ = false;
    return 0;
  }
  return value;
}

}  // namespace syzygy
