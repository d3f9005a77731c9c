// postgres_session.h - one PostgreSQL connection, on libpq itself.
//
// Everything is sent and awaited without blocking, so that a wait can be bounded, stopped and told: a server that is
// frozen answers TCP for ever. A session is thrown away at the first sign of a loss, and never comes back: a new one
// would not hold the old one's locks. The password lives in the connection string only, and is cut out of every
// message.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "migration/target/driver.h"

struct pg_conn;
struct pg_result;

namespace syzygy::migration {

// The URL, taken apart by libpq itself.
struct PostgresAddress {
  std::string conninfo;  // keywords and values, the password among them
  std::string password;
  std::string place;  // "PostgreSQL orders at db:5432", for people
};
Result<PostgresAddress> read_postgres_url(const std::string& url, Duration connect_timeout);

struct PostgresLimits {
  Duration answer_max{30'000};  // of silence where an answer is due at once; then the session is lost
  Duration stop_max{5'000};     // of silence after the server was asked to stop a statement; likewise
  Duration quit_max{3'000};     // of silence once `quit` is requested; likewise
  std::stop_token quit;         // this process is to end
  Duration tell_after{10'000};  // of silence, that `on_waiting` hears of
};

class PostgresSession {
 public:
  static Result<std::unique_ptr<PostgresSession>> open(const PostgresAddress& address, PostgresLimits limits);
  ~PostgresSession();

  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;

  // Several statements at once, without parameters: the simple protocol. Gives the rows of the last.
  Sql<Rows> script(const std::string& sql);
  // Exactly one statement: the server refuses a second one.
  Sql<Rows> one(std::string_view sql, const std::vector<std::string>& params);
  // As one(), for as long as it takes, stopped by options.stop; its rows are not kept.
  Sql<void> run(std::string_view sql, const Driver::RunOptions& options);

  [[nodiscard]] bool pooled() const { return pooled_; }
  [[nodiscard]] int server_version() const;  // 150018
  [[nodiscard]] int backend_pid() const { return backend_pid_; }
  [[nodiscard]] const std::string& database() const { return database_; }

 private:
  struct CloseConnection {
    void operator()(pg_conn* connection) const;
  };
  using Connection = std::unique_ptr<pg_conn, CloseConnection>;
  class Patience;
  class Probe;

  PostgresSession(Connection connection, const PostgresAddress& address, PostgresLimits limits);
  // `options` null: an answer is due at once.
  Sql<Rows> exchange(bool sent, const Driver::RunOptions* options);
  // Takes what has arrived. nullopt: the server has not finished.
  std::optional<Sql<Rows>> take(bool keep_rows, Sql<Rows>& last);
  void take_one(pg_result* result, bool keep_rows, Sql<Rows>& last);
  SqlError lost(std::string_view said);

  Connection connection_;
  PostgresLimits limits_;
  std::string conninfo_;
  std::string password_;
  std::string database_;
  std::function<void(const std::string&)> on_notice_;
  int backend_pid_ = 0;
  bool pooled_ = false;
  bool lost_ = false;
};

}  // namespace syzygy::migration
