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
  std::vector<std::string_view> has = {};    // columns that it has
  std::vector<std::string_view> lacks = {};  // and some that another tool's table of that name has
  std::string_view applied = {};             // versions, ascending; {table}. Empty: only its presence is known
  std::string_view baseline = {};            // the version up to which everything counts as applied
  std::string_view repeatables = {};         // script and checksum
  std::string_view dirty = {};               // rows of what was left half-way
  bool cumulative = false;
  bool refuses = true;  // a tool whose directories syzygy reads: its history is likely that of this very directory
};

const std::vector<Tool>& tools() {
  static const std::vector<Tool> known = {
      {.tool = "golang-migrate",
       .table = "schema_migrations",
       .has = {"version", "dirty"},
       .applied = "select version from {table} order by version",
       .dirty = "select version from {table} where dirty",
       .cumulative = true},
      {.tool = "dbmate",
       .table = "schema_migrations",
       .has = {"version"},
       .lacks = {"dirty"},
       .applied = "select version from {table} order by version"},
      {.tool = "goose",
       .table = "goose_db_version",
       .has = {"version_id", "is_applied", "id"},
       .applied = "select version_id from {table} g where is_applied and version_id > 0 and id = (select max(id) from "
                  "{table} h where h.version_id = g.version_id) order by version_id"},
      {.tool = "Flyway",
       .table = "flyway_schema_history",
       .has = {"installed_rank", "version", "type", "script", "checksum", "success"},
       .applied = "select version from {table} f where success and version is not null and type <> 'BASELINE' and type "
                  "<> 'DELETE' and type not like 'UNDO%' and installed_rank = (select max(installed_rank) from {table} "
                  "g where g.version = f.version and g.success) order by installed_rank",
       .baseline = "select version from {table} where success and type = 'BASELINE' order by installed_rank desc",
       .repeatables = "select script, checksum from {table} f where success and version is null and type = 'SQL' and "
                      "installed_rank = (select max(installed_rank) from {table} g where g.version is null and "
                      "g.script = f.script and g.success)",
       .dirty = "select version from {table} where not success"},
      {.tool = "Atlas",
       .table = "atlas_schema_revisions",
       .has = {"version", "type", "applied", "total", "hash"},
       .applied = "select version from {table} where type <> 1 and applied = total and version not like '.%' order by "
                  "version",
       .baseline = "select version from {table} where type = 1 order by version desc",
       .dirty = "select version from {table} where type <> 1 and applied <> total and version not like '.%'"},
      {.tool = "Django", .table = "django_migrations", .has = {"app", "name"}, .refuses = false},
      {.tool = "Alembic", .table = "alembic_version", .has = {"version_num"}, .refuses = false},
      {.tool = "Liquibase", .table = "databasechangelog", .refuses = false},
      {.tool = "Prisma", .table = "_prisma_migrations", .refuses = false},
      {.tool = "sqlx", .table = "_sqlx_migrations", .refuses = false},
      {.tool = "Diesel", .table = "__diesel_schema_migrations", .refuses = false},
      {.tool = "Knex", .table = "knex_migrations", .refuses = false},
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

Sql<void> read_rows(Driver& db, const Tool& tool, ForeignHistory& history) {
  const auto ask = [&](std::string_view sql) -> Sql<Rows> {
    return sql.empty() ? Rows{} : db.query(replaced(sql, history.table));
  };
  auto applied = ask(tool.applied);
  if (!applied) return std::unexpected(applied.error());
  for (const Row& row : *applied) history.versions.push_back(row[0]);
  auto baseline = ask(tool.baseline);
  if (!baseline) return std::unexpected(baseline.error());
  if (!baseline->empty()) history.baseline = baseline->front()[0];
  auto repeatables = ask(tool.repeatables);
  if (!repeatables) return std::unexpected(repeatables.error());
  for (const Row& row : *repeatables) history.repeatables.emplace_back(row[0], row[1]);
  auto dirty = ask(tool.dirty);
  if (!dirty) return std::unexpected(dirty.error());
  history.dirty = !dirty->empty();
  if (history.dirty && !history.cumulative) history.half_way = dirty->front()[0];
  return {};
}

// Does the table say that this step is applied?
bool says_applied(const ForeignHistory& theirs, const KnownStep& step) {
  if (step.repeatable) {
    return std::ranges::find(theirs.repeatables, std::pair(step.script, step.checksum)) != theirs.repeatables.end();
  }
  if (!theirs.baseline.empty() && compare_ids(step.id.value, theirs.baseline) <= 0) return true;
  return std::ranges::any_of(theirs.versions, [&](const std::string& version) {
    return theirs.cumulative ? compare_ids(step.id.value, version) <= 0 : same_id(step.id, StepId{version});
  });
}

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
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
      if (auto read = read_rows(db, *tool, history); !read) return std::unexpected(read.error());
    }
    histories.push_back(std::move(history));
  }
  return histories;
}

