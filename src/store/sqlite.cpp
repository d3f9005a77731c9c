#include "store/sqlite.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <tuple>
#include <utility>

#include "base/encoding.h"
#include "base/name.h"
#include "base/sha256.h"
#include "store/directory_lock.h"
#include "store/sqlite_connection.h"

namespace syzygy {
namespace {

constexpr std::uint32_t kApplicationId = 0x53595a59;  // "SYZY", in the file's header
constexpr std::uint64_t kSchemaVersion = 1;           // user_version, in the file's header

// Keys are blobs: compared bytewise. A record has a number of its own, so that a page holds up to 4 kB of it in place;
// keyed by its blob, whatever is beyond 1 kB would cost each commit a page more (measured: twice the pages, 20 % CPU).
// A record is never removed, so the highest counter in the table is the highest that was ever committed. meta.settled
// counts the settling commits: see settle().
constexpr const char* kCreate = R"(
  BEGIN IMMEDIATE;
  CREATE TABLE meta (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    epoch    TEXT NOT NULL,
    checksum TEXT NOT NULL,
    settled  INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE record (
    id        INTEGER PRIMARY KEY,
    key       BLOB NOT NULL UNIQUE,
    epoch     TEXT NOT NULL,
    counter   INTEGER NOT NULL,
    commit_id TEXT NOT NULL,
    revision  INTEGER NOT NULL,  -- the newest that history ever had for this key
    bytes     BLOB NOT NULL,
    checksum  TEXT NOT NULL
  ) STRICT;
  CREATE TABLE history (
    key      BLOB,
    revision INTEGER,
    bytes    BLOB NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (key, revision)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO meta (id, epoch, checksum, settled) VALUES (1, '{epoch}', '{checksum}', 0);
  PRAGMA application_id = {application};
  PRAGMA user_version = {version};
  COMMIT;
)";

// One writer, and the checkpoint in its hands: a log of 4000 pages (16 MB) is copied back by the commit that fills it.
// SQLite's own 1000 would have every commit of 512 records do that (measured: a third slower).
constexpr const char* kWriterSettings = R"(
  PRAGMA synchronous = FULL;
  PRAGMA wal_autocheckpoint = 4000;
  PRAGMA cache_size = -32768;
  PRAGMA secure_delete = OFF;
  PRAGMA trusted_schema = OFF;
  PRAGMA cell_size_check = ON;
)";
constexpr const char* kReaderSettings = R"(
  PRAGMA query_only = ON;
  PRAGMA cache_size = -16384;
  PRAGMA trusted_schema = OFF;
  PRAGMA cell_size_check = ON;
)";

constexpr const char* kSelectRecord =
    "SELECT key, epoch, counter, commit_id, revision, bytes, checksum FROM record WHERE key = ?1";
constexpr const char* kSelectVersion = "SELECT epoch, counter, commit_id, revision FROM record WHERE key = ?1";
constexpr const char* kInsertRecord =
    "INSERT INTO record (key, epoch, counter, commit_id, revision, bytes, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, "
    "?7)";
constexpr const char* kUpdateRecord =
    "UPDATE record SET epoch = ?2, counter = ?3, commit_id = ?4, revision = ?5, bytes = ?6, checksum = ?7 WHERE key = "
    "?1";
constexpr const char* kInsertHistory = "INSERT INTO history (key, revision, bytes, checksum) VALUES (?1, ?2, ?3, ?4)";
constexpr const char* kTrimHistory = "DELETE FROM history WHERE key = ?1 AND revision < ?2";
constexpr const char* kScan =
    "SELECT key, epoch, counter, commit_id FROM record WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3";
constexpr const char* kSelectHistory =
    "SELECT key, revision, bytes, checksum FROM history WHERE key = ?1 AND revision > ?2 ORDER BY revision LIMIT ?3";
constexpr const char* kSettle = "UPDATE meta SET settled = settled + 1";

// Over the whole row, so that no byte of it changes unseen. 64 bits tell damage, not malice.
std::string checksum_of(Writer row) {
  std::string digits = sha256_hex(std::move(row).bytes());
  digits.resize(16);
  return digits;
}

std::string epoch_checksum(std::string_view epoch) {
  Writer row;
  row.string(epoch);
  return checksum_of(std::move(row));
}

std::string record_checksum(std::string_view key, const Version& version, std::uint64_t revision,
                            std::string_view bytes) {
  Writer row;
  row.string(key);
  row.string(version.epoch);
  row.number(version.counter);
  row.string(version.commit);
  row.number(revision);
  row.string(bytes);
  return checksum_of(std::move(row));
}

std::string history_checksum(std::string_view key, std::uint64_t revision, std::string_view bytes) {
  Writer row;
  row.string(key);
  row.number(revision);
  row.string(bytes);
  return checksum_of(std::move(row));
}

Version version_at(const Statement& row, int column) {
  return {std::string(row.blob(column)), row.number(column + 1), std::string(row.blob(column + 2))};
}

bool record_holds(const Statement& row) {
  return row.blob(6) == record_checksum(row.blob(0), version_at(row, 1), row.number(4), row.blob(5));
}

bool history_holds(const Statement& row) {
  return row.blob(3) == history_checksum(row.blob(0), row.number(1), row.blob(2));
}

Error row_is_damaged(const std::filesystem::path& file, const char* what, std::string_view key) {
  return store_corrupt(file, fmt::format("is damaged ({} '{}' does not match its checksum)", what, printable(key)));
}

// --- Opening ---------------------------------------------------------------------------------------------------------

Result<std::filesystem::path> normal(const std::filesystem::path& directory) {
  std::error_code error;
  auto path = std::filesystem::absolute(directory, error).lexically_normal();
  if (directory.empty() || error || directory.native().find('\0') != std::string::npos)
    return failure(ErrorCode::kInvalidArgument, "STORE_PATH_INVALID",
                   "'" + printable(directory.native(), 400) +
                       "' is no directory's name. Name one, which may be missing, with --store sqlite:DIRECTORY.");
  return path.has_filename() ? path : path.parent_path();
}

// The store's epoch beside the store: a directory that has it once held a store, so a store file that is missing or
// empty there is a loss, not a beginning.
Result<bool> held_a_store(const std::filesystem::path& directory) {
  const auto file = directory / "epoch";
  struct stat found{};
  if (stat(file.c_str(), &found) == 0) return true;
  if (errno == ENOENT) return false;
  return std::unexpected(storage_error(errno, "look at", file));
}

Result<void> note_epoch(const std::filesystem::path& directory, const std::string& epoch) {
  const auto file = directory / "epoch";
  const auto fresh = directory / "epoch.new";
  const int descriptor = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return std::unexpected(storage_error(errno, "create", fresh));
  const std::string line = epoch + "\n";
  const bool written = write(descriptor, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                       fsync(descriptor) == 0 && rename(fresh.c_str(), file.c_str()) == 0;
  const int error_number = errno;
  close(descriptor);
  if (!written) return std::unexpected(storage_error(error_number, "write", file));
  const int parent = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent >= 0) {
    fsync(parent);
    close(parent);
  }
  return {};
}

// Made here and not by SQLite: readable for nobody else, and SQLite gives its other files the same mode.
Result<void> make_file(const std::filesystem::path& file, bool held) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
  if (descriptor < 0) return std::unexpected(storage_error(errno, "open the store file", file));
  struct stat found{};
  const int stated = fstat(descriptor, &found);
  close(descriptor);
  if (stated != 0) return std::unexpected(storage_error(errno, "look at the store file", file));
  if (!S_ISREG(found.st_mode))
    return failure(ErrorCode::kInvalidArgument, "STORE_PATH_INVALID",
                   "The store file " + printable(file.native(), 400) +
                       " is not a regular file. Move it away, or name another directory with --store sqlite:DIRECTORY.",
                   {{"path", file.native()}});
  if (found.st_size <= 1 && held)  // SQLite takes a file of one byte for an empty one, too
    return failure(
        ErrorCode::kDataLoss, "STORE_LOST",
        fmt::format("The store file {} is missing or empty, although {} has held a store. Restore it from a backup; to "
                    "start anew without one, remove {}.",
                    printable(file.native(), 400), printable(file.parent_path().native(), 400),
                    printable((file.parent_path() / "epoch").native(), 400)),
        {{"path", file.native()}});
  return {};
}

