#include "migration/sql/meaning.h"

#include "base/shown.h"
#include "migration/sql/lexer.h"
#include "migration/sql/readers.h"

namespace syzygy {

Meaning read_meaning(Dialect dialect, std::string_view statement) {
  return dialect == Dialect::kPostgres ? read_postgres(statement) : read_sqlite(statement);
}

std::size_t offset_of(Dialect dialect, std::string_view statement, const Action& action) {
  Lexer lexer(dialect, statement);
  const Lexeme verb = lexer.next_visible().value_or(Lexeme{});
  if (verb.is("DO")) {  // `position` is a line of the body, from 1
    for (auto token = lexer.next_visible(); token; token = lexer.next_visible()) {
      if (token->kind != LexemeKind::kString) continue;
      std::size_t line = 1;
      for (std::size_t i = token->offset; i < token->end(); ++i) {
        if (line >= action.position && (i > token->offset || action.position <= 1)) {
          const auto visible = line == 1 ? i : statement.find_first_not_of(" \t", i);
          return action.position <= 1 || visible == std::string_view::npos ? 0 : visible;
        }
        if (statement[i] == '\n') ++line;
      }
    }
    return 0;
  }
  const bool alter = verb.is("ALTER");
  const bool create =
      verb.is("CREATE") && (action.kind == ActionKind::kAddColumn || action.kind == ActionKind::kAddConstraint);
  const bool lists = verb.is("DROP") || verb.is("TRUNCATE") || verb.is("LOCK");
  if (!alter && !lists && !create) return 0;
  if (!alter && action.position == 0 && !create) return 0;
  // ALTER TABLE [IF EXISTS] [ONLY] name [*] command, command; CREATE TABLE name (element, element); DROP KIND name,
  // name.
  const std::size_t depth_of_items = create ? 1 : 0;
  std::size_t depth = 0;
  std::size_t item = 0;
  bool begins = false;   // the next token begins the item that is sought
  bool named = !alter;   // the table's name is behind us
  bool object = !alter;  // and its kind
  Lexeme previous = verb;
  for (auto token = lexer.next_visible(); token; previous = *token, token = lexer.next_visible()) {
    if (begins) return token->offset;
    if (!object) {
      if (token->is("FOREIGN") || token->is("MATERIALIZED")) continue;
      if (!token->is("TABLE") && !token->is("VIEW") && !token->is("TYPE") && !token->is("INDEX")) return 0;
      object = true;
      continue;
    }
    if (!named) {
      if (token->is("IF") || token->is("EXISTS") || token->is("ONLY")) continue;
      const bool part_of_name = token->text == "." || previous.text == "." || token->text == "*";
      if (part_of_name || previous.is("TABLE") || previous.is("VIEW") || previous.is("TYPE") || previous.is("INDEX") ||
          previous.is("EXISTS") || previous.is("ONLY")) {
        continue;
      }
      named = true;
      if (action.position == 0) return token->offset;
    }
    if (token->kind == LexemeKind::kOpen && ++depth == depth_of_items && action.position == 0) begins = true;
    if (token->kind == LexemeKind::kClose && depth > 0) --depth;
    if (token->text == "," && depth == depth_of_items && ++item == action.position) begins = true;
  }
  return 0;
}

std::string_view to_string(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kTable:
      return "table";
    case ObjectKind::kView:
      return "view";
    case ObjectKind::kMaterializedView:
      return "materialized view";
    case ObjectKind::kIndex:
      return "index";
    case ObjectKind::kSequence:
      return "sequence";
    case ObjectKind::kSchema:
      return "schema";
    case ObjectKind::kType:
      return "type";
    case ObjectKind::kDomain:
      return "domain";
    case ObjectKind::kFunction:
      return "function";
    case ObjectKind::kTrigger:
      return "trigger";
    case ObjectKind::kPolicy:
      return "policy";
    case ObjectKind::kRule:
      return "rule";
    case ObjectKind::kExtension:
      return "extension";
    case ObjectKind::kDatabase:
      return "database";
    case ObjectKind::kRole:
      return "role";
    case ObjectKind::kNone:
    case ObjectKind::kOther:
      break;
  }
  return "object";
}

std::string describe(const ObjectName& object) {
  std::string text(to_string(object.kind));
  if (!object.name.empty()) text += " " + (object.schema.empty() ? "" : object.schema + ".") + object.name;
  return shown(text);
}

}  // namespace syzygy
