#include "client/cli/baseline.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/name.h"
#include "base/shown.h"
#include "migration/sql/statements.h"

namespace syzygy::cli {
namespace {

constexpr std::size_t kFingerprintBytes = 16;
constexpr std::size_t kBaselineBytesMax = 64 << 20;

bool is_fingerprint(std::string_view word) {
  return word.size() == kFingerprintBytes && word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::unexpected<Error> missing(const std::string& path, const std::string& why) {
  return failure(
      ErrorCode::kFailedPrecondition, "BASELINE_MISSING",
      "the baseline " + shown(path) + " cannot be read: " + why + "; write it with --write-baseline " + shown(path),
      {{"path", shown(path)}});
}

}  // namespace

Result<Fingerprints> parse_baseline(std::string_view text, const std::string& path) {
  Fingerprints known;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r"), line.size()));
    if (line.empty() || line.starts_with('#')) continue;
    const std::string_view word = line.substr(0, line.find_first_of(" \t\r"));
    if (!is_fingerprint(word)) {
      return failure(ErrorCode::kFailedPrecondition, "BASELINE_INVALID",
                     shown(path) + ":" + std::to_string(number) + ": \"" + printable(word) +
                         "\" is no fingerprint of a finding (16 hexadecimal digits), so this is no baseline, or a "
                         "damaged one; write it anew with --write-baseline",
                     {{"path", shown(path)}, {"line", std::to_string(number)}});
    }
    known.emplace(word);
  }
  return known;
}

std::string baseline_of(const LintReport& report) {
  std::ostringstream text;
  text << "# Findings that syzygy lint leaves out (--baseline): fingerprint, rule, place when it was written.\n";
  for (const Finding& finding : report.findings) {
    if (finding.ignored_because || finding.severity == Severity::kNote) continue;
    text << finding.fingerprint << ' ' << finding.rule->id << ' ' << shown(at(finding.file, finding.place)) << '\n';
  }
  return text.str();
}

Result<Fingerprints> read_baseline(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) return missing(path, "there is no such file");
  if (!std::filesystem::is_regular_file(status)) return missing(path, "it is no file");
  if (std::filesystem::file_size(path, error) > kBaselineBytesMax) {
    return missing(path, "it is larger than 64 MiB (the limit)");
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return missing(path, "this user may not read it");
  std::ostringstream text;
  text << file.rdbuf();
  return parse_baseline(text.str(), path);
}

}  // namespace syzygy::cli
