// Reads libpg_query's tree: one small function per kind of statement, found by name in kReaders at the end.
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "migration/sql/lexer.h"
#include "migration/sql/postgres_parser.h"
#include "migration/sql/readers.h"

namespace syzygy {
namespace {

namespace json = boost::json;

// --- the tree, without exceptions: what is absent reads as empty ----------------------------------------------------

const json::object kNothing;
const json::array kNone;

const json::object& child(const json::object& node, std::string_view key) {
  const auto* value = node.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : kNothing;
}
const json::array& list(const json::object& node, std::string_view key) {
  const auto* value = node.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : kNone;
}
std::string text(const json::object& node, std::string_view key) {
  const auto* value = node.if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}
bool flag(const json::object& node, std::string_view key) {
  const auto* value = node.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}
const json::object& object_of(const json::value& value) { return value.is_object() ? value.get_object() : kNothing; }
const json::object& inside(const json::value& value, std::string_view kind) { return child(object_of(value), kind); }
std::string string_of(const json::value& value) { return text(inside(value, "String"), "sval"); }

// Every object in the tree, by its key, without recursion; `visit` says whether to look inside.
void walk(const json::object& root, const std::function<bool(std::string_view, const json::object&)>& visit) {
  std::vector<const json::object*> pending{&root};
  std::vector<const json::array*> arrays;
  const auto push = [&](std::string_view key, const json::value& value) {
    if (value.is_array()) arrays.push_back(&value.get_array());
    if (value.is_object() && visit(key, value.get_object())) pending.push_back(&value.get_object());
  };
  while (!pending.empty() || !arrays.empty()) {
    if (!pending.empty()) {
      const json::object& node = *pending.back();
      pending.pop_back();
      for (const auto& [key, value] : node) push(key, value);
    } else {
      const json::array& items = *arrays.back();
      arrays.pop_back();
      for (const auto& value : items) push("", value);
    }
  }
}

// --- names and types -------------------------------------------------------------------------------------------------

bool is_temporary(const json::object& range_var) { return text(range_var, "relpersistence") == "t"; }

// A temporary one lives in a schema of its own, whatever else has its name.
ObjectName relation(const json::object& range_var, ObjectKind kind = ObjectKind::kTable) {
  std::string schema = text(range_var, "schemaname");
  if (schema.empty() && is_temporary(range_var)) schema = "pg_temp";
  return {kind, std::move(schema), text(range_var, "relname")};
}

// A list of String nodes: [database.][schema.]name.
ObjectName qualified(const json::array& names, ObjectKind kind) {
  ObjectName object{kind, "", ""};
  if (!names.empty()) object.name = string_of(names.back());
  if (names.size() > 1) object.schema = string_of(names[names.size() - 2]);
  return object;
}

std::string type_name(const json::object& type) {
  std::string spelled;
  for (const auto& name : list(type, "names")) {
    const std::string part = string_of(name);
    if (part == "pg_catalog") continue;
    spelled += (spelled.empty() ? "" : ".") + part;
  }
  std::string modifiers;
  for (const auto& modifier : list(type, "typmods")) {
    const auto& constant = inside(modifier, "A_Const");
    const auto* number = child(constant, "ival").if_contains("ival");
    modifiers += (modifiers.empty() ? "" : ",") +
                 (number != nullptr && number->is_int64() ? std::to_string(number->get_int64()) : std::string("..."));
  }
  if (!modifiers.empty()) spelled += "(" + modifiers + ")";
  if (!list(type, "arrayBounds").empty()) spelled += "[]";
  return spelled;
}

ObjectKind kind_of(std::string_view object_type) {
  static const std::map<std::string_view, ObjectKind> kKinds = {
      {"OBJECT_TABLE", ObjectKind::kTable},         {"OBJECT_FOREIGN_TABLE", ObjectKind::kTable},
      {"OBJECT_VIEW", ObjectKind::kView},           {"OBJECT_MATVIEW", ObjectKind::kMaterializedView},
      {"OBJECT_INDEX", ObjectKind::kIndex},         {"OBJECT_SEQUENCE", ObjectKind::kSequence},
      {"OBJECT_SCHEMA", ObjectKind::kSchema},       {"OBJECT_TYPE", ObjectKind::kType},
      {"OBJECT_DOMAIN", ObjectKind::kDomain},       {"OBJECT_FUNCTION", ObjectKind::kFunction},
      {"OBJECT_PROCEDURE", ObjectKind::kFunction},  {"OBJECT_ROUTINE", ObjectKind::kFunction},
      {"OBJECT_AGGREGATE", ObjectKind::kFunction},  {"OBJECT_TRIGGER", ObjectKind::kTrigger},
      {"OBJECT_POLICY", ObjectKind::kPolicy},       {"OBJECT_RULE", ObjectKind::kRule},
      {"OBJECT_EXTENSION", ObjectKind::kExtension}, {"OBJECT_DATABASE", ObjectKind::kDatabase},
      {"OBJECT_ROLE", ObjectKind::kRole},
  };
  const auto found = kKinds.find(object_type);
  return found != kKinds.end() ? found->second : ObjectKind::kOther;
}

// "OBJECT_EVENT_TRIGGER" -> "event trigger": for the kinds that have no word of their own here.
std::string spoken(std::string_view object_type) {
  std::string words(object_type.substr(std::min(object_type.find('_') + 1, object_type.size())));
  std::ranges::transform(words, words.begin(),
                         [](char c) { return c == '_' ? ' ' : static_cast<char>(c - 'A' + 'a'); });
  return words;
}

Action act(ActionKind kind, ObjectName object = {}, std::string note = {}) {
  Action action;
  action.kind = kind;
  action.object = std::move(object);
  action.note = std::move(note);
  return action;
}

void refused_in_transaction(Meaning& meaning, std::string what) {
  meaning.in_transaction = InTransaction::kRefused;
  meaning.transaction_note = std::move(what);
}

bool has_option(const json::array& options, std::string_view name) {
  return std::ranges::any_of(options, [&](const json::value& option) {
    const auto& element = inside(option, "DefElem");
    if (text(element, "defname") != name) return false;
    const auto& argument = child(element, "arg");
    const std::string value = text(child(argument, "String"), "sval");
    return value != "false" && value != "off" && value != "0" &&
           !(argument.contains("Boolean") && !flag(child(argument, "Boolean"), "boolval"));
  });
}

bool option_is_off(const json::array& options, std::string_view name) {
  const bool there = std::ranges::any_of(
      options, [&](const json::value& option) { return text(inside(option, "DefElem"), "defname") == name; });
  return there && !has_option(options, name);
}

// --- columns and constraints -----------------------------------------------------------------------------------------

ConstraintKind constraint_kind(std::string_view type) {
  if (type == "CONSTR_CHECK") return ConstraintKind::kCheck;
  if (type == "CONSTR_FOREIGN") return ConstraintKind::kForeignKey;
  if (type == "CONSTR_UNIQUE") return ConstraintKind::kUnique;
  if (type == "CONSTR_PRIMARY") return ConstraintKind::kPrimaryKey;
  if (type == "CONSTR_EXCLUSION") return ConstraintKind::kExclude;
  return ConstraintKind::kNone;
}

bool is_null_constant(const json::object& expression) { return flag(child(expression, "A_Const"), "isnull"); }

// The same value for every row: no function is called in it. Casts of constants are constants.
bool is_constant(const json::object& expression) {
  bool constant = true;
  walk(expression, [&](std::string_view key, const json::object&) {
    if (key == "FuncCall" || key == "SQLValueFunction" || key == "SubLink") constant = false;
    return constant;
  });
  return constant;
}

Action added_column(const ObjectName& table, const json::object& column) {
  Action action = act(ActionKind::kAddColumn, table);
  action.part = text(column, "colname");
  action.type = type_name(child(column, "typeName"));
  if (action.type == "serial" || action.type == "bigserial" || action.type == "smallserial" ||
      action.type == "serial4" || action.type == "serial8" || action.type == "serial2") {
    action.not_null = action.fills_itself = true;
  }
  for (const auto& item : list(column, "constraints")) {
    const auto& constraint = inside(item, "Constraint");
    const std::string type = text(constraint, "contype");
    if (type == "CONSTR_NOTNULL") action.not_null = true;
    if (type == "CONSTR_IDENTITY") action.not_null = action.fills_itself = true;
    if (type == "CONSTR_GENERATED") action.fills_itself = true;
    if (type == "CONSTR_DEFAULT" && !is_null_constant(child(constraint, "raw_expr"))) {
      action.fills_itself = true;
      action.constant_default = is_constant(child(constraint, "raw_expr"));
    }
    if (const auto kind = constraint_kind(type); kind != ConstraintKind::kNone) {
      if (kind == ConstraintKind::kPrimaryKey) action.not_null = true;
      // Uniqueness matters most: with it a constant default fails at the second row.
      if (action.constraint == ConstraintKind::kNone || kind == ConstraintKind::kPrimaryKey ||
          kind == ConstraintKind::kUnique) {
        action.constraint = kind;
      }
    }
  }
  return action;
}

Action added_constraint(const ObjectName& object, const json::object& constraint) {
  Action action = act(ActionKind::kAddConstraint, object);
  action.part = text(constraint, "conname");
  action.constraint = constraint_kind(text(constraint, "contype"));
  action.not_valid = flag(constraint, "skip_validation");
  return action;
}

// --- ALTER TABLE -----------------------------------------------------------------------------------------------------

Action alter_command(const ObjectName& object, const json::object& command, Meaning& meaning) {
  const std::string type = text(command, "subtype");
  const auto& definition = child(command, "def");
  const auto named = [&](ActionKind kind, std::string note = {}) {
    Action action = act(kind, object, std::move(note));
    action.part = text(command, "name");
    return action;
  };
  if (type == "AT_AddColumn") return added_column(object, child(definition, "ColumnDef"));
  if (type == "AT_DropColumn") return named(ActionKind::kDropColumn);
  if (type == "AT_SetNotNull") return named(ActionKind::kSetNotNull);
  if (type == "AT_DropNotNull") return named(ActionKind::kDropNotNull);
  if (type == "AT_ColumnDefault") {
    const bool sets = !definition.empty() && !is_null_constant(definition);
    return named(sets ? ActionKind::kSetDefault : ActionKind::kDropDefault);
  }
  if (type == "AT_AddIdentity") return named(ActionKind::kSetDefault, "makes it an identity column");
  if (type == "AT_DropIdentity") return named(ActionKind::kDropDefault, "its identity");
  if (type == "AT_DropExpression") return named(ActionKind::kDropDefault, "its generated expression");
  if (type == "AT_AlterColumnType") {
    Action action = named(ActionKind::kAlterColumnType);
    action.type = type_name(child(child(definition, "ColumnDef"), "typeName"));
    action.converts = child(definition, "ColumnDef").contains("raw_default");
    return action;
  }
  if (type == "AT_AddConstraint") return added_constraint(object, child(definition, "Constraint"));
  if (type == "AT_DropConstraint") return named(ActionKind::kDropConstraint);
  if (type == "AT_ValidateConstraint") return named(ActionKind::kValidateConstraint);
  if (type == "AT_AttachPartition" || type == "AT_AddInherit") {
    return named(ActionKind::kAttachPartition);
  }
  if (type == "AT_DetachPartition" || type == "AT_DetachPartitionFinalize" || type == "AT_DropInherit") {
    Action action = named(ActionKind::kDetachPartition);
    action.part = text(child(child(definition, "PartitionCmd"), "name"), "relname");
    action.concurrently = flag(child(definition, "PartitionCmd"), "concurrent");
    if (action.concurrently) refused_in_transaction(meaning, "ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY");
    return action;
  }
  if (type == "AT_EnableRowSecurity" || type == "AT_ForceRowSecurity") {
    return named(ActionKind::kRestrict, "turns row level security on");
  }
  if (type == "AT_DisableRowSecurity" || type == "AT_NoForceRowSecurity") return named(ActionKind::kGrant);
  if (type.ends_with("Trig") || type.ends_with("TrigAll") || type.ends_with("TrigUser") || type.ends_with("Rule")) {
    return named(ActionKind::kOpaque, "turns triggers or rules on or off, and what code relies on them cannot be told");
  }
  return named(ActionKind::kAlterOther);
}

void read_alter_table(const json::object& node, Meaning& meaning) {
  const ObjectName object = relation(child(node, "relation"), kind_of(text(node, "objtype")));
  for (const auto& item : list(node, "cmds")) {
    meaning.actions.push_back(alter_command(object, inside(item, "AlterTableCmd"), meaning));
  }
}

void read_alter_domain(const json::object& node, Meaning& meaning) {
  const ObjectName domain = qualified(list(node, "typeName"), ObjectKind::kDomain);
  const std::string type = text(node, "subtype");
  Action action = act(ActionKind::kAlterOther, domain);
  if (type == "T") action.kind = node.contains("def") ? ActionKind::kSetDefault : ActionKind::kDropDefault;
  if (type == "N") action.kind = ActionKind::kDropNotNull;
  if (type == "O") action.kind = ActionKind::kSetNotNull;
  if (type == "C") action = added_constraint(domain, child(child(node, "def"), "Constraint"));
  if (type == "X") action.kind = ActionKind::kDropConstraint;
  if (type == "V") action.kind = ActionKind::kValidateConstraint;
  if (type == "X" || type == "V") action.part = text(node, "name");
  meaning.actions.push_back(std::move(action));
}

void read_alter_enum(const json::object& node, Meaning& meaning) {
  const std::string old_value = text(node, "oldVal");
  Action action = act(old_value.empty() ? ActionKind::kAddEnumValue : ActionKind::kRename,
                      qualified(list(node, "typeName"), ObjectKind::kType));
  action.part = old_value.empty() ? text(node, "newVal") : old_value;
  if (!old_value.empty()) {
    action.new_name = text(node, "newVal");
    action.note = "value";
  }
  meaning.actions.push_back(std::move(action));
}

// --- create, drop, rename --------------------------------------------------------------------------------------------

void read_create_table(const json::object& node, Meaning& meaning) {
  Action action = act(ActionKind::kCreate, relation(child(node, "relation")));
  action.temporary = is_temporary(child(node, "relation"));
  meaning.actions.push_back(std::move(action));
}

void read_create_foreign_table(const json::object& node, Meaning& meaning) {
  read_create_table(child(node, "base"), meaning);
}

void read_create_table_as(const json::object& node, Meaning& meaning) {
  const auto& target = child(child(node, "into"), "rel");
  Action action = act(ActionKind::kCreate, relation(target, kind_of(text(node, "objtype"))));
  action.temporary = is_temporary(target);
  meaning.actions.push_back(std::move(action));
}

void read_view(const json::object& node, Meaning& meaning) {
  Action action = act(flag(node, "replace") ? ActionKind::kReplace : ActionKind::kCreate,
                      relation(child(node, "view"), ObjectKind::kView));
  action.temporary = is_temporary(child(node, "view"));
  meaning.actions.push_back(std::move(action));
}

void read_index(const json::object& node, Meaning& meaning) {
  const ObjectName table = relation(child(node, "relation"));
  Action action = act(ActionKind::kCreate, {ObjectKind::kIndex, table.schema, text(node, "idxname")});
  action.on = table;
  action.concurrently = flag(node, "concurrent");
  if (flag(node, "unique")) action.constraint = ConstraintKind::kUnique;
  if (action.concurrently) refused_in_transaction(meaning, "CREATE INDEX CONCURRENTLY");
  meaning.actions.push_back(std::move(action));
}

void read_trigger(const json::object& node, Meaning& meaning) {
  const ObjectName table = relation(child(node, "relation"));
  Action action = act(flag(node, "replace") ? ActionKind::kReplace : ActionKind::kCreate,
                      {ObjectKind::kTrigger, table.schema, text(node, "trigname")});
  action.on = table;
  if (flag(node, "isconstraint")) action.constraint = ConstraintKind::kTrigger;
  meaning.actions.push_back(std::move(action));
}

void read_policy(const json::object& node, Meaning& meaning) {
  const ObjectName table = relation(child(node, "table"));
  Action action = act(flag(node, "permissive") ? ActionKind::kCreate : ActionKind::kRestrict,
                      {ObjectKind::kPolicy, table.schema, text(node, "policy_name")});
  if (action.kind == ActionKind::kRestrict) action.note = "adds a restrictive policy";
  action.on = table;
  meaning.actions.push_back(std::move(action));
}

void read_function(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(flag(node, "replace") ? ActionKind::kReplace : ActionKind::kCreate,
                                qualified(list(node, "funcname"), ObjectKind::kFunction)));
}

void read_statement(const json::object& statement, Meaning& meaning);

void read_create_schema(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kCreate, {ObjectKind::kSchema, "", text(node, "schemaname")}));
  for (const auto& element : list(node, "schemaElts")) read_statement(object_of(element), meaning);
}

