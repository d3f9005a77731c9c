// formats.h - the directory formats that are read: one reader file each, and one row in the table of read_directory().
//
// A reader is given what lies in the directory and answers with migrations in any order; order, doubles and
// dependencies are checked for all formats in one place, by read_directory(). Readers touch no disk, so that any bytes
// can be tried on them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "migration/source/source.h"

namespace syzygy {

struct SourceFile {
  std::string name;  // within the directory; Flyway's may lie deeper: "2024/V1__a.sql"
  std::filesystem::path path;
  std::string text;   // as clean_text() gives it
  std::string bytes;  // as on disk, where that differs from the text

  [[nodiscard]] const std::string& raw() const { return bytes.empty() ? text : bytes; }
};

struct Listing {
  std::filesystem::path path;
  std::vector<SourceFile> files;  // *.sql, by name
  // What else lies there, by name: with the bytes of atlas.sum and of Flyway's *.sql.conf, of the rest only the name.
  std::map<std::string, std::string> others;
};

// Holds the files of a split that are not all in place yet; a directory that has it is not read
// (MIGRATIONS_INTERRUPTED).
inline constexpr std::string_view kInterruptedSplit = ".syzygy-split";

struct Format {
  std::string_view name;
  bool (*recognises)(const Listing& listing);
  Result<std::vector<Migration>> (*read)(const Listing& listing, Dialect dialect);
};

extern const Format kGolangMigrate;  // golang_migrate.cpp
extern const Format kFlyway;         // flyway.cpp
extern const Format kGoose;          // goose.cpp
extern const Format kDbmate;         // dbmate.cpp
extern const Format kAtlas;          // atlas.cpp
extern const Format kPlain;          // plain.cpp: recognises everything, so it comes last

// What lies in the directory, with the files' texts. Errors: as read_directory().
Result<Listing> list_directory(const std::filesystem::path& directory, const SourceOptions& options);
// The format of that name, or (empty) the first that recognises the listing.
Result<const Format*> choose_format(const Listing& listing, const std::string& wanted);
// What atlas.sum has to say of the listing's files.
std::string atlas_sum(const Listing& listing);

// Reads a listing in the format of that name, or (empty) in the first that recognises it. As read_directory().
Result<std::vector<Migration>> read_listing(const Listing& listing, const SourceOptions& options);

// "0004_add_email" or "0004" -> number and name.
struct NumberedName {
  std::string number;
  std::string name;
};
// Errors: MIGRATIONS_BAD_NAME, naming the file.
Result<NumberedName> numbered_name(std::string_view stem, const SourceFile& file);

std::unexpected<Error> bad_name(const SourceFile& file, std::string why);
// "PATH:LINE: why"
std::unexpected<Error> bad_line(std::string reason, const SourceFile& file, std::size_t line, const std::string& why);
std::unexpected<Error> two_of_one_number(const std::string& id, std::string_view first, std::string_view second);

struct Line {
  std::size_t offset = 0;
  std::size_t number = 1;
  std::string_view text;  // without its line break

  [[nodiscard]] std::size_t after() const { return offset + text.size() + 1; }  // of its line break
};
std::vector<Line> lines_of(std::string_view text);
std::string_view trimmed(std::string_view text);
std::string lower_case(std::string_view text);

// A file that holds both directions, cut by a tool's own directives.
struct Sections {
  std::string_view tool;            // "goose"
  std::string_view down_directive;  // "-- +goose Down"
  std::size_t up_end = 0;           // in bytes
  std::optional<std::size_t> down_start;
  std::size_t down_line = 0;  // the line at which down_start lies
  bool up_no_transaction = false;
  bool down_no_transaction = false;
};
// The migration of such a file, with Syzygy's own markers read in both directions. `named` as numbered_name() gives it.
Result<Migration> read_sections(const SourceFile& file, Dialect dialect, const NumberedName& named,
                                const Sections& sections);

// Does every statement of the script refuse to run in a transaction? (A text that cannot be cut: no.)
bool only_outside_transaction(Dialect dialect, const Script& script);

}  // namespace syzygy
