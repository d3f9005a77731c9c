#include "target.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/name.h"

namespace syzygy::fuzz {
namespace {

constexpr std::size_t kShownBytesMax = 16'384;

bool has_control(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    if (c < 0x20 || c == 0x7F || (c == 0xC2 && next >= 0x80 && next < 0xA0)) return true;
  }
  return false;
}

}  // namespace

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

const Target* find_target(std::string_view name) {
  const auto found = std::ranges::find(targets(), name, &Target::name);
  return found == targets().end() ? nullptr : &*found;
}

void require(bool holds, std::string_view what, std::string_view detail) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n%s\n", std::string(what).c_str(), printable(detail, 2'000).c_str());
  std::abort();
}

void require_shown(std::string_view text, std::string_view what) {
  require(!text.empty(), std::string(what) + " is not empty");
  require(is_utf8(text), std::string(what) + " is valid UTF-8", text);
  require(!has_control(text), std::string(what) + " has no control characters", text);
  require(text.size() <= kShownBytesMax, std::string(what) + " is of bounded length", text);
}

void require_well_said(const Error& error) {
  require_shown(error.message, "an error's message");
  require(!error.reason.empty() &&
              error.reason.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == std::string::npos,
          "an error's reason is UPPER_SNAKE_CASE", error.reason);
  for (const auto& [key, value] : error.metadata) {
    require_shown(key, "a key of an error's metadata");
    if (!value.empty()) require_shown(value, "an error's metadata");
  }
}

}  // namespace syzygy::fuzz
