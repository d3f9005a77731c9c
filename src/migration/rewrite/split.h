// split.h - one migration as its pre-deploy and its post-deploy half, each in as many transactions as it needs.
//
// The table of docs/split.md, row by row: what old code survives goes first, what it does not goes last, locks are held
// shortly, scans run where nothing waits for them. Statements that need no rewriting keep every byte. What cannot be
// split safely is refused with its recipe, and a reordering that is not provably harmless is refused with both
// statements. Pure: no files, no database; what is known of the tables is an argument.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "migration/rules/schema.h"
#include "migration/source/source.h"
#include "migration/stage/stage.h"

namespace syzygy {

inline constexpr std::size_t kSplitStatementsMax = 500;  // of one migration

struct SplitOptions {
  Dialect dialect = Dialect::kPostgres;
  bool organize = false;        // only sort the statements into halves; rewrite none
  bool bridge_renames = false;  // both names work until the post-deploy half; else a rename is refused
  bool drop_defaults = false;   // the code holds the defaults of new NOT NULL columns: drop them afterwards
  // The stage of what cannot be told (a backfill, UNIQUE, a DO block); the file's own marker counts as well.
  std::optional<Stage> unclear;
  // Bridging defaults, as SQL expressions: by "table.column", "column", or "" for all.
  std::map<std::string, std::string> defaults;
  StageRules stages;
  // Of SQLite: what the migration's statements do in effect (SqliteReplay); empty: what they say.
  std::vector<Meaning> effects;
};

// One file to be: a transaction, or what runs outside of one.
struct SplitPart {
  Stage stage = Stage::kPreDeploy;
  bool no_transaction = false;
  std::string up;
  std::string down;
  bool down_no_transaction = false;
};

struct SplitResult {
  std::vector<SplitPart> parts;  // in order; empty: there is nothing to split, `why_not` says why
  std::string why_not;
  std::vector<std::string> notes;  // what a person should know: assumptions, what the split does not carry over
};

// `before`: the schema as the migrations before this one leave it, or as the catalogue has it. Errors
// (kFailedPrecondition, metadata "file", "line"): reasons SPLIT_DEFAULT_NEEDED (metadata "table", "column"),
// SPLIT_STAGE_NEEDED, SPLIT_REFUSED (the message holds the recipe), SPLIT_ORDER, SPLIT_NOT_UNDERSTOOD, SPLIT_DOWN.
Result<SplitResult> split_migration(const Migration& migration, const Schema& before, const SplitOptions& options);

}  // namespace syzygy
