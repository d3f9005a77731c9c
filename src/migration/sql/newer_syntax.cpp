#include "migration/sql/newer_syntax.h"

#include <algorithm>
#include <array>
#include <vector>

#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

// The statement begins with `verb`, stops at `at`, behind `before`, and has `holds` in front of that; empty: whatever.
struct Sign {
  std::string_view verb, holds, before, at;
  NewerSyntax newer;
};

constexpr std::array kSigns = {
    Sign{"MERGE", "", "", "RETURNING", {17, "MERGE ... RETURNING"}},
    Sign{"MERGE", "", "MATCHED", "BY", {17, "MERGE ... WHEN NOT MATCHED BY SOURCE"}},
    Sign{"CREATE", "TABLE", "", "STORAGE", {16, "STORAGE of a column in CREATE TABLE"}},
    Sign{"CREATE", "STATISTICS", "STATISTICS", "ON", {16, "CREATE STATISTICS without a name"}},
    Sign{"ALTER", "COLUMN", "SET", "EXPRESSION", {17, "ALTER COLUMN ... SET EXPRESSION"}},
    Sign{"ALTER", "", "STATISTICS", "DEFAULT", {17, "SET STATISTICS DEFAULT"}},
    Sign{"", "GENERATED", ")", "VIRTUAL", {18, "a virtual generated column"}},
    Sign{"", "", "NOT", "ENFORCED", {18, "a constraint that is NOT ENFORCED"}},
    Sign{"", "KEY", "", "WITHOUT", {18, "WITHOUT OVERLAPS"}},
    Sign{"", "UNIQUE", "", "WITHOUT", {18, "WITHOUT OVERLAPS"}},
    Sign{"ALTER", "CONSTRAINT", "", "NOT", {18, "a named NOT NULL constraint"}},
    Sign{"GRANT", "", "WITH", "INHERIT", {16, "GRANT ... WITH INHERIT"}},
    Sign{"GRANT", "", "WITH", "SET", {16, "GRANT ... WITH SET"}},
    Sign{"", "", "IS", "JSON", {16, "IS JSON"}},
    Sign{"", "JSON_TABLE", "", "", {17, "JSON_TABLE"}},
    Sign{"", "JSON_VALUE", "", "", {17, "JSON_VALUE"}},
    Sign{"", "JSON_QUERY", "", "", {17, "JSON_QUERY"}},
    Sign{"", "JSON_EXISTS", "", "", {17, "JSON_EXISTS"}},
    Sign{"", "JSON_OBJECT", "", "", {16, "the SQL form of JSON_OBJECT"}},
    Sign{"", "JSON_ARRAY", "", "", {16, "the SQL form of JSON_ARRAY"}},
    Sign{"", "JSON_OBJECTAGG", "", "", {16, "JSON_OBJECTAGG"}},
    Sign{"", "JSON_ARRAYAGG", "", "", {16, "JSON_ARRAYAGG"}},
};

// 0x1F, 0o17, 0b1, 1_000, which 15 takes for a number with something behind it.
bool is_newer_number(std::string_view text) {
  if (text.empty() || text.front() < '0' || text.front() > '9') return false;
  const auto end = std::min(text.find_first_not_of("0123456789"), text.size());
  if (end == text.size()) return false;
  return text[end] == '_' || (text.starts_with('0') && end == 1 && std::string_view("xXoObB").contains(text[1]));
}

}  // namespace

std::optional<NewerSyntax> newer_syntax(std::string_view statement, std::size_t stopped_at, std::string_view message) {
  if (message.ends_with("in FROM must have an alias")) return NewerSyntax{16, "a subquery in FROM without an alias"};
  if (message.starts_with("trailing junk after numeric literal") &&
      is_newer_number(statement.substr(std::min(stopped_at, statement.size())))) {
    return NewerSyntax{16, "a number such as 0x1F or 1_000"};
  }
  Lexer lexer(Dialect::kPostgres, statement);
  std::vector<Lexeme> words;  // in front of the place
  std::optional<Lexeme> at = lexer.next_visible();
  for (; at && at->offset < stopped_at; at = lexer.next_visible()) words.push_back(*at);
  if (!at || words.empty()) return std::nullopt;
  for (const Sign& sign : kSigns) {
    const auto is = [](const Lexeme& token, std::string_view word) {
      return word.empty() || token.is(word) || token.text == word;
    };
    // Of a function only what stands in its parentheses.
    const auto holds = [&] {
      if (!sign.holds.starts_with("JSON_")) {
        return std::ranges::any_of(words, [&](const Lexeme& token) { return is(token, sign.holds); });
      }
      int depth = 0;
      for (auto token = words.rbegin(); token != words.rend(); ++token) {
        if (token->kind == LexemeKind::kOpen) ++depth;
        if (token->kind == LexemeKind::kClose) --depth;
        if (depth > 0 && token->is(sign.holds)) return true;
      }
      return false;
    };
    const bool here = is(words.front(), sign.verb) && is(words.back(), sign.before) && is(*at, sign.at) && holds();
    if (here) return sign.newer;
  }
  return std::nullopt;
}

}  // namespace syzygy
