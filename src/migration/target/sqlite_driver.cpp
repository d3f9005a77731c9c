// sqlite_driver.cpp - SQLite behind driver.h. BEGIN IMMEDIATE is the row lock: there is one writer, and it is us.
//
// The step lock is a lock (flock) on a file beside the database, FILE-syzygy: the kernel gives it back when its holder
// dies, and it stands outside of transactions, as VACUUM and PRAGMA need it. The file stays: removing it would let two
// processes lock two different files of one name. A database file that does not exist is an empty target, and comes to
// be with the first write.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

#include "base/name.h"
#include "migration/target/driver.h"
#include "migration/target/pacing.h"

namespace syzygy::migration {
namespace {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Prepared = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

class LockFile {
 public:
  LockFile() = default;
  ~LockFile() { close(); }
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;

  // False where another holds it. Error: errno.
  std::expected<bool, int> take(const std::string& path, StepLock mode, bool create) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0666);
    // Nobody ever locked it, and whoever begins to now will first look at the fence.
    if (fd < 0 && errno == ENOENT && !create) return true;
    if (fd < 0) return std::unexpected(errno);
    if (::flock(fd, (mode == StepLock::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
      const int error = errno;
      ::close(fd);
      if (error == EWOULDBLOCK) return false;
      return std::unexpected(error);
    }
    close();
    fd_ = fd;
    return true;
  }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  [[nodiscard]] bool held() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

class SqliteDriver final : public Driver {
 public:
  SqliteDriver(std::string path, TargetOptions options) : path_(std::move(path)), options_(std::move(options)) {}

  [[nodiscard]] std::string describe() const override { return "SQLite " + printable(path_, 200); }

  Result<void> connect() override {
    if (connected_ && (db_ != nullptr || !std::filesystem::exists(path_))) return {};
    std::error_code error;
    const auto kind = std::filesystem::status(path_, error).type();
    if (kind == std::filesystem::file_type::not_found) {
      const auto directory = directory_of(path_);
      if (!std::filesystem::is_directory(directory, error)) {
        return failure(ErrorCode::kUnavailable, "DATABASE_UNREACHABLE",
                       describe() + ": the directory " + printable(directory.string(), 200) +
                           " does not exist. Create it, or check the path in --database.");
      }
      connected_ = true;
      return {};
    }
    if (kind == std::filesystem::file_type::directory) {
      return failure(ErrorCode::kUnavailable, "DATABASE_UNREACHABLE",
                     describe() + " is a directory, not a database file.");
    }
    if (auto opened = open(SQLITE_OPEN_READWRITE); !opened) {
      return failure(ErrorCode::kPermissionDenied, "DATABASE_REFUSED",
                     describe() + " cannot be opened: " + opened.error().words +
                         ". Check the path in --database and the rights on the file.");
    }
    connected_ = true;
    return {};
  }
  void disconnect() override {
    db_.reset();
    lock_.close();
    connected_ = false;
  }
  [[nodiscard]] bool connected() const override { return connected_; }
  [[nodiscard]] std::string why_no_step_lock() const override { return ""; }

  Sql<Rows> query(std::string_view sql, const std::vector<std::string>& params) override {
    if (auto open = usable(); !open) return std::unexpected(open.error());
    if (db_ == nullptr) return Rows{};
    return rows_of(sql, params, {});
  }
  [[nodiscard]] std::string table(std::string_view name) const override {
    return options_.schema + "_" + std::string(name);
  }
  [[nodiscard]] std::string now() const override {
    return "cast((julianday('now') - 2440587.5) * 86400000 as integer)";
  }
  [[nodiscard]] std::string millis(std::string_view column) const override { return std::string(column); }
  [[nodiscard]] std::string row_lock(bool) const override { return ""; }

  Sql<void> begin_read() override { return simple("begin"); }
  Sql<void> begin_write() override {
    if (auto open_already = usable(); !open_already) return open_already;
    if (db_ == nullptr) {
      if (auto opened = open(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE); !opened) return opened;
    }
    return simple("begin immediate");
  }
  Sql<void> commit(const RunOptions&, bool) override { return simple("commit"); }
  void rollback() override {
    if (db_ != nullptr && sqlite3_get_autocommit(db_.get()) == 0 && !simple("rollback")) disconnect();
  }
  Sql<std::string> transaction_mark() override {
    return std::string(db_ != nullptr && sqlite3_get_autocommit(db_.get()) == 0 ? "in a transaction" : "in none");
  }
  Sql<void> reset_session() override { return {}; }  // after an outside step the connection is opened anew

  Sql<void> run(std::string_view statement, const RunOptions& options) override {
    if (auto open = usable(); !open) return open;
    struct Watch {
      const RunOptions& options;
      Duration tell_at;
      Steady::time_point began = Steady::now();
    };
    Watch watch{options, options_.tell_after};
    sqlite3_progress_handler(
        db_.get(), 1000,
        [](void* one) {
          auto& seen = *static_cast<Watch*>(one);
          if (seen.options.stop.stop_requested()) return 1;
          const Duration waited = since(seen.began);
          if (seen.options.on_waiting && waited > seen.tell_at) {
            seen.tell_at = waited + std::min(waited, Duration{60'000});
            seen.options.on_waiting(waited, true);
          }
          return 0;
        },
        &watch);
    auto rows = rows_of(statement, {}, options.stop);
    if (db_ != nullptr) sqlite3_progress_handler(db_.get(), 0, nullptr, nullptr);
    if (!rows) return std::unexpected(rows.error());
    return {};
  }
  Sql<void> prepare_outside(Duration timeout) override {
    if (auto open = usable(); !open) return open;
    if (db_ != nullptr && timeout.count() > 0) sqlite3_busy_timeout(db_.get(), static_cast<int>(timeout.count()));
    return {};
  }
  Sql<std::vector<std::string>> drop_invalid_indexes(const Meaning&) override { return std::vector<std::string>{}; }

  Sql<bool> try_step_lock(StepLock mode) override {
    if (lock_.held()) return true;
    return taken(lock_.take(lock_path(), mode, true));
  }
  Sql<void> release_step_lock() override {
    disconnect();  // and with it every PRAGMA and ATTACH that the step left
    return {};
  }
  Sql<bool> step_lock_free(StepLock mode) override {
    if (lock_.held()) return true;
    LockFile probe;
    return taken(probe.take(lock_path(), mode, false));
  }
  Sql<std::optional<Blocker>> step_lock_holder() override {
    LockFile probe;
    auto shared = taken(probe.take(lock_path(), StepLock::kShared, false));
    if (!shared) return std::unexpected(shared.error());
    Blocker blocker;
    blocker.break_glass = !*shared;
    blocker.session = "a process that holds the lock on " + printable(lock_path(), 200);
    return blocker;
  }
  Sql<std::optional<Blocker>> writer() override {
    Blocker blocker;
    blocker.session = "a process that is writing to " + printable(path_, 200);
    return blocker;
  }
  Sql<std::optional<Blocker>> holder_of(const Meaning&) override { return std::nullopt; }
  Sql<bool> terminate(int) override { return false; }

  Sql<Found> find_ours() override {
    auto rows = query("select 1 from sqlite_master where type = 'table' and name = $1", {table("meta")});
    if (!rows) return std::unexpected(rows.error());
    Found found;
    found.schema = !rows->empty();
    return found;
  }
  Sql<bool> lock_for_prepare() override { return true; }  // BEGIN IMMEDIATE is it
  [[nodiscard]] std::string ddl(std::string_view text) const override {
    std::string sql(text);
    const auto fill = [&](std::string_view what, const std::string& with) {
      for (std::size_t at = sql.find(what); at != std::string::npos; at = sql.find(what, at + with.size())) {
        sql.replace(at, what.size(), with);
      }
    };
    fill("{seq}", "integer primary key autoincrement");
    fill("{at}", "bigint");
    fill("{index}", options_.schema + "_");
    fill("{schema}", options_.schema + "_");
    return sql;
  }
  Sql<void> create_schema() override { return {}; }

  Sql<bool> has_table(const std::string& table) override {
    auto rows = query("select 1 from sqlite_master where type = 'table' and '\"' || name || '\"' = $1", {table});
    if (!rows) return std::unexpected(rows.error());
    return !rows->empty();
  }
  Sql<std::vector<ForeignTable>> find_tables(const std::vector<std::string>& names) override {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "'" : ",'") + name + "'";
    auto rows = query(
        "select m.name, c.name from sqlite_master m join pragma_table_info(m.name) c "
        "where m.type = 'table' and m.name in (" +
            list + ") order by m.name, c.cid",
        {});
    if (!rows) return std::unexpected(rows.error());
    std::vector<ForeignTable> tables;
    for (const Row& row : *rows) {
      if (tables.empty() || tables.back().name != row[0]) tables.push_back({"\"" + row[0] + "\"", row[0], {}, true});
      tables.back().columns.push_back(row[1]);
    }
    return tables;
  }

  void present(const std::string&, const RunInfo&) override {}  // nobody asks
  [[nodiscard]] std::string ddl_guard_script(const DdlGuard&) const override { return ""; }
  [[nodiscard]] std::string ddl_guard_removal() const override { return ""; }
  Sql<DdlGuard> read_ddl_guard() override { return DdlGuard{}; }
  Sql<void> execute(const std::string& statements) override { return simple(statements); }

  Result<Identity> identity() override {
    std::error_code error;
    const auto canonical = std::filesystem::weakly_canonical(path_, error);
    return Identity{"sqlite", error ? path_ : canonical.string(), "", ""};
  }
  std::vector<std::pair<std::string, std::string>> exec_environment(const std::string&, const RunInfo&,
                                                                    std::string_view) override {
    return {};
  }
  Sql<SessionsLeft> sessions_named(const std::string&) override {
    return SessionsLeft{false, {}, "SQLite has no sessions that could be looked at"};
  }
  std::vector<Finding> diagnose() override;

 private:
  [[nodiscard]] static std::filesystem::path directory_of(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path();
    return parent.empty() ? std::filesystem::path(".") : parent;
  }
  [[nodiscard]] std::string lock_path() const { return path_ + "-syzygy"; }

  Sql<bool> taken(std::expected<bool, int> result) const {
    if (result) return *result;
    return std::unexpected(
        SqlError{SqlError::Kind::kRights,
                 "the lock file " + printable(lock_path(), 200) + ": " + std::strerror(result.error()), "", 0});
  }

  [[nodiscard]] Sql<void> usable() const {
    if (connected_) return {};
    return std::unexpected(SqlError{SqlError::Kind::kLost, "the file is not open", "", 0});
  }

  Sql<void> open(int flags) {
    sqlite3* raw = nullptr;
    const int code = sqlite3_open_v2(path_.c_str(), &raw, flags | SQLITE_OPEN_EXRESCODE, nullptr);
    Database db(raw);
    if (code != SQLITE_OK) {
      return std::unexpected(
          SqlError{SqlError::Kind::kRights, raw == nullptr ? "out of memory" : sqlite3_errmsg(raw), "", 0});
    }
    sqlite3_busy_timeout(db.get(), static_cast<int>(options_.lock_timeout.count()));
    db_ = std::move(db);
    connected_ = true;
    // A file that is no database shows itself at the first read.
    auto looked = rows_of("pragma schema_version", {}, {});
    if (!looked && looked.error().kind != SqlError::Kind::kLockTimeout) {
      SqlError error = looked.error();
      disconnect();
      return std::unexpected(std::move(error));
    }
    return {};
  }

  Sql<void> simple(std::string_view sql) {
    if (auto open_already = usable(); !open_already) return open_already;
    if (db_ == nullptr) return {};  // reading what does not exist yet
    auto rows = rows_of(sql, {}, {});
    if (!rows) return std::unexpected(rows.error());
    return {};
  }

  SqlError error_of(int code, std::string_view sql) {
    SqlError error{SqlError::Kind::kRefused, sqlite3_errmsg(db_.get()), "", 0};
    const int offset = sqlite3_error_offset(db_.get());
    if (offset >= 0) {
      const auto end = sql.begin() + std::min<std::ptrdiff_t>(offset, std::ssize(sql));
      error.line = static_cast<std::size_t>(std::count(sql.begin(), end, '\n')) + 1;
    }
    switch (code & 0xff) {
      case SQLITE_BUSY:
      case SQLITE_LOCKED:
        error.kind = SqlError::Kind::kLockTimeout;
        break;
      case SQLITE_INTERRUPT:
        error.kind = SqlError::Kind::kCancelled;
        break;
      case SQLITE_READONLY:
        error.kind = SqlError::Kind::kReadOnly;
        break;
      case SQLITE_PERM:
      case SQLITE_CANTOPEN:
      case SQLITE_AUTH:
        error.kind = SqlError::Kind::kRights;
        break;
      case SQLITE_IOERR:
        // Whether a COMMIT that met it stands is for a new look to say.
        error.kind = SqlError::Kind::kLost;
        disconnect();
        break;
      default:
        break;
    }
    return error;
  }

  Sql<Rows> rows_of(std::string_view sql, const std::vector<std::string>& params, const std::stop_token& stop) {
    sqlite3_stmt* raw = nullptr;
    const char* tail = nullptr;
    int code = sqlite3_prepare_v2(db_.get(), sql.data(), static_cast<int>(sql.size()), &raw, &tail);
    Prepared statement(raw);
    if (code != SQLITE_OK) return std::unexpected(error_of(code, sql));
    if (raw == nullptr) return Rows{};
    const std::string_view rest = sql.substr(static_cast<std::size_t>(tail - sql.data()));
    if (rest.find_first_not_of(" \t\r\n;") != std::string_view::npos) {
      return std::unexpected(
          SqlError{SqlError::Kind::kRefused, "more than one statement where one was expected", "", 0});
    }
    for (std::size_t i = 0; i < params.size(); ++i) {
      const int index = sqlite3_bind_parameter_index(raw, ("$" + std::to_string(i + 1)).c_str());
      if (index == 0) continue;
      sqlite3_bind_text64(raw, index, params[i].data(), params[i].size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    Rows rows;
    while ((code = sqlite3_step(raw)) == SQLITE_ROW) {
      Row row;
      for (int i = 0; i < sqlite3_column_count(raw); ++i) {
        const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(raw, i));
        row.emplace_back(text == nullptr ? "" : text);
      }
      // A migration's own SELECT may give any number of rows; nobody reads them.
      if (!stop.stop_possible()) rows.push_back(std::move(row));
    }
    if (code != SQLITE_DONE) return std::unexpected(error_of(code, sql));
    return rows;
  }

  std::string path_;
  TargetOptions options_;
  Database db_;  // null while connected to a file that does not exist
  LockFile lock_;
  bool connected_ = false;
};

std::vector<Finding> SqliteDriver::diagnose() {
  std::vector<Finding> findings;
  findings.push_back({"server version", true, std::string("SQLite ") + sqlite3_libversion(), ""});
  const std::string directory = directory_of(path_).string();
  const bool directory_ok = ::access(directory.c_str(), W_OK | X_OK) == 0;
  findings.push_back({"rights to migrate", directory_ok,
                      directory_ok ? "the directory " + directory + " can be written"
                                   : "the directory " + directory +
                                         " cannot be written, and SQLite needs files beside "
                                         "the database",
                      directory_ok ? "" : "chmod u+wx " + directory});
  if (db_ == nullptr) {
    findings.push_back({"writable", true, "the file does not exist yet: the first migration creates it", ""});
    return findings;
  }
  const bool read_only = sqlite3_db_readonly(db_.get(), "main") == 1;
  findings.push_back({"writable", !read_only, read_only ? "the file can only be read" : "the file can be written",
                      read_only ? "chmod u+w " + path_ : ""});
  return findings;
}

}  // namespace

Result<std::unique_ptr<Driver>> sqlite_driver(const std::string& url, const TargetOptions& options) {
  std::string_view path = std::string_view(url).substr(std::strlen("sqlite:"));
  if (path.starts_with("//")) {
    path.remove_prefix(2);
    if (!path.starts_with('/')) path = "";
  }
  if (path.empty() || path.ends_with('/') || path == ":memory:" || path.find('\0') != std::string_view::npos) {
    return failure(ErrorCode::kInvalidArgument, "DATABASE_URL_INVALID",
                   "An SQLite database is given as sqlite:///path/to/file.db (three slashes: the path is absolute), or "
                   "sqlite:file.db for one in this directory.");
  }
  return std::make_unique<SqliteDriver>(std::string(path), options);
}

}  // namespace syzygy::migration
