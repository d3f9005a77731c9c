// foreign.h - other tools' history tables: which ones we know, what they say, and what of it can be adopted or kept.
//
// A tool is recognised by the table's name and its columns. Only read_foreign() touches the database; the rest is pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "migration/target/driver.h"
#include "migration/target/target.h"

namespace syzygy::migration {

Sql<std::vector<ForeignHistory>> read_foreign(Driver& db);

// Which steps of the directory stand as applied, in its order. Errors: FOREIGN_DIRTY, FOREIGN_UNKNOWN_VERSION,
// NOTHING_TO_ADOPT, STEP_UNKNOWN. `at`: everything up to that id instead of what the table says; "zero": nothing.
Result<std::vector<KnownStep>> plan_adoption(const std::vector<ForeignHistory>& foreign,
                                             const std::vector<KnownStep>& directory, const std::optional<StepId>& at);

// "goose left migration 3 half-way: ... clear the mark with ...", to be completed. REQUIRES: theirs.dirty.
std::string left_half_way(const ForeignHistory& theirs);

// What a kept table says and our history does not, after the other tool has run by itself.
struct Drift {
  std::vector<KnownStep> applied;  // there, not here
  std::vector<StepId> reverted;    // here, not there

  [[nodiscard]] bool empty() const { return applied.empty() && reverted.empty(); }
};
// `applied`: by our history. Versions that neither the directory nor our history knows are a newer image's, no drift.
Drift drift_of(const ForeignHistory& kept, const std::vector<KnownStep>& directory, const std::vector<StepId>& applied);

// Another tool's table that is written together with ours, and how the fence row spells it.
struct KeptTable {
  std::string tool;
  std::string table;
};
std::string to_text(const KeptTable& kept);
std::optional<KeptTable> kept_table(std::string_view text);

// Writes into a kept table that `step` was applied or reverted. `applied`: by our history, with it. Where the table
// cannot say it (golang-migrate's single row, and what is applied is no prefix), it is left as it is. REQUIRES: the
// step's own transaction.
Sql<void> keep(Driver& db, const KeptTable& kept, const Step& step, const std::vector<KnownStep>& directory,
               const std::vector<StepId>& applied, Duration took, const std::string& who);

// What golang-migrate's single row must say, if it can say it: the version of the last applied step where what is
// applied is a prefix of the directory. `possible` false: leave the row as it is.
struct ForeignVersion {
  bool possible = false;
  std::optional<std::string> version;  // nullopt: nothing is applied, the row goes
};
ForeignVersion foreign_version(const std::vector<KnownStep>& directory, const std::vector<StepId>& applied);

}  // namespace syzygy::migration
