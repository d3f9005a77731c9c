// syzygy split FILE: one migration as its pre-deploy and its post-deploy half.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <utility>

#include "base/name.h"
#include "base/shown.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/line_diff.h"
#include "client/cli/lint_catalogue.h"
#include "client/cli/migrations.h"
#include "migration/rewrite/layout.h"
#include "migration/rewrite/split.h"
#include "migration/rewrite/staged_write.h"
#include "migration/sql/sqlite_replay.h"

namespace syzygy::cli {
namespace {

namespace fs = std::filesystem;

int finish(const Context& context) {
  std::error_code error;
  if (!fs::is_directory(context.settings.finish, error)) {
    return fail(context, kExitUsage,
                context.settings.finish + " is no directory; name the migrations directory that the split was of");
  }
  const auto moved = finish_staged_write(context.settings.finish);
  if (!moved) return fail(context, kExitPlan, moved.error().message);
  if (moved->empty()) context.narrator.say("no split was interrupted in " + context.settings.finish);
  for (const std::string& name : *moved) context.narrator.say("moved " + name + " into place");
  return kExitOk;
}

// The migration that the file is of, by its way there or back.
const Migration* migration_of(const std::vector<Migration>& migrations, const fs::path& file) {
  std::error_code error;
  const auto same = [&](const std::string& path) { return fs::equivalent(path, file, error) && !error; };
  const auto found = std::ranges::find_if(migrations, [&](const Migration& migration) {
    return same(migration.up.path) || (migration.down && same(migration.down->path));
  });
  return found == migrations.end() ? nullptr : &*found;
}

Result<SplitOptions> options_of(const Settings& settings) {
  SplitOptions options;
  options.dialect = dialect_of(settings);
  options.organize = settings.organize;
  options.bridge_renames = settings.bridge_renames;
  options.drop_defaults = settings.drop_defaults;
  options.stages = settings.stages;
  if (!settings.unclear_stage.empty()) {
    options.unclear = settings.unclear_stage == "pre_deploy" ? Stage::kPreDeploy : Stage::kPostDeploy;
  }
  for (const std::string& given : settings.bridging_defaults) {
    // COLUMN=EXPRESSION, "A Column"=EXPRESSION; an = within an expression alone does not stand behind a name.
    const bool quoted = given.starts_with('"') && given.find("\"=") != std::string::npos;
    const auto equals = quoted ? given.find("\"=") + 1 : given.find('=');
    const std::string name = quoted ? given.substr(1, equals - 2) : given.substr(0, equals);
    const bool named =
        quoted || (equals != std::string::npos && !name.empty() && name.find_first_of(" '\"()") == std::string::npos);
    const std::string expression = named ? given.substr(equals + 1) : given;
    if (expression.empty()) {
      return failure(ErrorCode::kInvalidArgument, "SPLIT_REFUSED",
                     "--default " + printable(given) + " gives no expression; an empty text is --default \"" +
                         (named ? name : std::string("COLUMN")) + "=''\"");
    }
    options.defaults[named ? name : ""] = expression;
  }
  return options;
}

// SQLite's tables before the migration, and what the migration does in effect: the files are replayed.
Schema sqlite_before(const std::vector<Migration>& migrations, const Migration& migration,
                     std::vector<Meaning>& effects) {
  SqliteReplay replay;
  Schema schema;
  for (const Migration* one = migrations.data(); one <= &migration; ++one) {
    if (one == &migration) {
      for (const SqliteReplay::Table& table : replay.tables()) {
        KnownTable known;
        known.name = {ObjectKind::kTable, "", table.name};
        for (const SqliteReplay::Column& column : table.columns) {
          known.columns.push_back({column.name, column.type, column.not_null, column.fallback.has_value()});
        }
        schema.add(std::move(known));
      }
    }
    const auto statements = split_statements(Dialect::kSqlite, one->up.text, one->up.path, one->up.first_line);
    if (!statements) continue;  // its own error, whoever applies it
    std::vector<Meaning> meanings;
    for (const Statement& statement : *statements) meanings.push_back(read_meaning(Dialect::kSqlite, statement.text));
    effects = replay.effect(*statements, std::move(meanings));
  }
  return schema;
}

// What is known of the tables before the migration: from the database, else from the migrations before it.
Result<Schema> schema_before(const Context& context, const std::vector<Migration>& migrations,
                             const Migration& migration, std::vector<Meaning>& effects) {
  const Settings& settings = context.settings;
  Schema schema;
  std::vector<StepId> applied;
  if (!settings.database.empty()) {
    auto target = migration::open_target(settings.database, target_options(context));
    if (!target) return std::unexpected(target.error());
    const auto snapshot = (*target)->snapshot();
    if (!snapshot) return std::unexpected(snapshot.error());
    for (const AppliedStep& step : migration::applied_steps(*snapshot)) applied.push_back(step.id);
    if (dialect_of(settings) == Dialect::kPostgres) {
      auto catalogue = read_catalogue(settings.database);
      if (!catalogue) return std::unexpected(catalogue.error());
      schema = std::move(catalogue->schema);
    }
  }
  const auto is_applied = [&](const Migration& one) {
    return std::ranges::any_of(applied, [&](const StepId& id) { return same_id(id, one.id); });
  };
  if (is_applied(migration)) {
    return failure(ErrorCode::kFailedPrecondition, "SPLIT_REFUSED",
                   migration.up.path + ": migration " + migration.id.value +
                       " is applied in that database already, where its halves would never run; write what is to "
                       "change as a new migration",
                   {{"file", migration.up.path}});
  }
  if (dialect_of(settings) == Dialect::kSqlite) return sqlite_before(migrations, migration, effects);
  std::size_t number = 0;
  for (const Migration* one = migrations.data(); one != &migration; ++one) {
    if (is_applied(*one)) continue;
    const auto statements = split_statements(dialect_of(settings), one->up.text, one->up.path, one->up.first_line);
    if (!statements) continue;  // its own error, whoever applies it
    schema.begin_migration(++number + 1, std::nullopt);
    for (const Statement& statement : *statements) {
      for (const Action& action : read_meaning(dialect_of(settings), statement.text).actions) schema.apply(action);
    }
  }
  return schema;
}

// On a terminal the default that is missing is asked for.
Result<SplitResult> split_asking(const Migration& migration, const Schema& schema, SplitOptions& options) {
  while (true) {
    auto split = split_migration(migration, schema, options);
    if (split || split.error().reason != "SPLIT_DEFAULT_NEEDED") return split;
    if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDERR_FILENO) == 0) return split;
    const std::string column = split.error().metadata.at("table") + "." + split.error().metadata.at("column");
    std::cerr << "Until the deployment is through, old code inserts rows without " << shown(column)
              << ".\nWhich default shall they have (an SQL expression; nothing: stop)? " << std::flush;
    std::string answer;
    if (!std::getline(std::cin, answer) || answer.find_first_not_of(" \t") == std::string::npos) return split;
    options.defaults[column] = answer;
  }
}

