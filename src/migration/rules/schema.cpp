#include "migration/rules/schema.h"

#include <algorithm>
#include <utility>

namespace syzygy {
namespace {

bool same_schema(const std::string& a, const std::string& b) { return a == b || a.empty() || b.empty(); }

bool is_relation(ObjectKind kind) {
  return kind == ObjectKind::kTable || kind == ObjectKind::kView || kind == ObjectKind::kMaterializedView ||
         kind == ObjectKind::kIndex || kind == ObjectKind::kSequence;
}

// Relations share one space of names; every other kind has its own. A domain is a type.
std::string key_of(const ObjectName& object) {
  const ObjectKind kind = is_relation(object.kind)             ? ObjectKind::kTable
                          : object.kind == ObjectKind::kDomain ? ObjectKind::kType
                                                               : object.kind;
  std::string key(1, static_cast<char>('a' + static_cast<int>(kind)));
  return key += object.name;
}

template <class Map>
auto find_in(Map& map, const ObjectName& name) -> decltype(&map.begin()->second.front()) {
  const auto found = map.find(name.name);
  if (found == map.end()) return nullptr;
  for (auto& one : found->second) {
    if (same_schema(one.name.schema, name.schema)) return &one;
  }
  return nullptr;
}

KnownColumn column_of(const Action& action) {
  return {action.part, action.type, action.not_null, action.fills_itself, action.collation};
}

KnownConstraint constraint_of(const Action& action) {
  return {action.part, action.constraint, action.columns, action.only_not_null, action.other, !action.not_valid};
}

void erase_column(KnownTable& table, std::string_view name) {
  std::erase_if(table.columns, [&](const KnownColumn& column) { return column.name == name; });
  std::erase_if(table.constraints, [&](const KnownConstraint& constraint) {
    return std::ranges::find(constraint.columns, name) != constraint.columns.end() || constraint.only_not_null == name;
  });
}

// A column's type, where that is renamed: "mood[]", "public.mood".
std::string retyped(const std::string& type, const ObjectName& was, const ObjectName& is) {
  const auto end = std::min(type.find('['), type.size());
  const auto dot = type.rfind('.', end);
  const std::size_t begin = dot == std::string::npos ? 0 : dot + 1;
  if (type.compare(begin, end - begin, was.name) != 0) return type;
  if (begin > 0 && !was.schema.empty() && type.compare(0, dot, was.schema) != 0) return type;
  const std::string schema = begin == 0 ? "" : (is.schema.empty() ? type.substr(0, dot) : is.schema) + ".";
  return schema + is.name + type.substr(end);
}

}  // namespace

const KnownColumn* KnownTable::column(std::string_view wanted) const {
  const auto found = std::ranges::find(columns, wanted, &KnownColumn::name);
  return found != columns.end() ? &*found : nullptr;
}

void Schema::begin_migration(std::size_t plan, std::optional<Stage> stage) {
  ++migration_;
  plan_ = plan;
  stage_ = stage;
  // Alone in its plan, a migration sees nothing new but its own; 10,000 of them would otherwise pile up.
  if (plan == 0) {
    std::erase_if(origins_, [](const auto& named) {
      return std::ranges::none_of(named.second, [](const Origin& origin) { return origin.temporary; });
    });
  }
}

void Schema::add(KnownTable table) {
  if (find(table.name) == nullptr) tables_[table.name.name].push_back(std::move(table));
}

void Schema::add(KnownIndex index) {
  if (find_index(index.name) == nullptr) indexes_[index.name.name].push_back(std::move(index));
}

KnownTable* Schema::find(const ObjectName& name) { return find_in(tables_, name); }
KnownIndex* Schema::find_index(const ObjectName& name) { return find_in(indexes_, name); }
const KnownTable* Schema::table(const ObjectName& name) const { return find_in(tables_, name); }
const KnownIndex* Schema::index(const ObjectName& name) const { return find_in(indexes_, name); }

const KnownColumn* Schema::column(const ObjectName& name, std::string_view column) const {
  const KnownTable* found = table(name);
  return found != nullptr ? found->column(column) : nullptr;
}

const KnownConstraint* Schema::constraint(const ObjectName& name, std::string_view constraint) const {
  const KnownTable* found = table(name);
  if (found == nullptr) return nullptr;
  const auto one = std::ranges::find(found->constraints, constraint, &KnownConstraint::name);
  return one != found->constraints.end() ? &*one : nullptr;
}

bool Schema::is_indexed(const ObjectName& name, std::string_view column) const {
  const auto has = [&](const std::vector<std::string>& columns) {
    return std::ranges::any_of(columns, [&](const std::string& one) { return one.empty() || one == column; });
  };
  for (const auto& [_, named] : indexes_) {
    for (const KnownIndex& index : named) {
      const bool its = index.table.name == name.name && same_schema(index.table.schema, name.schema);
      if (its && has(index.columns)) return true;
    }
  }
  const KnownTable* found = table(name);
  return found != nullptr && std::ranges::any_of(found->constraints, [&](const KnownConstraint& constraint) {
           return (constraint.kind == ConstraintKind::kUnique || constraint.kind == ConstraintKind::kPrimaryKey ||
                   constraint.kind == ConstraintKind::kExclude) &&
                  has(constraint.columns);
         });
}

bool Schema::is_proved_not_null(const ObjectName& name, std::string_view column) const {
  const KnownTable* found = table(name);
  return found != nullptr && std::ranges::any_of(found->constraints, [&](const KnownConstraint& constraint) {
           return constraint.valid && constraint.kind == ConstraintKind::kCheck && constraint.only_not_null == column;
         });
}

bool Schema::is_constrained_domain(std::string_view type) const {
  const auto dot = type.rfind('.');
  return domains_.contains(dot == std::string_view::npos ? type : type.substr(dot + 1));
}

bool Schema::is_small(const ObjectName& name) const {
  const KnownTable* found = table(name);
  return found != nullptr && found->bytes && *found->bytes <= kSmallBytes;
}

bool Schema::is_new(const ObjectName& object) const {
  if (object.name.empty()) return false;
  const auto found = origins_.find(key_of(object));
  if (found == origins_.end()) return false;
  return std::ranges::any_of(found->second, [&](const Origin& origin) {
    if (!same_schema(origin.schema, object.schema)) return false;
    return origin.migration == migration_ || origin.temporary ||
           (origin.plan == plan_ && plan_ != 0 && origin.stage && origin.stage == stage_);
  });
}

void Schema::created(const ObjectName& object, bool temporary) {
  if (object.name.empty()) return;
  auto& origins = origins_[key_of(object)];
  std::erase_if(origins, [&](const Origin& origin) { return origin.schema == object.schema; });
  origins.push_back({migration_, plan_, stage_, temporary, object.schema});
}

void Schema::forget(const ObjectName& object) {
  if (const auto found = origins_.find(key_of(object)); found != origins_.end()) {
    std::erase_if(found->second, [&](const Origin& origin) { return same_schema(origin.schema, object.schema); });
  }
  const auto erase = [&](auto& map) {
    const auto found = map.find(object.name);
    if (found == map.end()) return;
    std::erase_if(found->second, [&](const auto& one) { return same_schema(one.name.schema, object.schema); });
  };
  if (object.kind == ObjectKind::kTable) erase(tables_);
  if (object.kind == ObjectKind::kIndex) erase(indexes_);
}

void Schema::rename(const Action& action) {
  if (!action.part.empty()) {
    KnownTable* table = find(action.object);
    if (table == nullptr) return;
    if (action.note == "constraint") {
      for (auto& constraint : table->constraints) {
        if (constraint.name == action.part) constraint.name = action.new_name;
      }
      return;
    }
    for (auto& column : table->columns) {
      if (column.name == action.part) column.name = action.new_name;
    }
    for (auto& constraint : table->constraints) {
      std::ranges::replace(constraint.columns, action.part, action.new_name);
      if (constraint.only_not_null == action.part) constraint.only_not_null = action.new_name;
    }
    return;
  }
  ObjectName renamed = action.object;
  if (action.kind == ActionKind::kSetSchema) {
    renamed.schema = action.new_name;
  } else {
    renamed.name = action.new_name;
  }
  std::optional<KnownTable> table;
  std::optional<KnownIndex> index;
  if (is_relation(renamed.kind)) {
    if (const KnownTable* found = find(action.object)) table = *found;
    if (const KnownIndex* found = find_index(action.object)) index = *found;
  }
  if (renamed.kind == ObjectKind::kType || renamed.kind == ObjectKind::kDomain) {
    // Columns are of their type, whatever it is called.
    for (auto& [_, named] : tables_) {
      for (KnownTable& one : named) {
        for (KnownColumn& column : one.columns) column.type = retyped(column.type, action.object, renamed);
      }
    }
    if (domains_.contains(action.object.name)) domains_.insert(renamed.name);
  }
  std::vector<Origin> origins;
  if (const auto found = origins_.find(key_of(action.object)); found != origins_.end()) origins = found->second;
  forget(action.object);
  if (table) {
    table->name = renamed;
    tables_[renamed.name].push_back(std::move(*table));
  }
  if (index) {
    index->name = renamed;
    indexes_[renamed.name].push_back(std::move(*index));
  }
  for (Origin& origin : origins) {
    if (!same_schema(origin.schema, action.object.schema)) continue;
    origin.schema = renamed.schema;
    origins_[key_of(renamed)].push_back(std::move(origin));
  }
}

void Schema::apply(const Action& action) {
  const ObjectName& object = action.object;
  switch (action.kind) {
    case ActionKind::kCreate: {
      const bool there = action.if_exists && (find(object) != nullptr || find_index(object) != nullptr);
      if (there) return;
      created(object, action.temporary);
      if (object.kind == ObjectKind::kDomain && !action.parts.empty()) domains_.insert(object.name);
      if (object.kind == ObjectKind::kTable) {
        auto& named = tables_[object.name];
        std::erase_if(named, [&](const KnownTable& one) { return one.name.schema == object.schema; });
        named.push_back({.name = object,
                         .columns = {},
                         .constraints = {},
                         .partitioned = action.new_name == "PARTITION BY",
                         .bytes = std::nullopt});
        const std::size_t parts = action.parts.size();
        for (std::size_t i = 0; i < parts; ++i) apply(action.parts[i]);
      }
      if (object.kind == ObjectKind::kIndex)
        indexes_[object.name].push_back(
            {object, action.on, action.columns, action.constraint == ConstraintKind::kUnique});
      return;
    }
    case ActionKind::kDrop:
      forget(object);
      return;
    case ActionKind::kRename:
    case ActionKind::kSetSchema:
      rename(action);
      return;
    default:
      break;
  }
  if (object.kind == ObjectKind::kDomain && action.kind == ActionKind::kAddConstraint) domains_.insert(object.name);
  KnownTable* table = object.kind == ObjectKind::kTable ? find(object) : nullptr;
  if (table == nullptr) return;
  const auto change = [&](auto&& how) {
    for (auto& column : table->columns) {
      if (column.name == action.part) how(column);
    }
  };
  switch (action.kind) {
    case ActionKind::kAddColumn:
      if (table->column(action.part) == nullptr) table->columns.push_back(column_of(action));
      break;
    case ActionKind::kDropColumn:
      erase_column(*table, action.part);
      break;
    case ActionKind::kAlterColumnType:
      change([&](KnownColumn& column) {
        column.type = action.type;
        column.collation = action.collation;
      });
      break;
    case ActionKind::kSetNotNull:
      change([](KnownColumn& column) { column.not_null = true; });
      break;
    case ActionKind::kDropNotNull:
      change([](KnownColumn& column) { column.not_null = false; });
      break;
    case ActionKind::kSetDefault:
      change([](KnownColumn& column) { column.has_default = true; });
      break;
    case ActionKind::kDropDefault:
      change([](KnownColumn& column) { column.has_default = false; });
      break;
    case ActionKind::kAddConstraint:
      table->constraints.push_back(constraint_of(action));
      if (action.constraint == ConstraintKind::kPrimaryKey) {
        for (auto& column : table->columns) {
          if (std::ranges::find(action.columns, column.name) != action.columns.end()) column.not_null = true;
        }
      }
      break;
    case ActionKind::kDropConstraint:
      std::erase_if(table->constraints, [&](const KnownConstraint& one) { return one.name == action.part; });
      break;
    case ActionKind::kValidateConstraint:
      for (auto& constraint : table->constraints) {
        if (constraint.name == action.part) constraint.valid = true;
      }
      break;
    default:
      break;
  }
}

}  // namespace syzygy
