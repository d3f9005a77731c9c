#include "migration/sql/statements.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/shown.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

// Turns rising offsets into places, in one pass over the text.
class PlaceCounter {
 public:
  PlaceCounter(std::string_view text, Place start) : text_(text), place_(start) {}

  Place advance(std::size_t offset) {
    for (; position_ < offset; ++position_) {
      const auto byte = static_cast<unsigned char>(text_[position_]);
      if (byte == '\n') {
        ++place_.line;
        place_.column = 1;
      } else if ((byte & 0xC0) != 0x80) {
        ++place_.column;
      }
    }
    return place_;
  }

 private:
  std::string_view text_;
  std::size_t position_ = 0;
  Place place_;
};

// Knows, from the tokens of one statement so far, whether a semicolon ends it.
class StatementBody {
 public:
  explicit StatementBody(Dialect dialect) : dialect_(dialect) {}

  void add(const Lexeme& token) {
    if (words_ < kHead) read_head(token);
    if (token.kind == LexemeKind::kOpen) ++parentheses_;
    if (token.kind == LexemeKind::kClose && parentheses_ > 0) --parentheses_;
    if (routine_) {
      // BEGIN ATOMIC ... END of a routine's body, in which CASE has an END of its own.
      if (blocks_ == 0 ? token.is("ATOMIC") && previous_.is("BEGIN") : token.is("CASE")) ++blocks_;
      if (blocks_ > 0 && token.is("END")) --blocks_;
    }
    before_previous_ = std::exchange(previous_, token);
  }

  // REQUIRES: the statement's next token is a semicolon, or the text is at its end.
  [[nodiscard]] bool may_end() const {
    // As in sqlite3_complete(): a trigger ends at "; END ;".
    if (trigger_) return previous_.is("END") && before_previous_.kind == LexemeKind::kSemicolon;
    return dialect_ == Dialect::kSqlite || (parentheses_ == 0 && blocks_ == 0);
  }

  // What is missing where may_end() is false at the end of the text.
  [[nodiscard]] std::string missing() const {
    if (trigger_) return "a trigger's body is never closed: it ends with \"; END;\"";
    return blocks_ > 0 ? "a BEGIN ATOMIC body is never closed: its END is missing"
                       : "a parenthesis is never closed: \")\" is missing";
  }

  [[nodiscard]] bool starts_with_copy() const { return copy_; }
  [[nodiscard]] const Lexeme& previous() const { return previous_; }

 private:
  static constexpr int kHead = 6;  // CREATE OR REPLACE FUNCTION; EXPLAIN QUERY PLAN CREATE TEMP TRIGGER

  void read_head(const Lexeme& token) {
    if (words_ == 0) copy_ = token.is("COPY");
    ++words_;
    if (dialect_ == Dialect::kSqlite) {
      if (!create_ && !token.is("EXPLAIN") && !token.is("QUERY") && !token.is("PLAN") && !token.is("CREATE")) {
        words_ = kHead;
      } else if (create_ && !token.is("TEMP") && !token.is("TEMPORARY")) {
        trigger_ = token.is("TRIGGER");
        words_ = kHead;
      }
      create_ = create_ || token.is("CREATE");
    } else {
      if (words_ == 1 && !token.is("CREATE")) words_ = kHead;
      if (token.is("FUNCTION") || token.is("PROCEDURE")) routine_ = true;
      if (words_ > 1 && !token.is("OR") && !token.is("REPLACE")) words_ = kHead;
    }
  }

  Dialect dialect_;
  int words_ = 0;
  bool create_ = false;
  bool copy_ = false;
  bool routine_ = false;
  bool trigger_ = false;
  std::size_t parentheses_ = 0;
  std::size_t blocks_ = 0;
  Lexeme previous_;
  Lexeme before_previous_;
};

std::string what_never_ends(const Lexeme& token) {
  if (token.text.starts_with("/*")) return "a comment that starts with /* is never closed";
  if (token.text.starts_with("$")) {
    return "a dollar-quoted text is never closed: " + std::string(token.text.substr(0, token.text.find('$', 1) + 1)) +
           " is missing";
  }
  const char quote = token.text[token.text.find_first_of("'\"`[")];
  return std::string("a ") + (quote == '\'' ? "string" : "quoted name") + " that starts with " + quote +
         " is never closed";
}

bool ends_gooses_statement(std::string_view comment) {
  static constexpr std::string_view kEnd = "+goosestatementend";
  std::string squeezed;
  for (const char c : comment.substr(2, 60)) {
    if (c != ' ' && c != '\t') squeezed.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return comment.starts_with("--") && squeezed == kEnd;
}

// The way out of a psql command, by its name.
std::string instead_of(std::string_view command) {
  struct Way {
    std::string_view names;  // each between blanks
    std::string_view out;
  };
  static constexpr std::array kWays = {
      Way{" \\i \\ir \\include \\include_relative ",
          "put that file's statements here, or make it a migration of its own"},
      Way{" \\copy ", "write INSERT statements (pg_dump --inserts), or COPY with a file on the server"},
      Way{" \\c \\connect ",
          "a migration has one database: give the other one a directory of its own, with --database"},
      Way{" \\set \\unset \\gset \\getenv \\prompt ",
          "write the values where they are used, or set_config() and current_setting()"},
      Way{" \\if \\elif \\else \\endif ", "write the condition in SQL: IF NOT EXISTS, or DO $$ ... $$"},
      Way{" \\restrict \\unrestrict ", "pg_dump writes it for psql: remove the line"},
      Way{" \\echo \\qecho \\warn \\timing \\pset \\x \\q \\quit \\! ", "remove the line"},
      Way{" \\. ", "it ends the data of a COPY FROM STDIN: write INSERT statements (pg_dump --inserts)"},
  };
  const std::string wanted = " " + std::string(command) + " ";
  for (const Way& way : kWays) {
    if (way.names.contains(wanted)) return std::string(way.out);
  }
  return "write SQL instead, or remove the line";
}

}  // namespace

