#include "migration/plan/footprint.h"

#include <algorithm>
#include <utility>

#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

bool is_routine_or_type(ObjectKind kind) {
  return kind == ObjectKind::kType || kind == ObjectKind::kDomain || kind == ObjectKind::kFunction;
}

bool changes(ActionKind kind) {
  switch (kind) {
    case ActionKind::kInsert:
    case ActionKind::kUpdate:
    case ActionKind::kDelete:
    case ActionKind::kTruncate:
    case ActionKind::kSelect:
    case ActionKind::kSession:
    case ActionKind::kMaintenance:
    case ActionKind::kReindex:
      return false;
    default:
      return true;
  }
}

// What cannot be followed by names.
std::string why_opaque(const Action& action) {
  if (action.kind == ActionKind::kOpaque || action.kind == ActionKind::kUnknown) return action.note;
  switch (action.object.kind) {
    case ObjectKind::kExtension:
    case ObjectKind::kSchema:
    case ObjectKind::kRole:
    case ObjectKind::kOther:
      if (!changes(action.kind)) return "";
      return "concerns " + describe(action.object) + ", and what needs it cannot be told from names";
    default:
      return "";
  }
}

void add_once(std::vector<ObjectName>& names, const ObjectName& name) {
  if (!name.name.empty() && std::ranges::find(names, name) == names.end()) names.push_back(name);
}

void add(Footprint& footprint, const Action& action) {
  if (action.temporary) return;
  if (footprint.opaque.empty()) footprint.opaque = why_opaque(action);
  for (const ObjectName* name : {&action.object, &action.on, &action.other}) {
    if (is_routine_or_type(name->kind)) {
      add_once(footprint.uses, *name);
      if (name == &action.object && changes(action.kind)) add_once(footprint.changes, *name);
    } else if (name->kind != ObjectKind::kTrigger && name->kind != ObjectKind::kPolicy &&
               name->kind != ObjectKind::kRule) {
      add_once(footprint.names, *name);  // those three belong to their table, which is named beside them
    }
  }
  if (action.kind == ActionKind::kRename && action.part.empty() && !action.new_name.empty()) {
    const ObjectName renamed{action.object.kind, action.object.schema, action.new_name};
    add_once(is_routine_or_type(renamed.kind) ? footprint.changes : footprint.names, renamed);
  }
  for (const Action& part : action.parts) add(footprint, part);
}

bool same_schema(const ObjectName& a, const ObjectName& b) {
  return a.schema == b.schema || a.schema.empty() || b.schema.empty();
}

}  // namespace

Footprint footprint_of(Dialect dialect, const std::vector<Statement>& statements,
                       const std::vector<Meaning>& meanings) {
  Footprint footprint;
  for (std::size_t i = 0; i < meanings.size(); ++i) {
    for (const Action& action : meanings[i].actions) add(footprint, action);
    for (const ObjectName& name : meanings[i].names) {
      add_once(is_routine_or_type(name.kind) ? footprint.uses : footprint.names, name);
    }
    if (dialect != Dialect::kSqlite) continue;
    // Its statements are read from tokens, not from a tree: any word may be a table's name.
    Lexer lexer(dialect, statements[i].text);
    while (const auto token = lexer.next_visible()) {
      if (token->kind != LexemeKind::kWord && token->kind != LexemeKind::kQuotedName) continue;
      add_once(footprint.uses, {ObjectKind::kNone, "", name_of(dialect, *token)});
    }
  }
  if (dialect == Dialect::kSqlite) footprint.changes = footprint.names;
  return footprint;
}

void Footprints::add(std::size_t number, const Footprint& footprint) {
  order_.emplace(number, order_.size());
  if (!any_) any_ = number;
  if (!footprint.opaque.empty()) opaque_.emplace_back(number, footprint.opaque);
  for (const ObjectName& name : footprint.names) names_[name.name].push_back({number, name});
  for (const ObjectName& name : footprint.uses) uses_[name.name].push_back({number, name});
  for (const ObjectName& name : footprint.changes) changes_[name.name].push_back({number, name});
}

void Footprints::look(const ByName& among, const std::vector<ObjectName>& names, const std::string& how,
                      std::optional<Tie>& best, const std::map<std::size_t, std::size_t>& order) {
  for (const ObjectName& name : names) {
    const auto found = among.find(name.name);
    if (found == among.end()) continue;
    for (const Entry& entry : found->second) {
      if (!same_schema(entry.name, name)) continue;
      if (!best || order.at(entry.number) < order.at(best->number)) {
        best = Tie{entry.number, how + describe(entry.name.kind == ObjectKind::kNone ? name : entry.name)};
      }
      break;
    }
  }
}

std::optional<Footprints::Tie> Footprints::find(const Footprint& footprint) const {
  std::optional<Tie> best;
  look(names_, footprint.names, "both name ", best, order_);
  look(changes_, footprint.uses, "both name ", best, order_);
  look(uses_, footprint.changes, "both name ", best, order_);
  const auto earlier = [&](std::size_t number) { return !best || order_.at(number) < order_.at(best->number); };
  if (!opaque_.empty() && earlier(opaque_.front().first)) {
    best = Tie{opaque_.front().first, "the earlier one " + opaque_.front().second};
  }
  if (!footprint.opaque.empty() && any_ && earlier(*any_)) best = Tie{*any_, "the later one " + footprint.opaque};
  return best;
}

}  // namespace syzygy