Result<void> create_schema(const Connection& connection) {
  const std::string epoch = mint_epoch();
  const std::string sql = fmt::format(kCreate, fmt::arg("epoch", epoch), fmt::arg("checksum", epoch_checksum(epoch)),
                                      fmt::arg("application", kApplicationId), fmt::arg("version", kSchemaVersion));
  return connection.execute(sql.c_str());
}

// Whose file it is and of which version, from its header alone; an empty one becomes ours.
Result<void> claim_file(const Connection& connection, const std::filesystem::path& file) {
  const auto application = connection.ask("PRAGMA application_id");
  if (!application) return std::unexpected(application.error());
  const auto version = connection.ask("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  const auto things = connection.ask("SELECT count(*) FROM sqlite_schema");
  if (!things) return std::unexpected(things.error());
  const std::string where = printable(file.native(), 400);

  const bool empty = *application == "0" && *version == "0" && *things == "0";
  if (!empty && *application != std::to_string(kApplicationId))
    return failure(
        ErrorCode::kDataLoss, "STORE_FOREIGN",
        fmt::format("{} is a database of another program (its application id is {}, Syzygy's is {}). Move it "
                    "away, or name another directory with --store sqlite:DIRECTORY.",
                    where, *application, kApplicationId),
        {{"path", file.native()}});
  const auto number = std::strtoll(version->c_str(), nullptr, 10);
  if (!empty && number > static_cast<long long>(kSchemaVersion))
    return failure(ErrorCode::kDataLoss, "STORE_NEWER",
                   fmt::format("The store file {} is of version {}, written by a newer syzygyd; this one knows {}. Run "
                               "the newer syzygyd, or restore the backup from before the upgrade.",
                               where, number, kSchemaVersion),
                   {{"path", file.native()}, {"version", *version}});
  if (!empty && number < 1) return std::unexpected(store_corrupt(file, "is damaged (its version is " + *version + ")"));

  const auto mode = connection.ask("PRAGMA journal_mode = WAL");
  if (!mode) return std::unexpected(mode.error());
  if (*mode != "wal")
    return failure(
        ErrorCode::kFailedPrecondition, "STORE_NO_WAL",
        "The filesystem of " + where +
            " cannot keep a write-ahead log (no shared memory there; a network filesystem?). Name a directory "
            "on a local disk with --store sqlite:DIRECTORY.",
        {{"path", file.native()}});
  return empty ? create_schema(connection) : Result<void>();
}

Result<std::string> epoch_of(const Connection& connection, const std::filesystem::path& file) {
  auto meta = connection.prepare("SELECT epoch, checksum FROM meta");
  if (!meta) return std::unexpected(std::move(meta.error()));
  const auto row = meta->step();
  if (!row) return std::unexpected(row.error());
  if (!*row || meta->blob(1) != epoch_checksum(meta->blob(0)))
    return std::unexpected(store_corrupt(file, "is damaged (its epoch does not match its checksum)"));
  return std::string(meta->blob(0));
}

// Everything in the file: its pages and the index of keys by SQLite, its rows by their checksums. Gives the highest
// counter.
Result<std::uint64_t> check_file(const Connection& connection, const std::filesystem::path& file) {
  const auto pages = connection.ask("PRAGMA integrity_check(1)");
  if (!pages) return std::unexpected(pages.error());
  if (*pages != "ok") return std::unexpected(store_corrupt(file, "is damaged (" + printable(*pages, 300) + ")"));

  std::uint64_t counter = 0;
  auto records = connection.prepare("SELECT key, epoch, counter, commit_id, revision, bytes, checksum FROM record");
  if (!records) return std::unexpected(records.error());
  for (;;) {
    const auto row = records->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    if (!record_holds(*records)) return std::unexpected(row_is_damaged(file, "record", records->blob(0)));
    counter = std::max(counter, records->number(2));
  }
  auto history = connection.prepare("SELECT key, revision, bytes, checksum FROM history");
  if (!history) return std::unexpected(history.error());
  for (;;) {
    const auto row = history->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return counter;
    if (!history_holds(*history)) return std::unexpected(row_is_damaged(file, "history of", history->blob(0)));
  }
}

Result<void> run(Statement& statement) {
  Cursor cursor(statement);
  const auto done = cursor->step();
  if (!done) return std::unexpected(done.error());
  return {};
}

}  // namespace

