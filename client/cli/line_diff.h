// line_diff.h - the difference of two texts, line by line, as `diff -u` shows it. Pure.
#pragma once

#include <string>
#include <string_view>

namespace syzygy::cli {

// `replaces` false: the file is new. Texts of more than kDiffLinesMax lines are shown as wholly changed.
std::string unified_diff(const std::string& path, std::string_view before, std::string_view after, bool replaces);

}  // namespace syzygy::cli
