#include "migration/rewrite/chunks.h"

#include <algorithm>
#include <array>

#include "migration/source/formats.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

bool is_directive(std::string_view line) {
  static constexpr std::array<std::string_view, 8> kDirectives = {
      "syzygy:stage", "syzygy:no-transaction", "syzygy:depends", "syzygy:down", "+goose",
      "migrate:up",   "migrate:down",          "atlas:txmode"};
  line = trimmed(line);
  if (!line.starts_with("--")) return false;
  const std::string_view body = trimmed(line.substr(2));
  return std::ranges::any_of(kDirectives, [&](std::string_view word) { return body.starts_with(word); });
}

// Behind the semicolon that ends the statement; `end` itself where none does (the last one, or goose's StatementEnd).
std::size_t after_semicolon(Dialect dialect, std::string_view text, std::size_t end, std::size_t limit) {
  Lexer lexer(dialect, text.substr(end, limit - end));
  while (const auto token = lexer.next_visible()) {
    if (token->kind == LexemeKind::kSemicolon) return end + token->end();
  }
  return end;
}

// Behind the line's break, where nothing but spaces and one comment to the line's end follows.
std::size_t line_rest(std::string_view text, std::size_t from, std::size_t limit) {
  const auto break_at = text.find('\n', from);
  const std::size_t end = break_at == std::string_view::npos ? text.size() : break_at + 1;
  const std::string_view rest = trimmed(text.substr(from, std::min(break_at, text.size()) - from));
  const bool harmless = rest.empty() || (rest.starts_with("--") && !is_directive(rest));
  return harmless && end <= limit ? end : from;
}

// The length of the comments at the top that a blank line sets apart from what follows.
std::size_t header_size(std::string_view before) {
  std::size_t size = 0;
  bool comment = false;
  for (const Line& line : lines_of(before)) {
    const std::string_view text = trimmed(line.text);
    if (text.empty() && comment) size = std::min(line.after(), before.size());
    comment = comment || !text.empty();
  }
  return size;
}

}  // namespace

std::string without_directives(std::string_view text) {
  std::string kept;
  for (const Line& line : lines_of(text)) {
    if (!is_directive(line.text)) kept += text.substr(line.offset, std::min(line.after(), text.size()) - line.offset);
  }
  return kept;
}

Chunks cut_chunks(Dialect dialect, std::string_view text, const std::vector<Statement>& statements) {
  Chunks chunks;
  std::size_t start = 0;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    const Statement& statement = statements[i];
    const std::size_t limit = i + 1 < statements.size() ? statements[i + 1].offset : text.size();
    const std::size_t end = after_semicolon(dialect, text, statement.offset + statement.text.size(), limit);
    const std::size_t line_end = line_rest(text, end, limit);
    Chunk chunk;
    chunk.before = without_directives(text.substr(start, statement.offset - start));
    chunk.body = text.substr(statement.offset, end - statement.offset);
    if (end == statement.offset + statement.text.size()) chunk.body += ";";
    chunk.after = text.substr(end, line_end - end);
    start = line_end;
    if (i == 0) {
      const std::size_t header = header_size(chunk.before);
      chunks.header = chunk.before.substr(0, header);
      chunk.before.erase(0, header);
    }
    chunks.statements.push_back(std::move(chunk));
  }
  chunks.rest = without_directives(text.substr(start));
  if (trimmed(chunks.rest).find_first_not_of('\n') == std::string_view::npos) chunks.rest.clear();
  return chunks;
}

}  // namespace syzygy
