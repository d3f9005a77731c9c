// target.h - a fuzz target: a name, and a function that takes any bytes and says what must hold of them.
//
// Each file of this folder registers its targets by SYZYGY_FUZZ_TARGET. They run in two programs: under libFuzzer
// (libfuzzer.cpp; ./dev check fuzz), and, in ordinary builds, over the kept inputs alone (replay.cpp; ctest). A target
// is a function of its input: no clock, no random number, nothing left behind. What does not hold ends the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace syzygy::fuzz {

struct Target {
  std::string_view name;
  void (*run)(std::string_view input);
};

// All that this program has, in no particular order.
std::vector<Target>& targets();
// The target of that name, or nullptr.
const Target* find_target(std::string_view name);

struct Registration {
  explicit Registration(Target target) { targets().push_back(target); }
};

#define SYZYGY_FUZZ_TARGET(target_name)                                                                   \
  static void fuzz_##target_name(std::string_view input);                                                 \
  static const ::syzygy::fuzz::Registration registered_##target_name({#target_name, fuzz_##target_name}); \
  static void fuzz_##target_name(std::string_view input)

// Ends the process with `what` (and `detail`, made printable) unless it holds.
void require(bool holds, std::string_view what, std::string_view detail = {});

// A text that may be shown: not empty, valid UTF-8 without control characters, of bounded length.
void require_shown(std::string_view text, std::string_view what);

// What every error that a user can see must be: words, a stable reason, metadata that can be shown.
void require_well_said(const Error& error);

// Takes single choices from the front of an input; the rest is for the reader. An exhausted input gives zeros.
class Choices {
 public:
  explicit Choices(std::string_view input) : rest_(input) {}
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace syzygy::fuzz
