#include "migration/sql/sqlite_replay.h"

#include <sqlite3.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

using Column = SqliteReplay::Column;

struct Shape {
  std::vector<Column> columns;
  std::set<std::vector<std::string>> unique;        // column lists, of constraints and of indexes
  std::set<std::vector<std::string>> foreign_keys;  // the table it leads to, then pairs of columns
  std::set<std::string> checks;                     // as written, without spaces
};

using Tables = std::map<std::string, Shape>;  // by name in small letters: SQLite compares names so

std::string small(std::string_view text) {
  std::string folded(text);
  std::ranges::transform(folded, folded.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return folded;
}

// CHECK (...), wherever it stands in the text of a CREATE TABLE.
std::set<std::string> checks_of(std::string_view sql) {
  std::set<std::string> found;
  Lexer lexer(Dialect::kSqlite, sql);
  while (auto token = lexer.next_visible()) {
    if (!token->is("CHECK")) continue;
    std::string text;
    int depth = 0;
    while ((token = lexer.next_visible())) {
      if (token->kind == LexemeKind::kOpen) ++depth;
      if (token->kind == LexemeKind::kClose) --depth;
      text += token->kind == LexemeKind::kWord ? small(token->text) + " " : std::string(token->text);
      if (depth == 0) break;
    }
    found.insert(std::move(text));
  }
  return found;
}

// https://sqlite.org/datatype3.html#determination_of_column_affinity
std::string_view affinity(std::string_view type) {
  const std::string word = small(type);
  const auto has = [&](std::string_view part) { return word.find(part) != std::string::npos; };
  if (has("int")) return "INTEGER";
  if (has("char") || has("clob") || has("text")) return "TEXT";
  if (word.empty() || has("blob")) return "BLOB";
  return has("real") || has("floa") || has("doub") ? "REAL" : "NUMERIC";
}

Action change(ActionKind kind, const ObjectName& table, std::string part = {}) {
  Action action;
  action.kind = kind;
  action.object = table;
  action.part = std::move(part);
  action.note = kRebuild;
  return action;
}

Action nothing() {
  Action action;
  action.kind = ActionKind::kAlterOther;
  action.note = kRebuild;
  return action;
}

void compare_columns(const ObjectName& table, const Shape& before, const Shape& after, std::vector<Action>& actions) {
  const auto named = [](const Shape& in, const std::string& name) {
    const auto found = std::ranges::find(in.columns, small(name), [](const Column& c) { return small(c.name); });
    return found != in.columns.end() ? &*found : nullptr;
  };
  for (const Column& old : before.columns) {
    if (named(after, old.name) == nullptr) actions.push_back(change(ActionKind::kDropColumn, table, old.name));
  }
  for (const Column& now : after.columns) {
    const Column* old = named(before, now.name);
    if (old == nullptr) {
      Action action = change(ActionKind::kAddColumn, table, now.name);
      action.type = now.type;
      action.not_null = now.not_null;
      action.fills_itself = now.fallback.has_value() || now.generated;
      actions.push_back(std::move(action));
      continue;
    }
    if (affinity(old->type) != affinity(now.type)) {
      Action action = change(ActionKind::kAlterColumnType, table, now.name);
      action.type = now.type;
      actions.push_back(std::move(action));
    }
    if (old->not_null != now.not_null) {
      actions.push_back(change(now.not_null ? ActionKind::kSetNotNull : ActionKind::kDropNotNull, table, now.name));
    }
    if (old->fallback != now.fallback) {
      actions.push_back(change(now.fallback ? ActionKind::kSetDefault : ActionKind::kDropDefault, table, now.name));
    }
  }
}

// What lies in one set and not in the other, as constraints that came or went.
template <class Set, class Columns>
void compare(ConstraintKind kind, const ObjectName& table, const Set& before, const Set& after, const Columns& columns,
             std::vector<Action>& actions) {
  const auto tell = [&](ActionKind what, const Set& those, const Set& others) {
    for (const auto& one : those) {
      if (others.contains(one)) continue;
      Action action = change(what, table);
      action.constraint = kind;
      action.columns = columns(one);
      actions.push_back(std::move(action));
    }
  };
  tell(ActionKind::kDropConstraint, before, after);
  tell(ActionKind::kAddConstraint, after, before);
}

std::vector<Action> difference(const ObjectName& table, const Shape& before, const Shape& after) {
  std::vector<Action> actions;
  compare_columns(table, before, after, actions);
  const auto as_they_are = [](const std::vector<std::string>& columns) { return columns; };
  const auto none = [](const auto&) { return std::vector<std::string>(); };
  compare(ConstraintKind::kUnique, table, before.unique, after.unique, as_they_are, actions);
  compare(ConstraintKind::kForeignKey, table, before.foreign_keys, after.foreign_keys, none, actions);
  compare(ConstraintKind::kCheck, table, before.checks, after.checks, none, actions);
  if (actions.empty()) actions.push_back(nothing());
  return actions;
}

int authorize(void*, int what, const char*, const char*, const char*, const char*) {
  // Nothing that leads out of this database, or changes how it reads itself.
  return what == SQLITE_ATTACH || what == SQLITE_DETACH || what == SQLITE_PRAGMA ? SQLITE_DENY : SQLITE_OK;
}

}  // namespace

