// statements.h - a text as the statements it holds, each with its exact place.
//
// Cutting needs no database and no grammar, only the dialect's tokens (lexer.h): strings, comments, dollar quotes,
// parentheses, BEGIN ATOMIC bodies, SQLite's trigger bodies. So a statement that the parser does not understand is
// still cut correctly. What only psql or the sqlite3 shell understands (\connect, .read, COPY ... FROM STDIN) is
// refused here, with its line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "migration/sql/dialect.h"

namespace syzygy {

// Where something stands. Lines and columns count from 1; columns count characters, not bytes.
struct Place {
  std::size_t line = 1;
  std::size_t column = 1;

  friend auto operator<=>(const Place&, const Place&) = default;
};

struct Comment {
  std::string text;  // as written, with its -- or /* */
  Place place;

  friend bool operator==(const Comment&, const Comment&) = default;
};

struct Statement {
  std::string text;               // from its first token to its last; without the semicolon that ends it
  std::size_t offset = 0;         // of text in what was split, in bytes
  Place place;                    // of its first token
  std::vector<Comment> comments;  // those before it (after the previous statement) and inside it, in order

  friend bool operator==(const Statement&, const Statement&) = default;
};

inline constexpr std::size_t kStatementsMax = 100'000;  // in one text; beyond: an error that names the limit

// `name` is the file's path for messages ("migrations/0004_add.sql"); `first_line` is the line of the file at which
// `text` begins. Empty statements (";;") are dropped; a text of comments only has no statements.
// Errors (kInvalidArgument, metadata "file", "line"): reason SQL_UNTERMINATED (a string, comment, parenthesis or body
// that never ends), SQL_SHELL_COMMAND, SQL_COPY_STDIN, SQL_TOO_MANY_STATEMENTS.
Result<std::vector<Statement>> split_statements(Dialect dialect, std::string_view text, std::string_view name,
                                                std::size_t first_line = 1);

// The place of the byte at `offset` of the statement's text (the grammar and the database say where they stopped).
Place place_in(const Statement& statement, std::size_t offset);

// "migrations/0004_add.sql:12:3"
std::string at(std::string_view file, Place place);

// The statement on one line, comments and runs of spaces squeezed, cut to `bytes_max` for messages.
std::string excerpt(Dialect dialect, std::string_view statement, std::size_t bytes_max = 80);

}  // namespace syzygy
