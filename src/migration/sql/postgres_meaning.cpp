// Reads libpg_query's tree: one small function per kind of statement, found by name in kReaders at the end.
#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <map>
#include <optional>
#include <string>

#include "migration/sql/builtins.h"
#include "migration/sql/lexer.h"
#include "migration/sql/newer_syntax.h"
#include "migration/sql/postgres_parser.h"
#include "migration/sql/readers.h"
#include "migration/sql/statements.h"

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
template <class Visit>
void walk(const json::object& root, const Visit& visit) {
  struct Pending {
    const json::object* node;
    const json::array* items;
  };
  std::vector<Pending> pending{{&root, nullptr}};
  const auto push = [&](std::string_view key, const json::value& value) {
    if (value.is_array()) pending.push_back({nullptr, &value.get_array()});
    if (value.is_object() && visit(key, value.get_object())) pending.push_back({&value.get_object(), nullptr});
  };
  while (!pending.empty()) {
    const Pending here = pending.back();
    pending.pop_back();
    if (here.node != nullptr) {
      for (const auto& [key, value] : *here.node) push(key, value);
    } else {
      for (const auto& value : *here.items) push("", value);
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

// Of the name of a function: one that PostgreSQL looks for among its own first.
bool is_builtin(const json::array& names) {
  return names.size() == 1 || (names.size() == 2 && string_of(names.front()) == "pg_catalog");
}

// What a value depends on. Casts of constants are constants; of the functions only PostgreSQL's own are known.
DefaultKind default_kind(const json::object& expression) {
  if (expression.empty()) return DefaultKind::kNone;
  DefaultKind kind = DefaultKind::kConstant;
  const auto raise = [&](DefaultKind to) { kind = std::max(kind, to); };
  const auto look = [&](std::string_view key, const json::object& found) {
    if (key == "SubLink") raise(DefaultKind::kFunction);
    if (key == "SQLValueFunction") raise(DefaultKind::kStable);
    if (key == "FuncCall") {
      const json::array& names = list(found, "funcname");
      const auto known = names.empty() ? std::nullopt : volatility_of(string_of(names.back()));
      // Those of an extension stand in whatever schema it was put into.
      const bool theirs = is_builtin(names) || known == Volatility::kVolatile;
      raise(!known || !theirs                ? DefaultKind::kFunction
            : known == Volatility::kVolatile ? DefaultKind::kVolatile
            : known == Volatility::kStable   ? DefaultKind::kStable
                                             : DefaultKind::kConstant);
    }
    return true;
  };
  walk(expression, look);
  return kind;
}

bool is_serial(std::string_view type) {
  static constexpr std::array kSerials = {"serial", "bigserial", "smallserial", "serial4", "serial8", "serial2"};
  return std::ranges::find(kSerials, type) != kSerials.end();
}

std::vector<std::string> strings(const json::array& items) {
  std::vector<std::string> found;
  found.reserve(items.size());
  for (const auto& item : items) found.push_back(string_of(item));
  return found;
}

// The column of "c IS NOT NULL", where that is the whole expression.
std::string not_null_column(const json::object& expression) {
  const auto& test = child(expression, "NullTest");
  if (text(test, "nulltesttype") != "IS_NOT_NULL") return {};
  const json::array& fields = list(child(child(test, "arg"), "ColumnRef"), "fields");
  return fields.empty() ? std::string() : string_of(fields.back());
}

std::string collation_of(const json::object& column) {
  const json::array& names = list(child(column, "collClause"), "collname");
  return names.empty() ? std::string() : string_of(names.back());
}

Action added_column(const ObjectName& table, const json::object& column) {
  Action action = act(ActionKind::kAddColumn, table);
  action.part = text(column, "colname");
  action.type = type_name(child(column, "typeName"));
  action.collation = collation_of(column);
  action.columns.push_back(action.part);
  if (is_serial(action.type)) action.serial = action.not_null = action.fills_itself = true;
  for (const auto& item : list(column, "constraints")) {
    const auto& constraint = inside(item, "Constraint");
    const std::string type = text(constraint, "contype");
    if (type == "CONSTR_NOTNULL") action.not_null = true;
    if (type == "CONSTR_IDENTITY") action.identity = action.not_null = action.fills_itself = true;
    if (type == "CONSTR_GENERATED") action.generated = action.fills_itself = true;
    if (type == "CONSTR_DEFAULT" && !is_null_constant(child(constraint, "raw_expr"))) {
      action.fills_itself = true;
      action.default_kind = default_kind(child(constraint, "raw_expr"));
      action.constant_default = action.default_kind == DefaultKind::kConstant;
    }
    if (const auto kind = constraint_kind(type); kind != ConstraintKind::kNone) {
      if (kind == ConstraintKind::kPrimaryKey) action.not_null = true;
      if (kind == ConstraintKind::kForeignKey) action.other = relation(child(constraint, "pktable"));
      // Uniqueness matters most: with it a constant default fails at the second row.
      if (action.constraint == ConstraintKind::kNone || kind == ConstraintKind::kPrimaryKey ||
          kind == ConstraintKind::kUnique) {
        action.constraint = kind;
      }
    }
  }
  return action;
}

// The columns that a CHECK names, and whether it holds where all of them are NULL: where every operator in it gives
// NULL for a NULL.
void read_check(const json::object& expression, Action& action) {
  static constexpr std::array kSeesNull = {"NullTest",    "CoalesceExpr",    "FuncCall",   "CaseExpr",
                                           "SubLink",     "BooleanTest",     "MinMaxExpr", "RowExpr",
                                           "A_ArrayExpr", "SQLValueFunction"};
  action.only_not_null = not_null_column(expression);
  action.null_passes = true;
  walk(expression, [&](std::string_view key, const json::object& found) {
    if (std::ranges::find(kSeesNull, key) != kSeesNull.end()) action.null_passes = false;
    if (const std::string kind = text(found, "kind"); kind == "AEXPR_DISTINCT" || kind == "AEXPR_NOT_DISTINCT") {
      action.null_passes = false;
    }
    if (key != "ColumnRef") return true;
    const json::array& fields = list(found, "fields");
    std::string column = fields.empty() ? std::string() : string_of(fields.back());
    if (std::ranges::find(action.columns, column) == action.columns.end()) action.columns.push_back(std::move(column));
    return false;
  });
}

Action added_constraint(const ObjectName& object, const json::object& constraint) {
  Action action = act(ActionKind::kAddConstraint, object);
  action.part = text(constraint, "conname");
  action.constraint = constraint_kind(text(constraint, "contype"));
  action.not_valid = flag(constraint, "skip_validation");
  action.using_index = text(constraint, "indexname");
  action.columns = strings(list(constraint, action.constraint == ConstraintKind::kForeignKey ? "fk_attrs" : "keys"));
  if (action.constraint == ConstraintKind::kForeignKey) {
    action.other = relation(child(constraint, "pktable"));
    action.null_passes = text(constraint, "fk_matchtype") != "f";  // MATCH FULL wants all or none
  }
  if (action.constraint == ConstraintKind::kUnique) action.null_passes = !flag(constraint, "nulls_not_distinct");
  if (action.constraint == ConstraintKind::kCheck) read_check(child(constraint, "raw_expr"), action);
  if (action.constraint == ConstraintKind::kExclude) {
    for (const auto& pair : list(constraint, "exclusions")) {
      const json::array& items = list(inside(pair, "List"), "items");
      action.columns.push_back(items.empty() ? std::string() : text(inside(items.front(), "IndexElem"), "name"));
    }
  }
  return action;
}

// --- ALTER TABLE -----------------------------------------------------------------------------------------------------

Action alter_command(const ObjectName& object, const json::object& command, Meaning& meaning) {
  const std::string type = text(command, "subtype");
  const auto& definition = child(command, "def");
  const auto named = [&](ActionKind kind, std::string note = {}) {
    Action action = act(kind, object, std::move(note));
    action.part = text(command, "name");
    action.if_exists = flag(command, "missing_ok");
    action.cascade = text(command, "behavior") == "DROP_CASCADE";
    return action;
  };
  if (type == "AT_AddColumn") {
    Action action = added_column(object, child(definition, "ColumnDef"));
    action.if_exists = flag(command, "missing_ok");
    return action;
  }
  if (type == "AT_DropColumn") return named(ActionKind::kDropColumn);
  if (type == "AT_SetNotNull") return named(ActionKind::kSetNotNull);
  if (type == "AT_DropNotNull") return named(ActionKind::kDropNotNull);
  if (type == "AT_ColumnDefault") {
    const bool sets = !definition.empty() && !is_null_constant(definition);
    Action action = named(sets ? ActionKind::kSetDefault : ActionKind::kDropDefault);
    if (sets) action.default_kind = default_kind(definition);
    return action;
  }
  if (type == "AT_AddIdentity") {
    Action action = named(ActionKind::kSetDefault, "makes it an identity column");
    action.identity = true;
    return action;
  }
  if (type == "AT_DropIdentity") return named(ActionKind::kDropDefault, "its identity");
  if (type == "AT_DropExpression") return named(ActionKind::kDropDefault, "its generated expression");
  if (type == "AT_AlterColumnType") {
    Action action = named(ActionKind::kAlterColumnType);
    action.type = type_name(child(child(definition, "ColumnDef"), "typeName"));
    action.converts = child(definition, "ColumnDef").contains("raw_default");
    action.collation = collation_of(child(definition, "ColumnDef"));
    return action;
  }
  if (type == "AT_AddConstraint") return added_constraint(object, child(definition, "Constraint"));
  if (type == "AT_DropConstraint") return named(ActionKind::kDropConstraint);
  if (type == "AT_ValidateConstraint") return named(ActionKind::kValidateConstraint);
  if (type == "AT_AttachPartition" || type == "AT_AddInherit") {
    Action action = named(ActionKind::kAttachPartition, type == "AT_AddInherit" ? "INHERIT" : "");
    action.other = relation(type == "AT_AddInherit" ? child(definition, "RangeVar")
                                                    : child(child(definition, "PartitionCmd"), "name"));
    return action;
  }
  if (type == "AT_DetachPartition" || type == "AT_DetachPartitionFinalize" || type == "AT_DropInherit") {
    Action action = named(ActionKind::kDetachPartition);
    const auto& partition = child(child(definition, "PartitionCmd"), "name");
    action.part = text(partition, "relname");
    action.other = relation(type == "AT_DropInherit" ? child(definition, "RangeVar") : partition);
    if (type == "AT_DropInherit") action.note = "NO INHERIT";
    if (type == "AT_DetachPartitionFinalize") action.note = "FINALIZE";
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
  static const std::map<std::string_view, const char*> kOthers = {{"AT_SetTableSpace", "SET TABLESPACE"},
                                                                  {"AT_SetLogged", "SET LOGGED"},
                                                                  {"AT_SetUnLogged", "SET UNLOGGED"},
                                                                  {"AT_SetAccessMethod", "SET ACCESS METHOD"},
                                                                  {"AT_ClusterOn", "CLUSTER ON"},
                                                                  {"AT_ReplicaIdentity", "REPLICA IDENTITY"},
                                                                  {"AT_SetRelOptions", "SET options"},
                                                                  {"AT_ResetRelOptions", "RESET options"},
                                                                  {"AT_SetStatistics", "SET STATISTICS"},
                                                                  {"AT_SetStorage", "SET STORAGE"},
                                                                  {"AT_ChangeOwner", "OWNER"},
                                                                  {"AT_SetCompression", "SET COMPRESSION"},
                                                                  {"AT_AlterConstraint", "ALTER CONSTRAINT"}};
  const auto other = kOthers.find(type);
  return named(ActionKind::kAlterOther, other != kOthers.end() ? other->second : "");
}

void read_alter_table(const json::object& node, Meaning& meaning) {
  const ObjectName object = relation(child(node, "relation"), kind_of(text(node, "objtype")));
  for (const auto& item : list(node, "cmds")) {
    meaning.actions.push_back(alter_command(object, inside(item, "AlterTableCmd"), meaning));
    meaning.actions.back().position = meaning.actions.size() - 1;
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
  action.if_exists = flag(node, "skipIfNewValExists");
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
  action.if_exists = flag(node, "if_not_exists");
  std::size_t position = 0;
  const auto add = [&](Action part) {
    part.position = position;
    action.parts.push_back(std::move(part));
  };
  for (const auto& element : list(node, "tableElts")) {
    if (const auto& column = inside(element, "ColumnDef"); !column.empty()) {
      add(added_column(action.object, column));
      for (const auto& item : list(column, "constraints")) {
        Action constraint = added_constraint(action.object, inside(item, "Constraint"));
        if (constraint.constraint == ConstraintKind::kNone) continue;
        constraint.columns = {text(column, "colname")};
        add(std::move(constraint));
      }
    }
    if (const auto& constraint = inside(element, "Constraint"); !constraint.empty()) {
      add(added_constraint(action.object, constraint));
    }
    if (const auto& like = inside(element, "TableLikeClause"); !like.empty()) {
      action.other = relation(child(like, "relation"));
      action.note = "LIKE";
    }
    ++position;
  }
  if (const json::array& parents = list(node, "inhRelations"); !parents.empty()) {
    action.other = relation(inside(parents.front(), "RangeVar"));
    action.note = node.contains("partbound") ? "PARTITION OF" : "INHERITS";
  }
  if (node.contains("partspec")) action.new_name = "PARTITION BY";
  meaning.actions.push_back(std::move(action));
}

void read_create_foreign_table(const json::object& node, Meaning& meaning) {
  read_create_table(child(node, "base"), meaning);
}

void read_create_table_as(const json::object& node, Meaning& meaning) {
  const auto& target = child(child(node, "into"), "rel");
  Action action = act(ActionKind::kCreate, relation(target, kind_of(text(node, "objtype"))));
  action.temporary = is_temporary(target);
  action.if_exists = flag(node, "if_not_exists");
  action.note = "AS";
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
  action.if_exists = flag(node, "if_not_exists");
  if (flag(node, "unique")) {
    action.constraint = ConstraintKind::kUnique;
    action.null_passes = !flag(node, "nulls_not_distinct");
  }
  for (const auto& element : list(node, "indexParams")) {
    action.columns.push_back(text(inside(element, "IndexElem"), "name"));
  }
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

// What tells functions of one name apart: what they take.
std::string signature(const std::vector<std::string>& types) {
  std::string all;
  for (const std::string& type : types) all += (all.empty() ? "" : ",") + type;
  return "(" + all + ")";
}

void read_function(const json::object& node, Meaning& meaning) {
  Action action = act(flag(node, "replace") ? ActionKind::kReplace : ActionKind::kCreate,
                      qualified(list(node, "funcname"), ObjectKind::kFunction));
  std::vector<std::string> types;
  for (const auto& item : list(node, "parameters")) {
    const auto& parameter = inside(item, "FunctionParameter");
    const std::string mode = text(parameter, "mode");
    if (mode != "FUNC_PARAM_OUT" && mode != "FUNC_PARAM_TABLE") types.push_back(type_name(child(parameter, "argType")));
  }
  action.type = signature(types);
  if (type_name(child(node, "returnType")) == "trigger") action.note = kTriggerFunction;
  meaning.actions.push_back(std::move(action));
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
      const auto& routine = child(entry, "ObjectWithArgs");
      action.object = qualified(list(routine, "objname"), kind);
      std::vector<std::string> types;
      for (const auto& taken : list(routine, "objargs")) types.push_back(type_name(inside(taken, "TypeName")));
      if (kind == ObjectKind::kFunction && !flag(routine, "args_unspecified")) action.type = signature(types);
    } else if (entry.contains("TypeName")) {
      action.object = qualified(list(child(entry, "TypeName"), "names"), kind);
    } else if (entry.contains("String")) {
      action.object = {kind, "", string_of(item)};
    } else {
      action.object = qualified(list(child(entry, "List"), "items"), kind);
    }
    if (kind == ObjectKind::kOther) action.note = spoken(type);
    action.concurrently = flag(node, "concurrent");
    action.if_exists = flag(node, "missing_ok");
    action.cascade = text(node, "behavior") == "DROP_CASCADE";
    action.position = meaning.actions.size();
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
  const json::array& names = list(call, "funcname");
  return is_builtin(names) && volatility_of(string_of(names.back())).has_value();
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
    meaning.actions.push_back(act(ActionKind::kOpaque, {ObjectKind::kFunction, "", unknown_function},
                                  "calls the function " + unknown_function + ", and what it does cannot be told"));
  }
}

template <ActionKind kind>
void read_change(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(kind, relation(child(node, "relation"))));
  meaning.actions.back().whole_table = (kind == ActionKind::kUpdate || kind == ActionKind::kDelete) &&
                                       !node.contains("whereClause") && !node.contains("fromClause") &&
                                       !node.contains("usingClause") && !node.contains("joinCondition");
  if (kind == ActionKind::kUpdate) {
    for (const auto& target : list(node, "targetList")) {
      meaning.actions.back().columns.push_back(text(inside(target, "ResTarget"), "name"));
    }
  }
  walk(node, [&](std::string_view key, const json::object& found) {
    if (key == "InsertStmt") meaning.actions.push_back(act(ActionKind::kInsert, relation(child(found, "relation"))));
    if (key == "UpdateStmt") meaning.actions.push_back(act(ActionKind::kUpdate, relation(child(found, "relation"))));
    if (key == "DeleteStmt") meaning.actions.push_back(act(ActionKind::kDelete, relation(child(found, "relation"))));
    return true;
  });
}

void read_truncate(const json::object& node, Meaning& meaning) {
  for (const auto& item : list(node, "relations")) {
    Action action = act(ActionKind::kTruncate, relation(inside(item, "RangeVar")));
    action.cascade = text(node, "behavior") == "DROP_CASCADE";
    action.position = meaning.actions.size();
    meaning.actions.push_back(std::move(action));
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
  const bool full = has_option(list(node, "options"), "full");
  for (const auto& item : list(node, "rels")) {
    meaning.actions.push_back(act(ActionKind::kMaintenance, relation(child(inside(item, "VacuumRelation"), "relation")),
                                  full ? "VACUUM FULL" : ""));
  }
  if (meaning.actions.empty()) {
    meaning.actions.push_back(act(ActionKind::kMaintenance, {}, full ? "VACUUM FULL" : ""));
  }
  if (flag(node, "is_vacuumcmd")) refused_in_transaction(meaning, "VACUUM");
}

void read_cluster(const json::object& node, Meaning& meaning) {
  meaning.actions.push_back(act(ActionKind::kMaintenance, relation(child(node, "relation")), "CLUSTER"));
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
  const Action made = act(grants ? ActionKind::kGrant : ActionKind::kRestrict, {}, grants ? "" : "revokes rights");
  if (text(node, "targtype") == "ACL_TARGET_OBJECT") {
    for (const auto& item : list(node, "objects")) {
      const auto& entry = object_of(item);
      Action action = made;
      if (entry.contains("RangeVar")) {
        action.on = relation(child(entry, "RangeVar"));
      } else if (entry.contains("ObjectWithArgs")) {
        action.on = qualified(list(child(entry, "ObjectWithArgs"), "objname"), ObjectKind::kFunction);
      }
      meaning.actions.push_back(std::move(action));
    }
  }
  if (meaning.actions.empty()) meaning.actions.push_back(made);
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
  Action action = act(ActionKind::kCreate, qualified(list(node, "domainname"), ObjectKind::kDomain));
  for (const auto& item : list(node, "constraints")) {
    const auto& constraint = inside(item, "Constraint");
    const std::string type = text(constraint, "contype");
    if (type == "CONSTR_CHECK") action.parts.push_back(added_constraint(action.object, constraint));
    if (type == "CONSTR_NOTNULL") action.parts.push_back(act(ActionKind::kSetNotNull, action.object));
  }
  meaning.actions.push_back(std::move(action));
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

void read_refresh(const json::object& node, Meaning& meaning) {
  Action action = act(ActionKind::kMaintenance, relation(child(node, "relation"), ObjectKind::kMaterializedView),
                      "REFRESH MATERIALIZED VIEW");
  action.concurrently = flag(node, "concurrent");
  meaning.actions.push_back(std::move(action));
}

void read_set(const json::object& node, Meaning& meaning) {
  Action action = act(ActionKind::kSession, {}, text(node, "name"));
  for (const auto& argument : list(node, "args")) {
    const auto& constant = inside(argument, "A_Const");
    const auto* number = child(constant, "ival").if_contains("ival");
    action.new_name = number != nullptr && number->is_int64() ? std::to_string(number->get_int64())
                                                              : text(child(constant, "sval"), "sval");
    if (constant.contains("ival") && action.new_name.empty()) action.new_name = "0";
  }
  meaning.actions.push_back(std::move(action));
}

void read_lock(const json::object& node, Meaning& meaning) {
  static constexpr std::array kModes = {
      "",      "ACCESS SHARE",        "ROW SHARE", "ROW EXCLUSIVE",   "SHARE UPDATE EXCLUSIVE",
      "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"};
  const auto* mode = node.if_contains("mode");
  const auto number = mode != nullptr && mode->is_int64() ? static_cast<std::size_t>(mode->get_int64()) : 0;
  for (const auto& item : list(node, "relations")) {
    Action action = act(ActionKind::kSession, relation(inside(item, "RangeVar")), "LOCK");
    action.new_name = number < kModes.size() ? kModes[number] : "";
    action.position = meaning.actions.size();
    meaning.actions.push_back(std::move(action));
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
  ObjectName procedure = qualified(list(child(node, "funccall"), "funcname"), ObjectKind::kFunction);
  const std::string name = procedure.name;
  meaning.actions.push_back(act(ActionKind::kOpaque, name.empty() ? ObjectName{} : std::move(procedure),
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

void read_drop_owned(const json::object& node, Meaning& meaning) {
  for (const auto& role : list(node, "roles")) {
    Action action = act(ActionKind::kDrop, {ObjectKind::kOther, "", text(inside(role, "RoleSpec"), "rolename")},
                        "everything owned by");
    if (action.object.name.empty()) action.object.name = "the current role";
    action.cascade = text(node, "behavior") == "DROP_CASCADE";
    action.position = meaning.actions.size();
    meaning.actions.push_back(std::move(action));
  }
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
      {"DropOwnedStmt", read_drop_owned},
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
      {"RefreshMatViewStmt", read_refresh},
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
      {"VariableSetStmt", read_set},
      {"VariableShowStmt", plain<A::kSession>},
      {"LockStmt", read_lock},
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

// --- bodies: DO, CREATE FUNCTION -------------------------------------------------------------------------------------

constexpr int kBodyDepthMax = 4;

Meaning read_nested(std::string_view statement, int depth);

// What a body may do: the actions of the statements in it, whichever branch they stand in.
class Body {
 public:
  // `depth` is how many bodies this one stands in: EXECUTE can hold another DO.
  explicit Body(int depth) : depth_(depth) {}

  std::vector<Action> actions;
  std::vector<ObjectName> names;
  std::string opaque;  // why it cannot be told; empty: it can
  bool frees_session_locks = false;
  bool ends_transaction = false;  // COMMIT, ROLLBACK

  // A list of statements.
  void sql(std::string_view body, std::size_t line = 0) {
    const auto statements = split_statements(Dialect::kPostgres, body, "");
    if (!statements) return hide("a block of code that is not understood");
    for (const Statement& statement : *statements) read(statement.text, line);
  }

  // A tree of PL/pgSQL's parser, in the order written. Its depth is bounded by kParseDepthMax.
  void plpgsql(const json::value& node, std::size_t line = 0) {
    if (node.is_array()) {
      for (const auto& item : node.get_array()) plpgsql(item, line);
    }
    if (!node.is_object()) return;
    for (const auto& [key, value] : node.get_object()) {
      const auto& inner = object_of(value);
      if (const auto* number = inner.if_contains("lineno"); number != nullptr && number->is_int64()) {
        line = static_cast<std::size_t>(number->get_int64());
      }
      const std::string_view kind = key;
      if (kind == "PLpgSQL_stmt_dynexecute" || kind == "PLpgSQL_stmt_dynfors") {
        dynamic(text(child(child(inner, "query"), "PLpgSQL_expr"), "query"), line);
        plpgsql_of(inner, "body", line);
      } else if (kind == "PLpgSQL_stmt_execsql" || kind == "PLpgSQL_stmt_call") {
        const bool call = kind.ends_with("call");
        read(text(child(child(inner, call ? "expr" : "sqlstmt"), "PLpgSQL_expr"), "query"), line);
      } else if (kind == "PLpgSQL_stmt_commit" || kind == "PLpgSQL_stmt_rollback") {
        ends_transaction = true;
      } else if (kind == "dynquery") {  // RETURN QUERY EXECUTE, OPEN ... FOR EXECUTE
        dynamic(text(child(inner, "PLpgSQL_expr"), "query"), line);
      } else if (kind == "PLpgSQL_expr") {
        expression(text(inner, "query"), line);
      } else {
        plpgsql(value, line);
      }
    }
  }

 private:
  void plpgsql_of(const json::object& node, std::string_view key, std::size_t line) {
    if (const auto* value = node.if_contains(key)) plpgsql(*value, line);
  }

  void hide(std::string why) {
    if (opaque.empty()) opaque = std::move(why);
  }

  void dynamic(const std::string& query, std::size_t line) {
    json::monotonic_resource pool;
    const auto tree = parse_postgres("SELECT " + query, &pool);
    const json::array& targets = tree ? list(child(object_of(*tree), "SelectStmt"), "targetList") : kNone;
    const auto value =
        targets.size() == 1 ? constant_text(child(inside(targets.front(), "ResTarget"), "val")) : std::nullopt;
    if (!value) return hide("a block of code that builds its statements (EXECUTE)");
    sql(*value, line);
  }

  // 'a', 'a'::text, 'a' || 'b'. Its depth is bounded by kParseDepthMax.
  static std::optional<std::string> constant_text(const json::object& expression) {
    if (const auto& constant = child(child(expression, "A_Const"), "sval"); !constant.empty()) {
      return text(constant, "sval");
    }
    if (const auto& cast = child(expression, "TypeCast"); !cast.empty()) {
      const std::string type = type_name(child(cast, "typeName"));
      return type == "text" || type == "varchar" ? constant_text(child(cast, "arg")) : std::nullopt;
    }
    const auto& joined = child(expression, "A_Expr");
    const json::array& names = list(joined, "name");
    if (text(joined, "kind") != "AEXPR_OP" || names.size() != 1 || string_of(names.front()) != "||") {
      return std::nullopt;
    }
    auto left = constant_text(child(joined, "lexpr"));
    const auto right = left ? constant_text(child(joined, "rexpr")) : std::nullopt;
    if (!right) return std::nullopt;
    *left += *right;
    return left;
  }

  // A condition, an assigned value, what RAISE shows: only what it calls matters.
  void expression(const std::string& query, std::size_t line) {
    const auto assigns = query.find(":=");
    const std::string value = assigns == std::string::npos ? query : query.substr(assigns + 2);
    const auto is_query = [&] {
      Lexer lexer(Dialect::kPostgres, value);
      const Lexeme first = lexer.next_visible().value_or(Lexeme{});
      return first.is("SELECT") || first.is("WITH") || first.is("VALUES") || first.is("INSERT") || first.is("UPDATE") ||
             first.is("DELETE");
    };
    Meaning found = read_nested(is_query() ? value : "SELECT " + value, depth_ + 1);
    // "x = expression" reads as a comparison, which calls the same functions. What is no expression changes nothing.
    if (found.actions.front().kind != ActionKind::kUnknown) take(std::move(found), line);
  }

  void read(std::string_view statement, std::size_t line) {
    Meaning found = read_nested(statement, depth_ + 1);
    if (found.actions.front().kind == ActionKind::kUnknown) {
      return hide("a block of code with a statement that is not understood");
    }
    take(std::move(found), line);
  }

  void take(Meaning found, std::size_t line) {
    frees_session_locks = frees_session_locks || found.frees_session_locks;
    for (Action& action : found.actions) {
      if (action.kind == ActionKind::kSelect) continue;
      action.position = line;
      actions.push_back(std::move(action));
    }
    names.insert(names.end(), std::make_move_iterator(found.names.begin()), std::make_move_iterator(found.names.end()));
  }

  int depth_;
};

std::string option_text(const json::array& options, std::string_view name, std::size_t index = 0) {
  for (const auto& option : options) {
    const auto& element = inside(option, "DefElem");
    if (text(element, "defname") != name) continue;
    const auto& argument = child(element, "arg");
    if (argument.contains("String")) return text(child(argument, "String"), "sval");
    const json::array& items = list(child(argument, "List"), "items");
    return index < items.size() ? string_of(items[index]) : std::string();
  }
  return {};
}

// A DO block is judged by what it may do, and a function remembers what its body does, for who calls it.
void look_into_body(const json::object& tree, std::string_view statement, Meaning& meaning, int depth) {
  const bool is_do = tree.contains("DoStmt");
  if (!is_do && !tree.contains("CreateFunctionStmt")) return;
  const auto& node = child(tree, is_do ? "DoStmt" : "CreateFunctionStmt");
  const json::array& options = list(node, is_do ? "args" : "options");
  std::string language = option_text(options, "language");
  if (language.empty() && is_do) language = "plpgsql";
  Body body(depth);
  if (depth > kBodyDepthMax) {
    body.opaque = "a block of code within too many others";
  } else if (language == "plpgsql") {
    json::monotonic_resource pool;
    if (const auto parsed = parse_plpgsql(statement, &pool)) {
      body.plpgsql(*parsed);
    } else {
      body.opaque = "a block of code that is not understood";
    }
  } else if (language == "sql") {
    body.sql(option_text(options, "as"));
  } else {
    body.opaque = "code in another language than SQL and PL/pgSQL";
  }
  if (!body.opaque.empty()) {
    body.actions.push_back(act(ActionKind::kOpaque, {}, "runs " + body.opaque + ", and what it does cannot be told"));
  }
  if (!is_do) {
    meaning.actions.back().parts = std::move(body.actions);
    return;
  }
  meaning.actions = std::move(body.actions);
  meaning.names = std::move(body.names);
  meaning.frees_session_locks = body.frees_session_locks;
  if (body.ends_transaction) refused_in_transaction(meaning, "a DO block that commits or rolls back");
  if (meaning.actions.empty()) meaning.actions.push_back(act(ActionKind::kSelect));
}

// --- names -----------------------------------------------------------------------------------------------------------

// What COMMENT ON is about: a relation, or the one whose column, constraint, trigger, policy or rule it is.
ObjectName commented(const json::object& comment) {
  const std::string type = text(comment, "objtype");
  const auto& object = child(comment, "object");
  if (const auto& routine = child(object, "ObjectWithArgs"); !routine.empty()) {
    return qualified(list(routine, "objname"), ObjectKind::kFunction);
  }
  json::array names = list(child(object, "List"), "items");
  const bool part = type == "OBJECT_COLUMN" || type == "OBJECT_TABCONSTRAINT" || type == "OBJECT_TRIGGER" ||
                    type == "OBJECT_POLICY" || type == "OBJECT_RULE";
  if (part && !names.empty()) names.pop_back();
  return qualified(names, part ? ObjectKind::kTable : kind_of(type));
}

void add_names(const json::object& tree, Meaning& meaning) {
  std::vector<std::string> here;  // what WITH names
  const auto add = [&](ObjectName name) {
    if (name.name.empty() || name.schema == "pg_catalog") return;
    if (std::ranges::find(meaning.names, name) == meaning.names.end()) meaning.names.push_back(std::move(name));
  };
  walk(tree, [&](std::string_view key, const json::object& found) {
    if (key == "CommonTableExpr") here.push_back(text(found, "ctename"));
    if (key == "CommentStmt") add(commented(found));
    if (key == "CreateTrigStmt" || key == "CreateEventTrigStmt") {
      add(qualified(list(found, "funcname"), ObjectKind::kFunction));
    }
    if (found.contains("relname")) {
      add(relation(found));
    } else if (key == "FuncCall" || key == "funccall") {
      add(qualified(list(found, "funcname"), ObjectKind::kFunction));
    } else if (key == "typeName" || key == "TypeName" || key == "returnType" || key == "argType") {
      const json::array& names = list(found, "names");
      if (names.size() != 2 || string_of(names.front()) != "pg_catalog") add(qualified(names, ObjectKind::kType));
    }
    return true;
  });
  for (const Action& action : meaning.actions) {
    add(action.object);
    add(action.on);
    add(action.other);
    if (!action.using_index.empty()) add({ObjectKind::kIndex, action.object.schema, action.using_index});
  }
  std::erase_if(meaning.names, [&](const ObjectName& name) {
    return name.schema.empty() && std::ranges::find(here, name.name) != here.end();
  });
}

Meaning read_nested(std::string_view statement, int depth) {
  Meaning meaning;
  // Trees are small and short-lived: most fit here, and none is freed node by node.
  std::array<unsigned char, 16 << 10> room;  // NOLINT(cppcoreguidelines-pro-type-member-init): written before read
  json::monotonic_resource pool(room.data(), room.size());
  const auto tree = parse_postgres(statement, &pool);
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
    const NotParsed& error = tree.error();
    meaning.stopped_at = error.position;
    if (error.why != NotParsed::Why::kSyntax) {
      meaning.actions.push_back(act(ActionKind::kUnknown, {}, error.message));
    } else if (const auto newer = newer_syntax(statement, error.position, error.message)) {
      const std::string since = "PostgreSQL " + std::to_string(newer->since);
      meaning.actions.push_back(act(ActionKind::kUnknown, {},
                                    "is judged by PostgreSQL 15's grammar, and looks like " + std::string(newer->what) +
                                        ", which came with " + since + " (" + error.message +
                                        "): nothing can be said of it"));
      meaning.actions.back().new_name = since;  // for the advice
    } else {
      meaning.actions.push_back(act(
          ActionKind::kUnknown, {},
          "is not understood by PostgreSQL 15's grammar (" + error.message + "): mend it, unless it is newer syntax"));
    }
    return meaning;
  }
  read_statement(object_of(*tree), meaning);
  look_into_body(object_of(*tree), statement, meaning, depth);
  if (meaning.actions.empty()) meaning.actions.push_back(act(ActionKind::kAlterOther));
  add_names(object_of(*tree), meaning);
  return meaning;
}

}  // namespace

Meaning read_postgres(std::string_view statement) { return read_nested(statement, 0); }

}  // namespace syzygy
