#include "migration/rewrite/deparse.h"

#include <pg_query.h>
#include <pg_query/pg_query.pb-c.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "base/sha256.h"
#include "migration/sql/lexer.h"
#include "migration/sql/postgres_parser.h"

namespace syzygy {
namespace {

// A statement's tree in memory of its own, so that parts of it may be moved or left out without counting who owns what.
class Tree {
 public:
  // nullopt: no single statement, or too large, or nested deeper than the decoder's stack allows.
  static std::unique_ptr<Tree> read(std::string_view statement) {
    // The JSON tree has the bound on nesting that the decoder of this one lacks.
    if (statement.size() > kDeparseBytesMax || !parse_postgres(statement)) return nullptr;
    const std::string text(statement);
    PgQueryProtobufParseResult parsed = pg_query_parse_protobuf(text.c_str());
    auto tree = std::make_unique<Tree>();
    if (parsed.error == nullptr) {
      tree->result_ = pg_query__parse_result__unpack(&tree->allocator_, parsed.parse_tree.len,
                                                     reinterpret_cast<const std::uint8_t*>(parsed.parse_tree.data));
    }
    pg_query_free_protobuf_parse_result(parsed);
    const bool one =
        tree->result_ != nullptr && tree->result_->n_stmts == 1 && tree->result_->stmts[0]->stmt != nullptr;
    return one ? std::move(tree) : nullptr;
  }

  [[nodiscard]] PgQuery__Node* statement() const { return result_->stmts[0]->stmt; }

  // What is written must read as what was meant: it is read again, and must then be written the same. (A name that the
  // deparser leaves without its quotes would be another name.)
  std::optional<std::string> write() {
    auto text = deparse();
    const auto again = text ? read(*text) : nullptr;
    return again != nullptr && again->deparse() == text ? text : std::nullopt;
  }

  char* keep(std::string_view text) {
    auto* copy = static_cast<char*>(allocate(this, text.size() + 1));
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = '\0';
    return copy;
  }

  template <class T>
  T* make(const T& value) {
    return new (allocate(this, sizeof(T))) T(value);
  }
  PgQuery__Node** list(std::vector<PgQuery__Node*> nodes) {
    auto* copy = static_cast<PgQuery__Node**>(allocate(this, sizeof(PgQuery__Node*) * (nodes.size() + 1)));
    std::ranges::copy(nodes, copy);
    return copy;
  }

 private:
  static void* allocate(void* self, std::size_t size) {
    auto& blocks = static_cast<Tree*>(self)->blocks_;
    blocks.push_back(std::make_unique<std::max_align_t[]>(size / sizeof(std::max_align_t) + 1));
    return blocks.back().get();
  }
  static void release(void*, void*) {}  // all of it goes with the tree

  std::optional<std::string> deparse() {
    std::vector<std::pair<char**, char*>> spelled;
    for (char** name : bare_names()) {
      if (*name == nullptr || **name == '\0') continue;
      spelled.emplace_back(name, *name);
      *name = keep(as_sql_name(*name));
    }
    std::string packed(pg_query__parse_result__get_packed_size(result_), '\0');
    pg_query__parse_result__pack(result_, reinterpret_cast<std::uint8_t*>(packed.data()));
    for (const auto& [name, was] : spelled) *name = was;
    PgQueryDeparseResult written = pg_query_deparse_protobuf({packed.size(), packed.data()});
    std::optional<std::string> text;
    if (written.error == nullptr && written.query != nullptr) text = written.query;
    pg_query_free_deparse_result(written);
    return text;
  }

  // Those that the deparser writes as they are, without quotes.
  [[nodiscard]] std::vector<char**> bare_names() const {
    std::vector<char**> names;
    const auto add = [&](PgQuery__Node* node) {
      if (node != nullptr && node->node_case == PG_QUERY__NODE__NODE_CONSTRAINT)
        names.push_back(&node->constraint->conname);
    };
    PgQuery__Node* node = statement();
    if (node->node_case == PG_QUERY__NODE__NODE_INDEX_STMT) names.push_back(&node->index_stmt->idxname);
    if (node->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_STMT) return names;
    for (std::size_t i = 0; i < node->alter_table_stmt->n_cmds; ++i) {
      PgQuery__Node* command = node->alter_table_stmt->cmds[i];
      PgQuery__Node* def =
          command->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_CMD ? command->alter_table_cmd->def : nullptr;
      add(def);
      if (def == nullptr || def->node_case != PG_QUERY__NODE__NODE_COLUMN_DEF) continue;
      for (std::size_t k = 0; k < def->column_def->n_constraints; ++k) add(def->column_def->constraints[k]);
    }
    return names;
  }