void read_drop(const json::object& node, Meaning& meaning) {
  const std::string type = text(node, "removeType");
  const ObjectKind kind = kind_of(type);
  const bool belongs_to_table =
      kind == ObjectKind::kTrigger || kind == ObjectKind::kPolicy || kind == ObjectKind::kRule;
  for (const auto& item : list(node, "objects")) {
    const auto& entry = object_of(item);
    Action action = act(ActionKind::kDrop);
    if (belongs_to_table) {  // [schema, table, name]
      const json::array& names = list(child(entry, "List"), "items");
      json::array table;
      for (std::size_t i = 0; i + 1 < names.size(); ++i) table.push_back(names[i]);
      action.on = qualified(table, ObjectKind::kTable);
      action.object = {kind, action.on.schema, names.empty() ? std::string() : string_of(names.back())};
    } else if (entry.contains("ObjectWithArgs")) {
      action.object = qualified(list(child(entry, "ObjectWithArgs"), "objname"), kind);
    } else if (entry.contains("TypeName")) {
      action.object = qualified(list(child(entry, "TypeName"), "names"), kind);
    } else if (entry.contains("String")) {
      action.object = {kind, "", string_of(item)};
    } else {
      action.object = qualified(list(child(entry, "List"), "items"), kind);
    }
    if (kind == ObjectKind::kOther) action.note = spoken(type);
    action.concurrently = flag(node, "concurrent");
    if (action.concurrently) refused_in_transaction(meaning, "DROP INDEX CONCURRENTLY");
    meaning.actions.push_back(std::move(action));
  }
}