std::string left_half_way(const ForeignHistory& theirs) {
  const std::string version = !theirs.half_way.empty()  ? theirs.half_way
                              : theirs.versions.empty() ? "(none)"
                                                        : theirs.versions.back();
  return theirs.tool + " left migration " + version + " half-way: its row in " + theirs.table +
         " says so. Bring the database into a known state, clear the mark with " +
         (theirs.tool == "golang-migrate" ? "the tool's own `force`"
          : theirs.tool == "Flyway"       ? "`flyway repair`"
                                          : "the tool's own means");
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
    return refusal("FOREIGN_DIRTY", left_half_way(theirs) + ", and adopt again; or say --at ID.");
  }
  for (const std::string& version : theirs.versions) {
    if (find(directory, StepId{version}) != nullptr) continue;
    if (!theirs.baseline.empty() && compare_ids(version, theirs.baseline) <= 0) continue;
    return refusal("FOREIGN_UNKNOWN_VERSION",
                   theirs.tool + "'s " + theirs.table + " says that " + version +
                       " is applied, and the migrations directory has no such migration: an "
                       "older image, or another directory. Give the right --dir, or --at ID.");
  }
  std::vector<KnownStep> adopted;
  for (const KnownStep& step : directory) {
    if (says_applied(theirs, step)) adopted.push_back(step);
  }
  return adopted;
}

Drift drift_of(const ForeignHistory& kept, const std::vector<KnownStep>& directory,
               const std::vector<StepId>& applied) {
  std::set<std::string> ours;
  for (const StepId& id : applied) ours.insert(step_key(id));
  Drift drift;
  if (kept.cumulative) {
    const ForeignVersion can_say = foreign_version(directory, applied);
    const std::optional<std::string> says =
        kept.versions.empty() ? std::nullopt : std::optional(step_key(StepId{kept.versions.back()}));
    if (can_say.possible && says == can_say.version) return drift;
    const bool ours_too = says && ours.contains(*says);
    if (says && !ours_too && find(directory, StepId{*says}) == nullptr) return drift;  // a newer image's
    // It stayed behind when what is applied was no prefix.
    if (!can_say.possible && (ours_too || !says)) return drift;
  }
  for (const KnownStep& step : directory) {
    const bool theirs = says_applied(kept, step);
    const bool here = ours.contains(step_key(step.id));
    if (theirs && !here) drift.applied.push_back(step);
    if (here && !theirs && !step.repeatable && is_number(step_key(step.id).substr(0, 1))) {
      const bool stays_in_a_gap = kept.cumulative && !foreign_version(directory, applied).possible;
      if (!stays_in_a_gap) drift.reverted.push_back(step.id);
    }
  }
  return drift;
}

std::string to_text(const KeptTable& kept) { return kept.tool + " " + kept.table; }

std::optional<KeptTable> kept_table(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto space = text.find(' ');
  // As the first version spelled it, which kept no other.
  if (space == std::string_view::npos) return KeptTable{"golang-migrate", std::string(text)};
  return KeptTable{std::string(text.substr(0, space)), std::string(text.substr(space + 1))};
}

Sql<void> keep(Driver& db, const KeptTable& kept, const Step& step, const std::vector<KnownStep>& directory,
               const std::vector<StepId>& applied, Duration took, const std::string& who) {
  const auto write = [&](const std::string& sql, const std::vector<std::string>& params) -> Sql<void> {
    auto rows = db.query(replaced(sql, kept.table), params);
    if (!rows) return std::unexpected(std::move(rows.error()));
    return {};
  };
  const bool up = step.direction == Direction::kUp;
  if (kept.tool == "golang-migrate") {
    const ForeignVersion version = foreign_version(directory, applied);
    if (!version.possible) return {};
    if (auto gone = write("delete from {table}", {}); !gone || !version.version) return gone;
    return write("insert into {table} (version, dirty) values ($1, false)", {*version.version});
  }
  const KnownStep* found = find(directory, step.id);
  const KnownStep known = found != nullptr ? *found : KnownStep{step.id, step.content};
  if (kept.tool == "goose") {
    const std::string version = step_key(known.id);
    if (!is_number(version)) return {};
    if (auto gone = write("delete from {table} where version_id = $1", {version}); !gone || !up) return gone;
    return write("insert into {table} (version_id, is_applied) values ($1, true)", {version});
  }
  if (kept.tool == "dbmate") {
    if (auto gone = write("delete from {table} where version = $1", {known.id.value}); !gone || !up) return gone;
    return write("insert into {table} (version) values ($1)", {known.id.value});
  }
  if (kept.tool == "Flyway") {
    if (known.checksum.empty()) return {};  // the directory is not Flyway's any more
    if (!up) return write("delete from {table} where version = $1", {known.id.value});
    std::string description = known.name;
    std::ranges::replace(description, '_', ' ');
    std::vector<std::string> params{description, known.script, known.checksum, who.substr(0, 100),
                                    std::to_string(took.count())};
    if (!known.repeatable) params.push_back(known.id.value);
    return write(
        "insert into {table} (installed_rank, version, description, type, script, checksum, installed_by, "
        "execution_time, success) select coalesce(max(installed_rank), 0) + 1, " +
            std::string(known.repeatable ? "null" : "$6") +
            ", $1, 'SQL', $2, cast($3 as integer), $4, cast($5 as integer), true from {table}",
        params);
  }
  if (kept.tool == "Atlas") {
    if (known.checksum.empty()) return {};
    if (auto gone = write("delete from {table} where version = $1", {known.id.value}); !gone || !up) return gone;
    const std::string count = std::to_string(known.statements);
    return write(
        "insert into {table} (version, description, type, applied, total, executed_at, execution_time, hash, "
        "operator_version) values ($1, $2, 2, $3, $4, current_timestamp, $5, $6, 'Syzygy')",
        {known.id.value, known.name, count, count, std::to_string(took.count() * 1'000'000), known.checksum});
  }
  return {};
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
  if (!is_number(version)) return {};
  return {true, version};
}

}  // namespace syzygy::migration
