#include "migration/target/postgres_session.h"

#include <libpq-fe.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/name.h"

namespace syzygy::migration {
namespace {

std::string trimmed(std::string_view words) {
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.remove_suffix(1);
  return std::string(words);
}

std::string without(std::string words, const std::string& secret) {
  if (secret.empty()) return words;
  for (std::size_t at = words.find(secret); at != std::string::npos; at = words.find(secret, at + 3)) {
    words.replace(at, secret.size(), "***");
  }
  return words;
}

std::string conninfo_value(std::string_view value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// Where the server's words point into the statement ("LINE 3: ...").
std::size_t line_in(std::string_view words) {
  const std::size_t at = words.find("\nLINE ");
  return at == std::string_view::npos ? 0 : std::strtoul(words.data() + at + 6, nullptr, 10);
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  return std::ranges::any_of(prefixes, [&](std::string_view prefix) { return text.starts_with(prefix); });
}

// libpqxx 6 keeps the SQLSTATE of most errors, and of these only the type.
std::string state_of(const pqxx::sql_error& error) {
  if (!error.sqlstate().empty()) return error.sqlstate();
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) return "42501";
  if (dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr) return "42P01";
  if (dynamic_cast<const pqxx::undefined_column*>(&error) != nullptr) return "42703";
  if (dynamic_cast<const pqxx::undefined_function*>(&error) != nullptr) return "42883";
  if (dynamic_cast<const pqxx::syntax_error*>(&error) != nullptr) return "42601";
  return "";
}

// Asks the server to stop what runs, again and again, until it has: a single request is lost when it arrives between
// two statements.
class StopsStatement {
 public:
  StopsStatement(pqxx::connection& connection, std::stop_token stop)
      : thread_([this, &connection, stop = std::move(stop)] {
          std::unique_lock lock(mutex_);
          woken_.wait(lock, stop, [this] { return done_; });
          while (!done_) {
            ask(connection);
            woken_.wait_for(lock, std::chrono::milliseconds(200), [this] { return done_; });
          }
        }) {}
  ~StopsStatement() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    woken_.notify_all();
    thread_.join();
  }
  StopsStatement(const StopsStatement&) = delete;
  StopsStatement& operator=(const StopsStatement&) = delete;

 private:
  static bool ask(pqxx::connection& connection) {
    try {
      connection.cancel_query();
      return true;
    } catch (const std::exception&) {
      return false;  // the statement is over, or the connection is: its own call says which
    }
  }