void read_rename(const json::object& node, Meaning& meaning) {
  const std::string type = text(node, "renameType");
  Action action = act(ActionKind::kRename);
  action.new_name = text(node, "newname");
  const std::string part = text(node, "subname");
  if (node.contains("relation")) {
    const ObjectKind owner = kind_of(text(node, "relationType"));
    const ObjectKind kind = kind_of(type);
    action.object = relation(child(node, "relation"), kind != ObjectKind::kOther ? kind : owner);
    if (kind == ObjectKind::kTrigger || kind == ObjectKind::kPolicy || kind == ObjectKind::kRule) {
      action.on = relation(child(node, "relation"));
      action.object.name = part;
    } else if (!part.empty()) {
      if (action.object.kind == ObjectKind::kOther) action.object.kind = ObjectKind::kTable;
      action.part = part;
      action.note = type == "OBJECT_TABCONSTRAINT" ? "constraint" : type == "OBJECT_ATTRIBUTE" ? "attribute" : "column";
    }
  } else if (node.contains("object")) {
    const auto& entry = child(node, "object");
    const json::array& names = entry.contains("ObjectWithArgs") ? list(child(entry, "ObjectWithArgs"), "objname")
                               : entry.contains("TypeName")     ? list(child(entry, "TypeName"), "names")
                                                                : list(child(entry, "List"), "items");
    action.object = qualified(names, type == "OBJECT_DOMCONSTRAINT" ? ObjectKind::kDomain : kind_of(type));
    if (names.empty()) action.object.name = text(child(entry, "String"), "sval");
    if (type == "OBJECT_DOMCONSTRAINT") {
      action.part = part;
      action.note = "constraint";
    }
  } else {
    action.object = {kind_of(type), "", part};  // schema, role, database
  }
  meaning.actions.push_back(std::move(action));
}

