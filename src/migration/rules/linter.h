// linter.h - from a directory to findings. Pure: no files, no database, no clock.
//
// Each migration is read once: split, parsed, its stage decided, every rule asked about every action, against the
// schema as the migrations before it have left it (or as the catalogue says it is). What cannot be read or has no
// single stage is a finding as well, never an error. 10,000 files of 20 statements take about three seconds.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/rules/rule.h"
#include "migration/source/source.h"
#include "migration/stage/stage.h"

namespace syzygy {

struct LintOptions {
  Dialect dialect = Dialect::kPostgres;
  StageRules stages;
  int server = 15;            // PostgreSQL's major version
  bool server_known = false;  // by a connection or a flag; else it is an assumption to be said
  bool one_plan = false;      // the selected ones are applied together: what one creates is new to the next
  bool one_phase = false;     // judge as if everything ran before the deployment
  bool quality = false;       // the quality group, too
  bool unseen = false;        // the directory has migrations that are not among those given: some are no SQL
  std::map<std::string, Severity> severities;  // by rule id
  const Schema* catalogue = nullptr;           // the database, before the first selected migration
};

struct Finding {
  const Rule* rule = nullptr;
  Severity severity = Severity::kError;
  StepId id;
  std::string file;
  Place place;
  std::size_t length = 0;  // bytes of the source that the caret underlines, on that line
  std::string line;        // that line of the source
  std::string message;
  std::string safe;
  std::string fingerprint;                     // the same until rule, file or statement change; for baselines
  std::optional<std::string> ignored_because;  // suppressed in the file, with this reason
};

struct LintReport {
  std::vector<Finding> findings;         // in the order of the directory, then of the file; ignored ones included
  std::vector<std::string> assumptions;  // what was assumed for want of a connection: one sentence each
  std::size_t migrations = 0;            // that were linted
  std::size_t statements = 0;
  std::size_t inferred_post_deploy = 0;  // migrations that are post_deploy because their statements are
};

// `selected[i]`: migrations[i] is to be linted; the others are only what came before. REQUIRES: as many as migrations,
// in read_directory()'s order.
LintReport lint(const std::vector<Migration>& migrations, const std::vector<bool>& selected,
                const LintOptions& options);

// A file that is no migration (read_directory() refused it), as a finding; nullopt: the rule is off.
std::optional<Finding> refused_file(const Error& error, const LintOptions& options);

// The lock that an action takes on its table; kNone where it has no table in use.
LockMode lock_of(const Action& action, int server);

}  // namespace syzygy
