// lint_output.h - a lint report in the formats that people and pipelines read. Pure: text out; the same report gives
// the same bytes.
#pragma once

#include <string>
#include <string_view>

#include "migration/rules/linter.h"

namespace syzygy::cli {

struct LintCounts {
  std::size_t errors = 0;
  std::size_t warnings = 0;
  std::size_t notes = 0;
  std::size_t ignored = 0;  // with a reason in the file
  std::size_t known = 0;    // in the baseline
};

struct LintView {
  const LintReport& report;
  std::vector<bool> shown;  // by finding: neither ignored nor in the baseline
  LintCounts counts;
};

// `format`: text, json, sarif (2.1.0), github (workflow commands), gitlab (code quality), junit.
std::string render(const LintView& view, std::string_view format);

}  // namespace syzygy::cli