struct SqliteReplay::State {
  sqlite3* database = nullptr;

  ~State() { sqlite3_close(database); }

  // Rows of text; empty where the query fails.
  [[nodiscard]] std::vector<std::vector<std::optional<std::string>>> rows(const std::string& sql,
                                                                          const std::string& bound = {}) const {
    std::vector<std::vector<std::optional<std::string>>> found;
    sqlite3_stmt* query = nullptr;
    if (sqlite3_prepare_v2(database, sql.c_str(), -1, &query, nullptr) != SQLITE_OK) return found;
    if (sqlite3_bind_parameter_count(query) > 0) {
      sqlite3_bind_text(query, 1, bound.data(), static_cast<int>(bound.size()), SQLITE_TRANSIENT);
    }
    while (sqlite3_step(query) == SQLITE_ROW) {
      auto& row = found.emplace_back();
      for (int i = 0; i < sqlite3_column_count(query); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(query, i));
        row.push_back(text != nullptr ? std::optional<std::string>(text) : std::nullopt);
      }
    }
    sqlite3_finalize(query);
    return found;
  }

  [[nodiscard]] Tables tables() const {
    sqlite3_set_authorizer(database, nullptr, nullptr);
    Tables found;
    for (const auto& row :
         rows("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")) {
      const std::string name = row[0].value_or("");
      Shape& table = found[small(name)];
      table.checks = checks_of(row[1].value_or(""));
      for (const auto& column :
           rows("SELECT name, type, \"notnull\", dflt_value, hidden FROM pragma_table_xinfo(?)", name)) {
        table.columns.push_back({.name = column[0].value_or(""),
                                 .type = column[1].value_or(""),
                                 .not_null = column[2] == "1",
                                 .fallback = column[3] && small(*column[3]) != "null" ? column[3] : std::nullopt,
                                 .generated = column[4] == "2" || column[4] == "3"});
      }
      for (const auto& index : rows("SELECT name FROM pragma_index_list(?) WHERE \"unique\" AND NOT partial", name)) {
        std::vector<std::string> columns;
        for (const auto& column : rows("SELECT name FROM pragma_index_info(?)", index[0].value_or(""))) {
          columns.push_back(small(column[0].value_or("")));
        }
        table.unique.insert(std::move(columns));
      }
      std::map<std::string, std::vector<std::string>> keys;
      for (const auto& part : rows("SELECT id, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(?)", name)) {
        auto& key = keys[part[0].value_or("")];
        if (key.empty()) key.push_back(small(part[1].value_or("")));
        key.push_back(small(part[2].value_or("")) + ">" + small(part[3].value_or("")));
      }
      for (auto& [id, key] : keys) table.foreign_keys.insert(std::move(key));
    }
    sqlite3_set_authorizer(database, authorize, nullptr);
    return found;
  }
};

