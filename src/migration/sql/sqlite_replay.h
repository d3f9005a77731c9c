// sqlite_replay.h - migrations of SQLite by their effect: what a rebuild of a table changes, rather than how.
//
// SQLite's ALTER TABLE can do little, so that tables are rebuilt: CREATE TABLE new_t, copy, DROP TABLE t, RENAME. Read
// one by one, those statements drop and rename a table in use. So the migrations are replayed in their order on an
// in-memory database without rows, and where a table is there before and after one that dropped or renamed it, the
// difference is what the migration does. Nothing outside that database can be reached; what a statement may take is
// bounded. Belongs to one thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"

namespace syzygy {

// Action::note of what a rebuild was found to do, and of its statements, which do nothing by themselves.
inline constexpr std::string_view kRebuild = "by rebuilding it";

class SqliteReplay {
 public:
  SqliteReplay();
  ~SqliteReplay();
  SqliteReplay(const SqliteReplay&) = delete;
  SqliteReplay& operator=(const SqliteReplay&) = delete;

  // Replays one migration, and returns its meanings as their effect has them. Where a statement cannot be replayed (a
  // module that is not there), they are returned as they are. REQUIRES: one meaning for each statement, without bodies.
  std::vector<Meaning> effect(std::span<const Statement> statements, std::vector<Meaning> meanings);

  // The tables as the migrations so far leave them.
  struct Column {
    std::string name, type;
    bool not_null = false;
    std::optional<std::string> fallback;  // its DEFAULT
    bool generated = false;
  };
  struct Table {
    std::string name;
    std::vector<Column> columns;
  };
  [[nodiscard]] std::vector<Table> tables() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace syzygy
