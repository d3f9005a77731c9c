// golang-migrate: N_title.up.sql with an optional N_title.down.sql. The two belong together by their number.
#include <map>

#include "migration/source/formats.h"
#include "migration/source/markers.h"

namespace syzygy {
namespace {

constexpr std::string_view kUpSuffix = ".up.sql";
constexpr std::string_view kDownSuffix = ".down.sql";

bool recognises_golang_migrate(const Listing& listing) {
  for (const auto& file : listing.files) {
    if (file.name.ends_with(kUpSuffix)) return true;
  }
  return false;
}

struct ByValue {
  bool operator()(const std::string& a, const std::string& b) const { return compare_ids(a, b) < 0; }
};

Result<std::vector<Migration>> read_golang_migrate(const Listing& listing, Dialect dialect) {
  std::map<std::string, Migration, ByValue> found;
  std::map<std::string, Script, ByValue> downs;
  for (const auto& file : listing.files) {
    const bool up = file.name.ends_with(kUpSuffix);
    if (!up && !file.name.ends_with(kDownSuffix)) {
      return bad_name(file,
                      "the other files of this directory are golang-migrate's (N_title.up.sql, N_title.down.sql), and "
                      "this one is not; rename it, or move it elsewhere");
    }
    auto named = numbered_name(
        std::string_view(file.name).substr(0, file.name.size() - (up ? kUpSuffix : kDownSuffix).size()), file);
    if (!named) return std::unexpected(named.error());
    auto marked = read_markers(dialect, file.text, file.path.string(), {.tool = {}, .sqlx = true});
    if (!marked) return std::unexpected(marked.error());
    // golang-migrate sends the file as it is: a single statement is in no transaction.
    marked->up.no_transaction = marked->up.no_transaction || only_outside_transaction(dialect, marked->up);
    const auto misplaced = [&](std::string_view marker, std::size_t line, std::string_view where) {
      return bad_line("MIGRATIONS_BAD_MARKER", file, line,
                      std::string(marker) + " has no place here; " + std::string(where));
    };
    if (marked->down) {
      return misplaced(
          "-- syzygy:down", marked->down_line,
          "in this format the way back is the file " + named->number + "_" + named->name + std::string(kDownSuffix));
    }
    if (up) {
      Migration migration;
      migration.id = StepId{named->number};
      migration.name = named->name;
      migration.up = std::move(marked->up);
      migration.depends = marked->depends;
      const auto [at, is_new] = found.try_emplace(named->number, std::move(migration));
      if (!is_new) return two_of_one_number(named->number, at->second.up.path, file.path.string());
    } else {
      if (marked->depends) {
        return misplaced("-- syzygy:depends", marked->depends_line, "write it in the .up.sql file");
      }
      const auto [at, is_new] = downs.try_emplace(named->number, std::move(marked->up));
      if (!is_new) return two_of_one_number(named->number, at->second.path, file.path.string());
    }
  }
  std::vector<Migration> migrations;
  migrations.reserve(found.size());
  for (auto& [number, down] : downs) {
    const auto up = found.find(number);
    if (up == found.end()) {
      return failure(ErrorCode::kFailedPrecondition, "MIGRATIONS_BAD_NAME",
                     down.path + ": there is a way back, but no " + number +
                         "_....up.sql that it belongs to; add that file, or remove this one",
                     {{"path", down.path}});
    }
    up->second.down = std::move(down);
  }
  for (auto& [number, migration] : found) migrations.push_back(std::move(migration));
  return migrations;
}

}  // namespace

const Format kGolangMigrate{"golang-migrate", recognises_golang_migrate, read_golang_migrate};

}  // namespace syzygy
