#include "client/cli/lint_output.h"

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "base/shown.h"
#include "base/version.h"

namespace syzygy::cli {
namespace {

namespace json = boost::json;

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// The byte of the line at which its n-th character (from 1) begins.
std::size_t byte_of(std::string_view line, std::size_t column) {
  std::size_t i = 0;
  for (; column > 1 && i < line.size(); --column) {
    ++i;
    while (i < line.size() && (static_cast<unsigned char>(line[i]) & 0xC0) == 0x80) ++i;
  }
  return i;
}

std::size_t end_column(const Finding& finding) {
  const std::size_t start = byte_of(finding.line, finding.place.column);
  return finding.place.column + characters(std::string_view(finding.line).substr(start, finding.length));
}

bool inside_character(std::string_view line, std::size_t at) {
  return at < line.size() && (static_cast<unsigned char>(line[at]) & 0xC0) == 0x80;
}

// The line of the source and the caret below it. Of a long line only what stands around the caret: a file may be one
// line of megabytes. A terminal is never sent a control character from a file.
std::string with_caret(const Finding& finding) {
  if (finding.line.empty()) return {};  // the file as a whole, or what is no text
  constexpr std::size_t kBytesMax = 240;
  constexpr std::size_t kBefore = 60;  // of the caret, where the line is cut there
  const std::string_view line = finding.line;
  const std::size_t start = std::min(byte_of(line, finding.place.column), line.size());
  std::size_t from = line.size() <= kBytesMax || start <= kBefore ? 0 : start - kBefore;
  while (from > 0 && inside_character(line, from)) --from;
  std::size_t to = std::min(from + kBytesMax, line.size());
  while (inside_character(line, to)) --to;
  const std::string before = (from > 0 ? "..." : "") + shown(line.substr(from, start - from));
  const std::string after = shown(line.substr(start, to - start)) + (to < line.size() ? "..." : "");
  const std::size_t marked = characters(line.substr(start, std::min(finding.length, to - start)));
  const std::string number = std::to_string(finding.place.line);
  return "  " + number + " | " + before + after + "\n  " + std::string(number.size(), ' ') + " | " +
         std::string(characters(before), ' ') + "^" + std::string(std::max<std::size_t>(marked, 1) - 1, '~') + "\n";
}

std::string plural(std::size_t n, std::string_view word) {
  return std::to_string(n) + " " + std::string(word) + (n == 1 ? "" : "s");
}

std::string summary(const LintView& view) {
  const LintCounts& counts = view.counts;
  std::string text = plural(view.report.migrations, "migration") + ", " + plural(view.report.statements, "statement") +
                     ": " + plural(counts.errors, "error") + ", " + plural(counts.warnings, "warning");
  if (counts.notes > 0) text += ", " + plural(counts.notes, "note");
  if (counts.ignored > 0) text += "; " + std::to_string(counts.ignored) + " ignored in the files";
  if (counts.known > 0) text += "; " + std::to_string(counts.known) + " in the baseline";
  return text;
}

template <class Each>
void each_shown(const LintView& view, const Each& each) {
  for (std::size_t i = 0; i < view.report.findings.size(); ++i) {
    if (view.shown[i]) each(view.report.findings[i]);
  }
}

void add_block(std::string& out, std::string_view label, std::string_view text) {
  const bool several = text.find('\n') != std::string_view::npos;
  out.append("  ").append(label).append(several ? ":\n" : ": ");
  if (several) out += "      ";
  for (const char c : text) {
    out.push_back(c);
    if (c == '\n') out += "      ";
  }
  out.push_back('\n');
}

constexpr std::size_t kPiece = 64 << 10;

// What has gathered goes out when there is enough of it.
void hand_on(std::string& out, const Sink& sink) {
  if (out.size() < kPiece) return;
  sink(out);
  out.clear();
}

std::string text(const LintView& view, const Sink& sink) {
  std::string out;
  out.reserve(2 * kPiece);
  std::set<std::pair<std::string_view, const Rule*>> explained;  // why: once a file and rule
  each_shown(view, [&](const Finding& finding) {
    out.append(at(finding.file, finding.place)).append(": ").append(to_string(finding.severity)).append(": ");
    out.append(finding.message).append(" [").append(finding.rule->id).append("]\n");
    out.append(with_caret(finding));
    if (explained.emplace(finding.file, finding.rule).second) add_block(out, "why", finding.rule->why);
    add_block(out, finding.safe == finding.rule->safe ? "instead, for example" : "instead", finding.safe);
    out.push_back('\n');
    hand_on(out, sink);
  });
  for (const std::string& assumption : view.report.assumptions) out += "assumed: " + assumption + "\n";
  if (view.report.inferred_post_deploy > 0) {
    out += plural(view.report.inferred_post_deploy, "migration") +
           (view.report.inferred_post_deploy == 1 ? " belongs" : " belong") +
           " after the deployment, by what is in it: syzygy migrate --pre-deploy holds that back; where another "
           "tool applies everything at once, --one-phase shows what that breaks\n";
  }
  return out + summary(view) + "\n";
}

json::object as_json(const Finding& finding) {
  json::object object;
  object["rule"] = std::string(finding.rule->id);
  object["group"] = std::string(to_string(finding.rule->group));
  object["severity"] = std::string(to_string(finding.severity));
  object["migration"] = finding.id.value;
  object["file"] = finding.file;
  object["line"] = finding.place.line;
  object["column"] = finding.place.column;
  object["endColumn"] = end_column(finding);
  object["message"] = finding.message;
  object["why"] = std::string(finding.rule->why);
  object["safe"] = finding.safe;
  object["fingerprint"] = finding.fingerprint;
  if (finding.ignored_because) object["ignoredBecause"] = *finding.ignored_because;
  return object;
}

std::string as_json(const LintView& view) {
  json::array findings;
  for (std::size_t i = 0; i < view.report.findings.size(); ++i) {
    const Finding& finding = view.report.findings[i];
    if (!view.shown[i] && !finding.ignored_because) continue;
    findings.push_back(as_json(finding));
  }
  json::object root;
  root["migrations"] = view.report.migrations;
  root["statements"] = view.report.statements;
  root["errors"] = view.counts.errors;
  root["warnings"] = view.counts.warnings;
  root["notes"] = view.counts.notes;
  root["ignored"] = view.counts.ignored;
  root["inBaseline"] = view.counts.known;
  json::array assumptions;
  for (const auto& assumption : view.report.assumptions) assumptions.emplace_back(assumption);
  root["assumptions"] = std::move(assumptions);
  root["findings"] = std::move(findings);
  return json::serialize(root) + "\n";
}

std::string_view sarif_level(Severity severity) {
  return severity == Severity::kError ? "error" : severity == Severity::kWarning ? "warning" : "note";
}

// A path as a URI reference: what is not plain is percent-encoded.
std::string uri(std::string_view path) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
                       c == '.' || c == '_' || c == '-' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.append({'%', kHex[byte >> 4], kHex[byte & 15]});
    }
  }
  return out;
}

