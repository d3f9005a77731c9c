// lint_output.h - a lint report in the formats that people and pipelines read. The same report gives the same bytes.
#pragma once

#include <functional>
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

// Takes a piece of the text; pieces come in order.
using Sink = std::function<void(std::string_view)>;

// `format`: text, json, sarif (2.1.0), github (workflow commands), gitlab (code quality), junit. A report of 100,000
// findings has 50 MB: text and github hand it on piece by piece.
void render(const LintView& view, std::string_view format, const Sink& sink);

}  // namespace syzygy::cli
