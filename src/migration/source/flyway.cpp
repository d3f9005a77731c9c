// Flyway's directories, with their folders: V1_2__name.sql, U1_2__name.sql (the way back), R__name.sql (run again
// whenever it has changed), and beside each a NAME.sql.conf with executeInTransaction=false.
#include <algorithm>
#include <boost/crc.hpp>

#include "base/name.h"
#include "base/sha256.h"
#include "migration/source/formats.h"
#include "migration/source/markers.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

// "V1_2__add_email.sql" -> V, "1.2", "add_email"; nullopt: no such name.
struct Name {
  char prefix = 'V';
  std::string version;
  std::string description;
};

std::string_view base_name(std::string_view name) { return name.substr(name.find_last_of('/') + 1); }

std::optional<Name> parse(std::string_view file_name) {
  const std::string_view name = base_name(file_name);
  if (!name.ends_with(".sql")) return std::nullopt;
  const std::string_view stem = name.substr(0, name.size() - 4);
  const auto cut = stem.find("__");
  if (stem.empty() || cut == std::string_view::npos || cut + 2 > stem.size()) return std::nullopt;
  Name parsed{stem.front(), std::string(stem.substr(1, cut - 1)), std::string(stem.substr(cut + 2))};
  if (parsed.prefix == 'R') return parsed.version.empty() ? std::optional(parsed) : std::nullopt;
  if (parsed.prefix != 'V' && parsed.prefix != 'U' && parsed.prefix != 'B') return std::nullopt;
  std::ranges::replace(parsed.version, '_', '.');
  const bool numbers = !parsed.version.empty() && parsed.version.front() != '.' && parsed.version.back() != '.' &&
                       !parsed.version.contains("..") &&
                       parsed.version.find_first_not_of("0123456789.") == std::string::npos;
  return numbers ? std::optional(parsed) : std::nullopt;
}

bool recognises_flyway(const Listing& listing) {
  return std::ranges::any_of(listing.files, [](const SourceFile& file) { return parse(file.name).has_value(); });
}

// As Flyway computes it: CRC32 over the lines, without their ends; a signed number.
std::string checksum(std::string_view text) {
  boost::crc_32_type crc;
  for (const Line& line : lines_of(text)) crc.process_bytes(line.text.data(), line.text.size());
  return std::to_string(static_cast<std::int32_t>(crc.checksum()));
}

// "1.0" and "1" are one version to Flyway.
std::string without_zeros(std::string version) {
  while (version.ends_with(".0")) version.resize(version.size() - 2);
  return version;
}

struct Settings {
  std::optional<bool> in_transaction;
  bool fills_placeholders = true;
};

Result<Settings> read_settings(const Listing& listing, const SourceFile& file) {
  Settings settings;
  const auto found = listing.others.find(file.name + ".conf");
  if (found == listing.others.end()) return settings;
  const SourceFile conf{found->first, listing.path / found->first, {}, {}};
  for (const Line& line : lines_of(found->second)) {
    std::string_view text = trimmed(line.text);
    if (text.ends_with('\r')) text = trimmed(text.substr(0, text.size() - 1));
    if (text.empty() || text.starts_with('#') || text.starts_with('!')) continue;
    const auto equals = text.find_first_of("=:");
    const std::string key(trimmed(text.substr(0, equals)));
    const std::string value = equals == std::string_view::npos ? "" : lower_case(trimmed(text.substr(equals + 1)));
    if ((key == "executeInTransaction" || key == "placeholderReplacement") && (value == "true" || value == "false")) {
      if (key == "executeInTransaction") settings.in_transaction = value == "true";
      if (key == "placeholderReplacement") settings.fills_placeholders = value == "true";
    } else if (key != "encoding" || value != "utf-8") {
      return bad_line("MIGRATIONS_FORMAT", conf, line.number,
                      "\"" + printable(text) +
                          "\" is no setting that syzygy can follow; it knows executeInTransaction, "
                          "placeholderReplacement, and encoding=UTF-8");
    }
  }
  return settings;
}

// Flyway fills ${...} in everywhere but in comments, also in strings and function bodies.
Result<void> check_placeholders(const SourceFile& file, Dialect dialect) {
  if (!file.text.contains("${")) return {};
  Lexer lexer(dialect, file.text);
  while (const auto token = lexer.next_visible()) {
    auto at = token->text.find("${");
    if (at == std::string_view::npos && token->text == "$" && file.text.substr(token->end()).starts_with("{")) at = 0;
    if (at == std::string_view::npos) continue;
    const std::size_t offset = token->offset + at;
    const auto line = 1 + std::count(file.text.begin(), file.text.begin() + static_cast<std::ptrdiff_t>(offset), '\n');
    const std::string_view rest = std::string_view(file.text).substr(offset);
    return bad_line(
        "MIGRATIONS_FORMAT", file, static_cast<std::size_t>(line),
        "\"" + printable(rest.substr(0, std::min(rest.find('}'), std::size_t{38}) + 1)) +
            "\" is a placeholder of Flyway, whose value syzygy does not know; write the value, or, if it is "
            "meant as it stands, placeholderReplacement=false in " +
            file.name + ".conf");
  }
  return {};
}

