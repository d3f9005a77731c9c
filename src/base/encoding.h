// encoding.h - a small, unambiguous byte encoding: integers as LEB128 varints, strings by length and bytes.
//
// One value has one encoding: a Reader refuses a number that is written longer than needed.
// Used by the plan's canonical form and by the record's codec. A Reader never reads past its end and never throws:
// after the first malformed field `ok()` is false, and every later read gives an empty value.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace syzygy {

class Writer {
 public:
  void number(std::uint64_t value);
  void signed_number(std::int64_t value);  // zigzag
  void boolean(bool value) { number(value ? 1 : 0); }
  void string(std::string_view value);
  void append(std::string_view encoded) { bytes_.append(encoded); }  // fields that another Writer wrote
  [[nodiscard]] const std::string& bytes() const& { return bytes_; }
  [[nodiscard]] std::string bytes() && { return std::move(bytes_); }

 private:
  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  std::uint64_t number();
  std::int64_t signed_number();
  bool boolean();
  std::string string();
  // The length of a list that follows: refused when it exceeds `limit` or what could still fit in the bytes left.
  std::uint64_t count(std::uint64_t limit);
  void fail() { ok_ = false; }
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace syzygy