void read_set_schema(const json::object& node, Meaning& meaning) {
  Action action = act(ActionKind::kSetSchema, relation(child(node, "relation"), kind_of(text(node, "objectType"))));
  if (!node.contains("relation")) {
    const auto& entry = child(node, "object");
    const json::array& names = entry.contains("ObjectWithArgs") ? list(child(entry, "ObjectWithArgs"), "objname")
                                                                : list(child(entry, "List"), "items");
    action.object = qualified(names, kind_of(text(node, "objectType")));
    if (names.empty()) action.object.name = text(child(entry, "String"), "sval");
  }
  action.new_name = text(node, "newschema");
  meaning.actions.push_back(std::move(action));
}

// --- data ------------------------------------------------------------------------------------------------------------

// Functions that a SELECT in a migration calls for what they compute, or for a session or sequence; every other one may
// do anything.
bool is_harmless_function(const json::object& call) {
  static constexpr std::array kHarmless = {"set_config",
                                           "current_setting",
                                           "setval",
                                           "nextval",
                                           "currval",
                                           "lastval",
                                           "now",
                                           "count",
                                           "max",
                                           "min",
                                           "sum",
                                           "coalesce",
                                           "greatest",
                                           "version",
                                           "to_regclass",
                                           "pg_get_serial_sequence",
                                           "pg_advisory_xact_lock",
                                           "pg_notify",
                                           "lower",
                                           "upper",
                                           "length",
                                           "pg_sleep",
                                           "format",
                                           "quote_ident",
                                           "concat",
                                           "exists"};
  const json::array& names = list(call, "funcname");
  return !names.empty() && (names.size() == 1 || string_of(names.front()) == "pg_catalog") &&
         std::ranges::find(kHarmless, string_of(names.back())) != kHarmless.end();
}