  std::vector<std::unique_ptr<std::max_align_t[]>> blocks_;
  ProtobufCAllocator allocator_{allocate, release, this};
  PgQuery__ParseResult* result_ = nullptr;
};

PgQuery__AlterTableStmt* alter_table(const Tree& tree) {
  PgQuery__Node* node = tree.statement();
  return node->node_case == PG_QUERY__NODE__NODE_ALTER_TABLE_STMT ? node->alter_table_stmt : nullptr;
}

// Leaves only the n-th command, and gives it.
PgQuery__AlterTableCmd* keep_command(const Tree& tree, std::size_t position) {
  PgQuery__AlterTableStmt* statement = alter_table(tree);
  if (statement == nullptr || position >= statement->n_cmds) return nullptr;
  PgQuery__Node* command = statement->cmds[position];
  if (command->node_case != PG_QUERY__NODE__NODE_ALTER_TABLE_CMD) return nullptr;
  statement->cmds[0] = command;
  statement->n_cmds = 1;
  return command->alter_table_cmd;
}

PgQuery__ColumnDef* column_of(const PgQuery__AlterTableCmd* command) {
  const bool has =
      command != nullptr && command->def != nullptr && command->def->node_case == PG_QUERY__NODE__NODE_COLUMN_DEF;
  return has ? command->def->column_def : nullptr;
}

PgQuery__Constraint* constraint_of(PgQuery__Node* node) {
  return node != nullptr && node->node_case == PG_QUERY__NODE__NODE_CONSTRAINT ? node->constraint : nullptr;
}

PgQuery__Constraint* default_in(const PgQuery__ColumnDef& column) {
  for (std::size_t i = 0; i < column.n_constraints; ++i) {
    PgQuery__Constraint* constraint = constraint_of(column.constraints[i]);
    if (constraint != nullptr && constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT) return constraint;
  }
  return nullptr;
}

void name_unless_named(Tree& tree, PgQuery__Constraint& constraint, std::string_view name) {
  if (*constraint.conname == '\0') constraint.conname = tree.keep(name);
}

constexpr std::string_view kSelect = "SELECT ";

// The one expression of "SELECT expression", and where it hangs.
PgQuery__ResTarget* target_of(const Tree& tree) {
  PgQuery__Node* node = tree.statement();
  if (node->node_case != PG_QUERY__NODE__NODE_SELECT_STMT) return nullptr;
  PgQuery__SelectStmt* select = node->select_stmt;
  const bool plain = select->n_target_list == 1 && select->n_from_clause == 0 && select->where_clause == nullptr &&
                     select->op == PG_QUERY__SET_OPERATION__SETOP_NONE && select->n_group_clause == 0 &&
                     select->n_sort_clause == 0 && select->limit_count == nullptr && select->into_clause == nullptr &&
                     select->with_clause == nullptr && select->having_clause == nullptr &&
                     select->n_locking_clause == 0 && select->n_distinct_clause == 0 &&
                     select->limit_offset == nullptr && select->n_window_clause == 0;
  if (!plain || select->target_list[0]->node_case != PG_QUERY__NODE__NODE_RES_TARGET) return nullptr;
  PgQuery__ResTarget* target = select->target_list[0]->res_target;
  const bool named = target->name != nullptr && *target->name != '\0';
  return named || target->val == nullptr ? nullptr : target;
}

// An expression's text, by putting it into a SELECT.
std::optional<std::string> expression_text(PgQuery__Node* expression) {
  auto select = Tree::read("SELECT 1");
  if (expression == nullptr || select == nullptr) return std::nullopt;
  target_of(*select)->val = expression;
  auto text = select->write();
  if (!text || !text->starts_with(kSelect)) return std::nullopt;
  return text->substr(kSelect.size());
}

}  // namespace

std::size_t command_count(std::string_view statement) {
  const auto tree = Tree::read(statement);
  const PgQuery__AlterTableStmt* alter = tree == nullptr ? nullptr : alter_table(*tree);
  return alter == nullptr ? 0 : alter->n_cmds;
}

std::optional<std::string> only_command(std::string_view statement, std::size_t position) {
  auto tree = Tree::read(statement);
  if (tree == nullptr || keep_command(*tree, position) == nullptr) return std::nullopt;
  return tree->write();
}

std::optional<std::string> change_added_column(std::string_view statement, std::size_t position,
                                               const ColumnChange& change) {
  auto tree = Tree::read(statement);
  PgQuery__ColumnDef* column = tree == nullptr ? nullptr : column_of(keep_command(*tree, position));
  if (column == nullptr) return std::nullopt;
  std::unique_ptr<Tree> given;  // outlives the writing
  std::vector<PgQuery__Node*> kept;
  PgQuery__Node* any = nullptr;
  for (std::size_t i = 0; i < column->n_constraints; ++i) {
    const PgQuery__Constraint* constraint = constraint_of(column->constraints[i]);
    any = column->constraints[i];
    if (constraint == nullptr) continue;
    bool drop = false;
    switch (constraint->contype) {
      case PG_QUERY__CONSTR_TYPE__CONSTR_NOTNULL:
        drop = change.drop_not_null;
        break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT:
        drop = change.drop_default || !change.set_default.empty();
        break;
      case PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN:
      case PG_QUERY__CONSTR_TYPE__CONSTR_CHECK:
      case PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE:
      case PG_QUERY__CONSTR_TYPE__CONSTR_PRIMARY:
        drop = change.drop_constraints;
        break;
      default:
        break;
    }
    if (!drop) kept.push_back(column->constraints[i]);
  }
  if (!change.set_default.empty()) {
    given = Tree::read(std::string(kSelect) + change.set_default);
    PgQuery__ResTarget* target = given == nullptr ? nullptr : target_of(*given);
    if (target == nullptr || any == nullptr) return std::nullopt;  // without NOT NULL there is nothing to bridge
    PgQuery__Constraint constraint = PG_QUERY__CONSTRAINT__INIT;
    constraint.contype = PG_QUERY__CONSTR_TYPE__CONSTR_DEFAULT;
    constraint.raw_expr = target->val;
    PgQuery__Node node = PG_QUERY__NODE__INIT;
    node.node_case = PG_QUERY__NODE__NODE_CONSTRAINT;
    node.constraint = tree->make(constraint);
    kept.insert(kept.begin(), tree->make(node));
  }
  column->n_constraints = kept.size();
  column->constraints = tree->list(std::move(kept));
  return tree->write();
}

std::optional<std::string> default_of(std::string_view statement, std::size_t position) {
  auto tree = Tree::read(statement);
  const PgQuery__ColumnDef* column = tree == nullptr ? nullptr : column_of(keep_command(*tree, position));
  const PgQuery__Constraint* found = column == nullptr ? nullptr : default_in(*column);
  return found == nullptr ? std::nullopt : expression_text(found->raw_expr);
}

std::optional<std::string> type_of(std::string_view statement, std::size_t position) {
  auto tree = Tree::read(statement);
  const PgQuery__ColumnDef* column = tree == nullptr ? nullptr : column_of(keep_command(*tree, position));
  auto cast = Tree::read("SELECT NULL::int");
  if (column == nullptr || column->type_name == nullptr || cast == nullptr) return std::nullopt;
  PgQuery__ResTarget* target = target_of(*cast);
  if (target->val->node_case != PG_QUERY__NODE__NODE_TYPE_CAST) return std::nullopt;
  target->val->type_cast->type_name = column->type_name;
  auto text = cast->write();
  constexpr std::string_view kBefore = "SELECT NULL::";
  if (!text || !text->starts_with(kBefore)) return std::nullopt;
  return text->substr(kBefore.size());
}

std::optional<std::string> using_of(std::string_view statement, std::size_t position) {
  auto tree = Tree::read(statement);
  const PgQuery__ColumnDef* column = tree == nullptr ? nullptr : column_of(keep_command(*tree, position));
  return column == nullptr ? std::nullopt : expression_text(column->raw_default);
}

std::vector<Apart> column_constraints_apart(std::string_view statement, std::size_t position, const std::string& table,
                                            const std::string& column_name) {
  std::vector<Apart> apart;
  for (std::size_t i = 0;; ++i) {
    auto tree = Tree::read(statement);  // anew for each, since the command is changed in place
    PgQuery__AlterTableCmd* command = tree == nullptr ? nullptr : keep_command(*tree, position);
    const PgQuery__ColumnDef* column = column_of(command);
    if (column == nullptr || i >= column->n_constraints) return apart;
    PgQuery__Constraint* constraint = constraint_of(column->constraints[i]);
    if (constraint == nullptr) continue;
    const bool foreign = constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_FOREIGN;
    if (!foreign && constraint->contype != PG_QUERY__CONSTR_TYPE__CONSTR_CHECK) continue;
    if (foreign) {
      PgQuery__String string = PG_QUERY__STRING__INIT;
      string.sval = column->colname;
      PgQuery__Node node = PG_QUERY__NODE__INIT;
      node.node_case = PG_QUERY__NODE__NODE_STRING;
      node.string = tree->make(string);
      constraint->n_fk_attrs = 1;
      constraint->fk_attrs = tree->list({tree->make(node)});
    }
    name_unless_named(*tree, *constraint, servers_name({table, column_name, foreign ? "fkey" : "check"}));
    constraint->skip_validation = 1;
    constraint->initially_valid = 0;
    command->subtype = PG_QUERY__ALTER_TABLE_TYPE__AT_AddConstraint;
    command->def = column->constraints[i];
    if (auto text = tree->write()) apart.push_back({std::move(*text), constraint->conname});
  }
}

std::optional<Apart> not_valid(std::string_view statement, std::size_t position, const std::string& name) {
  auto tree = Tree::read(statement);
  const PgQuery__AlterTableCmd* command = tree == nullptr ? nullptr : keep_command(*tree, position);
  PgQuery__Constraint* constraint = command == nullptr ? nullptr : constraint_of(command->def);
  if (constraint == nullptr) return std::nullopt;
  name_unless_named(*tree, *constraint, name);
  constraint->skip_validation = 1;
  constraint->initially_valid = 0;
  auto text = tree->write();
  if (!text) return std::nullopt;
  return Apart{std::move(*text), constraint->conname};
}

std::optional<UniqueApart> unique_apart(std::string_view statement, std::size_t position, const std::string& table,
                                        const std::string& name) {
  auto tree = Tree::read(statement);
  const PgQuery__AlterTableCmd* command = tree == nullptr ? nullptr : keep_command(*tree, position);
  PgQuery__Constraint* constraint = command == nullptr ? nullptr : constraint_of(command->def);
  const bool plain = constraint != nullptr && constraint->contype == PG_QUERY__CONSTR_TYPE__CONSTR_UNIQUE &&
                     constraint->n_options == 0 && constraint->n_keys > 0;
  if (!plain) return std::nullopt;
  const auto columns = [](std::size_t count, PgQuery__Node** nodes) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
      if (nodes[i]->node_case != PG_QUERY__NODE__NODE_STRING) continue;
      text += (text.empty() ? "" : ", ") + as_sql_name(nodes[i]->string->sval);
    }
    return text;
  };
  name_unless_named(*tree, *constraint, name);
  UniqueApart apart;
  apart.name = constraint->conname;
  apart.index = "CREATE UNIQUE INDEX CONCURRENTLY " + as_sql_name(apart.name) + " ON " + table + " (" +
                columns(constraint->n_keys, constraint->keys) + ")";
  if (constraint->n_including > 0) {
    apart.index += " INCLUDE (" + columns(constraint->n_including, constraint->including) + ")";
  }
  if (constraint->nulls_not_distinct != 0) apart.index += " NULLS NOT DISTINCT";
  if (*constraint->indexspace != '\0') apart.index += " TABLESPACE " + as_sql_name(constraint->indexspace);
  constraint->n_keys = constraint->n_including = 0;
  constraint->nulls_not_distinct = 0;
  constraint->indexspace = tree->keep("");
  constraint->indexname = tree->keep(apart.name);
  auto text = tree->write();
  if (!text) return std::nullopt;
  apart.constraint = std::move(*text);
  return apart;
}