// Destroyed from below: statements, then connections, then the lock.
struct SqliteStore::Files {
  std::filesystem::path directory;
  std::filesystem::path file;
  DirectoryLock lock;
  std::string epoch;
  std::uint64_t counter = 0;

  std::unique_ptr<Connection> writer;
  Statement begin, commit, rollback, version, insert, update, append, trim, settle;

  std::unique_ptr<Connection> reader;
  Statement load, scan, history;

  Files(std::filesystem::path d, DirectoryLock l)
      : directory(std::move(d)), file(directory / "syzygy.db"), lock(std::move(l)) {}

  Result<void> open();

  // A rollback that itself failed is made up for before the next transaction. REQUIRES, all: the writer is ours.
  Result<void> begin_writing();
  void roll_back();
};

Result<void> SqliteStore::Files::begin_writing() {
  if (writer->in_transaction()) {
    if (auto ended = run(rollback); !ended) return ended;
  }
  return run(begin);
}

void SqliteStore::Files::roll_back() {
  // Many errors have rolled back already. What fails here fails again in begin_writing(), which tells.
  if (writer->in_transaction()) [[maybe_unused]]
    const auto ended = run(rollback);
}

Result<void> SqliteStore::Files::open() {
  const auto held = held_a_store(directory);
  if (!held) return std::unexpected(held.error());
  if (auto made = make_file(file, *held); !made) return made;

  auto opened = Connection::open(file);
  if (!opened) return std::unexpected(std::move(opened.error()));
  writer = std::move(*opened);
  if (auto ours = claim_file(*writer, file); !ours) return ours;
  if (auto set = writer->execute(kWriterSettings); !set) return set;
  auto highest = check_file(*writer, file);
  if (!highest) return std::unexpected(std::move(highest.error()));
  counter = *highest;
  auto life = epoch_of(*writer, file);
  if (!life) return std::unexpected(std::move(life.error()));
  epoch = std::move(*life);

  opened = Connection::open(file);
  if (!opened) return std::unexpected(std::move(opened.error()));
  reader = std::move(*opened);
  if (auto set = reader->execute(kReaderSettings); !set) return set;

  const std::tuple<Connection&, const char*, Statement&> statements[] = {
      {*writer, "BEGIN IMMEDIATE", begin}, {*writer, "COMMIT", commit},      {*writer, "ROLLBACK", rollback},
      {*writer, kSelectVersion, version},  {*writer, kInsertRecord, insert}, {*writer, kUpdateRecord, update},
      {*writer, kInsertHistory, append},   {*writer, kTrimHistory, trim},    {*writer, kSettle, settle},
      {*reader, kSelectRecord, load},      {*reader, kScan, scan},           {*reader, kSelectHistory, history}};
  for (const auto& [connection, sql, statement] : statements) {
    auto prepared = connection.prepare(sql);
    if (!prepared) return std::unexpected(std::move(prepared.error()));
    statement = std::move(*prepared);
  }
  return note_epoch(directory, epoch);
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::filesystem::path& directory) {
  auto path = normal(directory);
  if (!path) return std::unexpected(std::move(path.error()));
  auto lock = DirectoryLock::acquire(*path);
  if (!lock) return std::unexpected(std::move(lock.error()));
  auto files = std::make_unique<Files>(std::move(*path), std::move(*lock));
  if (auto opened = files->open(); !opened) return std::unexpected(std::move(opened.error()));
  return std::unique_ptr<SqliteStore>(new SqliteStore(std::move(files)));
}

