// schema.h - what is known of the database when a statement runs: from the migrations so far, or from its catalogue.
//
// Knowing nothing of a table is normal (another tool created it): then the pointers are null, and a rule assumes the
// worst. Names without a schema match any schema. A value; belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/plan.h"
#include "migration/sql/meaning.h"

namespace syzygy {

struct KnownColumn {
  std::string name;
  std::string type;  // as Action::type spells it
  bool not_null = false;
  bool has_default = false;
  std::optional<std::string> collation = {};  // empty: the type's own; nullopt: not known
};

struct KnownConstraint {
  std::string name;  // empty: the server chose it
  ConstraintKind kind = ConstraintKind::kNone;
  std::vector<std::string> columns;
  std::string only_not_null;
  ObjectName other;
  bool valid = true;
};

struct KnownTable {
  ObjectName name;
  std::vector<KnownColumn> columns;
  std::vector<KnownConstraint> constraints;
  bool partitioned = false;
  std::optional<std::int64_t> bytes;  // with its indexes; only the catalogue knows it

  [[nodiscard]] const KnownColumn* column(std::string_view name) const;
};

struct KnownIndex {
  ObjectName name;
  ObjectName table;
  std::vector<std::string> columns;
  bool unique = false;
};

class Schema {
 public:
  // Begins a migration: what it creates is new until one of another plan or stage begins. `plan` tells the migrations
  // that are applied together from those that are not; `stage` is nullopt where it is ambiguous.
  void begin_migration(std::size_t plan, std::optional<Stage> stage);
  void apply(const Action& action);

  // What the catalogue says; replaces nothing that apply() learned.
  void add(KnownTable table);
  void add(KnownIndex index);

  [[nodiscard]] const KnownTable* table(const ObjectName& name) const;
  [[nodiscard]] const KnownColumn* column(const ObjectName& table, std::string_view column) const;
  [[nodiscard]] const KnownIndex* index(const ObjectName& name) const;
  // An index, a key or a uniqueness is known to stand on the column, or on an expression of the table.
  [[nodiscard]] bool is_indexed(const ObjectName& table, std::string_view column) const;
  [[nodiscard]] const KnownConstraint* constraint(const ObjectName& table, std::string_view name) const;
  // A domain that checks its values; nothing known of a type means that it is none.
  [[nodiscard]] bool is_constrained_domain(std::string_view type) const;
  void add_constrained_domain(std::string name) { domains_.insert(std::move(name)); }
  // A valid CHECK (column IS NOT NULL).
  [[nodiscard]] bool is_proved_not_null(const ObjectName& table, std::string_view column) const;
  // Nobody uses it yet: this migration created it, or one before it in the same plan and stage; or it is temporary.
  [[nodiscard]] bool is_new(const ObjectName& object) const;
  // The catalogue says that the table is too small for a scan or a rewrite of it to matter.
  [[nodiscard]] bool is_small(const ObjectName& table) const;

  static constexpr std::int64_t kSmallBytes = 8 << 20;

 private:
  struct Origin {
    std::size_t migration = 0;
    std::size_t plan = 0;
    std::optional<Stage> stage;
    bool temporary = false;
    std::string schema;
  };
  KnownTable* find(const ObjectName& name);
  KnownIndex* find_index(const ObjectName& name);
  void created(const ObjectName& object, bool temporary);
  void forget(const ObjectName& object);
  void rename(const Action& action);

  // By name without schema: the few of one name differ in their schema.
  std::unordered_map<std::string, std::vector<KnownTable>> tables_;
  std::unordered_map<std::string, std::vector<KnownIndex>> indexes_;
  std::unordered_map<std::string, std::vector<Origin>> origins_;  // by kind and name
  std::set<std::string, std::less<>> domains_;                    // those with constraints
  std::size_t migration_ = 0;
  std::size_t plan_ = 0;
  std::optional<Stage> stage_;
};

}  // namespace syzygy
