// Reads SQLite's statements from their tokens. Its grammar for changing a schema is small enough for that; what does
// not fit is kUnknown. What a statement does to the schema in effect (a table rebuilt) is not judged here.
#include <array>
#include <deque>
#include <optional>
#include <string>

#include "migration/sql/lexer.h"
#include "migration/sql/readers.h"

namespace syzygy {
namespace {

// A cursor over the visible tokens of one statement, which are read as they are asked for: a statement may be long.
class Tokens {
 public:
  explicit Tokens(std::string_view statement) : lexer_(Dialect::kSqlite, statement) {}

  [[nodiscard]] bool at_end() { return peek().text.empty(); }
  const Lexeme& peek(std::size_t ahead = 0) {
    while (window_.size() <= ahead) window_.push_back(lexer_.next_visible().value_or(Lexeme{}));
    return window_[ahead];
  }
  Lexeme take() {
    const Lexeme token = peek();
    window_.pop_front();
    return token;
  }
  bool accept(std::string_view word) {
    if (!peek().is(word)) return false;
    window_.pop_front();
    return true;
  }
  template <class... Words>
  bool accept_all(Words... words) {
    std::size_t ahead = 0;
    if (!(peek(ahead++).is(words) && ...)) return false;
    window_.erase(window_.begin(), window_.begin() + sizeof...(words));
    return true;
  }
  // Up to and including the parenthesis that closes the one that was just taken.
  void skip_parenthesis() {
    for (int depth = 1; depth > 0 && !at_end();) {
      const Lexeme token = take();
      if (token.kind == LexemeKind::kOpen) ++depth;
      if (token.kind == LexemeKind::kClose) --depth;
    }
  }

  // [schema.]name; SQLite takes a string for a name as well.
  ObjectName object(ObjectKind kind) {
    ObjectName result{kind, "", name()};
    if (peek().text == ".") {
      take();
      result.schema = std::move(result.name);
      result.name = name();
    }
    return result;
  }
  std::string name() {
    const Lexeme token = take();
    if (token.kind == LexemeKind::kString) return string_value(token).value_or("");
    return name_of(Dialect::kSqlite, token);
  }

