#include "migration/rules/words.h"

#include <algorithm>

#include "migration/sql/lexer.h"

namespace syzygy {

std::string part_of(const Action& action, std::string_view word) {
  if (action.part.empty()) return describe(action.object);
  return std::string(word) + " " + action.part + " of " + describe(action.object);
}

std::string sql_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (!name.empty() && std::ranges::all_of(name, plain) && (name.front() < '0' || name.front() > '9')) {
    return std::string(name);
  }
  std::string quoted = "\"";
  for (const char c : name) {
    if (c == '"') quoted.push_back('"');
    quoted.push_back(c);
  }
  return quoted + "\"";
}

std::string sql_name(const ObjectName& object) {
  return (object.schema.empty() ? "" : sql_name(object.schema) + ".") + sql_name(object.name);
}

std::string sql_names(const std::vector<std::string>& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + (name.empty() ? "(...)" : sql_name(name));
  return all;
}

std::size_t clause_end(Dialect dialect, std::string_view statement, std::size_t offset) {
  Lexer lexer(dialect, statement.substr(offset));
  std::size_t depth = 0;
  std::size_t end = 0;
  while (const auto token = lexer.next_visible()) {
    if (token->kind == LexemeKind::kOpen) ++depth;
    if (token->kind == LexemeKind::kClose && depth-- == 0) break;
    if (depth == 0 && offset > 0 && token->text == ",") break;
    end = token->end();
  }
  return offset + end;
}

bool in_body(const Subject& subject) {
  Lexer lexer(subject.dialect, subject.statement().text);
  const auto word = lexer.next_visible();
  return subject.in_body || !word || !(word->is("CREATE") || word->is("ALTER"));
}

std::string concurrently_text(const Subject& subject) {
  std::string text = subject.statement().text;
  Lexer lexer(subject.dialect, subject.statement().text);
  while (const auto token = lexer.next_visible()) {
    if (!token->is("INDEX")) continue;
    text.insert(token->end(), " CONCURRENTLY");
    break;
  }
  return text + ";";
}

std::string not_valid_text(const Action& action, const Subject& subject, std::string_view name) {
  const std::string& statement = subject.statement().text;
  const std::size_t begin = std::min(offset_of(subject.dialect, statement, action), statement.size());
  const std::string alter = "ALTER TABLE " + sql_name(action.object);
  return alter + " " + statement.substr(begin, clause_end(subject.dialect, statement, begin) - begin) +
         " NOT VALID;\n-- in a transaction of its own\n" + alter + " VALIDATE CONSTRAINT " + sql_name(name) + ";";
}

std::string with_index_before(const Action& action, std::string_view constraint) {
  const std::string table = sql_name(action.object);
  const std::string index = sql_name(action.part.empty() ? action.object.name + "_key" : action.part);
  return "-- syzygy:no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY " + index + " ON " + table + " (" +
         sql_names(action.columns) + ");\n-- then, in a migration of its own\nALTER TABLE " + table + " ADD " +
         std::string(constraint) + " USING INDEX " + index + ";";
}

ObjectName table_of(const Action& action, const Schema& schema) {
  if (!action.on.name.empty()) return action.on;
  if (action.object.kind == ObjectKind::kIndex) {
    if (const KnownIndex* index = schema.index(action.object)) return index->table;
  }
  return action.object;
}

bool adds(const Action& action, ConstraintKind kind) {
  return action.kind == ActionKind::kAddConstraint && action.constraint == kind;
}

bool drops(const Action& action, ObjectKind kind) {
  return action.kind == ActionKind::kDrop && action.object.kind == kind;
}

bool renames(const Action& action, ObjectKind kind) {
  return action.kind == ActionKind::kRename && action.object.kind == kind && action.part.empty();
}

const Action* done_before(const Subject& subject, ActionKind kind, const ObjectName& object, std::string_view part) {
  for (std::size_t i = 0; i <= subject.index && i < subject.meanings.size(); ++i) {
    for (const Action& action : subject.meanings[i].actions) {
      if (action.kind == kind && action.object == object && action.part == part) return &action;
    }
  }
  return nullptr;
}

}  // namespace syzygy
