// driver.h - what a kind of database must be able to do, so that the rules (guarded_target.h) can be written once.
//
// A Driver owns one session. It never reconnects by itself: after an error of kind kLost it is disconnected, and every
// call but connect() gives kLost again. Same thread rules as Target. SQL that goes through query() is ours and is the
// same for every database: tables are named by table(), parameters are $1, $2, ... as text, NULL reads as "".
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "migration/target/target.h"

namespace syzygy::migration {

struct SqlError {
  enum class Kind : std::uint8_t {
    kRefused,      // the database says no
    kRights,       // ... because this role may not
    kReadOnly,     // ... because nothing can be written here (a standby, a read-only file)
    kLockTimeout,  // a lock was not given in time, or never would have been (a deadlock): the one kind that is tried
                   // again
    kCancelled,    // stopped by us
    kLost,         // the connection is gone; what became of the statement is not known
  };
  Kind kind = Kind::kRefused;
  std::string words;     // the database's own, without a trailing newline
  std::string state;     // SQLSTATE; "" for SQLite
  std::size_t line = 0;  // of the statement, from 1; 0 where the database does not say
};

template <class T>
using Sql = std::expected<T, SqlError>;
using Row = std::vector<std::string>;
using Rows = std::vector<Row>;

enum class StepLock : std::uint8_t { kShared, kExclusive };

class Driver {
 public:
  virtual ~Driver() = default;

  [[nodiscard]] virtual std::string describe() const = 0;

  // Does nothing while connected.
  virtual Result<void> connect() = 0;
  virtual void disconnect() = 0;
  [[nodiscard]] virtual bool connected() const = 0;

  // "" where a step lock held by this session means something; otherwise why not (a pooler). REQUIRES: connected.
  [[nodiscard]] virtual std::string why_no_step_lock() const = 0;

  // ---- our own SQL
  virtual Sql<Rows> query(std::string_view sql, const std::vector<std::string>& params = {}) = 0;
  [[nodiscard]] virtual std::string table(std::string_view name) const = 0;     // syzygy.fence, syzygy_fence
  [[nodiscard]] virtual std::string now() const = 0;                            // an expression for an `at` column
  [[nodiscard]] virtual std::string millis(std::string_view column) const = 0;  // that column as milliseconds
  [[nodiscard]] virtual std::string row_lock(bool nowait) const = 0;            // the end of a SELECT that locks

  virtual Sql<void> begin_read() = 0;   // one snapshot until commit
  virtual Sql<void> begin_write() = 0;  // kLockTimeout where the database has one writer, and it is another
  Sql<void> commit() { return commit({}, false); }
  // `long_wait`: deferred constraints and standbys may take their time; told and stopped as a statement.
  struct RunOptions {
    std::stop_token stop;
    std::function<void(const std::string&)> on_notice;
    // Every now and then while nothing has come for a while, on the calling thread: for how long, and whether the
    // server answers anybody (a new connection).
    std::function<void(Duration waited, bool answers)> on_waiting;
  };
  virtual Sql<void> commit(const RunOptions& options, bool long_wait) = 0;
  virtual void rollback() = 0;
  // The same text twice means that nothing ended our transaction in between.
  virtual Sql<std::string> transaction_mark() = 0;
  // Takes back what the migration's own statements set for the session (role, search_path, timeouts).
  virtual Sql<void> reset_session() = 0;

  // ---- the migration's statements: exactly one each
  virtual Sql<void> run(std::string_view statement, const RunOptions& options) = 0;
  // For the statements that follow, outside a transaction: they may write, as ours in one may, and wait this long for a
  // lock. 0: for ever.
  virtual Sql<void> prepare_outside(Duration lock_timeout) = 0;
  // INVALID indexes that an earlier, failed build of this statement left, dropped; their names.
  virtual Sql<std::vector<std::string>> drop_invalid_indexes(const Meaning& meaning) = 0;

  // ---- the step lock. It belongs to the session, and ends with it.
  virtual Sql<bool> try_step_lock(StepLock mode) = 0;
  virtual Sql<void> release_step_lock() = 0;
  // Could it be taken in that mode? Inside a transaction it stays so until its end.
  virtual Sql<bool> step_lock_free(StepLock mode) = 0;
  virtual Sql<std::optional<Blocker>> step_lock_holder() = 0;
  // Who holds the fence row, or what else stands for it.
  virtual Sql<std::optional<Blocker>> writer() = 0;
  // Who holds a lock on what that statement names; for people, after a lock was not given.
  virtual Sql<std::optional<Blocker>> holder_of(const Meaning& meaning) = 0;
  virtual Sql<bool> terminate(int pid) = 0;

  // ---- what is there
  struct Found {
    bool schema = false;   // our tables stand (at least in part)
    bool readable = true;  // and may be read; otherwise `words` says what is missing
    std::string words;
  };
  virtual Sql<Found> find_ours() = 0;
  // The tables are there to be created; taken so that two processes do not both create. False: another one is at it.
  virtual Sql<bool> lock_for_prepare() = 0;
  [[nodiscard]] virtual std::string ddl(
      std::string_view text) const = 0;  // {schema}, {index}, {seq} and {at} filled in
  virtual Sql<void> create_schema() = 0;
  // Tables that bear a name in `names`; `table` is the name as SQL must spell it.
  struct ForeignTable {
    std::string table;
    std::string name;
    std::vector<std::string> columns;
    bool readable = true;
  };
  // `table` as find_tables() named it: is it still there, whatever the session's search path says by now?
  virtual Sql<bool> has_table(const std::string& table) = 0;
  virtual Sql<std::vector<ForeignTable>> find_tables(const std::vector<std::string>& names) = 0;

  // From now on the transactions of this session that write, and its steps outside one, present this run's token to the
  // guard below.
  virtual void present(const std::string& application, const RunInfo& run) = 0;
  // "" where the database can have no guard.
  [[nodiscard]] virtual std::string ddl_guard_script(const DdlGuard& guard) const = 0;
  [[nodiscard]] virtual std::string ddl_guard_removal() const = 0;
  virtual Sql<DdlGuard> read_ddl_guard() = 0;
  // Several statements of ours, in the transaction that was begun.
  virtual Sql<void> execute(const std::string& statements) = 0;

  virtual Result<Identity> identity() = 0;  // without `id`
  virtual std::vector<std::pair<std::string, std::string>> exec_environment(const std::string& application,
                                                                            const RunInfo& run,
                                                                            std::string_view pgoptions) = 0;
  virtual Sql<SessionsLeft> sessions_named(const std::string& name) = 0;
  virtual std::vector<Finding> diagnose() = 0;
};

Result<std::unique_ptr<Driver>> postgres_driver(const std::string& url, const TargetOptions& options);
Result<std::unique_ptr<Driver>> sqlite_driver(const std::string& url, const TargetOptions& options);

// As the Error of a call that changed nothing. `doing` completes "could not ...".
Error to_error(const SqlError& error, const Driver& driver, std::string_view doing);

}  // namespace syzygy::migration