std::string stages_of(const SplitResult& split) {
  std::size_t pre = 0;
  for (const SplitPart& part : split.parts) pre += part.stage == Stage::kPreDeploy ? 1 : 0;
  const std::size_t post = split.parts.size() - pre;
  return fmt::format("{} pre_deploy, {} post_deploy", pre, post);
}

}  // namespace

int run_split(const Context& context) {
  Settings settings = context.settings;
  if (!settings.finish.empty()) return finish(context);
  if (settings.file.empty()) {
    return fail(context, kExitUsage, "the migration's file is missing: syzygy split migrations/0007_drop_email.sql");
  }
  if (settings.check && settings.diff) {
    return fail(context, kExitUsage, "--check and --diff exclude each other; give one of them");
  }
  const fs::path file(settings.file);
  std::error_code error;
  if (!fs::is_regular_file(file, error)) {
    return fail(context, kExitUsage,
                printable(settings.file, 4096) + (fs::is_directory(file, error)
                                                      ? " is a directory; name the migration's file in it"
                                                      : " is not there, or is no file; name a migration's file"));
  }
  const fs::path within = settings.dir.empty() ? fs::path("..") : file.lexically_proximate(settings.dir);
  if (within.empty() || *within.begin() == "..") {
    settings.dir = file.has_parent_path() ? file.parent_path().string() : ".";
  }
  auto options = options_of(settings);
  if (!options) return fail(context, kExitUsage, options.error().message);

  const SourceOptions source{options->dialect, settings.format};
  const auto listing = list_directory(settings.dir, source);
  if (!listing) return fail(context, plan_exit_code(listing.error()), listing.error().message);
  const auto format = choose_format(*listing, settings.format);
  if (!format) return fail(context, plan_exit_code(format.error()), format.error().message);
  const auto migrations = read_listing(*listing, source);
  if (!migrations) return fail(context, plan_exit_code(migrations.error()), migrations.error().message);
  const Migration* migration = migration_of(*migrations, file);
  if (migration == nullptr) {
    return fail(context, kExitPlan,
                printable(settings.file, 4096) + " is no migration of the directory " + settings.dir +
                    " as it is read (format " + std::string((*format)->name) + "); give the right --dir or --format");
  }
  const auto schema = schema_before(context, *migrations, *migration, options->effects);
  if (!schema) return fail(context, plan_exit_code(schema.error()), schema.error().message);
  const auto split = split_asking(*migration, *schema, *options);
  if (!split) return fail(context, kExitPlan, split.error().message);
  for (const std::string& note : split->notes) context.narrator.say("note: " + note);
  if (split->parts.empty()) {
    context.narrator.say(migration->up.path + ": nothing to split: " + split->why_not);
    return kExitOk;
  }
  const auto files = lay_out(*listing, (*format)->name, options->dialect, *migrations, *migration, split->parts);
  if (!files) return fail(context, kExitPlan, files.error().message);
  if (files->empty()) {
    context.narrator.say(migration->up.path + ": nothing to split: it is as split would write it");
    return kExitOk;
  }
  if (settings.check) {
    context.narrator.say(migration->up.path + ": to be split into " + stages_of(*split) +
                         "; see it with syzygy split " + settings.file + " --diff");
    return kExitFindings;
  }
  if (settings.diff) {
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;  // a file or a program gets every byte
    for (const LaidFile& laid : *files) {
      std::string text = unified_diff((listing->path / laid.name).string(), laid.was, laid.bytes, laid.replaces);
      if (terminal) text = shown_lines(text);
      if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
        return fail(context, kExitUsage, "the difference cannot be written to standard output");
      }
    }
    return kExitOk;
  }
  // All lie in one folder: that of the migration.
  const fs::path folder = fs::path(migration->up.path).parent_path();
  std::vector<StagedFile> staged;
  for (const LaidFile& laid : *files) {
    staged.push_back({fs::path(laid.name).filename().string(), laid.bytes, laid.replaces});
  }
  if (auto written = write_staged(folder.empty() ? "." : folder, staged); !written) {
    return fail(context, kExitPlan, written.error().message);
  }
  for (const LaidFile& laid : *files) {
    context.narrator.say((laid.replaces ? "rewrote " : "wrote ") + (listing->path / laid.name).string());
  }
  return kExitOk;
}

}  // namespace syzygy::cli