Result<Marked> read_one(const Listing& listing, const SourceFile& file, Dialect dialect) {
  auto settings = read_settings(listing, file);
  if (!settings) return std::unexpected(settings.error());
  if (settings->fills_placeholders) {
    if (auto checked = check_placeholders(file, dialect); !checked) return std::unexpected(checked.error());
  }
  auto marked = read_markers(dialect, file.text, file.path.string());
  if (!marked) return marked;
  if (marked->down) {
    return bad_line("MIGRATIONS_BAD_MARKER", file, marked->down_line,
                    "-- syzygy:down has no place in Flyway's format; the way back is the file U" +
                        parse(file.name)->version + "__....sql");
  }
  // Without a setting Flyway itself finds out what cannot run in a transaction.
  const bool outside =
      settings->in_transaction ? !*settings->in_transaction : only_outside_transaction(dialect, marked->up);
  marked->up.no_transaction = marked->up.no_transaction || outside;
  return marked;
}

Result<std::vector<Migration>> read_flyway(const Listing& listing, Dialect dialect) {
  for (const auto& [name, unused] : listing.others) {
    const std::string_view base = base_name(name);
    if (base.ends_with(".java") && base.contains("__")) {
      return bad_name({name, listing.path / name, {}, {}},
                      "a migration written in Java, which only a program that contains it can run; write it as SQL");
    }
  }
  std::map<std::string, Migration> found;  // by version, without trailing zeros
  std::map<std::string, std::pair<const SourceFile*, Script>> downs;
  std::vector<Migration> migrations;
  for (const SourceFile& file : listing.files) {
    const auto name = parse(file.name);
    if (!name) {
      return bad_name(file,
                      "the other files of this directory are Flyway's (V1__name.sql, U1__name.sql, R__name.sql), and "
                      "this one is not; rename it, or move it elsewhere (callbacks are not run by syzygy)");
    }
    if (name->prefix == 'B') {
      return bad_name(file,
                      "a baseline migration of Flyway stands for others, and syzygy applies each itself: call it V" +
                          name->version +
                          "__....sql where the older ones are gone, and adopt databases that have it (syzygy history "
                          "adopt); else move it elsewhere");
    }
    auto marked = read_one(listing, file, dialect);
    if (!marked) return std::unexpected(marked.error());
    Migration migration;
    migration.name = name->description;
    migration.script = file.name;
    migration.checksum = checksum(file.text);
    if (name->prefix == 'R') {
      // Each text of it is a migration of its own: a changed one is pending again.
      migration.id = StepId{"R__" + name->description + "@" + marked->up.content.substr(0, 12)};
      migration.repeatable = true;
      migration.up = std::move(marked->up);
      migration.depends = marked->depends;
      migrations.push_back(std::move(migration));
      continue;
    }
    const std::string key = without_zeros(name->version);
    if (name->prefix == 'U') {
      if (marked->depends) {
        return bad_line("MIGRATIONS_BAD_MARKER", file, marked->depends_line,
                        "-- syzygy:depends has no place in a way back; write it in the V file");
      }
      const auto [at, is_new] = downs.try_emplace(key, &file, std::move(marked->up));
      if (!is_new) return two_of_one_number(name->version, at->second.first->path.string(), file.path.string());
      continue;
    }
    migration.id = StepId{name->version};
    migration.up = std::move(marked->up);
    migration.depends = marked->depends;
    const auto [at, is_new] = found.try_emplace(key, std::move(migration));
    if (!is_new) return two_of_one_number(name->version, at->second.up.path, file.path.string());
  }
  for (auto& [version, down] : downs) {
    const auto up = found.find(version);
    if (up == found.end()) {
      return bad_name(*down.first, "there is a way back, but no V" + version +
                                       "__....sql that it belongs to; add that file, or remove this one");
    }
    up->second.down = std::move(down.second);
  }
  for (auto& [version, migration] : found) migrations.push_back(std::move(migration));
  return migrations;
}

}  // namespace

const Format kFlyway{"flyway", recognises_flyway, read_flyway};

}  // namespace syzygy