// SELECT, VALUES, and whatever stands in WITH: what it writes, and whether it calls what we do not know.
void read_query(const json::object& node, Meaning& meaning) {
  if (const auto& into = child(node, "intoClause"); !into.empty()) {
    Action action = act(ActionKind::kCreate, relation(child(into, "rel")));
    action.temporary = is_temporary(child(into, "rel"));
    meaning.actions.push_back(std::move(action));
  }
  std::string unknown_function;
  walk(node, [&](std::string_view key, const json::object& found) {
    if (key == "InsertStmt") meaning.actions.push_back(act(ActionKind::kInsert, relation(child(found, "relation"))));
    if (key == "UpdateStmt") meaning.actions.push_back(act(ActionKind::kUpdate, relation(child(found, "relation"))));
    if (key == "DeleteStmt") meaning.actions.push_back(act(ActionKind::kDelete, relation(child(found, "relation"))));
    if (key == "FuncCall" &&
        qualified(list(found, "funcname"), ObjectKind::kFunction).name == "pg_advisory_unlock_all") {
      meaning.frees_session_locks = true;
    }
    if (key == "FuncCall" && unknown_function.empty() && !is_harmless_function(found)) {
      unknown_function = qualified(list(found, "funcname"), ObjectKind::kFunction).name;
    }
    return true;
  });
  if (!meaning.actions.empty()) return;
  if (unknown_function.empty()) {
    meaning.actions.push_back(act(ActionKind::kSelect));
  } else {
    meaning.actions.push_back(
        act(ActionKind::kOpaque, {}, "calls the function " + unknown_function + ", and what it does cannot be told"));
  }
}

template <ActionKind kind>
void read_change(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(kind, relation(child(node, "relation"))));
  walk(node, [&](std::string_view key, const json::object& found) {
    if (key == "InsertStmt") meaning.actions.push_back(act(ActionKind::kInsert, relation(child(found, "relation"))));
    if (key == "UpdateStmt") meaning.actions.push_back(act(ActionKind::kUpdate, relation(child(found, "relation"))));
    if (key == "DeleteStmt") meaning.actions.push_back(act(ActionKind::kDelete, relation(child(found, "relation"))));
    return true;
  });
}

void read_truncate(const json::object& node, Meaning& meaning) {
  for (const auto& item : list(node, "relations")) {
    meaning.actions.push_back(act(ActionKind::kTruncate, relation(inside(item, "RangeVar"))));
  }
}

void read_copy(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(
      act(flag(node, "is_from") ? ActionKind::kInsert : ActionKind::kSelect, relation(child(node, "relation"))));
}

// --- control ---------------------------------------------------------------------------------------------------------

void read_transaction(const json::object& node, Meaning& meaning) {
  const std::string kind = text(node, "kind");
  const auto is = [&](std::string_view what) { return kind == what; };
  if (is("TRANS_STMT_BEGIN") || is("TRANS_STMT_START")) {
    meaning.plain_wrapper = list(node, "options").empty();
    meaning.actions.push_back(act(ActionKind::kBegin, {}, "BEGIN"));
  } else if (is("TRANS_STMT_COMMIT")) {
    meaning.plain_wrapper = !flag(node, "chain");
    meaning.actions.push_back(act(ActionKind::kCommit, {}, "COMMIT"));
  } else if (is("TRANS_STMT_SAVEPOINT") || is("TRANS_STMT_RELEASE") || is("TRANS_STMT_ROLLBACK_TO")) {
    meaning.actions.push_back(act(ActionKind::kSavepoint));
  } else if (is("TRANS_STMT_ROLLBACK")) {
    meaning.actions.push_back(act(ActionKind::kRollback, {}, "ROLLBACK"));
  } else {
    meaning.actions.push_back(act(ActionKind::kCommit, {}, "a two-phase commit"));  // PREPARE, COMMIT/ROLLBACK PREPARED
  }
}

