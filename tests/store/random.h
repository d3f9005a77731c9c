// random.h - what random tests share: a seed that can be given again, and how long they run.
#pragma once

#include <cstdlib>
#include <random>

namespace syzygy::store_tests {

// SYZYGY_SEED, or a fresh one. The test prints it: SCOPED_TRACE("replay with SYZYGY_SEED=" + ...).
inline unsigned seed() {
  const char* given = std::getenv("SYZYGY_SEED");
  return given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
}

// `usual` rounds of a random test, eight times as many where SYZYGY_LONG is set (./dev check).
inline int rounds(int usual) { return std::getenv("SYZYGY_LONG") != nullptr ? 8 * usual : usual; }

}  // namespace syzygy::store_tests
