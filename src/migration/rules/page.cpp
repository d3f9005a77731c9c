#include "migration/rules/page.h"

#include <algorithm>

namespace syzygy {
namespace {

std::string names(const std::vector<std::string_view>& aliases) {
  std::string all;
  for (const auto alias : aliases) all += (all.empty() ? "" : ", ") + std::string(alias);
  return all;
}

std::string indented(std::string_view text, std::string_view by) {
  std::string out(by);
  for (const char c : text) {
    out.push_back(c);
    if (c == '\n') out += by;
  }
  return out;
}

// Words broken at 100 columns, so that a terminal shows them as they are.
std::string wrapped(std::string_view text, std::string_view by) {
  std::string out(by);
  std::size_t column = by.size();
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t end = std::min(text.find(' ', i), text.size());
    if (column + (end - i) > 100 && column > by.size()) {
      out += "\n" + std::string(by);
      column = by.size();
    }
    out += text.substr(i, end - i);
    column += end - i;
    if (end < text.size()) {
      out.push_back(' ');
      ++column;
    }
    i = end + 1;
  }
  // A blank before a line break is of no use to anybody.
  for (auto at = out.find(" \n"); at != std::string::npos; at = out.find(" \n", at)) out.erase(at, 1);
  return out;
}

std::string severity(const Rule& rule) {
  return std::string(to_string(rule.severity)) + (rule.group == HazardGroup::kQuality ? ", with --quality" : "");
}

std::string about(const Rule& rule) {
  std::string text = std::string(to_string(rule.group)) + "; " + severity(rule);
  if (rule.when == When::kBeforeDeployment) text += "; only before the deployment";
  if (rule.when == When::kAfterDeployment) text += "; only after the deployment";
  if (rule.tables == Tables::kInUse) text += "; not on tables that the same plan creates";
  if (rule.tables == Tables::kFilled) text += "; not on tables that are new or, by the catalogue, small";
  text += rule.sqlite ? "; PostgreSQL and SQLite" : "; PostgreSQL";
  return text;
}

// What PostgreSQL was seen to do with an example.
std::string proof(const Rule& rule, const Example& example) {
  if (!example.refused_as.empty()) return "PostgreSQL refuses it: SQLSTATE " + std::string(example.refused_as);
  std::string text;
  if (const auto claim = example.claim ? example.claim : rule.claim) text = describe(*claim);
  if (!example.breaks.empty()) {
    text += (text.empty() ? "" : "; ") + std::string("then this fails: ") + std::string(example.breaks);
  }
  if (!example.seen.empty()) {
    text += text.empty() ? "" : "; ";
    text += example.seen.starts_with("SELECT") ? "from then on it is true: " : "only then this works: ";
    text += example.seen;
  }
  return text;
}

}  // namespace

std::string explain(const Rule& rule) {
  std::string out = std::string(rule.id) + ": " + std::string(rule.title) + "\n  " + about(rule) + "\n";
  if (!rule.aliases.empty()) out += "  also known as " + names(rule.aliases) + "\n";
  out += "\nWhen\n" + wrapped(rule.triggers, "  ") + "\n\nWhy\n" + wrapped(rule.why, "  ") + "\n\nInstead\n" +
         indented(rule.safe, "  ") + "\n";
  out += "\nIt fires on\n";
  for (const Example& example : rule.fires) {
    if (!example.before.empty()) {
      out += indented("-- after a release with: " + std::string(example.before), "  ") + "\n";
    }
    out += indented(example.sql, "  ") + "\n";
    if (const std::string seen = proof(rule, example); !seen.empty()) out += wrapped("-> " + seen, "  ") + "\n";
    out += "\n";
  }
  out += "It is silent on\n";
  for (const Example& example : rule.silent) {
    if (!example.before.empty()) {
      out += indented("-- after a release with: " + std::string(example.before), "  ") + "\n";
    }
    out += indented(example.sql, "  ") + "\n\n";
  }
  out += "To ignore it for one statement, write above it:\n  -- syzygy:ignore " + std::string(rule.id) +
         " because <the reason>\n";
  return out;
}

std::string list_of_rules() {
  std::string out;
  const Rule* before = nullptr;
  for (const Rule* rule : all_rules()) {
    if (before == nullptr || before->group != rule->group) {
      out += (before == nullptr ? "" : "\n") + std::string(to_string(rule->group)) +
             (rule->group == HazardGroup::kQuality ? " (with --quality)" : "") + "\n";
    }
    std::string id(rule->id);
    id.resize(std::max<std::size_t>(id.size() + 1, 28), ' ');
    out += "  " + id + std::string(rule->title) + "\n";
    before = rule;
  }
  return out + "\nsyzygy explain RULE says more of one.\n";
}

std::string rules_page() {
  std::string out =
      "# Hazards\n\n"
      "<!-- Written from src/migration/rules/*.cpp by the test migration_rules_test; do not edit. -->\n\n"
      "What `syzygy lint` knows, one section each; `syzygy explain RULE` shows the same. How to use it: "
      "[lint.md](lint.md).\n\n"
      "What a rule says of locks, scans and rewrites was seen on a real PostgreSQL: the tests run each example there "
      "and "
      "compare\n`pg_locks`, sequential scans and relfilenodes with the claim, and run the statement of old code that "
      "is "
      "said to break,\nbefore and after. The examples speak of these tables, filled and in use:\n\n```sql\n" +
      std::string(kExampleTables) + "```\n\n";
  const Rule* before = nullptr;
  for (const Rule* rule : all_rules()) {
    if (before == nullptr || before->group != rule->group) out += "- **" + std::string(to_string(rule->group)) + "**:";
    out += " [" + std::string(rule->id) + "](#" + std::string(rule->id) + ")";
    const auto next = std::ranges::upper_bound(all_rules(), rule->group, {}, &Rule::group);
    if (next == all_rules().end() ? rule == all_rules().back() : *(next - 1) == rule) out += "\n";
    before = rule;
  }
  for (const Rule* rule : all_rules()) {
    out += "\n## " + std::string(rule->id) + "\n\n**" + std::string(rule->title) + "** (" + about(*rule) + ")\n\n";
    if (!rule->aliases.empty()) out += "Also known as " + names(rule->aliases) + ".\n\n";
    out += "When: " + std::string(rule->triggers) + "\n\nWhy: " + std::string(rule->why) + "\n\nInstead:\n\n```sql\n" +
           std::string(rule->safe) + "\n```\n\nFires on, with what PostgreSQL was seen to do:\n\n```sql\n";
    for (const Example& example : rule->fires) {
      if (!example.before.empty()) out += "-- after a release with:\n" + indented(example.before, "--   ") + "\n";
      out += std::string(example.sql) + ";\n";
      if (const std::string seen = proof(*rule, example); !seen.empty()) out += "-- -> " + seen + "\n";
    }
    out += "```\n\nSilent on:\n\n```sql\n";
    for (const Example& example : rule->silent) {
      if (!example.before.empty()) out += "-- after a release with:\n" + indented(example.before, "--   ") + "\n";
      out += std::string(example.sql) + ";\n";
    }
    out += "```\n";
  }
  return out;
}

}  // namespace syzygy
