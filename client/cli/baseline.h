// baseline.h - the findings that an old project starts with, by their fingerprints: `syzygy lint --baseline FILE`.
//
// One a line, with what it is for people behind it; # begins a comment. A line that is neither is an error, since a
// file that is read past would let findings through that nobody accepted.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "base/result.h"
#include "migration/rules/linter.h"

namespace syzygy::cli {

using Fingerprints = std::set<std::string, std::less<>>;

// `path` is for messages. Errors: kFailedPrecondition BASELINE_INVALID, metadata "path", "line".
Result<Fingerprints> parse_baseline(std::string_view text, const std::string& path);
// Of a report: what parse_baseline() reads as its fingerprints. Notes and what is ignored with a reason are left out.
std::string baseline_of(const LintReport& report);

// Errors: also BASELINE_MISSING (no such file, or one that cannot be read).
Result<Fingerprints> read_baseline(const std::string& path);

}  // namespace syzygy::cli