SqliteStore::SqliteStore(std::unique_ptr<Files> files) : files_(std::move(files)), counter_(files_->counter) {}
SqliteStore::~SqliteStore() = default;

// --- Reading ---------------------------------------------------------------------------------------------------------

// A commit that failed as unknown is settled before anybody looks: see settle().
Result<void> SqliteStore::before_reading() {
  if (!unsettled_) return {};
  const std::lock_guard lock(writing_);
  return settle();
}

Result<std::optional<Loaded>> SqliteStore::load(const std::string& key) {
  if (auto settled = before_reading(); !settled) return std::unexpected(std::move(settled.error()));
  const std::lock_guard lock(reading_);
  Cursor row(files_->load);
  const auto found = row->bind_blob(1, key).step();
  if (!found) return std::unexpected(found.error());
  if (!*found) return std::nullopt;
  if (!record_holds(files_->load)) return std::unexpected(row_is_damaged(files_->file, "record", key));
  return Loaded{version_at(files_->load, 1), std::string(row->blob(5))};
}

Result<std::vector<Listed>> SqliteStore::scan(std::string_view prefix, std::string_view after, std::size_t limit) {
  if (auto settled = before_reading(); !settled) return std::unexpected(std::move(settled.error()));
  // The least key after `after` is `after` and a zero byte.
  const std::string from = std::max(std::string(prefix), std::string(after) + '\0');
  const std::string to = prefix_end(prefix);
  const std::lock_guard lock(reading_);
  Cursor row(files_->scan);
  row->bind_blob(1, from).bind_blob(2, to).bind(3, std::min<std::uint64_t>(limit, kColumnMax));
  std::vector<Listed> page;
  for (;;) {
    const auto found = row->step();
    if (!found) return std::unexpected(found.error());
    if (!*found) return page;
    page.push_back({std::string(row->blob(0)), version_at(files_->scan, 1)});
  }
}

