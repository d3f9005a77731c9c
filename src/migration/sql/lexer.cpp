#include "migration/sql/lexer.h"

#include <algorithm>

namespace syzygy {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool starts_word(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || static_cast<unsigned char>(c) >= 0x80;
}
bool continues_word(char c) { return starts_word(c) || is_digit(c) || c == '$'; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

bool Lexeme::is(std::string_view word) const {
  return kind == LexemeKind::kWord && std::ranges::equal(text, word, {}, upper);
}

Lexeme Lexer::make(LexemeKind kind, std::size_t end) {
  end = std::min(end, text_.size());
  Lexeme token{kind, position_, text_.substr(position_, end - position_)};
  position_ = end;
  return token;
}

Lexeme Lexer::line_comment() {
  // PostgreSQL ends such a comment at a lone carriage return as well, SQLite does not.
  const auto end = text_.find_first_of(dialect_ == Dialect::kPostgres ? "\r\n" : "\n", position_);
  return make(LexemeKind::kLineComment, end == std::string_view::npos ? text_.size() : end);
}

Lexeme Lexer::block_comment() {
  std::size_t depth = 1;
  std::size_t i = position_ + 2;
  while (i < text_.size()) {
    const bool closes = text_[i] == '*' && at(i + 1) == '/';
    const bool opens = dialect_ == Dialect::kPostgres && text_[i] == '/' && at(i + 1) == '*';
    i += closes || opens ? 2 : 1;
    if (opens) ++depth;
    if (closes && --depth == 0) return make(LexemeKind::kBlockComment, i);
  }
  return make(LexemeKind::kUnterminated, text_.size());
}

Lexeme Lexer::quoted(LexemeKind kind, std::size_t open, char close, bool doubling) {
  std::size_t i = open + 1;
  while (true) {
    i = text_.find(close, i);
    if (i == std::string_view::npos) return make(LexemeKind::kUnterminated, text_.size());
    if (!doubling || at(i + 1) != close) return make(kind, i + 1);
    i += 2;
  }
}

Lexeme Lexer::escape_string(std::size_t open) {
  std::size_t i = open + 1;
  while (i < text_.size()) {
    const bool pair = text_[i] == '\\' || (text_[i] == '\'' && at(i + 1) == '\'');
    if (pair || text_[i] != '\'') {
      i += pair ? 2 : 1;
    } else {
      // A literal goes on after white space (and line comments) that contains a line break, still with escapes.
      std::size_t next = i + 1;
      bool broken = false;
      while (next < text_.size()) {
        if (is_space(text_[next])) {
          broken = broken || text_[next] == '\n' || text_[next] == '\r';
          ++next;
        } else if (broken && text_[next] == '-' && at(next + 1) == '-') {
          next = std::min(text_.find_first_of("\r\n", next), text_.size());
        } else {
          break;
        }
      }
      if (!broken || at(next) != '\'') return make(LexemeKind::kString, i + 1);
      i = next + 1;
    }
  }
  return make(LexemeKind::kUnterminated, text_.size());
}

std::optional<Lexeme> Lexer::dollar_string() {
  std::size_t i = position_ + 1;
  if (starts_word(at(i))) {
    while (i < text_.size() && continues_word(text_[i]) && text_[i] != '$') ++i;
  }
  if (at(i) != '$') return std::nullopt;
  const std::string_view tag = text_.substr(position_, i + 1 - position_);
  const auto close = text_.find(tag, i + 1);
  if (close == std::string_view::npos) return make(LexemeKind::kUnterminated, text_.size());
  return make(LexemeKind::kString, close + tag.size());
}

std::optional<Lexeme> Lexer::next() {
  while (position_ < text_.size() && is_space(text_[position_])) ++position_;
  if (position_ == text_.size()) return std::nullopt;
  const char c = text_[position_];
  const char d = at(position_ + 1);
  const bool postgres = dialect_ == Dialect::kPostgres;
  if (c == '-' && d == '-') return line_comment();
  if (c == '/' && d == '*') return block_comment();
  if (c == '\'') return quoted(LexemeKind::kString, position_, '\'', true);
  if (c == '"') return quoted(LexemeKind::kQuotedName, position_, '"', true);
  if (!postgres && c == '`') return quoted(LexemeKind::kQuotedName, position_, '`', true);
  if (!postgres && c == '[') return quoted(LexemeKind::kQuotedName, position_, ']', false);
  if (c == ';') return make(LexemeKind::kSemicolon, position_ + 1);
  if (c == '(') return make(LexemeKind::kOpen, position_ + 1);
  if (c == ')') return make(LexemeKind::kClose, position_ + 1);
  if (c == '\\') return make(LexemeKind::kBackslash, position_ + 1);
  if (postgres && c == '$') {
    if (auto token = dollar_string()) return token;
    return make(LexemeKind::kSymbol, position_ + 1);
  }
  if (is_digit(c)) {
    std::size_t i = position_;
    while (i < text_.size() && (is_digit(text_[i]) || starts_word(text_[i]) || text_[i] == '.')) ++i;
    return make(LexemeKind::kNumber, i);
  }
  if (starts_word(c)) {
    // A literal's prefix belongs to it only if the quote follows at once.
    if (d == '\'') {
      if (postgres && upper(c) == 'E') return escape_string(position_ + 1);
      if (upper(c) == 'X' || (postgres && (upper(c) == 'B' || upper(c) == 'N'))) {
        return quoted(LexemeKind::kString, position_ + 1, '\'', true);
      }
    }
    if (postgres && upper(c) == 'U' && d == '&') {
      const char quote = at(position_ + 2);
      if (quote == '\'') return quoted(LexemeKind::kString, position_ + 2, '\'', true);
      if (quote == '"') return quoted(LexemeKind::kQuotedName, position_ + 2, '"', true);
    }
    std::size_t i = position_;
    while (i < text_.size() && continues_word(text_[i])) ++i;
    return make(LexemeKind::kWord, i);
  }
  return make(LexemeKind::kSymbol, position_ + 1);
}

std::optional<Lexeme> Lexer::next_visible() {
  auto token = next();
  while (token && token->is_comment()) token = next();
  return token;
}

std::string name_of(Dialect dialect, const Lexeme& token) {
  std::string name;
  if (token.kind == LexemeKind::kQuotedName && token.text.size() >= 2 && token.text.front() != 'U' &&
      token.text.front() != 'u') {
    const char close = token.text.back();
    const std::string_view inside = token.text.substr(1, token.text.size() - 2);
    for (std::size_t i = 0; i < inside.size(); ++i) {
      name.push_back(inside[i]);
      if (close != ']' && inside[i] == close) ++i;
    }
    if (dialect == Dialect::kPostgres) return name;
  } else {
    name = token.text;
  }
  std::ranges::transform(name, name.begin(), lower);
  return name;
}

std::optional<std::string> string_value(const Lexeme& token) {
  if (token.kind != LexemeKind::kString || token.text.size() < 2) return std::nullopt;
  if (token.text.front() == '$') {
    const std::size_t tag = token.text.find('$', 1) + 1;
    return std::string(token.text.substr(tag, token.text.size() - 2 * tag));
  }
  if (token.text.front() != '\'') return std::nullopt;
  std::string value;
  const std::string_view inside = token.text.substr(1, token.text.size() - 2);
  for (std::size_t i = 0; i < inside.size(); ++i) {
    value.push_back(inside[i]);
    if (inside[i] == '\'') ++i;
  }
  return value;
}

}  // namespace syzygy