void read_vacuum(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kMaintenance));
  if (flag(node, "is_vacuumcmd")) refused_in_transaction(meaning, "VACUUM");
}

void read_cluster(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kMaintenance));
  if (!node.contains("relation")) refused_in_transaction(meaning, "CLUSTER without a table");
}

void read_reindex(const json::object& node, Meaning& meaning) {
  const std::string kind = text(node, "kind");
  Action action =
      act(ActionKind::kReindex,
          relation(child(node, "relation"), kind == "REINDEX_OBJECT_INDEX" ? ObjectKind::kIndex : ObjectKind::kTable));
  action.concurrently = has_option(list(node, "params"), "concurrently");
  if (action.concurrently) refused_in_transaction(meaning, "REINDEX CONCURRENTLY");
  if (!node.contains("relation")) refused_in_transaction(meaning, "REINDEX of a schema, a database or the system");
  meaning.actions.push_back(std::move(action));
}

void read_create_subscription(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kCreate, {ObjectKind::kOther, "", text(node, "subname")}));
  const json::array& options = list(node, "options");
  if (!option_is_off(options, "connect") && !option_is_off(options, "create_slot")) {
    refused_in_transaction(meaning, "CREATE SUBSCRIPTION that creates a replication slot");
  }
}

void read_alter_subscription(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kAlterOther, {ObjectKind::kOther, "", text(node, "subname")}));
  const std::string kind = text(node, "kind");
  const bool refreshes = kind == "ALTER_SUBSCRIPTION_REFRESH" ||
                         (kind.ends_with("_PUBLICATION") && !option_is_off(list(node, "options"), "refresh"));
  if (refreshes) refused_in_transaction(meaning, "ALTER SUBSCRIPTION that refreshes");
}

void read_drop_subscription(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kDrop, {ObjectKind::kOther, "", text(node, "subname")}));
  refused_in_transaction(meaning, "DROP SUBSCRIPTION");
}

void read_alter_database(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kAlterOther, {ObjectKind::kDatabase, "", text(node, "dbname")}));
  if (has_option(list(node, "options"), "tablespace")) refused_in_transaction(meaning, "ALTER DATABASE SET TABLESPACE");
}

void read_grant(const json::object& node, Meaning& meaning) {
  const bool grants = flag(node, "is_grant");
  meaning.actions.push_back(
      act(grants ? ActionKind::kGrant : ActionKind::kRestrict, {}, grants ? "" : "revokes rights"));
}

void read_create_role(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kCreate, {ObjectKind::kRole, "", text(node, "role")}));
}

void read_drop_role(const json::object& node, Meaning& meaning) {
  for (const auto& item : list(node, "roles")) {
    meaning.actions.push_back(
        act(ActionKind::kDrop, {ObjectKind::kRole, "", text(inside(item, "RoleSpec"), "rolename")}));
  }
}

void read_create_domain(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kCreate, qualified(list(node, "domainname"), ObjectKind::kDomain)));
}

void read_define(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(flag(node, "replace") ? ActionKind::kReplace : ActionKind::kCreate,
                                qualified(list(node, "defnames"), kind_of(text(node, "kind")))));
}

void read_explain(const json::object& node, Meaning& meaning) {
  if (has_option(list(node, "options"), "analyze")) {
    read_statement(child(node, "query"), meaning);
  } else {
    meaning.actions.push_back(act(ActionKind::kSession));
  }
}

using Reader = void (*)(const json::object&, Meaning&);

template <ActionKind kind, ObjectKind object = ObjectKind::kNone>
void plain(const json::object&, Meaning& meaning) {
  meaning.actions.push_back(act(kind, {object, "", ""}));
}

// One whose name stands under a single key.
template <ActionKind kind, ObjectKind object, const char* key>
void named(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(kind, {object, "", text(node, key)}));
}

// One whose name is a list of String nodes, or a RangeVar, under a key.
template <ObjectKind object, const char* key>
void created(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kCreate, node.contains(key) && node.at(key).is_array()
                                                         ? qualified(list(node, key), object)
                                                         : relation(child(node, key), object)));
}

template <ActionKind kind, ObjectKind object, const char* key, const char* what>
void outside(const json::object& node, Meaning& meaning) {
  named<kind, object, key>(node, meaning);
  refused_in_transaction(meaning, what);
}

void read_discard(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kSession));
  if (text(node, "target") != "DISCARD_ALL") return;
  refused_in_transaction(meaning, "DISCARD ALL");
  meaning.frees_session_locks = true;
}

void opaque(const json::object& node, Meaning& meaning) {
  std::string name = qualified(list(child(node, "funccall"), "funcname"), ObjectKind::kFunction).name;
  meaning.actions.push_back(act(ActionKind::kOpaque, {},
                                name.empty() ? "runs a block of code, and what it does cannot be told"
                                             : "calls " + name + ", and what it does cannot be told"));
}

template <const char* note>
void cannot_tell(const json::object&, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kOpaque, {}, note));
}

constexpr char kAltersPolicy[] = "alters a policy, and whether it lets code do more or less cannot be told",
               kEventTrigger[] = "changes an event trigger, and what it does to others cannot be told";
