// slowness.h - how many times as slow everything may be here as it is usually: what a leg of ./dev check says in
// SYZYGY_TEST_SLOWNESS. Times that something must be done within are multiplied by it, in C++ as in Python.
#pragma once

#include <algorithm>
#include <cstdlib>

namespace syzygy::test {

inline int slowness() {
  const char* text = std::getenv("SYZYGY_TEST_SLOWNESS");
  return text == nullptr ? 1 : std::max(std::atoi(text), 1);
}

}  // namespace syzygy::test
