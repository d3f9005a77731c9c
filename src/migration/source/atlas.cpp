// Atlas' directories: 20240131093000_name.sql, `-- atlas:txmode none`, and atlas.sum, which must agree with the files.
#include <algorithm>
#include <array>

#include "base/name.h"
#include "base/sha256.h"
#include "migration/source/formats.h"
#include "migration/source/markers.h"
#include "migration/sql/statements.h"

namespace syzygy {
namespace {

constexpr std::string_view kSumFile = "atlas.sum";

bool recognises_atlas(const Listing& listing) { return listing.others.contains(std::string(kSumFile)); }

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) text.push_back(j <= have ? kDigits[group >> (18 - 6 * j) & 63] : '=');
  }
  return text;
}

// The file's own directives: comments at its top, `-- atlas:NAME VALUE`.
std::map<std::string, std::pair<std::string, std::size_t>> directives(std::string_view text) {
  std::map<std::string, std::pair<std::string, std::size_t>> found;
  for (const Line& line : lines_of(text)) {
    const std::string_view body = trimmed(line.text);
    if (body.empty()) continue;
    if (!body.starts_with("--")) break;
    const std::string_view comment = trimmed(body.substr(2));
    if (!comment.starts_with("atlas:")) continue;
    const std::string_view rest = comment.substr(6);
    const auto end = std::min(rest.find_first_of(" \t"), rest.size());
    found.try_emplace(std::string(rest.substr(0, end)), std::string(trimmed(rest.substr(end))), line.number);
  }
  return found;
}

struct Sums {
  std::vector<std::pair<std::string, std::string>> of_files;  // name, hash; in the order of the names
  std::string of_all;
};

// As Atlas computes them: each file's hash is over all names and bytes so far.
Sums compute(const Listing& listing) {
  Sums sums;
  Sha256 running;
  Sha256 all;
  for (const SourceFile& file : listing.files) {
    running.add(file.name);
    if (file.raw().starts_with("-- atlas:sum ignore")) continue;
    running.add(file.raw());
    sums.of_files.emplace_back(file.name, base64(running.digest()));
    all.add(sums.of_files.back().first);
    all.add(sums.of_files.back().second);
  }
  sums.of_all = base64(all.digest());
  return sums;
}

Result<Sums> verified(const Listing& listing) {
  const SourceFile sum_file{std::string(kSumFile), listing.path / kSumFile, {}, {}};
  const auto refuse = [&](std::size_t line, const std::string& why) {
    return bad_line("MIGRATIONS_CHECKSUM", sum_file, line, why);
  };
  const auto found = listing.others.find(std::string(kSumFile));
  if (found == listing.others.end()) {
    return failure(ErrorCode::kFailedPrecondition, "MIGRATIONS_CHECKSUM",
                   listing.path.string() + ": Atlas' " + std::string(kSumFile) +
                       " is missing, and without it nobody can tell whether the files are as they were written; make "
                       "it with `atlas migrate hash`, or give --format plain",
                   {{"path", listing.path.string()}});
  }
  Sums wanted;
  for (const Line& line : lines_of(found->second)) {
    std::string_view text = trimmed(line.text);
    if (text.ends_with('\r')) text.remove_suffix(1);
    if (text.empty()) continue;
    const auto hash = text.find("h1:");
    if (hash == std::string_view::npos) {
      return refuse(line.number,
                    "this is no line of a checksum file (NAME h1:HASH); make it anew with `atlas migrate hash`");
    }
    const std::string_view name = trimmed(text.substr(0, hash));
    if (name.empty()) {
      wanted.of_all = text.substr(hash + 3);
    } else {
      wanted.of_files.emplace_back(name, text.substr(hash + 3));
    }
  }
  Sums sums = compute(listing);
  const std::string way_out =
      "; restore it, or, if the change is meant and the migration applied nowhere yet, run `atlas migrate hash`";
  for (std::size_t i = 0; i < std::max(sums.of_files.size(), wanted.of_files.size()); ++i) {
    if (i == wanted.of_files.size()) return refuse(1, sums.of_files[i].first + " is not listed here" + way_out);
    const auto& [name, hash] = wanted.of_files[i];
    if (i == sums.of_files.size() || sums.of_files[i].first > name) {
      return refuse(i + 2, printable(name) + " is listed here, and the directory lacks it" + way_out);
    }
    if (sums.of_files[i].first != name) return refuse(i + 2, sums.of_files[i].first + " is not listed here" + way_out);
    if (sums.of_files[i].second != hash) {
      return refuse(i + 2, name + " was changed after its checksum was written" + way_out);
    }
  }
  if (sums.of_all != wanted.of_all) {
    return refuse(1, "the checksum of the whole directory is not that of its lines" + way_out);
  }
  return sums;
}