constexpr char kDatabaseName[] = "dbname", kTablespaceName[] = "tablespacename", kExtensionName[] = "extname",
               kPublicationName[] = "pubname", kServerName[] = "servername", kTypeName[] = "typeName",
               kTypeVar[] = "typevar", kSequence[] = "sequence", kNoName[] = "-", kCreateDatabase[] = "CREATE DATABASE",
               kDropDatabase[] = "DROP DATABASE", kCreateTablespace[] = "CREATE TABLESPACE",
               kDropTablespace[] = "DROP TABLESPACE", kAlterSystem[] = "ALTER SYSTEM", kRelation[] = "relation",
               kRuleName[] = "rulename";

void read_rule(const json::object& node, Meaning& meaning) {
  Action action = act(ActionKind::kOpaque, {ObjectKind::kRule, "", text(node, kRuleName)},
                      "adds a rule that rewrites what code asks, and whether code survives it cannot be told");
  action.on = relation(child(node, kRelation));
  meaning.actions.push_back(std::move(action));
}

const std::map<std::string_view, Reader>& readers() {
  using A = ActionKind;
  using O = ObjectKind;
  static const std::map<std::string_view, Reader> kReaders = {
      {"AlterTableStmt", read_alter_table},
      {"AlterDomainStmt", read_alter_domain},
      {"AlterEnumStmt", read_alter_enum},
      {"CreateStmt", read_create_table},
      {"CreateForeignTableStmt", read_create_foreign_table},
      {"CreateTableAsStmt", read_create_table_as},
      {"ViewStmt", read_view},
      {"IndexStmt", read_index},
      {"CreateTrigStmt", read_trigger},
      {"CreatePolicyStmt", read_policy},
      {"CreateFunctionStmt", read_function},
      {"CreateSchemaStmt", read_create_schema},
      {"CreateDomainStmt", read_create_domain},
      {"DefineStmt", read_define},
      {"RuleStmt", read_rule},
      {"DropStmt", read_drop},
      {"RenameStmt", read_rename},
      {"AlterObjectSchemaStmt", read_set_schema},
      {"CreateEnumStmt", created<O::kType, kTypeName>},
      {"CreateRangeStmt", created<O::kType, kTypeName>},
      {"CompositeTypeStmt", created<O::kType, kTypeVar>},
      {"CreateSeqStmt", created<O::kSequence, kSequence>},
      {"CreateExtensionStmt", named<A::kCreate, O::kExtension, kExtensionName>},
      {"CreatePublicationStmt", named<A::kCreate, O::kOther, kPublicationName>},
      {"CreateForeignServerStmt", named<A::kCreate, O::kOther, kServerName>},
      {"CreateCastStmt", plain<A::kCreate, O::kOther>},
      {"CreateOpClassStmt", plain<A::kCreate, O::kOther>},
      {"CreateOpFamilyStmt", plain<A::kCreate, O::kOther>},
      {"CreateConversionStmt", plain<A::kCreate, O::kOther>},
      {"CreateTransformStmt", plain<A::kCreate, O::kOther>},
      {"CreateStatsStmt", plain<A::kCreate, O::kOther>},
      {"CreateAmStmt", plain<A::kCreate, O::kOther>},
      {"CreatePLangStmt", plain<A::kCreate, O::kOther>},
      {"CreateFdwStmt", plain<A::kCreate, O::kOther>},
      {"CreateUserMappingStmt", plain<A::kCreate, O::kOther>},
      {"ImportForeignSchemaStmt", plain<A::kCreate, O::kOther>},
      {"CreateRoleStmt", read_create_role},
      {"DropRoleStmt", read_drop_role},
      {"DropOwnedStmt", plain<A::kDrop, O::kOther>},
      {"DropUserMappingStmt", plain<A::kDrop, O::kOther>},
      {"InsertStmt", read_change<A::kInsert>},
      {"UpdateStmt", read_change<A::kUpdate>},
      {"DeleteStmt", read_change<A::kDelete>},
      {"MergeStmt", read_change<A::kUpdate>},
      {"TruncateStmt", read_truncate},
      {"CopyStmt", read_copy},
      {"SelectStmt", read_query},
      {"ExplainStmt", read_explain},
      {"DoStmt", opaque},
      {"CallStmt", opaque},
      {"ExecuteStmt", opaque},
      {"AlterPolicyStmt", cannot_tell<kAltersPolicy>},
      {"CreateEventTrigStmt", cannot_tell<kEventTrigger>},
      {"AlterEventTrigStmt", cannot_tell<kEventTrigger>},
      {"TransactionStmt", read_transaction},
      {"VacuumStmt", read_vacuum},
      {"ClusterStmt", read_cluster},
      {"ReindexStmt", read_reindex},
      {"RefreshMatViewStmt", plain<A::kMaintenance>},
      {"CheckPointStmt", plain<A::kMaintenance>},
      {"CreatedbStmt", outside<A::kCreate, O::kDatabase, kDatabaseName, kCreateDatabase>},
      {"DropdbStmt", outside<A::kDrop, O::kDatabase, kDatabaseName, kDropDatabase>},
      {"CreateTableSpaceStmt", outside<A::kCreate, O::kOther, kTablespaceName, kCreateTablespace>},
      {"DropTableSpaceStmt", outside<A::kDrop, O::kOther, kTablespaceName, kDropTablespace>},
      {"AlterSystemStmt", outside<A::kAlterOther, O::kOther, kNoName, kAlterSystem>},
      {"AlterDatabaseStmt", read_alter_database},
      {"CreateSubscriptionStmt", read_create_subscription},
      {"AlterSubscriptionStmt", read_alter_subscription},
      {"DropSubscriptionStmt", read_drop_subscription},
      {"GrantStmt", read_grant},
      {"GrantRoleStmt", read_grant},
      {"AlterDefaultPrivilegesStmt", plain<A::kAlterOther>},
      {"AlterDatabaseSetStmt", plain<A::kAlterOther>},
      {"AlterDatabaseRefreshCollStmt", plain<A::kAlterOther>},
      {"AlterRoleStmt", plain<A::kAlterOther>},
      {"AlterRoleSetStmt", plain<A::kAlterOther>},
      {"AlterOwnerStmt", plain<A::kAlterOther>},
      {"AlterSeqStmt", plain<A::kAlterOther>},
      {"AlterFunctionStmt", plain<A::kAlterOther>},
      {"AlterExtensionStmt", plain<A::kAlterOther>},
      {"AlterExtensionContentsStmt", plain<A::kAlterOther>},
      {"AlterTypeStmt", plain<A::kAlterOther>},
      {"AlterOperatorStmt", plain<A::kAlterOther>},
      {"AlterOpFamilyStmt", plain<A::kAlterOther>},
      {"AlterStatsStmt", plain<A::kAlterOther>},
      {"AlterCollationStmt", plain<A::kAlterOther>},
      {"AlterTSDictionaryStmt", plain<A::kAlterOther>},
      {"AlterTSConfigurationStmt", plain<A::kAlterOther>},
      {"AlterFdwStmt", plain<A::kAlterOther>},
      {"AlterForeignServerStmt", plain<A::kAlterOther>},
      {"AlterUserMappingStmt", plain<A::kAlterOther>},
      {"AlterPublicationStmt", plain<A::kAlterOther>},
      {"AlterObjectDependsStmt", plain<A::kAlterOther>},
      {"AlterTableSpaceOptionsStmt", plain<A::kAlterOther>},
      {"AlterTableMoveAllStmt", plain<A::kAlterOther>},
      {"CommentStmt", plain<A::kAlterOther>},
      {"SecLabelStmt", plain<A::kAlterOther>},
      {"ReassignOwnedStmt", plain<A::kAlterOther>},
      {"VariableSetStmt", plain<A::kSession>},
      {"VariableShowStmt", plain<A::kSession>},
      {"LockStmt", plain<A::kSession>},
      {"ListenStmt", plain<A::kSession>},
      {"UnlistenStmt", plain<A::kSession>},
      {"NotifyStmt", plain<A::kSession>},
      {"DiscardStmt", read_discard},
      {"LoadStmt", plain<A::kSession>},
      {"ConstraintsSetStmt", plain<A::kSession>},
      {"PrepareStmt", plain<A::kSession>},
      {"DeallocateStmt", plain<A::kSession>},
      {"DeclareCursorStmt", plain<A::kSession>},
      {"FetchStmt", plain<A::kSession>},
      {"ClosePortalStmt", plain<A::kSession>},
  };
  return kReaders;
}

