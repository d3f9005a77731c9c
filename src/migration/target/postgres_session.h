// postgres_session.h - one PostgreSQL connection, and all that this project uses of libpqxx.
//
// libpqxx 6 reconnects by itself after a lost connection: onto a new backend, without the locks that the old one held.
// So a session is thrown away at the first sign of a loss, and never comes back; exceptions end here. The password
// lives in the connection string only, and is cut out of every message.
#pragma once

#include <functional>
#include <memory>
#include <pqxx/pqxx>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "migration/target/driver.h"

namespace syzygy::migration {

// The URL, taken apart by libpq itself.
struct PostgresAddress {
  std::string conninfo;  // keywords and values, the password among them
  std::string password;
  std::string place;  // "PostgreSQL orders at db:5432", for people
};
Result<PostgresAddress> read_postgres_url(const std::string& url, Duration connect_timeout);

class PostgresSession {
 public:
  static Result<std::unique_ptr<PostgresSession>> open(const PostgresAddress& address);
  ~PostgresSession();

  PostgresSession(const PostgresSession&) = delete;
  PostgresSession& operator=(const PostgresSession&) = delete;

  // Several statements at once, without parameters: the simple protocol.
  Sql<Rows> script(const std::string& sql);
  // Exactly one statement: the server refuses a second one.
  Sql<Rows> one(std::string_view sql, const std::vector<std::string>& params);
  // As one(), stopped by `stop`; notices go to `on_notice`.
  Sql<Rows> one(std::string_view sql, std::stop_token stop, std::function<void(const std::string&)> on_notice);

  [[nodiscard]] bool pooled() const { return pooled_; }
  [[nodiscard]] int server_version() const { return server_version_; }  // 150018
  [[nodiscard]] int backend_pid() const { return backend_pid_; }
  [[nodiscard]] const std::string& database() const { return database_; }

 private:
  class Notices;
  PostgresSession(std::unique_ptr<pqxx::connection> connection, std::string password);
  template <class Call>
  Sql<Rows> guarded(Call call);

  std::unique_ptr<pqxx::connection> connection_;
  std::unique_ptr<Notices> notices_;
  std::string password_;
  std::string database_;
  int server_version_ = 0;
  int backend_pid_ = 0;
  bool pooled_ = false;
  bool lost_ = false;
};

}  // namespace syzygy::migration
