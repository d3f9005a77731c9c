// pieces.h - one statement as the pieces that do the same safely: the rows of the table of docs/split.md.
//
// A piece belongs to a stage; pieces of one statement and stage with a higher `step` need that those before them have
// been committed. A statement that needs no rewriting is one piece without a text of its own. Pure.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "migration/rewrite/split.h"
#include "migration/rules/schema.h"
#include "migration/sql/meaning.h"
#include "migration/stage/stage.h"

namespace syzygy {

struct Piece {
  Stage stage = Stage::kPreDeploy;
  std::size_t step = 0;
  bool outside = false;   // outside a transaction, in a file of its own
  bool neutral = false;   // of no stage: goes with its neighbours
  bool setting = false;   // SET: repeated where what follows it goes
  bool principal = true;  // what the statement is about; its way back belongs to this piece
  std::string text;       // the new statement, without a semicolon; empty: the old one, byte for byte
  std::string down;       // undoes it; empty: what the author wrote does, or nothing has to
  bool down_outside = false;
  bool down_last = false;  // behind what the author wrote for the way back, not before it

  // Set by the splitter.
  std::size_t statement = 0;
  std::string sql;
  Meaning meaning;
  std::size_t round = 0;
};

// "column NAME of OBJECT", as the messages call what an action is about.
std::string described(const Action& action);

class Rewriter {
 public:
  // All by reference: `schema` and `created` as they stand before the statement that is asked about.
  Rewriter(const SplitOptions& options, const Schema& schema, const Created& created, std::vector<std::string>& notes)
      : options_(options), schema_(schema), created_(created), notes_(notes) {}

  // Errors: as split_migration().
  Result<std::vector<Piece>> pieces_of(const std::string& statement, const Meaning& meaning, const std::string& place,
                                       const std::string& file, std::size_t line);

 private:
  using Pieces = std::vector<Piece>;
  struct Added {
    Action action;
    std::string expression;  // its default; empty: none
  };
  using Treated = Result<std::optional<Pieces>>;  // nullopt: it stays as it is

  Treated treat(const Action& action);
  Treated add_column(const Action& action);
  Treated add_column_filled_row_by_row(const Action& action, const std::string& expression, bool bridging);
  Treated drop_column(const Action& action);
  Treated set_not_null(const Action& action);
  Treated add_constraint(const Action& action);
  Treated add_unique(const Action& action);
  Treated create_index(const Action& action);
  Treated drop_index(const Action& action);
  Treated rename(const Action& action);
  Treated change_type(const Action& action);
  Treated treat_in_sqlite(const Action& action);  // sqlite_pieces.cpp, with the three below
  Treated add_column_in_sqlite(const Action& action);
  Treated drop_column_in_sqlite(const Action& action);
  Treated rename_in_sqlite(const Action& action);
  Result<Piece> as_it_is(const Action& action, const std::string& text);

  [[nodiscard]] std::unexpected<Error> refuse(std::string reason, const std::string& why,
                                              std::map<std::string, std::string> metadata = {}) const;
  [[nodiscard]] std::unexpected<Error> not_taken_apart() const;
  [[nodiscard]] std::optional<std::string> given_default(const Action& action) const;
  // A constraint or unique index of columns that this migration adds and that old code leaves NULL.
  [[nodiscard]] bool old_code_keeps(const Action& constraint, const ObjectName& table) const;
  [[nodiscard]] const Added* added_column(const ObjectName& table, const std::string& column) const;
  void remember_column(const Action& action);

  const SplitOptions& options_;
  const Schema& schema_;
  const Created& created_;
  std::vector<std::string>& notes_;
  std::vector<Added> added_;  // columns that this migration added so far

  // Of the statement at hand.
  std::string statement_;
  std::string place_;
  std::string file_;
  std::size_t line_ = 0;
};

}  // namespace syzygy