void read_statement(const json::object& statement, Meaning& meaning) {
  if (statement.empty()) {
    meaning.actions.push_back(act(ActionKind::kUnknown, {}, "holds no statement"));
    return;
  }
  const auto found = readers().find(std::string_view(statement.begin()->key()));
  if (found == readers().end()) {
    meaning.actions.push_back(act(ActionKind::kUnknown, {}, "is a kind of statement that is not classified"));
    return;
  }
  found->second(object_of(statement.begin()->value()), meaning);
}

}  // namespace

Meaning read_postgres(std::string_view statement) {
  Meaning meaning;
  auto tree = parse_postgres(statement);
  if (!tree) {
    // Transaction control must be seen even where the rest of the statement is not understood: a COMMIT would end the
    // transaction that guards the step.
    Lexer lexer(Dialect::kPostgres, statement);
    const Lexeme first = lexer.next_visible().value_or(Lexeme{});
    if (first.is("COMMIT") || first.is("END") || first.is("ROLLBACK") || first.is("ABORT") || first.is("BEGIN") ||
        first.is("START")) {
      meaning.actions.push_back(act(ActionKind::kCommit, {}, std::string(first.text)));
      return meaning;
    }
    meaning.stopped_at = tree.error().position;
    meaning.actions.push_back(act(ActionKind::kUnknown, {},
                                  tree.error().why == NotParsed::Why::kSyntax
                                      ? "is not understood by PostgreSQL 15's grammar (" + tree.error().message +
                                            "): mend it, unless it is newer syntax"
                                      : tree.error().message));
    return meaning;
  }
  read_statement(object_of(*tree), meaning);
  if (meaning.actions.empty()) meaning.actions.push_back(act(ActionKind::kAlterOther));
  return meaning;
}

}  // namespace syzygy
