#include "client/cli/line_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace syzygy::cli {
namespace {

constexpr std::size_t kDiffLinesMax = 2'000;
constexpr std::size_t kAround = 3;  // unchanged lines that are shown

struct Edit {
  char kind;  // ' ', '-', '+'
  std::string_view line;
};

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size() - 1) + 1;
    lines.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return lines;
}

std::vector<Edit> edits(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b) {
  std::vector<Edit> list;
  if (a.size() > kDiffLinesMax || b.size() > kDiffLinesMax) {
    for (const auto line : a) list.push_back({'-', line});
    for (const auto line : b) list.push_back({'+', line});
    return list;
  }
  // common[i][j]: how many lines the rests from i and j have in common.
  const std::size_t width = b.size() + 1;
  std::vector<std::size_t> common((a.size() + 1) * width, 0);
  for (std::size_t i = a.size(); i-- > 0;) {
    for (std::size_t j = b.size(); j-- > 0;) {
      common[i * width + j] = a[i] == b[j] ? common[(i + 1) * width + j + 1] + 1
                                           : std::max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < a.size() || j < b.size()) {
    if (i < a.size() && j < b.size() && a[i] == b[j]) {
      list.push_back({' ', a[i]});
      ++i;
      ++j;
    } else if (i < a.size() && (j == b.size() || common[(i + 1) * width + j] >= common[i * width + j + 1])) {
      list.push_back({'-', a[i++]});
    } else {
      list.push_back({'+', b[j++]});
    }
  }
  return list;
}

}  // namespace

std::string unified_diff(const std::string& path, std::string_view before, std::string_view after, bool replaces) {
  const auto list = edits(lines_of(before), lines_of(after));
  std::string text = fmt::format("--- {}\n+++ {}\n", replaces ? path : "/dev/null", path);
  std::size_t old_line = 1;
  std::size_t new_line = 1;
  std::size_t at = 0;
  while (at < list.size()) {
    // From `kAround` lines before the next change to as many behind the last one near it.
    std::size_t change = at;
    while (change < list.size() && list[change].kind == ' ') ++change;
    if (change == list.size()) break;
    const std::size_t begin = std::max(at, change - std::min(change, kAround));
    std::size_t end = change;
    for (std::size_t k = change; k < list.size() && k <= end + 2 * kAround; ++k) {
      if (list[k].kind != ' ') end = k;
    }
    end = std::min(list.size(), end + kAround + 1);
    old_line += begin - at;
    new_line += begin - at;
    std::size_t olds = 0;
    std::size_t news = 0;
    std::string body;
    for (std::size_t k = begin; k < end; ++k) {
      olds += list[k].kind != '+' ? 1 : 0;
      news += list[k].kind != '-' ? 1 : 0;
      body += list[k].kind + std::string(list[k].line);
      if (!body.ends_with('\n')) body += "\n\\ No newline at end of file\n";
    }
    text += fmt::format("@@ -{},{} +{},{} @@\n{}", olds == 0 ? old_line - 1 : old_line, olds,
                        news == 0 ? new_line - 1 : new_line, news, body);
    old_line += olds;
    new_line += news;
    at = end;
  }
  return text;
}

}  // namespace syzygy::cli
