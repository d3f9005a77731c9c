// sqlite_connection.h - the one place of the store that touches SQLite's API: a connection and its prepared statements.
//
// Neither is shared: a Connection and its Statements belong to whoever holds the mutex beside them. Every failure is an
// Error that names the file and the way out; the caller adds nothing. Codes and reasons: see error_of().
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace syzygy {

class Connection;

// A prepared statement. Bind, step, read columns, then it must be reset (Cursor does), so that it holds no snapshot.
class Statement {
 public:
  Statement() = default;

  // Borrowed: what is bound must live until the reset.
  Statement& bind(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  Statement& bind(int index, std::uint64_t number);

  // True: a row is there. False: done.
  Result<bool> step();
  void reset();

  [[nodiscard]] std::string_view blob(int column) const;  // until the next step or reset; also for text
  [[nodiscard]] std::uint64_t number(int column) const;

 private:
  friend class Connection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };

  const Connection* connection_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// Resets a statement at the end of its use.
class Cursor {
 public:
  explicit Cursor(Statement& statement) : statement_(statement) {}
  ~Cursor() { statement_.reset(); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;
  Statement* operator->() { return &statement_; }

 private:
  Statement& statement_;
};

class Connection {
 public:
  // Opens a file that exists.
  static Result<std::unique_ptr<Connection>> open(const std::filesystem::path& file);

  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Result<void> execute(const char* sql) const;
  [[nodiscard]] Result<Statement> prepare(std::string_view sql) const;
  // The first column of the first row, as text; "" without a row.
  [[nodiscard]] Result<std::string> ask(std::string_view sql) const;
  [[nodiscard]] bool in_transaction() const { return sqlite3_get_autocommit(database_.get()) == 0; }

  // True: the statement that just failed could not write all it had to, for want of room, and had not come to its end.
  [[nodiscard]] bool last_write_did_not_fit() const;

  // After a commit: makes the log's file longer ahead of what comes next, by as much as it is long (at most 1 MiB),
  // where that commit did so. A file that grows has its new length written to the disk at each commit, too, and that
  // takes as long as what was committed. What fails here is only not gained: SQLite takes nothing but its own frames
  // from the log.
  void lengthen_log();

  // What SQLite's last failure here means:
  //   CORRUPT, NOTADB             kDataLoss          STORE_CORRUPT
  //   ERROR, CONSTRAINT           kDataLoss          STORE_CORRUPT (our statements are fixed: the tables are not ours)
  //   FULL, ENOSPC, EDQUOT, EFBIG kResourceExhausted STORE_FULL
  //   READONLY, CANTOPEN, EACCES  kResourceExhausted STORE_READ_ONLY
  //   BUSY, LOCKED                kUnavailable       STORE_BUSY
  //   NOMEM                       kUnavailable       STORE_OUT_OF_MEMORY
  //   anything else               kUnavailable       STORE_IO
  [[nodiscard]] Error error_of(int code) const;

 private:
  struct Close {
    void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
  };

  [[nodiscard]] int system_errno(int code) const;

  explicit Connection(std::filesystem::path file) : file_(std::move(file)) {}

  std::filesystem::path file_;
  std::unique_ptr<sqlite3, Close> database_;
  sqlite3_int64 log_size_ = 0;
};

// For whoever finds the damage: `what` is a sentence about the file without its full stop.
Error store_corrupt(const std::filesystem::path& file, const std::string& what);

}  // namespace syzygy
