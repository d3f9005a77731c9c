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

// What golang-migrate's single row must say, if it can say it: the version of the last applied step where what is
// applied is a prefix of the directory. `possible` false: leave the row as it is.
struct ForeignVersion {
  bool possible = false;
  std::optional<std::string> version;  // nullopt: nothing is applied, the row goes
};
ForeignVersion foreign_version(const std::vector<KnownStep>& directory, const std::vector<StepId>& applied);

}  // namespace syzygy::migration
