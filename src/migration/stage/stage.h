// stage.h - which stage a statement, and a migration, belongs to.
//
// Old code must survive what runs before the deployment; new code must survive what runs after it. A statement is
// judged by what it does (sql/meaning.h), a migration by: explicit marker, configured override, agreement of its
// statements, configured fallback; else it is ambiguous, an error that names both sides. What is configured of an id
// wins over what is of a group of files, and that over what is of all. Pure: the answer depends on
// the file and the configuration alone, never on what the target has applied. (It must not: the steps left over in a
// recovery have to equal those that were gathered.) So "a table that is new here" means new in the same migration.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/plan.h"
#include "base/result.h"
#include "migration/source/source.h"
#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"

namespace syzygy {

enum class Verdict : std::uint8_t {
  kPreDeploy,
  kPostDeploy,
  kAmbiguous,  // cannot be told: needs an explicit stage
  kNeutral,    // belongs to whichever stage the others do: SET, COMMENT, a SELECT
};

struct Judgement {
  Verdict verdict = Verdict::kAmbiguous;
  std::string why;  // "drops column email of table users"

  friend bool operator==(const Judgement&, const Judgement&) = default;
};

// [stages.group.NAME]: migrations that are told by their files, as those that a library brings along.
struct StageGroup {
  std::string name;
  std::vector<std::string> files;  // patterns, see names_file()
  std::optional<Stage> override_all;
  std::optional<Stage> fallback_all;
};

struct StageRules {
  std::map<std::string, Stage> overrides;     // [stages.override] by id, exact
  std::optional<Stage> override_all;          // for the directory
  std::map<std::string, Stage> fallbacks;     // [stages.fallback] by id, exact; only where statements disagree
  std::optional<Stage> fallback_all;          // for the directory
  std::vector<StageGroup> groups;             // no two of one name
  Stage new_constraint = Stage::kPostDeploy;  // of a new constraint on a table in use
};

// What this migration has created so far, that nobody uses yet.
class Created {
 public:
  enum class Answer : std::uint8_t { kNo, kNew, kTemporary };

  Created() = default;
  // Of the whole migration: what it creates and drops again is nobody's, as a temporary table is. So is a function that
  // it creates OR REPLACEs first: a helper, written so that the file can run twice.
  explicit Created(const std::vector<Meaning>& migration);

  void note(const Meaning& meaning);
  void note_columns(const Meaning& meaning);  // only the columns and constraints that it adds to tables
  // Where only one of two names has a schema, they are taken for the same object.
  [[nodiscard]] Answer find(const ObjectName& object) const;
  // As find(), of what it acts on: a DROP FUNCTION that says what the function takes means that one.
  [[nodiscard]] Answer find(const Action& action) const;
  // Of a column that the migration has added: it may be NULL, and is wherever nobody names it.
  [[nodiscard]] bool starts_null(const ObjectName& table, std::string_view column) const;
  // A constraint that the migration has added and that old code keeps, since it does not know its columns.
  [[nodiscard]] bool is_kept(const ObjectName& table, std::string_view constraint) const;
  // A DROP TRIGGER whose trigger the migration creates again later: CREATE OR REPLACE TRIGGER, as older servers need
  // it. So with a function that only triggers call.
  [[nodiscard]] bool is_replaced(const Action& dropped) const;
  // It acts on what the migration drops, or renames away, and then creates anew under the same name (of a function:
  // with the same arguments), or on what stands on that. Triggers are not told here.
  [[nodiscard]] bool is_made_anew(const Action& action) const;
  // The migration has given something that name so far, by renaming it.
  [[nodiscard]] bool is_given(const ObjectName& object) const;
  // What the body of that function does, where this migration says it; else nullptr.
  [[nodiscard]] const std::vector<Action>* body_of(const ObjectName& function) const;

 private:
  // Tables, views, indexes and sequences share one space of names; every other kind has its own.
  using Name = std::pair<ObjectKind, std::string>;
  static Name name_of(const ObjectName& object);

  struct Part {
    ObjectName table;
    std::string name;
  };
  static bool has(const std::vector<Part>& parts, const ObjectName& table, std::string_view name);

  struct Anew {
    std::string schema;
    std::string on;    // of an index or policy: the table, where the statement says it
    std::string type;  // of a function: what it takes

    [[nodiscard]] bool is(const Anew& other) const;
  };

  std::vector<Part> null_columns_;
  std::vector<Part> kept_;                                 // constraints
  std::map<Name, std::map<std::string, Answer>> by_name_;  // -> schema -> kNew or kTemporary
  std::map<Name, std::string> passing_;                    // what is dropped again -> schema
  std::vector<Part> replaced_;                             // triggers, their functions
  std::map<Name, std::vector<Anew>> anew_;                 // what is dropped, or renamed, and then created again
  std::set<Name> given_;                                   // names that it has given so far
  std::map<std::string, std::vector<Action>> bodies_;      // by the function's name
  std::map<std::string, std::set<std::string>> takes_;     // by the function's name: of each that is new
};

// An ADD COLUMN whose column is NULL wherever nobody names it.
bool starts_null(const Action& added);
// Does what code writes that does not know the new columns keep this constraint (or unique index)? `is_null` says of a
// column whether it is such a one.
bool holds_for_old_code(const Action& constraint, const std::function<bool(const std::string&)>& is_null);

// REQUIRES: `created` knows the statements before, and, for a command of an ALTER TABLE, its ADD COLUMNs.
Judgement judge(const Action& action, const Created& created, const StageRules& rules);
Judgement judge(const Meaning& meaning, const Created& created, const StageRules& rules);

// How a migration came by its stage.
enum class StageSource : std::uint8_t { kMarker, kOverride, kStatements, kFallback, kInverse, kNoStatements };

struct StageDecision {
  Stage stage = Stage::kPreDeploy;  // meaningless when kNoStatements
  StageSource source = StageSource::kStatements;
  std::string why;  // for --plan and messages: "given in 0004_x.sql:1", "inferred: drops table users (0004_x.sql:3)"
};

// REQUIRES: `statements` and `meanings` are those of `script`. Errors (kFailedPrecondition, metadata "id", "file"):
// reason STAGE_AMBIGUOUS, or
// STAGE_GROUPS_DISAGREE: the file is of two groups that say different stages.
Result<StageDecision> decide_stage(const StepId& id, const Script& script, const std::vector<Statement>& statements,
                                   const std::vector<Meaning>& meanings, const StageRules& rules);

Stage inverse(Stage stage);
std::string_view to_string(StageSource source);  // "given", "configured", "inferred", ...

}  // namespace syzygy
