#include <algorithm>

#include "migration/source/source.h"

namespace syzygy {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The run of digits at the front of `text` without its leading zeros; removed from `text`.
std::string_view take_number(std::string_view& text) {
  std::size_t size = 0;
  while (size < text.size() && is_digit(text[size])) ++size;
  std::string_view number = text.substr(0, size);
  text.remove_prefix(size);
  while (number.size() > 1 && number.front() == '0') number.remove_prefix(1);
  return number;
}

}  // namespace

std::weak_ordering compare_ids(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (is_digit(a.front()) && is_digit(b.front())) {
      const std::string_view left = take_number(a);
      const std::string_view right = take_number(b);
      // Numbers of any width: the longer one is larger, and equal lengths compare as text.
      if (left.size() != right.size()) return left.size() <=> right.size();
      if (const auto order = left.compare(right); order != 0) return order <=> 0;
      continue;
    }
    if (a.front() != b.front()) {
      return static_cast<unsigned char>(a.front()) <=> static_cast<unsigned char>(b.front());
    }
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  return a.size() <=> b.size();
}

const Migration* find_migration(const std::vector<Migration>& migrations, const StepId& id) {
  const auto found = std::ranges::lower_bound(
      migrations, id, [](const StepId& a, const StepId& b) { return compare_ids(a.value, b.value) < 0; },
      &Migration::id);
  return found != migrations.end() && same_id(found->id, id) ? &*found : nullptr;
}

}  // namespace syzygy