  std::mutex mutex_;
  std::condition_variable_any woken_;
  bool done_ = false;
  std::thread thread_;
};

// libpqxx 6 and 7 spell it differently; 7 never reconnects by itself.
void never_reconnect([[maybe_unused]] pqxx::connection& connection) {
#if PQXX_VERSION_MAJOR < 7
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection.inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
}

pqxx::result with_params(pqxx::transaction_base& session, const std::string& sql,
                         const std::vector<std::string>& params) {
#if PQXX_VERSION_MAJOR < 7
  return session.exec_params(sql, pqxx::prepare::make_dynamic_params(params));
#else
  pqxx::params list;
  for (const std::string& param : params) list.append(param);
  return session.exec_params(sql, list);
#endif
}

Rows rows_of(const pqxx::result& result) {
  Rows rows;
  rows.reserve(result.size());
  for (const auto& line : result) {
    Row row;
    row.reserve(line.size());
    for (const auto& field : line) row.emplace_back(field.is_null() ? "" : field.c_str());
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace

class PostgresSession::Notices final : public pqxx::errorhandler {
 public:
  explicit Notices(pqxx::connection& connection) : pqxx::errorhandler(connection) {}
  bool operator()(const char message[]) noexcept override {
    try {
      if (listener) listener(trimmed(message));
    } catch (const std::exception&) {
      return false;  // a listener that fails must not end the statement that spoke
    }
    return false;
  }
  std::function<void(const std::string&)> listener;
};

Result<PostgresAddress> read_postgres_url(const std::string& url, Duration connect_timeout) {
  char* words = nullptr;
  PQconninfoOption* options = url.find('\0') == std::string::npos ? PQconninfoParse(url.c_str(), &words) : nullptr;
  if (options == nullptr) {
    // libpq quotes pieces of the URL, and a piece may be the password: only what stands before the quote is told.
    const std::string said = words == nullptr ? "" : words;
    PQfreemem(words);
    return failure(ErrorCode::kInvalidArgument, "DATABASE_URL_INVALID",
                   "The database's URL cannot be read (" + trimmed(said.substr(0, said.find('"'))) +
                       "). It looks like postgresql://user:password@host:5432/database; special characters in it are "
                       "written as %40 and the like.");
  }
  PostgresAddress address;
  std::string host;
  std::string port;
  std::string database;
  std::string user;
  std::set<std::string> given;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    const std::string keyword = option->keyword;
    const std::string value = option->val;
    address.conninfo.append(keyword).append("=").append(conninfo_value(value)).append(" ");
    if (keyword == "host" || (keyword == "hostaddr" && host.empty())) host = value;
    if (keyword == "port") port = value;
    if (keyword == "dbname") database = value;
    if (keyword == "user") user = value;
    if (keyword == "password") address.password = value;
    given.insert(keyword);
  }
  PQconninfoFree(options);
  const auto env = [](const char* name, std::string& value) {
    const char* set = value.empty() ? std::getenv(name) : nullptr;
    if (set != nullptr) value = set;
  };
  env("PGHOST", host);
  env("PGPORT", port);
  env("PGDATABASE", database);
  env("PGUSER", user);
  if (database.empty()) database = user.empty() ? "(the default database)" : user;
  address.place = "PostgreSQL " + printable(database, 100) + " at " +
                  (host.empty() ? "the local socket" : printable(host, 200)) +
                  (port.empty() ? "" : ":" + printable(port));
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(connect_timeout).count();
  // A server that vanished without a word is noticed within half a minute instead of two hours.
  const std::vector<std::pair<std::string, std::string>> unless_given = {
      {"connect_timeout", std::to_string(std::max<std::int64_t>(2, seconds))},
      {"application_name", "syzygy"},
      {"keepalives_idle", "10"},
      {"keepalives_interval", "5"},
      {"keepalives_count", "4"},
      {"tcp_user_timeout", "30000"},
  };
  for (const auto& [keyword, value] : unless_given) {
    if (!given.contains(keyword)) address.conninfo.append(keyword).append("=").append(value).append(" ");
  }
  address.conninfo += "client_encoding=UTF8";  // migrations are UTF-8, whatever the environment says
  return address;
}

PostgresSession::PostgresSession(std::unique_ptr<pqxx::connection> connection, std::string password)
    : connection_(std::move(connection)),
      notices_(std::make_unique<Notices>(*connection_)),
      password_(std::move(password)) {}

PostgresSession::~PostgresSession() = default;

Result<std::unique_ptr<PostgresSession>> PostgresSession::open(const PostgresAddress& address) {
  const auto refused = [&](std::string_view said) {
    const std::string words = trimmed(without(std::string(said), address.password));
    // "FATAL:" is the server speaking; everything else did not get so far.
    const bool answered = words.find("FATAL:") != std::string::npos;
    return failure(answered ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable,
                   answered ? "DATABASE_REFUSED" : "DATABASE_UNREACHABLE",
                   address.place + (answered ? " refuses: " : " cannot be reached: ") + words +
                       ". Check the URL given with --database, and whether psql can connect with it.",
                   {{"database", address.place}});
  };
  std::unique_ptr<PostgresSession> session;
  try {
    auto connection = std::make_unique<pqxx::connection>(address.conninfo);
    never_reconnect(*connection);
    session.reset(new PostgresSession(std::move(connection), address.password));
  } catch (const std::exception& error) {
    return refused(error.what());
  }
  const auto about = session->script("select pg_catalog.pg_backend_pid(), pg_catalog.current_database()");
  if (!about) return refused(about.error().words);
  session->backend_pid_ = std::atoi((*about)[0][0].c_str());
  session->database_ = (*about)[0][1];
  session->server_version_ = session->connection_->server_version();
  // A pooler answers the connection itself and lends its own server sessions: then the two disagree.
  session->pooled_ = session->connection_->backendpid() != session->backend_pid_;
  return session;
}

template <class Call>
Sql<Rows> PostgresSession::guarded(Call call) {
  const auto lost = [&](std::string_view said) {
    lost_ = true;
    const std::string words = trimmed(without(std::string(said), password_));
    return std::unexpected(SqlError{SqlError::Kind::kLost, words.empty() ? "the connection was lost" : words, "", 0});
  };
  if (lost_) return lost("the connection was lost before");
  try {
    pqxx::nontransaction session(*connection_);
    return rows_of(call(session));
  } catch (const pqxx::sql_error& error) {
    const std::string state = state_of(error);
    // 57P01 to 57P03: the server ends the session. 08: the connection.
    if (!connection_->is_open() || starts_with_any(state, {"57P01", "57P02", "57P03", "08"})) return lost(error.what());
    SqlError refused{SqlError::Kind::kRefused, trimmed(without(error.what(), password_)), state, line_in(error.what())};
    if (state == "55P03") refused.kind = SqlError::Kind::kLockTimeout;
    if (state == "42501") refused.kind = SqlError::Kind::kRights;
    if (state == "25006") refused.kind = SqlError::Kind::kReadOnly;
    return std::unexpected(std::move(refused));
  } catch (const std::exception& error) {
    if (!connection_->is_open()) return lost(error.what());
    return std::unexpected(SqlError{SqlError::Kind::kRefused, trimmed(without(error.what(), password_)), "", 0});
  }
}

Sql<Rows> PostgresSession::script(const std::string& sql) {
  return guarded([&](pqxx::nontransaction& session) { return session.exec(sql); });
}

Sql<Rows> PostgresSession::one(std::string_view sql, const std::vector<std::string>& params) {
  return guarded([&](pqxx::nontransaction& session) { return with_params(session, std::string(sql), params); });
}

Sql<Rows> PostgresSession::one(std::string_view sql, std::stop_token stop,
                               std::function<void(const std::string&)> on_notice) {
  notices_->listener = std::move(on_notice);
  Sql<Rows> rows = [&] {
    const StopsStatement stops(*connection_, stop);
    return guarded([&](pqxx::nontransaction& session) { return with_params(session, std::string(sql), {}); });
  }();
  notices_->listener = nullptr;
  // The same state stands for a statement_timeout: only a stop that was asked for is one.
  if (!rows && rows.error().state == "57014" && stop.stop_requested()) rows.error().kind = SqlError::Kind::kCancelled;
  return rows;
}

}  // namespace syzygy::migration
