// lexer.h - a text as tokens of a dialect: exactly enough of the lexical grammar to know what is a string, a comment, a
// quoted name, and where a statement ends.
//
// Works on any bytes, in one pass, without copying: tokens view the text, which must outlive them. What never ends (a
// string, a comment) is one kUnterminated token up to the end. PostgreSQL is read as with standard_conforming_strings
// on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "migration/sql/dialect.h"

namespace syzygy {

enum class LexemeKind : std::uint8_t {
  kWord,        // keyword or bare identifier
  kQuotedName,  // "name"; SQLite also `name` and [name]
  kString,      // 'text', E'text', $tag$text$tag$, x'00'
  kNumber,
  kSymbol,  // one byte: operators, punctuation, anything else
  kSemicolon,
  kOpen,         // (
  kClose,        // )
  kBackslash,    // outside of strings only psql knows it
  kLineComment,  // without the line break
  kBlockComment,
  kUnterminated,
};

struct Lexeme {
  LexemeKind kind = LexemeKind::kSymbol;
  std::size_t offset = 0;
  std::string_view text;

  [[nodiscard]] std::size_t end() const { return offset + text.size(); }
  [[nodiscard]] bool is_comment() const {
    return kind == LexemeKind::kLineComment || kind == LexemeKind::kBlockComment;
  }
  // True for this word, whatever its case; `word` in capitals.
  [[nodiscard]] bool is(std::string_view word) const;
};

class Lexer {
 public:
  Lexer(Dialect dialect, std::string_view text) : dialect_(dialect), text_(text) {}

  std::optional<Lexeme> next();          // comments included
  std::optional<Lexeme> next_visible();  // comments skipped

 private:
  [[nodiscard]] char at(std::size_t offset) const { return offset < text_.size() ? text_[offset] : '\0'; }
  Lexeme make(LexemeKind kind, std::size_t end);
  Lexeme line_comment();
  Lexeme block_comment();
  Lexeme quoted(LexemeKind kind, std::size_t open, char close, bool doubling);
  Lexeme escape_string(std::size_t open);
  std::optional<Lexeme> dollar_string();

  Dialect dialect_;
  std::string_view text_;
  std::size_t position_ = 0;
};

// The name as the database stores it: a quoted one without its quotes and doublings, a bare one folded to lower case
// (PostgreSQL folds, SQLite compares without case).
std::string name_of(Dialect dialect, const Lexeme& token);

// A string literal's value; nullopt for forms whose value depends on escapes that we do not decode (E'', x'').
std::optional<std::string> string_value(const Lexeme& token);

}  // namespace syzygy
