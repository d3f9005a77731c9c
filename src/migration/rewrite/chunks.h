// chunks.h - a script as pieces that together are the script byte for byte: each statement with the comments and blank
// lines before it, and the rest of its last line.
//
// Splitting moves such pieces, so that what is not rewritten stays as its author formatted it. Directives (our markers,
// those of goose, dbmate and Atlas) are left out: whoever writes the files anew writes them as well. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "migration/sql/dialect.h"
#include "migration/sql/statements.h"

namespace syzygy {

struct Chunk {
  std::string before;  // comments and blank lines; whole lines, unless the statement shares its line
  std::string body;    // the statement, with its semicolon
  std::string after;   // the rest of its line: spaces, a comment, the line break

  [[nodiscard]] std::string text() const { return before + body + after; }
};

struct Chunks {
  std::string header;  // the comments at the very top that a blank line sets apart
  std::vector<Chunk> statements;
  std::string rest;  // behind the last statement
};

// REQUIRES: `statements` are those of `text`.
Chunks cut_chunks(Dialect dialect, std::string_view text, const std::vector<Statement>& statements);

// The text without the lines that are directives of ours or of another tool.
std::string without_directives(std::string_view text);

}  // namespace syzygy