SqliteReplay::SqliteReplay() : state_(std::make_unique<State>()) {
  if (sqlite3_open_v2(":memory:", &state_->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr) !=
      SQLITE_OK) {
    return;  // every statement fails then, and nothing is read by its effect
  }
  // As before 3.26, and as those who rebuild tables ask for: a rename leaves what other tables refer to alone.
  sqlite3_exec(state_->database, "PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON", nullptr, nullptr,
               nullptr);
  sqlite3_limit(state_->database, SQLITE_LIMIT_LENGTH, 4 << 20);
  // CREATE TABLE ... AS SELECT may compute for ever.
  sqlite3_progress_handler(state_->database, 1'000'000, [](void*) { return 1; }, nullptr);
  sqlite3_set_authorizer(state_->database, authorize, nullptr);
}

SqliteReplay::~SqliteReplay() = default;

std::vector<SqliteReplay::Table> SqliteReplay::tables() const {
  std::vector<Table> found;
  for (auto& [name, table] : state_->tables()) {
    Table& named = found.emplace_back(Table{name, std::move(table.columns)});
    for (Column& column : named.columns) column.name = small(column.name);
  }
  return found;
}

std::vector<Meaning> SqliteReplay::effect(std::span<const Statement> statements, std::vector<Meaning> meanings) {
  const Tables before = state_->tables();
  bool sound = true;
  for (std::size_t i = 0; i < statements.size(); ++i) {
    const ActionKind kind = meanings[i].actions.front().kind;
    // There are no rows, and no transaction: only what makes the schema is run.
    const bool makes_schema = kind == ActionKind::kCreate || kind == ActionKind::kDrop || kind == ActionKind::kRename ||
                              kind == ActionKind::kAddColumn || kind == ActionKind::kDropColumn;
    if (!makes_schema) continue;
    sound = sqlite3_exec(state_->database, std::string(statements[i].text).c_str(), nullptr, nullptr, nullptr) ==
                SQLITE_OK &&
            sound;
  }
  const Tables after = state_->tables();
  if (!sound) return meanings;

  // A rebuilt table is there before and after, and something else had its name, or it had another, meanwhile.
  const auto is_table = [](const ObjectName& object) { return object.kind == ObjectKind::kTable; };
  std::set<std::string> rebuilt;
  for (const Meaning& meaning : meanings) {
    const Action& action = meaning.actions.front();
    if (!is_table(action.object) || !action.part.empty()) continue;
    if (action.kind == ActionKind::kDrop || action.kind == ActionKind::kRename)
      rebuilt.insert(small(action.object.name));
  }
  std::erase_if(rebuilt, [&](const std::string& name) { return !before.contains(name) || !after.contains(name); });
  if (rebuilt.empty()) return meanings;

  std::set<std::string> told;
  for (Meaning& meaning : meanings) {
    Action& action = meaning.actions.front();
    // An index went with the table, and comes back with it; what is unique now and was not, is in the difference.
    if (action.kind == ActionKind::kCreate && action.object.kind == ObjectKind::kIndex &&
        rebuilt.contains(small(action.on.name))) {
      meaning.actions = {nothing()};
      continue;
    }
    if (!is_table(action.object)) continue;
    const std::string name = small(action.object.name);
    const bool helper = !before.contains(name) && !after.contains(name);
    if (!helper && !rebuilt.contains(name)) continue;
    const bool goes = action.kind == ActionKind::kDrop || (action.kind == ActionKind::kRename && action.part.empty());
    const bool fills = action.kind == ActionKind::kInsert || action.kind == ActionKind::kUpdate;
    if (!goes && !fills && action.kind != ActionKind::kCreate) continue;
    if (goes && rebuilt.contains(name) && told.insert(name).second) {
      meaning.actions = difference(action.object, before.at(name), after.at(name));
    } else {
      meaning.actions = {nothing()};
    }
  }
  return meanings;
}

}  // namespace syzygy