std::string sarif(const LintView& view) {
  json::array rules;
  for (const Rule* rule : all_rules()) {
    rules.push_back(
        json::object{{"id", std::string(rule->id)},
                     {"shortDescription", {{"text", std::string(rule->title)}}},
                     {"fullDescription", {{"text", std::string(rule->why)}}},
                     {"help", {{"text", std::string(rule->safe)}}},
                     {"defaultConfiguration",
                      {{"enabled", rule->severity != Severity::kOff && rule->group != HazardGroup::kQuality},
                       {"level", std::string(sarif_level(rule->severity))}}},
                     {"properties", {{"group", std::string(to_string(rule->group))}}}});
  }
  json::array results;
  for (std::size_t i = 0; i < view.report.findings.size(); ++i) {
    const Finding& finding = view.report.findings[i];
    if (!view.shown[i] && !finding.ignored_because) continue;
    const auto index = std::ranges::find(all_rules(), finding.rule) - all_rules().begin();
    json::object result{{"ruleId", std::string(finding.rule->id)},
                        {"ruleIndex", index},
                        {"level", std::string(sarif_level(finding.severity))},
                        {"message", {{"text", finding.message + "\nInstead: " + finding.safe}}},
                        {"locations", json::array{json::object{{"physicalLocation",
                                                                {{"artifactLocation", {{"uri", uri(finding.file)}}},
                                                                 {"region",
                                                                  {{"startLine", finding.place.line},
                                                                   {"startColumn", finding.place.column},
                                                                   {"endLine", finding.place.line},
                                                                   {"endColumn", end_column(finding)}}}}}}}},
                        {"partialFingerprints", {{"syzygy/v1", finding.fingerprint}}}};
    if (finding.ignored_because) {
      result["suppressions"] =
          json::array{json::object{{"kind", "inSource"}, {"justification", *finding.ignored_because}}};
    }
    results.push_back(std::move(result));
  }
  json::object driver{{"name", "syzygy"}, {"semanticVersion", std::string(kVersion)}, {"rules", std::move(rules)}};
  json::object run{
      {"tool", {{"driver", std::move(driver)}}}, {"columnKind", "unicodeCodePoints"}, {"results", std::move(results)}};
  const json::object root{{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
                          {"version", "2.1.0"},
                          {"runs", json::array{std::move(run)}}};
  return json::serialize(root) + "\n";
}

// A workflow command's data and properties, as the runner decodes them.
std::string escaped(std::string_view text, bool property) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '%':
        out += "%25";
        break;
      case '\r':
        out += "%0D";
        break;
      case '\n':
        out += "%0A";
        break;
      case ':':
        out += property ? "%3A" : ":";
        break;
      case ',':
        out += property ? "%2C" : ",";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string github(const LintView& view, const Sink& sink) {
  std::string out;
  each_shown(view, [&](const Finding& finding) {
    const std::string_view level = finding.severity == Severity::kNote ? "notice" : to_string(finding.severity);
    out += "::" + std::string(level) + " file=" + escaped(finding.file, true) +
           ",line=" + std::to_string(finding.place.line) + ",col=" + std::to_string(finding.place.column) +
           ",endColumn=" + std::to_string(end_column(finding)) + ",title=" + escaped(finding.rule->id, true) +
           "::" + escaped(finding.message + "\nInstead: " + finding.safe, false) + "\n";
    hand_on(out, sink);
  });
  return out + summary(view) + "\n";
}

std::string gitlab(const LintView& view) {
  json::array issues;
  each_shown(view, [&](const Finding& finding) {
    const char* severity = finding.severity == Severity::kError     ? "major"
                           : finding.severity == Severity::kWarning ? "minor"
                                                                    : "info";
    issues.push_back(json::object{{"description", finding.message},
                                  {"check_name", std::string(finding.rule->id)},
                                  {"fingerprint", finding.fingerprint},
                                  {"severity", severity},
                                  {"location", {{"path", finding.file}, {"lines", {{"begin", finding.place.line}}}}}});
  });
  return json::serialize(issues) + "\n";
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML has no way to write most control characters.
        out.push_back(static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t' ? '?' : c);
    }
  }
  return out;
}