namespace {

std::string_view last_word(PgQuery__Node* const* names, std::size_t count) {
  const PgQuery__Node* last = count == 0 ? nullptr : names[count - 1];
  return last != nullptr && last->node_case == PG_QUERY__NODE__NODE_STRING ? last->string->sval : std::string_view();
}

// What PostgreSQL calls an expression of an index in the name that it makes up; empty where it says "expr". `weak`: a
// better word further out wins.
std::string_view word_for(const PgQuery__Node* node, bool& weak) {
  weak = false;
  if (node == nullptr) return {};
  switch (node->node_case) {
    case PG_QUERY__NODE__NODE_COLUMN_REF:
      return last_word(node->column_ref->fields, node->column_ref->n_fields);
    case PG_QUERY__NODE__NODE_FUNC_CALL:
      return last_word(node->func_call->funcname, node->func_call->n_funcname);
    case PG_QUERY__NODE__NODE_COLLATE_CLAUSE:
      return word_for(node->collate_clause->arg, weak);
    case PG_QUERY__NODE__NODE_COALESCE_EXPR:
      return "coalesce";
    case PG_QUERY__NODE__NODE_MIN_MAX_EXPR:
      return node->min_max_expr->op == PG_QUERY__MIN_MAX_OP__IS_LEAST ? "least" : "greatest";
    case PG_QUERY__NODE__NODE_A_ARRAY_EXPR:
      return "array";
    case PG_QUERY__NODE__NODE_ROW_EXPR:
      return "row";
    case PG_QUERY__NODE__NODE_A_EXPR:
      return node->a_expr->kind == PG_QUERY__A__EXPR__KIND__AEXPR_NULLIF ? "nullif" : std::string_view();
    case PG_QUERY__NODE__NODE_TYPE_CAST: {
      const std::string_view inner = word_for(node->type_cast->arg, weak);
      if (!inner.empty() && !weak) return inner;
      weak = true;
      const PgQuery__TypeName* type = node->type_cast->type_name;
      return type == nullptr ? inner : last_word(type->names, type->n_names);
    }
    case PG_QUERY__NODE__NODE_CASE_EXPR: {
      const std::string_view inner = word_for(node->case_expr->defresult, weak);
      if (!inner.empty() && !weak) return inner;
      weak = true;
      return "case";
    }
    default:
      return {};
  }
}

// The name that PostgreSQL would make up, where no other relation has it.
std::string name_of_index(const PgQuery__IndexStmt& index) {
  std::vector<std::string> columns;
  const auto add = [&](PgQuery__Node* const* params, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const PgQuery__IndexElem* element = params[i]->index_elem;
      bool weak = false;
      std::string_view word = *element->name != '\0' ? element->name : word_for(element->expr, weak);
      if (word.empty()) word = "expr";
      std::string column(word);
      for (int n = 1; std::ranges::find(columns, column) != columns.end(); ++n) {
        column = std::string(word) + std::to_string(n);
      }
      columns.push_back(std::move(column));
    }
  };
  add(index.index_params, index.n_index_params);
  add(index.index_including_params, index.n_index_including_params);
  std::vector<std::string_view> words{index.relation->relname};
  words.insert(words.end(), columns.begin(), columns.end());
  words.emplace_back("idx");
  return servers_name(words);
}

}  // namespace

