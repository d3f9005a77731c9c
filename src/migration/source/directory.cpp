#include <algorithm>
#include <array>
#include <map>
#include <system_error>

#include "base/name.h"
#include "migration/source/formats.h"
#include "migration/source/source.h"

namespace syzygy {
namespace {

namespace fs = std::filesystem;

const std::array kFormats = {&kGolangMigrate, &kPlain};

std::unexpected<Error> refuse(ErrorCode code, std::string reason, const std::string& path, std::string why) {
  return failure(code, std::move(reason), path + ": " + std::move(why), {{"path", path}});
}

std::unexpected<Error> unreadable(const std::string& path, const std::error_code& error) {
  const bool denied = error == std::errc::permission_denied;
  return refuse(denied ? ErrorCode::kPermissionDenied : ErrorCode::kFailedPrecondition, "MIGRATIONS_UNREADABLE", path,
                "the migrations directory cannot be read: " + error.message() +
                    (denied ? "; give this user the right to list and read it"
                     : error == std::errc::too_many_symbolic_link_levels
                         ? "; the symbolic links lead in a circle: replace the link by the directory"
                         : ""));
}

Result<std::vector<SourceFile>> list_sql_files(const fs::path& directory) {
  const std::string shown = directory.string();
  std::error_code error;
  const fs::file_status status = fs::status(directory, error);
  if (status.type() == fs::file_type::not_found) {
    return refuse(ErrorCode::kNotFound, "MIGRATIONS_MISSING", shown,
                  "there is no such migrations directory; give the right one with --dir");
  }
  if (error) return unreadable(shown, error);
  if (status.type() != fs::file_type::directory) {
    return refuse(ErrorCode::kFailedPrecondition, "MIGRATIONS_MISSING", shown,
                  "this is a file, not a migrations directory; give the directory that holds it with --dir");
  }
  std::vector<SourceFile> files;
  fs::directory_iterator entries(directory, error);
  for (const fs::directory_iterator end; !error && entries != end; entries.increment(error)) {
    SourceFile file{entries->path().filename().string(), entries->path()};
    if (file.name.starts_with('.')) continue;  // an editor's swap file, .gitkeep
    std::string ending = file.path.extension().string();
    std::ranges::transform(ending, ending.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    if (ending != ".sql") continue;
    if (!check_name("migration file", file.name)) {
      return bad_name(file,
                      "the file's name is longer than 200 bytes, not UTF-8, or has control characters; rename it");
    }
    if (!file.name.ends_with(".sql")) return bad_name(file, "the file's name must end in .sql, in small letters");
    files.push_back(std::move(file));
    if (files.size() > 2 * kMigrationsMax) {
      return refuse(ErrorCode::kResourceExhausted, "MIGRATIONS_TOO_LARGE", shown,
                    "the directory holds more than " + std::to_string(2 * kMigrationsMax) +
                        " .sql files (the limit); squash the old ones into one, or give another --dir");
    }
  }
  if (error) return unreadable(shown, error);
  if (files.empty()) {
    return refuse(ErrorCode::kFailedPrecondition, "MIGRATIONS_EMPTY", shown,
                  "the directory holds no migrations (files such as 0001_name.sql or 0001_name.up.sql); give the right "
                  "one with --dir");
  }
  std::ranges::sort(files, {}, &SourceFile::name);  // so that the same directory always gives the same error
  return files;
}

Result<const Format*> choose_format(const std::vector<SourceFile>& files, const std::string& wanted) {
  std::string known;
  for (const Format* format : kFormats) {
    if (wanted.empty() ? format->recognises(files) : format->name == wanted) return format;
    known += (known.empty() ? "" : ", ") + std::string(format->name);
  }
  return failure(ErrorCode::kInvalidArgument, "MIGRATIONS_FORMAT",
                 "\"" + printable(wanted) + "\" is no known format of a migrations directory; known are " + known);
}

// Dependencies must name migrations of the directory that come before; from here on they are spelled as it spells them.
Result<void> resolve_depends(std::vector<Migration>& migrations) {
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    if (!migrations[i].depends) continue;
    for (StepId& id : *migrations[i].depends) {
      const Migration* found = find_migration(migrations, id);
      const auto refuse_id = [&](const std::string& why) {
        return failure(ErrorCode::kInvalidArgument, "MIGRATIONS_BAD_MARKER",
                       migrations[i].up.path + ": -- syzygy:depends names " + printable(id.value) + ", " + why,
                       {{"path", migrations[i].up.path}});
      };
      if (found == nullptr) return refuse_id("which this directory does not hold; name its numbers");
      if (found >= &migrations[i]) {
        return refuse_id("which does not come before it; a migration can only depend on earlier ones");
      }
      id = found->id;
    }
  }
  return {};
}

}  // namespace

std::unexpected<Error> bad_name(const SourceFile& file, std::string why) {
  const std::string shown = (file.path.parent_path() / printable(file.name, kNameBytesMax)).string();
  return failure(ErrorCode::kInvalidArgument, "MIGRATIONS_BAD_NAME", shown + ": " + std::move(why), {{"path", shown}});
}

std::unexpected<Error> two_of_one_number(const std::string& id, std::string_view first, std::string_view second) {
  return failure(ErrorCode::kFailedPrecondition, "MIGRATIONS_TWO_OF_ONE_NUMBER",
                 "two migrations have the number " + id + ": " + std::string(first) + " and " + std::string(second) +
                     "; renumber the one that was applied nowhere yet",
                 {{"path", std::string(first)}, {"other", std::string(second)}, {"id", id}});
}

Result<NumberedName> numbered_name(std::string_view stem, const SourceFile& file) {
  const auto digits = std::min(stem.find_first_not_of("0123456789"), stem.size());
  if (digits == 0) {
    return bad_name(
        file, stem.starts_with('V') || stem.starts_with("R__") || stem.starts_with("U")
                  ? "the file's name begins with no number (Flyway's V1__name.sql is not read); call it N_name.sql"
                  : "the file's name begins with no number; call it N_name.sql, or move it out of the migrations "
                    "directory");
  }
  if (digits < stem.size() && stem[digits] != '_' && stem[digits] != '-') {
    return bad_name(file,
                    "after the number must come _ or -, as in " + std::string(stem.substr(0, digits)) + "_name.sql");
  }
  return NumberedName{std::string(stem.substr(0, digits)),
                      digits < stem.size() ? std::string(stem.substr(digits + 1)) : std::string()};
}

Result<std::vector<Migration>> read_directory(const fs::path& directory, const SourceOptions& options) {
  auto files = list_sql_files(directory);
  if (!files) return std::unexpected(files.error());
  auto format = choose_format(*files, options.format);
  if (!format) return std::unexpected(format.error());
  auto migrations = (*format)->read(*files, options.dialect);
  if (!migrations) return migrations;
  std::ranges::sort(*migrations, [](const Migration& a, const Migration& b) {
    const auto order = compare_ids(a.id.value, b.id.value);
    return order != 0 ? order < 0 : a.up.path < b.up.path;
  });
  for (std::size_t i = 1; i < migrations->size(); ++i) {
    const Migration& before = (*migrations)[i - 1];
    const Migration& here = (*migrations)[i];
    if (same_id(before.id, here.id)) return two_of_one_number(here.id.value, before.up.path, here.up.path);
  }
  if (migrations->size() > kMigrationsMax) {
    return refuse(ErrorCode::kResourceExhausted, "MIGRATIONS_TOO_LARGE", directory.string(),
                  "the directory holds " + std::to_string(migrations->size()) + " migrations; the limit is " +
                      std::to_string(kMigrationsMax) + "; squash the old ones into one");
  }
  if (auto resolved = resolve_depends(*migrations); !resolved) return std::unexpected(resolved.error());
  return migrations;
}

}  // namespace syzygy