Result<std::vector<HistoryRow>> SqliteStore::history(const std::string& key, std::uint64_t after, std::size_t limit) {
  if (auto settled = before_reading(); !settled) return std::unexpected(std::move(settled.error()));
  const std::lock_guard lock(reading_);
  Cursor row(files_->history);
  row->bind_blob(1, key).bind(2, std::min(after, kColumnMax)).bind(3, std::min<std::uint64_t>(limit, kColumnMax));
  std::vector<HistoryRow> page;
  for (;;) {
    const auto found = row->step();
    if (!found) return std::unexpected(found.error());
    if (!*found) return page;
    if (!history_holds(files_->history)) return std::unexpected(row_is_damaged(files_->file, "history of", key));
    page.push_back({row->number(1), std::string(row->blob(2))});
  }
}

// --- Committing ------------------------------------------------------------------------------------------------------

// A COMMIT that fails at its fsync leaves the whole transaction in the log file, and outside SQLite's index of it:
// invisible now, yet a crash would bring it back to life, after we had told somebody that it is not there. So before
// the next answer another transaction is committed in its place in the log, which settles that it never happened.
// REQUIRES: writing_ is held.
Result<void> SqliteStore::settle() {
  if (!unsettled_) return {};
  if (auto begun = files_->begin_writing(); !begun) return begun;
  for (Statement* statement : {&files_->settle, &files_->commit}) {
    auto done = run(*statement);
    if (done) continue;
    files_->roll_back();
    return done;
  }
  unsettled_ = false;
  return {};
}

// One change within the transaction. REQUIRES: writing_ is held.
Result<CommitResult> SqliteStore::apply(const Change& change) {
  bool exists = false;
  std::uint64_t last_revision = 0;
  {
    Cursor row(files_->version);
    const auto found = row->bind_blob(1, change.key).step();
    if (!found) return std::unexpected(found.error());
    exists = *found;
    if (exists != change.expected.has_value() || (exists && version_at(files_->version, 0) != *change.expected))
      return CommitResult{CommitOutcome::kConflict, {}};
    if (exists) last_revision = row->number(3);
  }
  if (auto rises = check_history_rises(change, last_revision); !rises) return std::unexpected(std::move(rises.error()));
  if (!change.history.empty()) last_revision = change.history.back().revision;

  CommitResult result{CommitOutcome::kCommitted, {files_->epoch, ++counter_, mint_commit()}};
  const std::string checksum = record_checksum(change.key, result.version, last_revision, change.bytes);
  Statement& write = exists ? files_->update : files_->insert;
  write.bind_blob(1, change.key).bind(2, result.version.epoch).bind(3, result.version.counter);
  write.bind(4, result.version.commit).bind(5, last_revision).bind_blob(6, change.bytes).bind(7, checksum);
  if (auto written = run(write); !written) return std::unexpected(std::move(written.error()));

  for (const HistoryRow& row : change.history) {
    const std::string row_checksum = history_checksum(change.key, row.revision, row.bytes);
    files_->append.bind_blob(1, change.key).bind(2, row.revision).bind_blob(3, row.bytes).bind(4, row_checksum);
    if (auto appended = run(files_->append); !appended) return std::unexpected(std::move(appended.error()));
  }
  if (change.history_floor > 0) {
    files_->trim.bind_blob(1, change.key).bind(2, change.history_floor);
    if (auto trimmed = run(files_->trim); !trimmed) return std::unexpected(std::move(trimmed.error()));
  }
  return result;
}