std::optional<Apart> concurrently(std::string_view statement, std::size_t position) {
  auto tree = Tree::read(statement);
  if (tree == nullptr) return std::nullopt;
  PgQuery__Node* node = tree->statement();
  if (node->node_case == PG_QUERY__NODE__NODE_INDEX_STMT) {
    const PgQuery__IndexStmt* index = node->index_stmt;
    std::string named = *index->idxname != '\0' ? index->idxname : name_of_index(*index);
    // Its own text with a word or two more: an expression of an index is not always written again so that it parses.
    Lexer lexer(Dialect::kPostgres, statement);
    std::string text(statement);
    while (const auto token = lexer.next_visible()) {
      if (!token->is("INDEX")) continue;
      text.insert(token->end(), " CONCURRENTLY" + (*index->idxname != '\0' ? "" : " " + as_sql_name(named)));
      break;
    }
    const auto again = Tree::read(text);
    const PgQuery__Node* written = again == nullptr ? nullptr : again->statement();
    if (written == nullptr || written->node_case != PG_QUERY__NODE__NODE_INDEX_STMT ||
        written->index_stmt->concurrent == 0 || written->index_stmt->idxname != named) {
      return std::nullopt;
    }
    return Apart{std::move(text), std::move(named)};
  }
  if (node->node_case != PG_QUERY__NODE__NODE_DROP_STMT || position >= node->drop_stmt->n_objects) return std::nullopt;
  PgQuery__DropStmt* drop = node->drop_stmt;
  if (drop->behavior == PG_QUERY__DROP_BEHAVIOR__DROP_CASCADE) return std::nullopt;  // CONCURRENTLY takes no CASCADE
  drop->objects[0] = drop->objects[position];
  drop->n_objects = 1;
  drop->concurrent = 1;
  auto text = tree->write();
  if (!text) return std::nullopt;
  return Apart{std::move(*text), {}};
}

