#include <algorithm>
#include <array>
#include <map>
#include <system_error>

#include "base/name.h"
#include "migration/source/formats.h"
#include "migration/source/markers.h"
#include "migration/source/source.h"
#include "migration/source/text.h"
#include "migration/sql/lexer.h"
#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"

namespace syzygy {
namespace {

namespace fs = std::filesystem;

const std::array kFormats = {&kGolangMigrate, &kFlyway, &kGoose, &kDbmate, &kAtlas, &kPlain};

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

// Lists one folder into `listing`; what lies in folders below it where `deep`. `prefix`: of the folder, "2024/".
class Lister {
 public:
  Lister(const fs::path& directory, bool deep, const std::set<std::string>& leave_out)
      : deep_(deep), leave_out_(leave_out) {
    listing_.path = directory;
  }

  Result<Listing> list() {
    const std::string shown = listing_.path.string();
    std::error_code error;
    const fs::file_status status = fs::status(listing_.path, error);
    if (status.type() == fs::file_type::not_found) {
      return refuse(ErrorCode::kNotFound, "MIGRATIONS_MISSING", shown,
                    "there is no such migrations directory; give the right one with --dir");
    }
    if (error) return unreadable(shown, error);
    if (status.type() != fs::file_type::directory) {
      return refuse(ErrorCode::kFailedPrecondition, "MIGRATIONS_MISSING", shown,
                    "this is a file, not a migrations directory; give the directory that holds it with --dir");
    }
    if (auto done = folder(listing_.path, "", 0); !done) return std::unexpected(done.error());
    std::ranges::sort(listing_.files, {}, &SourceFile::name);  // so that the same directory always gives the same error
    return std::move(listing_);
  }

 private:
  static constexpr int kDepthMax = 16;

  Result<void> folder(const fs::path& path, const std::string& prefix, int depth) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    fs::directory_iterator found(path, error);
    for (const fs::directory_iterator end; !error && found != end; found.increment(error)) entries.push_back(*found);
    if (error) return unreadable(path.string(), error);
    std::ranges::sort(entries, {}, [](const fs::directory_entry& entry) { return entry.path().native(); });
    for (const fs::directory_entry& entry : entries) {
      const std::string name = entry.path().filename().string();
      if (name == kInterruptedSplit) {
        return refuse(
            ErrorCode::kFailedPrecondition, "MIGRATIONS_INTERRUPTED", entry.path().string(),
            "syzygy split was interrupted while it moved its files into place, so the directory is not whole; "
            "finish it: syzygy split --finish " +
                path.string());
      }
      if (name.starts_with('.')) continue;  // an editor's swap file, .gitkeep
      if (deep_ && depth < kDepthMax && entry.is_directory(error) && !entry.is_symlink(error)) {
        if (auto done = folder(entry.path(), prefix + name + "/", depth + 1); !done) return done;
        continue;
      }
      if (auto done = take(entry, prefix + name); !done) return done;
    }
    return {};
  }

  Result<void> take(const fs::directory_entry& entry, const std::string& name) {
    if (leave_out_.contains(entry.path().string())) return {};
    std::string ending = entry.path().extension().string();
    std::ranges::transform(ending, ending.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
    if (listing_.files.size() + listing_.others.size() > 2 * kMigrationsMax) {
      return refuse(ErrorCode::kResourceExhausted, "MIGRATIONS_TOO_LARGE", listing_.path.string(),
                    "the directory holds more than " + std::to_string(2 * kMigrationsMax) +
                        " files (the limit); squash the old ones into one, or give another --dir");
    }
    if (ending != ".sql") {
      const bool wanted = name == "atlas.sum" || name.ends_with(".sql.conf");
      auto bytes = wanted ? read(entry.path()) : Result<std::string>("");
      if (!bytes) return std::unexpected(bytes.error());
      listing_.others.emplace(name, std::move(*bytes));
      return {};
    }
    SourceFile file{name, entry.path(), {}, {}};
    if (!check_name("migration file", file.name)) {
      return bad_name(file,
                      "the file's name is longer than 200 bytes, not UTF-8, or has control characters; rename it");
    }
    if (!file.name.ends_with(".sql")) return bad_name(file, "the file's name must end in .sql, in small letters");
    auto bytes = read(file.path);
    if (!bytes) return std::unexpected(bytes.error());
    auto text = clean_text(*bytes, file.path.string());
    if (!text) return std::unexpected(text.error());
    file.text = std::move(*text);
    if (file.text != *bytes) file.bytes = std::move(*bytes);
    listing_.files.push_back(std::move(file));
    return {};
  }

  Result<std::string> read(const fs::path& path) {
    auto bytes = read_bytes(path);
    if (!bytes) return bytes;
    bytes_ += bytes->size();
    if (bytes_ > kDirectoryBytesMax) {
      return refuse(ErrorCode::kResourceExhausted, "MIGRATIONS_TOO_LARGE", listing_.path.string(),
                    "the directory's files have more than " + std::to_string(kDirectoryBytesMax >> 20) +
                        " MiB in all (the limit); squash the old ones, or load their data by another way");
    }
    return bytes;
  }

  bool deep_;
  const std::set<std::string>& leave_out_;
  std::size_t bytes_ = 0;
  Listing listing_;
};

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
    return bad_name(file,
                    "the file's name begins with no number; call it N_name.sql, or move it out of the migrations "
                    "directory");
  }
  if (digits < stem.size() && stem[digits] != '_' && stem[digits] != '-') {
    return bad_name(file,
                    "after the number must come _ or -, as in " + std::string(stem.substr(0, digits)) + "_name.sql");
  }
  return NumberedName{std::string(stem.substr(0, digits)),
                      digits < stem.size() ? std::string(stem.substr(digits + 1)) : std::string()};
}