Result<std::vector<CommitResult>> SqliteStore::commit(std::span<const Change> changes) {
  if (auto checked = check_changes(changes); !checked) return std::unexpected(std::move(checked.error()));
  std::vector<CommitResult> results;
  if (changes.empty()) return results;
  results.reserve(changes.size());

  const std::lock_guard lock(writing_);
  if (auto settled = settle(); !settled) return std::unexpected(std::move(settled.error()));
  if (auto begun = files_->begin_writing(); !begun) return std::unexpected(std::move(begun.error()));
  for (const Change& change : changes) {
    auto result = apply(change);
    if (!result) {
      files_->roll_back();
      return std::unexpected(std::move(result.error()));
    }
    results.push_back(std::move(*result));
  }
  const auto committed = [](const CommitResult& result) { return result.outcome == CommitOutcome::kCommitted; };
  if (std::ranges::none_of(results, committed)) {
    files_->roll_back();
    return results;
  }

  auto done = run(files_->commit);
  if (done) {
    files_->writer->lengthen_log();
    return results;
  }
  const bool nothing_happened = files_->writer->last_write_did_not_fit();
  files_->roll_back();
  if (nothing_happened) return std::unexpected(std::move(done.error()));
  unsettled_ = true;
  for (CommitResult& result : results)
    if (committed(result)) result = {CommitOutcome::kUnknown, {}};
  return results;
}

// --- For operators ---------------------------------------------------------------------------------------------------

Result<std::vector<StoreFinding>> SqliteStore::examine() {
  using Verdict = StoreFinding::Verdict;
  std::vector<StoreFinding> found;
  found.push_back({Verdict::kGood, "version",
                   fmt::format("SQLite {}, a file of version {} in {}", sqlite3_libversion(), kSchemaVersion,
                               printable(files_->directory.native(), 400))});
  found.push_back({Verdict::kGood, "durability", "a write-ahead log, synchronous=FULL; open() saw all checksums hold"});
  struct stat directory{};
  if (stat(files_->directory.c_str(), &directory) != 0)
    return std::unexpected(storage_error(errno, "look at", files_->directory));
  const bool open = (directory.st_mode & 077) != 0;
  found.push_back({open ? Verdict::kWarning : Verdict::kGood, "permissions",
                   open ? fmt::format("others may enter the directory (its mode is {:o}): chmod 700 {}",
                                      directory.st_mode & 07777, printable(files_->directory.native(), 400))
                        : "nobody else may enter the directory"});
  std::error_code error;
  const auto space = std::filesystem::space(files_->directory, error);
  if (error) return std::unexpected(storage_error(error.value(), "look at", files_->directory));
  constexpr std::uintmax_t kSpaceMin = 256UZ << 20;
  const bool tight = space.available < kSpaceMin;
  found.push_back({tight ? Verdict::kWarning : Verdict::kGood, "space",
                   fmt::format("{} MiB are free{}", space.available >> 20,
                               tight ? "; make room: a full disk stops every round" : "")});
  return found;
}

Result<void> SqliteStore::live_as(const std::string& epoch) {
  const std::lock_guard lock(writing_);
  if (auto settled = settle(); !settled) return settled;
  const std::string sql = fmt::format("UPDATE meta SET epoch = '{}', checksum = '{}'", epoch, epoch_checksum(epoch));
  if (epoch.find_first_not_of("0123456789abcdef") != std::string::npos)
    return failure(ErrorCode::kInvalidArgument, "STORE_CHANGE_INVALID", "An epoch is 32 hexadecimal digits.");
  if (auto set = files_->writer->execute(sql.c_str()); !set) return set;
  files_->epoch = epoch;
  return note_epoch(files_->directory, epoch);
}

// Nobody else uses this store, so there is never a hint to give.
void SqliteStore::watch(Hint) {}

Result<Instant> SqliteStore::now() { return system_now(); }
std::string SqliteStore::epoch() const { return files_->epoch; }
std::string SqliteStore::describe() const { return "sqlite:" + files_->directory.native(); }

}  // namespace syzygy
