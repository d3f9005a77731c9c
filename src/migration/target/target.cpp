#include "migration/target/target.h"

#include <algorithm>
#include <utility>

#include "base/name.h"
#include "migration/target/driver.h"
#include "migration/target/foreign.h"
#include "migration/target/guarded_target.h"

namespace syzygy::migration {
namespace {

bool is_postgres(std::string_view url) { return url.starts_with("postgresql://") || url.starts_with("postgres://"); }
bool is_sqlite(std::string_view url) { return url.starts_with("sqlite:"); }

Result<void> check_options(const TargetOptions& options) {
  const std::string& name = options.schema;
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (name.empty() || name.size() > 40 || !std::ranges::all_of(name, plain) || (name[0] >= '0' && name[0] <= '9')) {
    return failure(ErrorCode::kInvalidArgument, "SCHEMA_NAME_INVALID",
                   "\"" + printable(name) +
                       "\" cannot be the schema in which Syzygy keeps its tables: give 1 to 40 "
                       "small letters, digits and underscores, not beginning with a digit.");
  }
  return check_name("application", options.application);
}

Result<std::unique_ptr<Driver>> make_driver(const std::string& url, const TargetOptions& options) {
  if (auto checked = check_options(options); !checked) return std::unexpected(checked.error());
  if (is_postgres(url)) return postgres_driver(url, options);
  if (is_sqlite(url)) return sqlite_driver(url, options);
  return failure(ErrorCode::kInvalidArgument, "DATABASE_URL_INVALID",
                 "The database must be given as postgresql://user@host:5432/database or sqlite:///path/to/file.db (it "
                 "begins with \"" +
                     printable(url.substr(0, std::min<std::size_t>(url.find(':'), 20))) + "\").");
}

}  // namespace

std::vector<KnownStep> known_steps(const std::vector<Migration>& directory) {
  std::vector<KnownStep> steps;
  steps.reserve(directory.size());
  for (const Migration& migration : directory) {
    steps.push_back({migration.id, migration.up.content, migration.name, migration.script, migration.checksum,
                     migration.statements, migration.repeatable});
  }
  return steps;
}

std::vector<AppliedStep> applied_steps(const Snapshot& snapshot) {
  std::vector<AppliedStep> steps;
  steps.reserve(snapshot.applied.size());
  for (const AppliedRow& row : snapshot.applied) steps.push_back(row.step);
  return steps;
}

Result<std::unique_ptr<Target>> open_target(const std::string& url, const TargetOptions& options) {
  auto driver = make_driver(url, options);
  if (!driver) return std::unexpected(driver.error());
  if (auto connected = (*driver)->connect(); !connected) return std::unexpected(connected.error());
  return std::make_unique<GuardedTarget>(std::move(*driver), options);
}

std::vector<Finding> diagnose_target(const std::string& url, const TargetOptions& options) {
  auto driver = make_driver(url, options);
  if (!driver) return {{"database", false, driver.error().message, "syzygy doctor --database postgresql://…"}};
  return GuardedTarget(std::move(*driver), options).diagnose();
}

std::string without_password(const std::string& url) {
  if (is_sqlite(url)) return url;
  if (!is_postgres(url)) return "(not a URL)";
  const std::size_t begin = url.find("://") + 3;
  const std::size_t end = std::min(url.find_first_of("/?", begin), url.size());
  const std::size_t at = url.rfind('@', end);
  std::string shown = url.substr(0, begin);
  std::size_t rest = begin;
  // An unescaped "@" or "/" in a password would cut it in two: then nothing before the last "@" is shown.
  const std::size_t last_at = url.rfind('@');
  if (last_at != std::string::npos && last_at >= begin) {
    const std::size_t colon = url.find(':', begin);
    if (at == last_at && colon < at) {
      shown += url.substr(begin, colon - begin) + "@";
    } else if (at == last_at) {
      shown += url.substr(begin, at - begin) + "@";
    }
    rest = last_at + 1;
  }
  const std::size_t query = std::min(url.find('?', rest), url.size());
  shown += url.substr(rest, query - rest);
  // Of the parameters only the names that cannot hold a secret are shown with their values.
  std::string_view params = std::string_view(url).substr(query);
  std::string kept;
  while (!params.empty()) {
    params.remove_prefix(1);
    const std::string_view one = params.substr(0, params.find('&'));
    params.remove_prefix(one.size());
    const std::string_view key = one.substr(0, one.find('='));
    const bool plain = key == "host" || key == "port" || key == "dbname" || key == "user" || key == "sslmode" ||
                       key == "target_session_attrs" || key == "connect_timeout" || key == "application_name";
    if (plain) kept += (kept.empty() ? "?" : "&") + std::string(one);
  }
  return shown + kept;
}

std::string session_name(const RoundId& round, Token token) {
  constexpr std::size_t kNameBytesMax = 63;  // PostgreSQL cuts longer ones, silently
  const std::string tail = ":" + std::to_string(token.value);
  return ("syzygy:" + printable(round.value, 64)).substr(0, kNameBytesMax - tail.size()) + tail;
}

std::optional<Error> refuses_unadopted(const Snapshot& snapshot, const std::vector<KnownStep>& directory) {
  const auto refuse = [](const ForeignHistory& theirs, std::string reason, std::string message) {
    return Error{ErrorCode::kFailedPrecondition,
                 std::move(reason),
                 std::move(message),
                 {{"tool", theirs.tool}, {"table", theirs.table}},
                 std::nullopt};
  };
  for (const ForeignHistory& kept : snapshot.foreign) {
    if (!kept.kept || !kept.readable || directory.empty()) continue;
    if (kept.dirty) return refuse(kept, "FOREIGN_DIRTY", left_half_way(kept) + ", and try again.");
    std::vector<StepId> applied;
    for (const AppliedRow& row : snapshot.applied) applied.push_back(row.step.id);
    const Drift drift = drift_of(kept, directory, applied);
    if (drift.empty()) continue;
    const auto list = [](const auto& steps, auto id_of) {
      std::string ids;
      for (std::size_t i = 0; i < steps.size() && i < 6; ++i) ids += (i > 0 ? ", " : "") + id_of(steps[i]);
      return steps.size() > 6 ? ids + ", ..." : ids;
    };
    std::string what;
    if (!drift.applied.empty()) {
      what = "has applied " + list(drift.applied, [](const KnownStep& step) { return step.id.value; });
    }
    if (!drift.reverted.empty()) {
      what += (what.empty() ? "" : " and ") + std::string("has reverted ") +
              list(drift.reverted, [](const StepId& id) { return id.value; });
    }
    return refuse(kept, "HISTORY_NOT_ADOPTED",
                  kept.tool + " " + what + " by itself (" + kept.table +
                      "), and Syzygy's history does not know of it. Take that over with: syzygy history adopt.");
  }
  if (!snapshot.applied.empty() || snapshot.adopted) return std::nullopt;
  const auto theirs = std::ranges::find_if(snapshot.foreign, [](const ForeignHistory& one) { return one.refuses; });
  if (theirs == snapshot.foreign.end()) return std::nullopt;
  return refuse(*theirs, "HISTORY_NOT_ADOPTED",
                "This database has the history of " + theirs->tool + " (" + theirs->table +
                    "), and Syzygy's own is empty: everything would be applied once more. Take it over with: syzygy "
                    "history adopt" +
                    (theirs->readable ? "" : " --at ID") +
                    " (or, if that table is another application's: syzygy history adopt --at zero).");
}

std::string left_unfinished(const BegunStep& mark) {
  const std::string& id = mark.id.value;
  return "step " + id + " runs outside a transaction; round " + mark.round.value + " began it under token " +
         std::to_string(mark.token.value) +
         ", and nobody knows how far it came. Look at the database: if it is done, " + "syzygy history adopt --at " +
         id + "; if it may run again, syzygy history repair " + id;
}

std::string kept_table_stays(const Snapshot& snapshot) {
  const AppliedRow* last = nullptr;
  for (const AppliedRow& row : snapshot.applied) {
    if (last == nullptr || compare_ids(row.step.id.value, last->step.id.value) > 0) last = &row;
  }
  for (const ForeignHistory& kept : snapshot.foreign) {
    if (!kept.kept || !kept.cumulative || last == nullptr) continue;
    const std::string says = kept.versions.empty() ? "none" : kept.versions.back();
    if (same_id(StepId{says}, last->step.id)) continue;
    return kept.tool + "'s " + kept.table + " stays at " + says + " until what lies below " + last->step.id.value +
           " is applied as well: its single row cannot say what is";
  }
  return "";
}

std::optional<Error> refuses_other_name(const std::string& place, const TargetOptions& options,
                                        const std::string& bears) {
  if (bears.empty() || options.target.empty() || bears == options.target) return std::nullopt;
  const std::string theirs = printable(bears);
  const std::string ours = printable(options.target);
  return Error{ErrorCode::kFailedPrecondition,
               "TARGET_NAME_DIFFERS",
               "The application " + options.application + " in " + place + " is the target " + theirs +
                   " (its fence row says so), and not " + ours + ". Nothing was applied. One application in one " +
                   "database is one target: give --target " + theirs +
                   "; or, if this is another application in the same database, --app NAME; or, if the target was " +
                   "renamed or this database is a copy: syzygy target rebind " + ours +
                   " --database URL --reason \"...\".",
               {{"bears", bears}, {"given", options.target}},
               std::nullopt};
}

Error to_error(const SqlError& error, const Driver& driver, std::string_view doing) {
  const std::string what = driver.describe() + ": could not " + std::string(doing) + ": " + error.words;
  switch (error.kind) {
    case SqlError::Kind::kLost:
      return {ErrorCode::kUnavailable,
              "DATABASE_UNREACHABLE",
              what + ". Check that the server is up, and try again.",
              {},
              std::nullopt};
    case SqlError::Kind::kLockTimeout:
      return {ErrorCode::kUnavailable,
              "DATABASE_BUSY",
              what + ". Another session holds a lock; look for it, and try again.",
              {},
              std::nullopt};
    case SqlError::Kind::kRights:
      return {ErrorCode::kPermissionDenied,
              "DATABASE_REFUSED",
              what + ". `syzygy doctor` names the right that is missing, and the command that grants it.",
              {},
              std::nullopt};
    case SqlError::Kind::kReadOnly:
      return {ErrorCode::kPermissionDenied,
              "DATABASE_REFUSED",
              what + ". It can only be read: is this a standby, or a read-only file?",
              {},
              std::nullopt};
    case SqlError::Kind::kCancelled:
    case SqlError::Kind::kRefused:
      break;
  }
  return {ErrorCode::kFailedPrecondition, "DATABASE_REFUSED", what, {}, std::nullopt};
}

}  // namespace syzygy::migration
