// fingerprint.h - 64 bits that stand for a name: the same in every program and on every machine, unlike std::hash.
//
// FNV-1a. Whoever chooses a name can choose its fingerprint too, so it decides nothing that one caller could do to
// another.
#pragma once

#include <cstdint>
#include <string_view>

namespace syzygy {

constexpr std::uint64_t fingerprint(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace syzygy