std::string junit(const LintView& view) {
  std::string cases;
  each_shown(view, [&](const Finding& finding) {
    const std::string where = at(finding.file, finding.place);
    cases += "    <testcase classname=\"" + xml(finding.file) + "\" name=\"" +
             xml(where + " " + std::string(finding.rule->id)) + "\">";
    if (finding.severity == Severity::kNote) {
      cases += "<system-out>" + xml(finding.message) + "</system-out></testcase>\n";
      return;
    }
    cases += "<failure type=\"" + std::string(to_string(finding.severity)) + "\" message=\"" + xml(finding.message) +
             "\">" + xml(where + "\n" + finding.line + "\nInstead: " + finding.safe) + "</failure></testcase>\n";
  });
  const std::size_t failures = view.counts.errors + view.counts.warnings;
  if (failures + view.counts.notes == 0) cases = "    <testcase classname=\"syzygy\" name=\"lint\"/>\n";
  const std::string counts = " tests=\"" + std::to_string(std::max<std::size_t>(failures + view.counts.notes, 1)) +
                             "\" failures=\"" + std::to_string(failures) + "\" errors=\"0\"";
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites" + counts + ">\n  <testsuite name=\"syzygy lint\"" +
         counts + ">\n" + cases + "  </testsuite>\n</testsuites>\n";
}

}  // namespace

void render(const LintView& view, std::string_view format, const Sink& sink) {
  if (format == "json") return sink(as_json(view));
  if (format == "sarif") return sink(sarif(view));
  if (format == "github") return sink(github(view, sink));
  if (format == "gitlab") return sink(gitlab(view));
  if (format == "junit") return sink(junit(view));
  sink(text(view, sink));
}

}  // namespace syzygy::cli