bool is_expression(std::string_view text) {
  const auto tree = Tree::read(std::string(kSelect) + std::string(text));
  return tree != nullptr && target_of(*tree) != nullptr;
}

std::string as_sql_name(std::string_view name) {
  // A bare word that the grammar takes as a table's and as a column's name needs no quotes.
  const bool bare = !name.empty() && name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == name.npos &&
                    !(name.front() >= '0' && name.front() <= '9');
  if (bare) {
    const std::string word(name);
    if (parse_postgres("CREATE TABLE " + word + " (" + word + " int)")) return word;
  }
  std::string text = "\"";
  for (const char c : name) {
    text.push_back(c);
    if (c == '"') text.push_back('"');
  }
  return text + "\"";
}

std::string as_sql_name(std::string_view schema, std::string_view name) {
  return schema.empty() ? as_sql_name(name) : as_sql_name(schema) + "." + as_sql_name(name);
}

std::string as_sql_text(std::string_view text) {
  std::string literal = text.contains('\\') ? "E'" : "'";
  for (const char c : text) {
    literal.push_back(c);
    if (c == '\'' || c == '\\') literal.push_back(c);
  }
  return literal + "'";
}

namespace {

constexpr std::size_t kNameMax = 63;

// Cut before a character that does not fit whole.
std::string_view clipped(std::string_view name, std::size_t size) {
  while (size > 0 && size < name.size() && (static_cast<unsigned char>(name[size]) & 0xC0) == 0x80) --size;
  return name.substr(0, size);
}

}  // namespace