 private:
  Lexer lexer_;
  std::deque<Lexeme> window_;
};

Action sqlite_action(ActionKind kind, ObjectName object = {}, std::string note = {}) {
  Action action;
  action.kind = kind;
  action.object = std::move(object);
  action.note = std::move(note);
  return action;
}

Action unknown() { return sqlite_action(ActionKind::kUnknown, {}, "is not understood as a statement of SQLite"); }

Action read_create(Tokens& tokens) {
  const bool temporary = tokens.accept("TEMP") || tokens.accept("TEMPORARY");
  const bool unique = tokens.accept("UNIQUE");
  tokens.accept("VIRTUAL");
  const ObjectKind kind = tokens.accept("TABLE")     ? ObjectKind::kTable
                          : tokens.accept("INDEX")   ? ObjectKind::kIndex
                          : tokens.accept("VIEW")    ? ObjectKind::kView
                          : tokens.accept("TRIGGER") ? ObjectKind::kTrigger
                                                     : ObjectKind::kNone;
  if (kind == ObjectKind::kNone) return unknown();
  const bool if_not_exists = tokens.accept_all("IF", "NOT", "EXISTS");
  Action action = sqlite_action(ActionKind::kCreate, tokens.object(kind));
  action.if_exists = if_not_exists;
  action.temporary = temporary;
  if (temporary && action.object.schema.empty()) action.object.schema = "temp";
  if (unique) action.constraint = ConstraintKind::kUnique;
  if (kind == ObjectKind::kIndex || kind == ObjectKind::kTrigger) {
    while (!tokens.at_end() && !tokens.accept("ON")) tokens.take();
    action.on = tokens.object(ObjectKind::kTable);
  }
  return action;
}

Action read_drop(Tokens& tokens) {
  const ObjectKind kind = tokens.accept("TABLE")     ? ObjectKind::kTable
                          : tokens.accept("INDEX")   ? ObjectKind::kIndex
                          : tokens.accept("VIEW")    ? ObjectKind::kView
                          : tokens.accept("TRIGGER") ? ObjectKind::kTrigger
                                                     : ObjectKind::kNone;
  if (kind == ObjectKind::kNone) return unknown();
  tokens.accept_all("IF", "EXISTS");
  return sqlite_action(ActionKind::kDrop, tokens.object(kind));
}

bool starts_column_constraint(const Lexeme& token) {
  static constexpr std::array kWords = {"CONSTRAINT", "PRIMARY",    "NOT",     "NULL",      "UNIQUE", "CHECK",
                                        "DEFAULT",    "REFERENCES", "COLLATE", "GENERATED", "AS"};
  for (const char* word : kWords) {
    if (token.is(word)) return true;
  }
  return false;
}

Action read_add_column(Tokens& tokens, ObjectName table) {
  Action action = sqlite_action(ActionKind::kAddColumn, std::move(table));
  action.part = tokens.name();
  while (!tokens.at_end() && !starts_column_constraint(tokens.peek())) {
    const Lexeme token = tokens.take();
    action.type += (action.type.empty() || token.kind != LexemeKind::kWord ? "" : " ") + std::string(token.text);
  }
  while (!tokens.at_end()) {
    if (tokens.accept_all("NOT", "NULL")) {
      action.not_null = true;
    } else if (tokens.accept("DEFAULT")) {
      action.fills_itself = !tokens.peek().is("NULL");
      action.constant_default =
          action.fills_itself && tokens.peek().kind != LexemeKind::kOpen && !tokens.peek().text.starts_with("CURRENT");
      if (tokens.take().kind == LexemeKind::kOpen) tokens.skip_parenthesis();
    } else if (tokens.accept("GENERATED") || tokens.accept("AS")) {
      action.fills_itself = action.generated = true;
    } else if (tokens.accept("REFERENCES")) {
      action.constraint = ConstraintKind::kForeignKey;
    } else if (tokens.accept("CHECK")) {
      action.constraint = ConstraintKind::kCheck;
    } else if (tokens.take().kind == LexemeKind::kOpen) {
      tokens.skip_parenthesis();
    }
  }
  return action;
}

Action read_alter(Tokens& tokens) {
  if (!tokens.accept("TABLE")) return unknown();
  ObjectName table = tokens.object(ObjectKind::kTable);
  if (tokens.accept("ADD")) {
    tokens.accept("COLUMN");
    return read_add_column(tokens, std::move(table));
  }
  if (tokens.accept("DROP")) {
    tokens.accept("COLUMN");
    Action action = sqlite_action(ActionKind::kDropColumn, std::move(table));
    action.part = tokens.name();
    return action;
  }
  if (!tokens.accept("RENAME")) return unknown();
  Action action = sqlite_action(ActionKind::kRename, std::move(table));
  if (!tokens.accept("TO")) {
    tokens.accept("COLUMN");
    action.part = tokens.name();
    action.note = "column";
    if (!tokens.accept("TO")) return unknown();
  }
  action.new_name = tokens.name();
  return action;
}

// INSERT, REPLACE, UPDATE, DELETE, SELECT, also behind WITH.
Action read_data(Tokens& tokens) {
  for (int depth = 0; !tokens.at_end();) {
    const Lexeme token = tokens.take();
    if (token.kind == LexemeKind::kOpen) ++depth;
    if (token.kind == LexemeKind::kClose) --depth;
    if (depth > 0) continue;
    if (token.is("SELECT") || token.is("VALUES")) return sqlite_action(ActionKind::kSelect);
    if (token.is("INSERT") || token.is("REPLACE")) {
      while (!tokens.at_end() && !tokens.accept("INTO")) tokens.take();
      return sqlite_action(ActionKind::kInsert, tokens.object(ObjectKind::kTable));
    }
    if (token.is("UPDATE")) {
      if (tokens.accept("OR")) tokens.take();
      return sqlite_action(ActionKind::kUpdate, tokens.object(ObjectKind::kTable));
    }
    if (token.is("DELETE") && tokens.accept("FROM")) {
      return sqlite_action(ActionKind::kDelete, tokens.object(ObjectKind::kTable));
    }
  }
  return unknown();
}

Meaning read_pragma(Tokens& tokens) {
  Meaning meaning;
  const std::string name = tokens.object(ObjectKind::kOther).name;
  const bool sets = !tokens.at_end();
  if (sets && (name == "foreign_keys" || name == "journal_mode")) {
    meaning.in_transaction = InTransaction::kIgnored;
    meaning.transaction_note = "PRAGMA " + name;
  }
  if (sets && name == "synchronous") {
    meaning.in_transaction = InTransaction::kRefused;
    meaning.transaction_note = "PRAGMA " + name;
  }
  meaning.actions.push_back(sets && name == "writable_schema"
                                ? sqlite_action(ActionKind::kOpaque, {},
                                                "opens the schema table to be written, and what is "
                                                "written there cannot be told")
                                : sqlite_action(ActionKind::kSession));
  return meaning;
}

}  // namespace

Meaning read_sqlite(std::string_view statement) {
  Tokens tokens(statement);
  Meaning meaning;
  const auto means = [&](Action action) {
    meaning.actions.push_back(std::move(action));
    return meaning;
  };
  const auto refused = [&](ActionKind kind, const char* what) {
    meaning.in_transaction = InTransaction::kRefused;
    meaning.transaction_note = what;
    return means(sqlite_action(kind));
  };
  if (tokens.accept("CREATE")) return means(read_create(tokens));
  if (tokens.accept("DROP")) return means(read_drop(tokens));
  if (tokens.accept("ALTER")) return means(read_alter(tokens));
  if (tokens.accept("PRAGMA")) return read_pragma(tokens);
  if (tokens.accept("BEGIN")) {
    meaning.plain_wrapper = true;  // DEFERRED, IMMEDIATE and EXCLUSIVE only say when to lock; ours locks at once
    return means(sqlite_action(ActionKind::kBegin, {}, "BEGIN"));
  }
  if (tokens.accept("COMMIT") || tokens.accept("END")) {
    meaning.plain_wrapper = true;
    return means(sqlite_action(ActionKind::kCommit, {}, "COMMIT"));
  }
  if (tokens.accept("ROLLBACK")) {
    tokens.accept("TRANSACTION");
    return means(tokens.accept("TO") ? sqlite_action(ActionKind::kSavepoint)
                                     : sqlite_action(ActionKind::kRollback, {}, "ROLLBACK"));
  }
  if (tokens.accept("SAVEPOINT") || tokens.accept("RELEASE")) return means(sqlite_action(ActionKind::kSavepoint));
  if (tokens.accept("VACUUM")) return refused(ActionKind::kMaintenance, "VACUUM");
  if (tokens.accept("DETACH")) return refused(ActionKind::kSession, "DETACH");
  if (tokens.accept("ATTACH") || tokens.accept("EXPLAIN")) return means(sqlite_action(ActionKind::kSession));
  if (tokens.accept("ANALYZE")) return means(sqlite_action(ActionKind::kMaintenance));
  if (tokens.accept("REINDEX")) return means(sqlite_action(ActionKind::kReindex));
  return means(read_data(tokens));
}

}  // namespace syzygy
