// formats.h - the directory formats that are read: one reader file each, and one row in the table of read_directory().
//
// A reader is given every `.sql` file of the directory and answers with migrations in any order; order, doubles and
// dependencies are checked for all formats in one place, by read_directory().
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "migration/source/source.h"

namespace syzygy {

struct SourceFile {
  std::string name;  // within the directory
  std::filesystem::path path;
};

struct Format {
  std::string_view name;
  bool (*recognises)(const std::vector<SourceFile>& files);
  Result<std::vector<Migration>> (*read)(const std::vector<SourceFile>& files, Dialect dialect);
};

extern const Format kGolangMigrate;  // golang_migrate.cpp
extern const Format kPlain;          // plain.cpp: recognises everything, so it comes last

// "0004_add_email" or "0004" -> number and name.
struct NumberedName {
  std::string number;
  std::string name;
};
// Errors: MIGRATIONS_BAD_NAME, naming the file.
Result<NumberedName> numbered_name(std::string_view stem, const SourceFile& file);

std::unexpected<Error> bad_name(const SourceFile& file, std::string why);
std::unexpected<Error> two_of_one_number(const std::string& id, std::string_view first, std::string_view second);

}  // namespace syzygy
