// dbmate's directories: 20240131093000_name.sql with `-- migrate:up` and `-- migrate:down`, each with
// `transaction:false` where it must not run in a transaction.
#include <algorithm>

#include "base/name.h"
#include "migration/source/formats.h"

namespace syzygy {
namespace {

struct Directive {
  bool up = false;
  std::string_view options;
};

// dbmate looks for it at the very start of a line.
std::optional<Directive> directive(std::string_view line) {
  if (!line.starts_with("--")) return std::nullopt;
  line = trimmed(line.substr(2));
  for (const bool up : {true, false}) {
    const std::string_view word = up ? "migrate:up" : "migrate:down";
    if (!line.starts_with(word)) continue;
    const std::string_view rest = line.substr(word.size());
    if (rest.empty() || rest.front() == ' ' || rest.front() == '\t') return Directive{up, trimmed(rest)};
  }
  return std::nullopt;
}

bool recognises_dbmate(const Listing& listing) {
  return std::ranges::any_of(listing.files, [](const SourceFile& file) {
    if (!file.text.contains("migrate:")) return false;
    return std::ranges::any_of(lines_of(file.text), [](const Line& line) { return directive(line.text).has_value(); });
  });
}

// "transaction:false" -> true. Errors: an option that is not known.
Result<bool> no_transaction(const SourceFile& file, const Line& line, std::string_view options) {
  bool none = false;
  while (!options.empty()) {
    const auto end = std::min(options.find_first_of(" \t"), options.size());
    const std::string_view option = options.substr(0, end);
    if (option == "transaction:false") {
      none = true;
    } else if (option != "transaction:true") {
      return bad_line("MIGRATIONS_BAD_MARKER", file, line.number,
                      "\"" + printable(option) +
                          "\" is no option of dbmate that is known; known are transaction:false and transaction:true");
    }
    options = trimmed(options.substr(end));
  }
  return none;
}

Result<Sections> cut(const SourceFile& file) {
  const auto bad = [&](std::size_t line, const std::string& why) {
    return bad_line("MIGRATIONS_BAD_MARKER", file, line, why);
  };
  Sections sections;
  sections.tool = "dbmate";
  sections.down_directive = "-- migrate:down";
  sections.up_end = file.text.size();
  std::size_t up_line = 0;
  std::size_t stray = 0;  // the first line of a statement that no section holds
  for (const Line& line : lines_of(file.text)) {
    const auto found = directive(line.text);
    if (!found) {
      const std::string_view text = trimmed(line.text);
      if (up_line == 0 && stray == 0 && !text.empty() && !text.starts_with("--")) stray = line.number;
      continue;
    }
    auto none = no_transaction(file, line, found->options);
    if (!none) return std::unexpected(none.error());
    if (found->up) {
      if (sections.down_start) return bad(line.number, "-- migrate:up stands below -- migrate:down; put it first");
      if (up_line != 0) {
        return bad(line.number, "a second -- migrate:up (the first is in line " + std::to_string(up_line) + ")");
      }
      up_line = line.number;
      sections.up_no_transaction = *none;
    } else {
      if (up_line == 0) return bad(line.number, "-- migrate:down stands before -- migrate:up; put -- migrate:up first");
      if (sections.down_start) return bad(line.number, "a second -- migrate:down");
      sections.up_end = line.offset;
      sections.down_start = std::min(line.after(), file.text.size());
      sections.down_line = line.number + 1;
      sections.down_no_transaction = *none;
    }
  }
  if (up_line == 0) {
    return bad(1,
               "there is no -- migrate:up in this file, and the directory is dbmate's; write it above the statements, "
               "or move the file elsewhere");
  }
  if (stray != 0) return bad(stray, "a statement stands before -- migrate:up; put it below, or remove it");
  return sections;
}

Result<std::vector<Migration>> read_dbmate(const Listing& listing, Dialect dialect) {
  std::vector<Migration> migrations;
  for (const SourceFile& file : listing.files) {
    auto named = numbered_name(std::string_view(file.name).substr(0, file.name.size() - 4), file);
    if (!named) return std::unexpected(named.error());
    auto sections = cut(file);
    if (!sections) return std::unexpected(sections.error());
    auto migration = read_sections(file, dialect, *named, *sections);
    if (!migration) return std::unexpected(migration.error());
    migrations.push_back(std::move(*migration));
  }
  return migrations;
}

}  // namespace

const Format kDbmate{"dbmate", recognises_dbmate, read_dbmate};

}  // namespace syzygy
