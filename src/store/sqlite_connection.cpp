#include "store/sqlite_connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/name.h"
#include "store/directory_lock.h"

namespace syzygy {
namespace {

// How long a statement waits for somebody else's lock. Nobody else should be there: the directory is locked. An
// operator with the sqlite3 shell may be.
constexpr int kBusyMs = 5000;

bool for_want_of_room(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

}  // namespace

Statement& Statement::bind(int index, std::string_view text) {
  sqlite3_bind_text64(statement_.get(), index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes) {
  // A null pointer would bind NULL, and an empty view may carry one.
  sqlite3_bind_blob64(statement_.get(), index, bytes.empty() ? "" : bytes.data(), bytes.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::bind(int index, std::uint64_t number) {
  sqlite3_bind_int64(statement_.get(), index, static_cast<sqlite3_int64>(number));
  return *this;
}

Result<bool> Statement::step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return std::unexpected(connection_->error_of(code));
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
}

std::string_view Statement::blob(int column) const {
  const void* bytes = sqlite3_column_blob(statement_.get(), column);
  if (bytes == nullptr) return {};
  return {static_cast<const char*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

std::uint64_t Statement::number(int column) const {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement_.get(), column));
}

Result<std::unique_ptr<Connection>> Connection::open(const std::filesystem::path& file) {
  std::unique_ptr<Connection> connection(new Connection(file));
  sqlite3* database = nullptr;
  // NOMUTEX: whoever uses a connection holds a mutex of ours. The file is there already, so never CREATE.
  const int code = sqlite3_open_v2(file.c_str(), &database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  connection->database_.reset(database);
  if (code != SQLITE_OK) return std::unexpected(connection->error_of(code));
  sqlite3_extended_result_codes(database, 1);
  sqlite3_busy_timeout(database, kBusyMs);
  return connection;
}

Result<void> Connection::execute(const char* sql) const {
  const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error_of(code));
  return {};
}

Result<Statement> Connection::prepare(std::string_view sql) const {
  sqlite3_stmt* prepared = nullptr;
  const int code = sqlite3_prepare_v3(database_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &prepared, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error_of(code));
  Statement statement;
  statement.connection_ = this;
  statement.statement_.reset(prepared);
  return statement;
}

Result<std::string> Connection::ask(std::string_view sql) const {
  auto statement = prepare(sql);
  if (!statement) return std::unexpected(std::move(statement.error()));
  const auto row = statement->step();
  if (!row) return std::unexpected(row.error());
  return *row ? std::string(statement->blob(0)) : std::string();
}

// A failed COMMIT does not pass its errno on to sqlite3_system_errno(), which then still has an older one: the file
// that it writes, the log, knows.
int Connection::system_errno(int code) const {
  sqlite3_file* log = nullptr;
  int number = 0;
  if ((code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_FSYNC) &&
      sqlite3_file_control(database_.get(), "main", SQLITE_FCNTL_JOURNAL_POINTER, static_cast<void*>(&log)) ==
          SQLITE_OK &&
      log != nullptr && log->pMethods != nullptr &&
      log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number) == SQLITE_OK && number != 0)
    return number;
  return sqlite3_system_errno(database_.get());
}

void Connection::lengthen_log() {
  static constexpr std::array<char, 64 << 10> kZeros{};
  static constexpr sqlite3_int64 kAheadMax = 1 << 20;
  sqlite3_file* log = nullptr;
  if (sqlite3_file_control(database_.get(), "main", SQLITE_FCNTL_JOURNAL_POINTER, static_cast<void*>(&log)) !=
          SQLITE_OK ||
      log == nullptr || log->pMethods == nullptr)
    return;
  sqlite3_int64 size = 0;
  if (log->pMethods->xFileSize(log, &size) != SQLITE_OK || size <= log_size_) return;
  log_size_ = size;
  const sqlite3_int64 wanted = size + std::min(size, kAheadMax);
  while (log_size_ < wanted) {
    const auto piece = std::min<sqlite3_int64>(kZeros.size(), wanted - log_size_);
    if (log->pMethods->xWrite(log, kZeros.data(), static_cast<int>(piece), log_size_) != SQLITE_OK) return;
    log_size_ += piece;
  }
}

// In the log the frame that commits comes last, so a log that could not take all frames commits nothing. An fsync that
// fails for want of room, or an index of the log that cannot grow, says nothing of the kind.
bool Connection::last_write_did_not_fit() const {
  const int code = sqlite3_extended_errcode(database_.get());
  if ((code & 0xff) == SQLITE_FULL) return true;
  return code == SQLITE_IOERR_WRITE && for_want_of_room(system_errno(code));
}

Error Connection::error_of(int code) const {
  const std::string where = printable(file_.native(), 400);
  const std::string detail = database_ ? sqlite3_errmsg(database_.get()) : sqlite3_errstr(code);
  const int errno_then = database_ ? system_errno(code) : 0;
  const auto io = [&](int error_number) { return storage_error(error_number, "use the store file", file_); };
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
    case SQLITE_CONSTRAINT:
      return store_corrupt(file_, "is damaged (" + detail + ")");
    case SQLITE_FULL:
      return io(ENOSPC);
    case SQLITE_READONLY:
      return io(EROFS);
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return io(EACCES);
    case SQLITE_CANTOPEN:
      return io(errno_then != 0 ? errno_then : EACCES);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return failure(ErrorCode::kUnavailable, "STORE_BUSY",
                     "Another program holds a lock on the store file " + where +
                         ". Close what has it open (a sqlite3 shell, a backup).",
                     {{"path", file_.native()}})
          .error();
    case SQLITE_NOMEM:
      return failure(ErrorCode::kUnavailable, "STORE_OUT_OF_MEMORY",
                     "There is not enough memory to use the store file " + where + ".", {{"path", file_.native()}})
          .error();
    case SQLITE_IOERR:
      if (for_want_of_room(errno_then)) return io(errno_then);
      break;
    default:
      break;
  }
  return failure(ErrorCode::kUnavailable, "STORE_IO",
                 "Using the store file " + where + " failed: " + detail + " (SQLite's code " + std::to_string(code) +
                     (errno_then != 0 ? ", errno " + std::to_string(errno_then) : std::string()) +
                     "). Look at the disk and at the kernel's log.",
                 {{"path", file_.native()}, {"sqlite_code", std::to_string(code)}})
      .error();
}

Error store_corrupt(const std::filesystem::path& file, const std::string& what) {
  const std::string directory = printable(file.parent_path().native(), 400);
  return failure(ErrorCode::kDataLoss, "STORE_CORRUPT",
                 "The store file " + printable(file.native(), 400) + " " + what + ". Stop syzygyd, keep a copy of " +
                     directory + ", and restore it from a backup; without one, move " + directory +
                     " away and start anew: rounds and pins are lost then, but what was applied is on record in each "
                     "target database.",
                 {{"path", file.native()}})
      .error();
}

}  // namespace syzygy
