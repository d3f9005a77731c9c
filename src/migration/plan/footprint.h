// footprint.h - what a migration touches by name, and so which others it depends on where nothing is declared.
//
// Two migrations belong together, in their order, if both name one relation, if one of them changes a type or function
// that the other names, or if what one of them does cannot be told (opaque code, what is not understood, what provides
// names that nobody can see: extensions, roles, schemas). Pure; a name without a schema may be of any.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "migration/sql/dialect.h"
#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"

namespace syzygy {

struct Footprint {
  std::string opaque;               // why it cannot be told what it touches; empty: it can
  std::vector<ObjectName> names;    // relations
  std::vector<ObjectName> uses;     // types and functions
  std::vector<ObjectName> changes;  // types and functions that it creates, alters or drops
};

Footprint footprint_of(Dialect dialect, const std::vector<Statement>& statements, const std::vector<Meaning>& meanings);

// Footprints that were added, each known by a number, and which of them belongs together with another one.
class Footprints {
 public:
  void add(std::size_t number, const Footprint& footprint);

  struct Tie {
    std::size_t number = 0;
    std::string why;  // "both name table users"
  };
  // The first that was added of those that belong together with it.
  [[nodiscard]] std::optional<Tie> find(const Footprint& footprint) const;

 private:
  struct Entry {
    std::size_t number = 0;
    ObjectName name;
  };
  using ByName = std::map<std::string, std::vector<Entry>>;
  static void look(const ByName& among, const std::vector<ObjectName>& names, const std::string& how,
                   std::optional<Tie>& best, const std::map<std::size_t, std::size_t>& order);

  std::map<std::size_t, std::size_t> order_;  // number -> when it was added
  std::vector<std::pair<std::size_t, std::string>> opaque_;
  std::optional<std::size_t> any_;
  ByName names_;
  ByName uses_;
  ByName changes_;
};

}  // namespace syzygy
