// The rows of docs/split.md for SQLite, whose ALTER TABLE can do little: what it can, is done; what takes a rebuild of
// the table is refused with its recipe. A rebuild that the author wrote stays as it is (split.cpp).
#include "base/name.h"
#include "migration/rewrite/deparse.h"
#include "migration/rewrite/pieces.h"
#include "migration/sql/lexer.h"
#include "migration/sql/sqlite_replay.h"

namespace syzygy {
namespace {

// A number, a text, a truth value: what ALTER TABLE ADD COLUMN takes as a default of a table with rows.
bool is_literal(std::string_view expression) {
  Lexer lexer(Dialect::kSqlite, expression);
  auto token = lexer.next_visible();
  int open = 0;
  for (; token && token->kind == LexemeKind::kOpen; token = lexer.next_visible()) ++open;
  if (token && (token->text == "-" || token->text == "+")) token = lexer.next_visible();
  const bool value = token && (token->kind == LexemeKind::kNumber || token->kind == LexemeKind::kString ||
                               token->is("TRUE") || token->is("FALSE"));
  if (!value) return false;
  while ((token = lexer.next_visible())) {
    if (token->kind != LexemeKind::kClose || open-- == 0) return false;
  }
  return open == 0;
}

// What stands behind DEFAULT in an ADD COLUMN; empty: nothing.
std::string default_in(std::string_view statement) {
  Lexer lexer(Dialect::kSqlite, statement);
  auto token = lexer.next_visible();
  while (token && !token->is("DEFAULT")) token = lexer.next_visible();
  if (token) token = lexer.next_visible();
  if (!token) return {};
  const std::size_t begin = token->offset;
  if (token->text == "-" || token->text == "+") token = lexer.next_visible();
  for (int depth = 0; token; token = lexer.next_visible()) {
    if (token->kind == LexemeKind::kOpen) ++depth;
    if (token->kind == LexemeKind::kClose) --depth;
    if (depth == 0) return std::string(statement.substr(begin, token->end() - begin));
  }
  return {};
}

}  // namespace

Rewriter::Treated Rewriter::treat_in_sqlite(const Action& action) {
  const auto is_new = [&](const ObjectName& object) { return created_.find(object) != Created::Answer::kNo; };
  if (is_new(action.object) || is_new(action.on)) return std::nullopt;
  if (action.kind == ActionKind::kDropColumn) return drop_column_in_sqlite(action);
  if (action.note == kRebuild) return std::nullopt;
  const bool table = action.object.kind == ObjectKind::kTable;
  if (table && action.kind == ActionKind::kAddColumn) return add_column_in_sqlite(action);
  if (table && action.kind == ActionKind::kRename) return rename_in_sqlite(action);
  const bool unique = action.kind == ActionKind::kCreate && action.object.kind == ObjectKind::kIndex &&
                      action.constraint == ConstraintKind::kUnique;
  if (!unique) return std::nullopt;
  if (!options_.unclear) {
    return refuse("SPLIT_STAGE_NEEDED",
                  "creates a unique index on " + describe(action.on) +
                      ": before the deployment only if old code never writes the same value twice, else after it. Say "
                      "which: --stage pre_deploy or --stage post_deploy, or -- syzygy:stage in the file");
  }
  Piece same;
  same.stage = *options_.unclear;
  return Pieces{std::move(same)};
}

Rewriter::Treated Rewriter::add_column_in_sqlite(const Action& action) {
  const std::string table = as_sql_name(action.object.schema, action.object.name);
  const std::string column = as_sql_name(action.part);
  const bool bridging = action.not_null && !action.fills_itself;
  std::string expression;
  if (bridging) {
    const auto given = given_default(action);
    if (!given) {
      return refuse(
          "SPLIT_DEFAULT_NEEDED",
          "adds " + described(action) +
              ", NOT NULL without a default, and old code that runs beside it inserts rows without it (SQLite "
              "refuses the statement as it is). Which value shall those have? Give it as a constant: "
              "--default " +
              action.part + "=VALUE (--default \"" + action.part + "=''\")",
          {{"table", action.object.name}, {"column", action.part}});
    }
    expression = *given;
  } else if (action.fills_itself && !action.generated) {
    expression = default_in(statement_);
  } else {
    return std::nullopt;
  }
  if (!is_literal(expression)) {
    return refuse("SPLIT_REFUSED",
                  "adds " + described(action) + " with the default " + printable(expression) +
                      ", and SQLite adds a column to a table with rows only with a constant. Recipe: ADD COLUMN " +
                      column + " without a default and without NOT NULL; UPDATE " + table + " SET " + column + " = " +
                      printable(expression) + " WHERE " + column +
                      " IS NULL; and, where rows of old code need the default as well, a rebuild of the table that "
                      "gives the column its DEFAULT, which is pre_deploy");
  }
  if (bridging || (options_.drop_defaults && action.not_null)) {
    notes_.push_back(place_ + ": the default " + expression + " of " + described(action) +
                     " stays, since SQLite drops one only by rebuilding the table; where it must go, write that "
                     "rebuild as a migration of its own: it is post_deploy");
  }
  if (!bridging) return std::nullopt;
  Piece piece;
  piece.text = statement_ + " DEFAULT " + expression;
  return Pieces{std::move(piece)};
}

Rewriter::Treated Rewriter::drop_column_in_sqlite(const Action& action) {
  const KnownColumn* known = schema_.column(action.object, action.part);
  if (known == nullptr || !known->not_null || known->has_default) return std::nullopt;
  return refuse("SPLIT_REFUSED",
                "drops " + described(action) +
                    ", which is NOT NULL without a default: until it is gone new code, which no longer names it, "
                    "cannot insert, and SQLite changes that only by rebuilding the table. Recipe: a migration before "
                    "this one that rebuilds the table (CREATE TABLE new, copy, DROP, RENAME) with the column nullable "
                    "or with a DEFAULT, which is pre_deploy; this one after the deployment");
}

Rewriter::Treated Rewriter::rename_in_sqlite(const Action& action) {
  const std::string why = ": old code knows only the old name, new code only the new one. Recipe: ";
  if (action.part.empty()) {
    return refuse("SPLIT_REFUSED",
                  "renames " + describe(action.object) + " to " + action.new_name + why +
                      "keep the name and change only what the code calls it; or, over two releases, create the new "
                      "table with triggers AFTER INSERT, UPDATE and DELETE that carry over what old code writes, copy "
                      "the rows, and drop the old one when no old code runs. SQLite has no views that take writes, so "
                      "there is no --bridge-renames");
  }
  return refuse("SPLIT_REFUSED",
                "renames " + described(action) + " to " + action.new_name + why +
                    "keep the name and change only what the code calls it; or (expand, contract) add the new column, "
                    "let the code write both and read the new one, and drop the old one a release later. A trigger of "
                    "SQLite cannot change the row that is inserted, so there is no --bridge-renames");
}

}  // namespace syzygy
