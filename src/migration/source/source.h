// source.h - a migrations directory, read as it is.
//
// Six formats (docs/migrations.md): golang-migrate, Flyway, Atlas, goose, dbmate and plain numbered SQL, one reader
// file each (formats.h), recognised by names and directives. Our markers stand in line comments of any of them: `--
// syzygy:stage pre_deploy|post_deploy`, `-- syzygy:no-transaction`, `-- syzygy:depends 0002 0003|none`, `--
// syzygy:down` (plain only), `-- syzygy:ignore[-file] RULE because REASON`; those of stage and transaction hold for the
// direction in which they stand. Nothing is judged here.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/plan.h"
#include "base/result.h"
#include "migration/sql/dialect.h"

namespace syzygy {

inline constexpr std::size_t kMigrationFileBytesMax = 32u << 20;  // of one file
inline constexpr std::size_t kMigrationsMax = 20'000;             // in one directory
inline constexpr std::size_t kDirectoryBytesMax = 512u << 20;     // of all its files

// One direction's text: valid UTF-8, without BOM, CR and NUL. Its checksum is over exactly this text.
struct Script {
  std::string text;
  std::string content;         // sha256_hex(text)
  std::string path;            // of the file, as the directory was given
  std::size_t first_line = 1;  // of text in that file
  std::optional<Stage> stage;  // -- syzygy:stage; in a down script: the stage of the revert itself
  std::size_t stage_line = 0;
  bool no_transaction = false;  // -- syzygy:no-transaction

  friend bool operator==(const Script&, const Script&) = default;
};

struct Migration {
  StepId id;         // its number as written: "0004", "20240131093000", "1.2"; repeatable: "R__views@5d41402abc4b"
  std::string name;  // "add_email"; may be empty
  Script up;
  std::optional<Script> down;
  std::optional<std::vector<StepId>> depends;  // -- syzygy:depends; nullopt: not said. Ids as the directory spells them
  bool repeatable = false;     // Flyway's R__: each text of it is a migration of its own, after all that have numbers
  std::string script;          // its file as its tool's history names it; empty: nobody asks
  std::string checksum;        // as its tool's history has it (Flyway, Atlas)
  std::size_t statements = 0;  // as its tool's history counts them (Atlas)

  friend bool operator==(const Migration&, const Migration&) = default;
};

struct SourceOptions {
  Dialect dialect = Dialect::kPostgres;
  std::string format;  // "golang-migrate", "flyway", "atlas", "goose", "dbmate", "plain"; empty: recognise it
  std::set<std::string> leave_out = {};  // files, as errors name them: for who has told of them and reads the rest
};

// In the order of their numbers (2 before 10, whatever the width). Never empty. Errors (kInvalidArgument,
// kFailedPrecondition, kPermissionDenied, kResourceExhausted; reasons MIGRATIONS_MISSING, _EMPTY, _UNREADABLE,
// _TWO_OF_ONE_NUMBER, _BAD_NAME, _BAD_MARKER, _BAD_TEXT, _TOO_LARGE, _FORMAT, _CHECKSUM; metadata "path", "line") name
// the files and the way out; all of them are exit 65.
Result<std::vector<Migration>> read_directory(const std::filesystem::path& directory, const SourceOptions& options);

// The order of ids: runs of digits by their value, all else by byte. "4" and "0004" are the same migration.
std::weak_ordering compare_ids(std::string_view a, std::string_view b);
inline bool same_id(const StepId& a, const StepId& b) { return compare_ids(a.value, b.value) == 0; }

// The migration of that id, or nullptr. REQUIRES: `migrations` as read_directory() gives them.
const Migration* find_migration(const std::vector<Migration>& migrations, const StepId& id);

}  // namespace syzygy
