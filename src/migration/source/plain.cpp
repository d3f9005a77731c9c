// Plain numbered SQL: 0004_name.sql, whose way back is the part under `-- syzygy:down`, or the file 0004_name.down.sql.
#include <map>

#include "migration/source/formats.h"
#include "migration/source/markers.h"

namespace syzygy {
namespace {

constexpr std::string_view kDown = ".down.sql";
constexpr std::string_view kSql = ".sql";

bool recognises_plain(const Listing&) { return true; }

Result<std::vector<Migration>> read_plain(const Listing& listing, Dialect dialect) {
  std::vector<Migration> migrations;
  struct Down {
    const SourceFile* file = nullptr;
    Script script;
    bool used = false;
  };
  std::map<std::string, Down> downs;  // by the stem that its migration has
  for (const auto& file : listing.files) {
    const bool down = file.name.ends_with(kDown);
    if (file.name.ends_with(".up.sql")) {
      return bad_name(file,
                      "this is a name of golang-migrate's format in a directory that is read as plain; rename it to "
                      "N_name.sql, or leave the format to be recognised");
    }
    const auto stem = std::string_view(file.name).substr(0, file.name.size() - (down ? kDown : kSql).size());
    auto named = numbered_name(stem, file);
    if (!named) return std::unexpected(named.error());
    auto marked = read_markers(dialect, file.text, file.path.string(), {.tool = {}, .sqlx = true});
    if (!marked) return std::unexpected(marked.error());
    if (!down) {
      Migration migration;
      migration.id = StepId{named->number};
      migration.name = named->name;
      migration.up = std::move(marked->up);
      migration.down = std::move(marked->down);
      migration.depends = marked->depends;
      migrations.push_back(std::move(migration));
      continue;
    }
    if (marked->down) {
      return bad_line("MIGRATIONS_BAD_MARKER", file, marked->down_line,
                      "-- syzygy:down has no place in a .down.sql file, which is the way back as a whole");
    }
    if (marked->depends) {
      return bad_line("MIGRATIONS_BAD_MARKER", file, marked->depends_line,
                      "-- syzygy:depends has no place in a .down.sql file; write it in " + std::string(stem) + ".sql");
    }
    downs.emplace(stem, Down{&file, std::move(marked->up), false});
  }
  for (auto& migration : migrations) {
    const auto name = std::filesystem::path(migration.up.path).stem().string();
    const auto down = downs.find(name);
    if (down == downs.end()) continue;
    if (migration.down) {
      return failure(ErrorCode::kFailedPrecondition, "MIGRATIONS_BAD_MARKER",
                     migration.up.path + ":" + std::to_string(migration.down->first_line - 1) +
                         ": the way back is written twice, under -- syzygy:down and in " +
                         down->second.file->path.string() + "; remove one of them",
                     {{"path", migration.up.path}, {"line", std::to_string(migration.down->first_line - 1)}});
    }
    migration.down = std::move(down->second.script);
    down->second.used = true;
  }
  for (const auto& [stem, down] : downs) {
    if (down.used) continue;
    return bad_name(*down.file, "there is a way back, but no " + stem +
                                    ".sql that it belongs to; add that file, or remove or rename this one");
  }
  return migrations;
}

}  // namespace

const Format kPlain{"plain", recognises_plain, read_plain};

}  // namespace syzygy
