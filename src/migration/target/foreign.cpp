#include "migration/target/foreign.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "migration/target/ledger.h"

namespace syzygy::migration {
namespace {

struct Tool {
  std::string_view tool;
  std::string_view table;
  std::vector<std::string_view> has;    // columns that it has
  std::vector<std::string_view> lacks;  // and some that another tool's table of that name has
  std::string_view applied;             // versions, ascending; {table}. Empty: only its presence is known
  bool cumulative = false;
  bool refuses = true;  // a tool whose directories syzygy reads: its history is likely that of this very directory
};

const std::vector<Tool>& tools() {
  static const std::vector<Tool> known = {
      {"golang-migrate",
       "schema_migrations",
       {"version", "dirty"},
       {},
       "select version from {table} order by version",
       true},
      {"dbmate", "schema_migrations", {"version"}, {"dirty"}, "select version from {table} order by version"},
      {"goose",
       "goose_db_version",
       {"version_id", "is_applied", "id"},
       {},
       "select version_id from {table} g where is_applied and version_id > 0 and id = (select max(id) from {table} h "
       "where h.version_id = g.version_id) order by version_id"},
      {"Flyway",
       "flyway_schema_history",
       {"installed_rank", "version", "success"},
       {},
       "select version from {table} where success and version is not null order by installed_rank"},
      {"Atlas", "atlas_schema_revisions", {"version"}, {}, "select version from {table} order by version"},
      {"Django", "django_migrations", {"app", "name"}, {}, "", false, false},
      {"Alembic", "alembic_version", {"version_num"}, {}, "", false, false},
      {"Liquibase", "databasechangelog", {}, {}, "", false, false},
      {"Prisma", "_prisma_migrations", {}, {}, "", false, false},
      {"sqlx", "_sqlx_migrations", {}, {}, "", false, false},
      {"Diesel", "__diesel_schema_migrations", {}, {}, "", false, false},
      {"Knex", "knex_migrations", {}, {}, "", false, false},
  };
  return known;
}

std::string replaced(std::string_view text, std::string_view with) {
  std::string sql(text);
  for (std::size_t at = sql.find("{table}"); at != std::string::npos; at = sql.find("{table}"))
    sql.replace(at, 7, with);
  return sql;
}

bool contains(const std::vector<std::string>& columns, std::string_view name) {
  return std::ranges::find(columns, name) != columns.end();
}

const KnownStep* find(const std::vector<KnownStep>& directory, const StepId& id) {
  const auto it = std::ranges::find_if(directory, [&](const KnownStep& step) { return same_id(step.id, id); });
  return it == directory.end() ? nullptr : &*it;
}

std::unexpected<Error> refusal(std::string reason, std::string message) {
  return failure(ErrorCode::kFailedPrecondition, std::move(reason), std::move(message));
}

}  // namespace

Sql<std::vector<ForeignHistory>> read_foreign(Driver& db) {
  std::set<std::string> names;
  for (const Tool& tool : tools()) names.emplace(tool.table);
  auto tables = db.find_tables({names.begin(), names.end()});
  if (!tables) return std::unexpected(tables.error());
  std::vector<ForeignHistory> histories;
  for (const Driver::ForeignTable& table : *tables) {
    const auto tool = std::ranges::find_if(tools(), [&](const Tool& one) {
      return one.table == table.name &&
             std::ranges::all_of(one.has, [&](auto column) { return contains(table.columns, column); }) &&
             std::ranges::none_of(one.lacks, [&](auto column) { return contains(table.columns, column); });
    });
    if (tool == tools().end()) continue;
    ForeignHistory history;
    history.tool = tool->tool;
    history.table = table.table;
    history.cumulative = tool->cumulative;
    history.refuses = tool->refuses;
    history.readable = table.readable && !tool->applied.empty();
    if (history.readable) {
      auto rows = db.query(replaced(tool->applied, table.table));
      if (!rows) return std::unexpected(rows.error());
      for (const Row& row : *rows) history.versions.push_back(row[0]);
      if (contains(table.columns, "dirty")) {
        auto dirty = db.query("select 1 from " + table.table + " where dirty");
        if (!dirty) return std::unexpected(dirty.error());
        history.dirty = !dirty->empty();
      }
    }
    histories.push_back(std::move(history));
  }
  return histories;
}

Result<std::vector<KnownStep>> plan_adoption(const std::vector<ForeignHistory>& foreign,
                                             const std::vector<KnownStep>& directory, const std::optional<StepId>& at) {
  if (at.has_value()) {
    if (at->value == "zero") return std::vector<KnownStep>{};
    const KnownStep* last = find(directory, *at);
    if (last == nullptr) {
      return refusal("STEP_UNKNOWN", "The migrations directory has no " + at->value +
                                         ", which --at names. It ends with " +
                                         (directory.empty() ? "nothing" : directory.back().id.value) +
                                         "; `--at zero` adopts nothing and starts afresh.");
    }
    return std::vector<KnownStep>(directory.begin(), directory.begin() + (last - directory.data()) + 1);
  }

  std::vector<const ForeignHistory*> usable;
  for (const ForeignHistory& history : foreign) {
    if (history.refuses && history.readable) usable.push_back(&history);
  }
  if (usable.size() != 1) {
    std::string which;
    for (const ForeignHistory& history : foreign)
      which += (which.empty() ? "" : ", ") + history.tool + "'s " + history.table;
    return refusal(
        "NOTHING_TO_ADOPT",
        (usable.empty() ? "No history table of another tool that can be read was found in this database" +
                              (which.empty() ? std::string() : " (seen: " + which + ")")
                        : "Several tools' history tables stand in this database: " + which) +
            ". Say up to which migration everything is applied: syzygy history adopt --at ID (or --at zero).");
  }
  const ForeignHistory& theirs = *usable.front();
  if (theirs.dirty) {
    return refusal("FOREIGN_DIRTY", theirs.tool + " left migration " +
                                        (theirs.versions.empty() ? "(none)" : theirs.versions.back()) +
                                        " half-way: its row in " + theirs.table +
                                        " is marked dirty. Bring the database into a known state, clear the mark with "
                                        "the tool's own `force`, and adopt again; or say --at ID.");
  }
  for (const std::string& version : theirs.versions) {
    if (find(directory, StepId{version}) != nullptr) continue;
    return refusal("FOREIGN_UNKNOWN_VERSION",
                   theirs.tool + "'s " + theirs.table + " says that " + version +
                       " is applied, and the migrations directory has no such migration: an "
                       "older image, or another directory. Give the right --dir, or --at ID.");
  }
  std::vector<KnownStep> adopted;
  for (const KnownStep& step : directory) {
    const bool applied = std::ranges::any_of(theirs.versions, [&](const std::string& version) {
      return theirs.cumulative ? compare_ids(step.id.value, version) <= 0 : same_id(step.id, StepId{version});
    });
    if (applied) adopted.push_back(step);
  }
  return adopted;
}

ForeignVersion foreign_version(const std::vector<KnownStep>& directory, const std::vector<StepId>& applied) {
  std::set<std::string> keys;
  for (const StepId& id : applied) keys.insert(step_key(id));
  std::size_t prefix = 0;
  while (prefix < directory.size() && keys.erase(step_key(directory[prefix].id)) != 0) ++prefix;
  // Something applied above a gap, or unknown to this directory, has no place in a single number.
  if (!keys.empty()) return {};
  if (prefix == 0) return {true, std::nullopt};
  const std::string version = step_key(directory[prefix - 1].id);
  if (!std::ranges::all_of(version, [](char c) { return c >= '0' && c <= '9'; })) return {};
  return {true, version};
}

}  // namespace syzygy::migration