Place place_in(const Statement& statement, std::size_t offset) {
  return PlaceCounter(statement.text, statement.place).advance(std::min(offset, statement.text.size()));
}

std::string at(std::string_view file, Place place) {
  return std::string(file) + ":" + std::to_string(place.line) + ":" + std::to_string(place.column);
}

Result<std::vector<Statement>> split_statements(Dialect dialect, std::string_view text, std::string_view name,
                                                std::size_t first_line) {
  const auto refuse = [&](Place place, std::string reason, std::string why) {
    return failure(ErrorCode::kInvalidArgument, std::move(reason), at(name, place) + ": " + std::move(why),
                   {{"file", std::string(name)}, {"line", std::to_string(place.line)}});
  };
  std::vector<Statement> statements;
  Lexer lexer(dialect, text);
  PlaceCounter places(text, {first_line, 1});
  std::optional<Statement> open;  // the statement that is being read; its text is set when it ends
  std::vector<Comment> comments;  // since the last statement ended
  std::size_t end = 0;            // of the open statement's last token
  StatementBody body(dialect);

  const auto close = [&] {
    open->text = text.substr(open->offset, end - open->offset);
    open->comments = std::move(comments);
    comments.clear();
    statements.push_back(std::move(*open));
    open.reset();
    body = StatementBody(dialect);
  };

  while (auto token = lexer.next()) {
    const Place place = places.advance(token->offset);
    if (token->is_comment()) {
      comments.push_back({std::string(token->text), place});
      // goose's own end of a statement, which needs no semicolon then. Other formats refuse such a line.
      if (open && body.may_end() && ends_gooses_statement(token->text)) close();
      continue;
    }
    if (token->kind == LexemeKind::kUnterminated) return refuse(place, "SQL_UNTERMINATED", what_never_ends(*token));
    if (token->kind == LexemeKind::kSemicolon && (!open || body.may_end())) {
      if (open) close();
      continue;
    }
    if (token->kind == LexemeKind::kBackslash && dialect == Dialect::kPostgres) {
      const auto end_of_word = std::min(text.find_first_of(" \t\r\n", token->offset), text.size());
      const std::string_view command = text.substr(token->offset, end_of_word - token->offset);
      return refuse(place, "SQL_SHELL_COMMAND",
                    "\"" + shown(command.substr(0, 40)) + "\" is a command of psql, which the server does not know; " +
                        instead_of(command));
    }
    if (dialect == Dialect::kSqlite && !open && token->text == ".") {
      return refuse(place, "SQL_SHELL_COMMAND",
                    "a line that starts with \".\" is a command of the sqlite3 shell, which the library does not know; "
                    "write SQL instead");
    }
    if (body.starts_with_copy() &&
        ((token->is("STDIN") && body.previous().is("FROM")) || (token->is("STDOUT") && body.previous().is("TO")))) {
      return refuse(place, "SQL_COPY_STDIN",
                    "COPY " + std::string(token->is("STDIN") ? "FROM STDIN" : "TO STDOUT") +
                        " moves its data beside the SQL, as psql does it; a migration cannot: write INSERT statements "
                        "(pg_dump --inserts), or COPY with a file on the server");
    }
    if (!open) {
      if (statements.size() == kStatementsMax) {
        return refuse(place, "SQL_TOO_MANY_STATEMENTS",
                      "more than " + std::to_string(kStatementsMax) +
                          " statements in one file (the limit); split the file into several migrations");
      }
      open = Statement{.text = {}, .offset = token->offset, .place = place, .comments = {}};
    }
    body.add(*token);
    end = token->end();
  }
  if (open && !body.may_end()) return refuse(open->place, "SQL_UNTERMINATED", "in this statement " + body.missing());
  if (open) close();
  return statements;
}

std::string excerpt(Dialect dialect, std::string_view statement, std::size_t bytes_max) {
  std::string line;
  Lexer lexer(dialect, statement);
  std::size_t end = 0;
  bool password = false;
  while (auto token = lexer.next_visible()) {
    if (!line.empty() && token->offset > end) line.push_back(' ');
    // An excerpt goes into messages and logs; a password in ALTER ROLE must not.
    if (password && token->kind == LexemeKind::kString) {
      line += "'...'";
    } else {
      line += token->text.substr(0, bytes_max + 1);
    }
    password = token->is("PASSWORD");
    end = token->end();
    if (line.size() > bytes_max) break;
  }
  if (line.size() > bytes_max) {
    std::size_t cut = bytes_max;
    while (cut > 0 && (static_cast<unsigned char>(line[cut]) & 0xC0) == 0x80) --cut;
    line.resize(cut);
    line += "...";
  }
  return shown(line);
}

}  // namespace syzygy