// What of Atlas' directives changes how a file is run. Gives "no transaction".
Result<bool> read_directives(const SourceFile& file) {
  bool none = false;
  for (const auto& [name, given] : directives(file.text)) {
    const auto& [value, line] = given;
    const auto refuse = [&](const std::string& why) { return bad_line("MIGRATIONS_FORMAT", file, line, why); };
    if (name == "txmode") {
      if (value != "none" && value != "file") {
        return refuse("-- atlas:txmode " + printable(value) + " is not known; known are none and file");
      }
      none = value == "none";
    } else if (name == "delimiter") {
      // White space and comments between statements do no harm, since the statements are cut by their semicolons.
      std::string rest = value;
      for (const std::string_view escape : {"\\n", "\\t", "\\r"}) {
        for (auto at = rest.find(escape); at != std::string::npos; at = rest.find(escape)) rest.erase(at, 2);
      }
      const std::string_view left = trimmed(rest);
      if (!left.empty() && left != ";" && !left.starts_with("--")) {
        return refuse(
            "-- atlas:delimiter " + printable(value) +
            " is not read; end the statements with semicolons, which function bodies in dollar quotes may hold");
      }
    } else if (name == "txtar") {
      return refuse("-- atlas:txtar puts several files into one, which is not read; write the migration alone");
    }
  }
  return none;
}

Result<std::vector<Migration>> read_atlas(const Listing& listing, Dialect dialect) {
  auto sums = verified(listing);
  if (!sums) return std::unexpected(sums.error());
  const std::map<std::string, std::string> hashes(sums->of_files.begin(), sums->of_files.end());
  std::vector<Migration> migrations;
  for (const SourceFile& file : listing.files) {
    // A checkpoint says again what the files before it do; those are applied themselves.
    if (directives(file.text).contains("checkpoint")) continue;
    auto named = numbered_name(std::string_view(file.name).substr(0, file.name.size() - 4), file);
    if (!named) return std::unexpected(named.error());
    auto none = read_directives(file);
    if (!none) return std::unexpected(none.error());
    Sections sections;
    sections.tool = "Atlas";
    sections.up_end = file.text.size();
    sections.up_no_transaction = *none;
    auto migration = read_sections(file, dialect, *named, sections);
    if (!migration) return std::unexpected(migration.error());
    if (const auto hash = hashes.find(file.name); hash != hashes.end()) migration->checksum = hash->second;
    const auto statements = split_statements(dialect, migration->up.text, migration->up.path);
    if (!statements) return std::unexpected(statements.error());
    migration->statements = statements->size();
    migrations.push_back(std::move(*migration));
  }
  return migrations;
}

}  // namespace

std::string atlas_sum(const Listing& listing) {
  const Sums sums = compute(listing);
  std::string text = "h1:" + sums.of_all + "\n";
  for (const auto& [name, hash] : sums.of_files) text += name + " h1:" + hash + "\n";
  return text;
}

const Format kAtlas{"atlas", recognises_atlas, read_atlas};

}  // namespace syzygy