std::unexpected<Error> bad_line(std::string reason, const SourceFile& file, std::size_t line, const std::string& why) {
  const std::string shown = file.path.string();
  return failure(ErrorCode::kInvalidArgument, std::move(reason), shown + ":" + std::to_string(line) + ": " + why,
                 {{"path", shown}, {"line", std::to_string(line)}});
}

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  std::size_t offset = 0;
  while (offset < text.size()) {
    const std::size_t end = std::min(text.find('\n', offset), text.size());
    lines.push_back({offset, lines.size() + 1, text.substr(offset, end - offset)});
    offset = end + 1;
  }
  return lines;
}

std::string_view trimmed(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\f' || c == '\v'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

Result<Migration> read_sections(const SourceFile& file, Dialect dialect, const NumberedName& named,
                                const Sections& sections) {
  const std::string path = file.path.string();
  const std::string_view text = file.text;
  const auto misplaced = [&](std::size_t line, const std::string& why) {
    return bad_line("MIGRATIONS_BAD_MARKER", file, line, why);
  };
  const auto no_syzygy_down = [&](const Marked& marked) {
    return misplaced(marked.down_line,
                     "-- syzygy:down has no place in " + std::string(sections.tool) + "'s format" +
                         (sections.down_directive.empty() ? ", which has no way back: its migrations only go forwards"
                                                          : "; write " + std::string(sections.down_directive)));
  };
  Migration migration;
  migration.id = StepId{named.number};
  migration.name = named.name;
  migration.script = file.name;
  auto up = read_markers(dialect, text.substr(0, sections.up_end), path, {sections.tool, 1});
  if (!up) return std::unexpected(up.error());
  if (up->down) return no_syzygy_down(*up);
  migration.up = std::move(up->up);
  migration.up.no_transaction = migration.up.no_transaction || sections.up_no_transaction;
  migration.depends = up->depends;
  if (!sections.down_start) return migration;
  auto down = read_markers(dialect, text.substr(*sections.down_start), path, {sections.tool, sections.down_line});
  if (!down) return std::unexpected(down.error());
  if (down->down) return no_syzygy_down(*down);
  if (down->depends) {
    return misplaced(down->depends_line, "-- syzygy:depends belongs to the whole migration; write it above " +
                                             std::string(sections.down_directive));
  }
  migration.down = std::move(down->up);
  migration.down->no_transaction = migration.down->no_transaction || sections.down_no_transaction;
  return migration;
}

bool only_outside_transaction(Dialect dialect, const Script& script) {
  if (dialect != Dialect::kPostgres) return false;
  // Every statement that is meant has one of these words; the others need no parser.
  static constexpr std::array kWords = {"CONCURRENTLY", "VACUUM",     "REINDEX", "CLUSTER",
                                        "DATABASE",     "TABLESPACE", "SYSTEM",  "SUBSCRIPTION"};
  Lexer lexer(dialect, script.text);
  bool possible = false;
  while (const auto token = lexer.next_visible()) {
    possible = possible || std::ranges::any_of(kWords, [&](const char* word) { return token->is(word); });
  }
  if (!possible) return false;
  const auto statements = split_statements(dialect, script.text, script.path, script.first_line);
  if (!statements || statements->empty()) return false;
  return std::ranges::all_of(*statements, [&](const Statement& statement) {
    return read_meaning(dialect, statement.text).in_transaction == InTransaction::kRefused;
  });
}

Result<const Format*> choose_format(const Listing& listing, const std::string& wanted) {
  std::string known;
  for (const Format* format : kFormats) {
    if (wanted.empty() ? format->recognises(listing) : format->name == wanted) return format;
    known += (known.empty() ? "" : ", ") + std::string(format->name);
  }
  return failure(ErrorCode::kInvalidArgument, "MIGRATIONS_FORMAT",
                 "\"" + printable(wanted) + "\" is no known format of a migrations directory; known are " + known);
}

Result<Listing> list_directory(const fs::path& directory, const SourceOptions& options) {
  const bool flyway = options.format == kFlyway.name;
  auto listing = Lister(directory, flyway, options.leave_out).list();
  if (!listing) return std::unexpected(listing.error());
  if (options.format.empty() && (listing->files.empty() || kFlyway.recognises(*listing))) {
    // Only Flyway looks into folders.
    auto deep = Lister(directory, true, options.leave_out).list();
    if (!deep) return std::unexpected(deep.error());
    if (kFlyway.recognises(*deep)) listing = std::move(deep);
  }
  return listing;
}

Result<std::vector<Migration>> read_directory(const fs::path& directory, const SourceOptions& options) {
  const auto listing = list_directory(directory, options);
  if (!listing) return std::unexpected(listing.error());
  return read_listing(*listing, options);
}

Result<std::vector<Migration>> read_listing(const Listing& listing, const SourceOptions& options) {
  const fs::path& directory = listing.path;
  if (listing.files.empty()) {
    return refuse(ErrorCode::kFailedPrecondition, "MIGRATIONS_EMPTY", directory.string(),
                  "the directory holds no migrations (files such as 0001_name.sql or 0001_name.up.sql); give the right "
                  "one with --dir");
  }
  auto format = choose_format(listing, options.format);
  if (!format) return std::unexpected(format.error());
  auto migrations = (*format)->read(listing, options.dialect);
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
