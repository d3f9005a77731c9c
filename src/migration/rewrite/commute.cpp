#include "migration/rewrite/commute.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "migration/plan/footprint.h"

namespace syzygy {
namespace {

bool same_object(const ObjectName& a, const ObjectName& b) {
  return a.name == b.name && (a.schema == b.schema || a.schema.empty() || b.schema.empty());
}

// What an action of a table looks at in it: its columns, and constraints and indexes by name. nullopt: more than that.
struct Parts {
  ObjectName table;
  std::vector<std::string> columns;
  std::vector<std::string> names;
};

std::optional<Parts> parts_of(const Action& action) {
  Parts parts{action.object, action.columns, {}};
  if (action.cascade) return std::nullopt;
  switch (action.kind) {
    case ActionKind::kAddColumn:
      if (action.generated || action.constraint != ConstraintKind::kNone) return std::nullopt;
      parts.columns = {action.part};
      return parts;
    case ActionKind::kDropColumn:
    case ActionKind::kSetNotNull:
    case ActionKind::kDropNotNull:
    case ActionKind::kSetDefault:
    case ActionKind::kDropDefault:
      parts.columns = {action.part};
      return parts;
    case ActionKind::kAddConstraint:
      if (parts.columns.empty() || action.part.empty()) return std::nullopt;
      parts.names = {action.part};
      return parts;
    case ActionKind::kDropConstraint:
    case ActionKind::kValidateConstraint:
      return std::nullopt;  // its columns are not known from here
    case ActionKind::kCreate:
      if (action.object.kind != ObjectKind::kIndex || action.columns.empty()) return std::nullopt;
      parts.table = action.on;
      parts.names = {action.object.name};
      return parts;
    default:
      return std::nullopt;
  }
}

bool meet(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  const auto unknown = [](const std::vector<std::string>& names) {
    return std::ranges::find(names, "") != names.end();
  };
  return unknown(a) || unknown(b) ||
         std::ranges::any_of(a, [&](const std::string& name) { return std::ranges::find(b, name) != b.end(); });
}

// Both are about parts of one table, and about different ones.
bool apart(const Moved& earlier, const Moved& later) {
  for (const Action& a : earlier.meaning.actions) {
    const auto one = parts_of(a);
    if (!one) return false;
    for (const Action& b : later.meaning.actions) {
      const auto other = parts_of(b);
      if (!other || !same_object(one->table, other->table)) return false;
      const bool named = !one->names.empty() && !other->names.empty();
      if (meet(one->columns, other->columns) || (named && meet(one->names, other->names))) return false;
    }
  }
  return true;
}

// What only forbids more, or no longer fills in: whatever the later statement does to the table, but taking it or its
// columns away, does the same without it.
bool only_tightens(const Action& action) {
  switch (action.kind) {
    case ActionKind::kDropDefault:
    case ActionKind::kSetNotNull:
    case ActionKind::kValidateConstraint:
      return true;
    case ActionKind::kAddConstraint:
      return action.constraint == ConstraintKind::kCheck || action.constraint == ConstraintKind::kForeignKey;
    default:
      return false;
  }
}

bool leaves_columns(const Action& action) {
  switch (action.kind) {
    case ActionKind::kCreate:
    case ActionKind::kAddColumn:
    case ActionKind::kAddConstraint:
    case ActionKind::kInsert:
    case ActionKind::kUpdate:
    case ActionKind::kDelete:
    case ActionKind::kTruncate:
    case ActionKind::kSelect:
    case ActionKind::kGrant:
    case ActionKind::kAlterOther:
    case ActionKind::kSession:
    case ActionKind::kMaintenance:
      return true;
    default:
      return false;
  }
}

// What takes indexes away that it does not name.
bool takes_indexes(const Action& action) {
  const bool drops_table = action.kind == ActionKind::kDrop && (action.object.kind == ObjectKind::kTable ||
                                                                action.object.kind == ObjectKind::kMaterializedView ||
                                                                action.object.kind == ObjectKind::kSchema);
  return drops_table || action.kind == ActionKind::kDropColumn;
}

bool drops_index(const Action& action) {
  return action.kind == ActionKind::kDrop && action.object.kind == ObjectKind::kIndex;
}

bool drops_view(const Action& action) {
  return action.kind == ActionKind::kDrop &&
         (action.object.kind == ObjectKind::kView || action.object.kind == ObjectKind::kMaterializedView);
}

// What PostgreSQL refuses while a view reads it.
bool is_held_by_views(const Action& action) {
  return action.kind == ActionKind::kAlterColumnType || action.kind == ActionKind::kDropColumn ||
         (action.kind == ActionKind::kDrop && !action.cascade &&
          (action.object.kind == ObjectKind::kTable || drops_view(action)));
}

}  // namespace

std::string why_in_order(Dialect dialect, const Moved& earlier, const Moved& later) {
  const auto footprint = [&](const Moved& moved) {
    return footprint_of(dialect, {Statement{.text = moved.sql, .offset = 0, .place = {}, .comments = {}}},
                        {moved.meaning});
  };
  // Whose index it is, a DROP INDEX does not say.
  if (std::ranges::any_of(earlier.meaning.actions, drops_index) &&
      std::ranges::any_of(later.meaning.actions, takes_indexes)) {
    return "the later one also drops the indexes of what it drops";
  }
  // Nor a DROP VIEW what that view reads.
  if (std::ranges::any_of(earlier.meaning.actions, drops_view) &&
      std::ranges::any_of(later.meaning.actions, is_held_by_views)) {
    return "the later one may need that the view is gone";
  }
  Footprints footprints;
  footprints.add(0, footprint(earlier));
  const auto tie = footprints.find(footprint(later));
  if (!tie || apart(earlier, later)) return {};
  const bool tightens = std::ranges::all_of(earlier.meaning.actions, only_tightens) &&
                        std::ranges::all_of(later.meaning.actions, leaves_columns);
  return tightens ? std::string() : tie->why;
}

}  // namespace syzygy