std::string servers_name(const std::vector<std::string_view>& words) {
  std::string columns;
  for (std::size_t i = 1; i + 1 < words.size() && columns.size() <= kNameMax; ++i) {
    columns += (i == 1 ? "" : "_") + std::string(words[i]);
  }
  std::size_t table = words.front().size();
  std::size_t rest = columns.size();
  const std::size_t room = kNameMax - (columns.empty() ? 0 : 1) - 1 - words.back().size();
  while (table + rest > room) --(table > rest ? table : rest);
  return std::string(clipped(words.front(), table)) + (columns.empty() ? "" : "_") +
         std::string(clipped(columns, rest)) + "_" + std::string(words.back());
}

std::string made_name(const std::vector<std::string_view>& words) {
  std::string name;
  for (const std::string_view word : words) name += (name.empty() ? "" : "_") + std::string(word);
  if (name.size() <= kNameMax) return name;
  // The end says what it is, so the cut is made before it; a hash keeps cut names apart.
  const std::string end = "_" + sha256_hex(name).substr(0, 8) + "_" + std::string(words.back());
  std::size_t keep = kNameMax - end.size();
  while (keep > 0 && (static_cast<unsigned char>(name[keep]) & 0xC0) == 0x80) --keep;
  return name.substr(0, keep) + end;
}

}  // namespace syzygy
