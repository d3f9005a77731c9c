#include "migration/target/postgres_session.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <future>
#include <set>
#include <thread>
#include <utility>

#include "base/name.h"
#include "migration/target/pacing.h"

namespace syzygy::migration {
namespace {

constexpr Duration kTurn{50};              // between two looks at the reasons to stop
constexpr Duration kCancelEvery{1'000};    // one request is lost when it arrives between two statements
constexpr Duration kProbeMax{5'000};       // for a new connection's first word
constexpr Duration kTellEveryMax{60'000};  // a job that is silent for longer is killed by some CI systems

std::string trimmed(std::string_view words) {
  while (!words.empty() && (words.back() == '\n' || words.back() == ' ')) words.remove_suffix(1);
  return std::string(words);
}

// What libpq wraps over several lines, as one: it goes into lines of logs and of the status.
std::string one_line(std::string_view words) {
  std::string line;
  while (!words.empty()) {
    const std::string_view part = words.substr(0, words.find('\n'));
    words.remove_prefix(std::min(words.size(), part.size() + 1));
    const std::size_t from = part.find_first_not_of(" \t\r");
    if (from == std::string_view::npos) continue;
    const std::string_view text = part.substr(from, part.find_last_not_of(" \t\r") + 1 - from);
    const bool goes_on = text.front() >= 'a' && text.front() <= 'z';
    if (!line.empty()) line += goes_on || std::string_view(".?!:;,").contains(line.back()) ? " " : ". ";
    line += text;
  }
  return line;
}

// As a sentence that another can follow.
std::string sentence(std::string words) {
  if (!words.empty() && !std::string_view(".?!").contains(words.back())) words += '.';
  return words;
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

std::string field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? "" : text;
}

// The server's own words, without its drawing of the place: that is named by file and line.
std::string said_by(const PGresult* result) {
  const std::string primary = field(result, PG_DIAG_MESSAGE_PRIMARY);
  if (primary.empty()) return PQresultErrorMessage(result);  // libpq's
  std::string words = field(result, PG_DIAG_SEVERITY) + ": " + primary;
  for (const auto& [code, name] :
       {std::pair(PG_DIAG_MESSAGE_DETAIL, "DETAIL: "), std::pair(PG_DIAG_MESSAGE_HINT, "HINT: "),
        std::pair(PG_DIAG_CONTEXT, "CONTEXT: ")}) {
    if (const std::string more = field(result, code); !more.empty()) words += "\n" + (name + more);
  }
  return words;
}

Rows rows_of(const PGresult* result) {
  Rows rows;
  rows.reserve(static_cast<std::size_t>(PQntuples(result)));
  for (int i = 0; i < PQntuples(result); ++i) {
    Row row;
    row.reserve(static_cast<std::size_t>(PQnfields(result)));
    for (int j = 0; j < PQnfields(result); ++j) {
      row.emplace_back(PQgetvalue(result, i, j), static_cast<std::size_t>(PQgetlength(result, i, j)));
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

// Asks the server to stop what runs. PQcancel makes a connection of its own and waits for the server's end of it: where
// that is frozen, for ever. So it gets a thread that nobody waits for.
class Cancellation {
 public:
  void ask(PGconn* connection) {
    if (under_way() || (asked_ && since(*asked_) < kCancelEvery)) return;
    PGcancel* cancel = PQgetCancel(connection);
    if (cancel == nullptr) return;
    asked_ = Steady::now();
    std::promise<void> done;
    done_ = done.get_future();
    std::thread([cancel, done = std::move(done)]() mutable {
      char words[256];
      PQcancel(cancel, words, sizeof(words));
      PQfreeCancel(cancel);
      done.set_value();
    }).detach();
  }
  // A request that is on its way must not meet the next statement.
  ~Cancellation() {
    if (done_.valid()) done_.wait_for(kCancelEvery);
  }
  Cancellation() = default;
  Cancellation(const Cancellation&) = delete;
  Cancellation& operator=(const Cancellation&) = delete;

 private:
  [[nodiscard]] bool under_way() const {
    return done_.valid() && done_.wait_for(std::chrono::seconds(0)) != std::future_status::ready;
  }

  std::future<void> done_;
  std::optional<Steady::time_point> asked_;
};

}  // namespace

void PostgresSession::CloseConnection::operator()(pg_conn* connection) const { PQfinish(connection); }

// Does the server answer anybody? A connection of its own, made without blocking, and closed at the first answer, a
// refusal included.
class PostgresSession::Probe {
 public:
  Probe(const std::string& conninfo, PGconn* like, Duration max) : max_(max) {
    const char* numeric = PQhostaddr(like);  // the name is not looked up again: that would block
    const bool known = numeric != nullptr && *numeric != '\0';
    connection_.reset(PQconnectStart((conninfo + (known ? " hostaddr=" + conninfo_value(numeric) : "")).c_str()));
  }
  // nullopt: not known yet.
  std::optional<bool> answers() {
    if (connection_ == nullptr || PQstatus(connection_.get()) == CONNECTION_BAD) return said();
    pollfd one{PQsocket(connection_.get()), static_cast<short>(next_ == PGRES_POLLING_WRITING ? POLLOUT : POLLIN), 0};
    if (::poll(&one, 1, 0) > 0) {
      next_ = PQconnectPoll(connection_.get());
      if (next_ == PGRES_POLLING_OK) return true;
      if (next_ == PGRES_POLLING_FAILED) return said();
    }
    if (since(began_) > max_) return false;
    return std::nullopt;
  }

 private:
  // A refusal in the server's own words is an answer; a connection that was not made is none.
  [[nodiscard]] bool said() const {
    return connection_ != nullptr && std::string_view(PQerrorMessage(connection_.get())).contains("FATAL:");
  }

  Connection connection_;
  PostgresPollingStatusType next_ = PGRES_POLLING_WRITING;
  Steady::time_point began_ = Steady::now();
  Duration max_;
};

// How long one exchange may go on, and what is told of it meanwhile.
class PostgresSession::Patience {
 public:
  Patience(PostgresSession& session, const Driver::RunOptions* options)
      : session_(session), options_(options), tell_at_(session.limits_.tell_after) {}

  // Why it is over; "" while it is not.
  std::string look() {
    const PostgresLimits& limits = session_.limits_;
    const Duration silent = since(heard_);
    if (limits.quit.stop_requested()) {
      if (!quit_) quit_ = Steady::now();
      if (options_ == nullptr && since(std::max(*quit_, heard_)) > limits.quit_max) return no_answer(silent);
    }
    if (options_ == nullptr) return silent > limits.answer_max ? no_answer(silent) : "";
    if (options_->stop.stop_requested()) {
      if (!stopped_) stopped_ = Steady::now();
      cancellation_.ask(session_.connection_.get());
      if (since(*stopped_) > limits.stop_max) {
        return "the server was asked to stop the statement, and has not answered for " + seconds(limits.stop_max);
      }
      return "";
    }
    if (options_->on_waiting && since(began_) > tell_at_) tell();
    return "";
  }
  void heard() { heard_ = Steady::now(); }

 private:
  static std::string seconds(Duration time) { return std::to_string((time.count() + 500) / 1'000) + " s"; }
  static std::string no_answer(Duration silent) {
    return "the server has not answered for " + seconds(silent) + " (it is frozen, overloaded or cut off)";
  }
  void tell() {
    if (!probe_) {
      probe_.emplace(session_.conninfo_, session_.connection_.get(), std::min(kProbeMax, session_.limits_.tell_after));
    }
    const auto answers = probe_->answers();
    if (!answers) return;
    probe_.reset();
    const Duration waited = since(began_);
    options_->on_waiting(waited, *answers);
    tell_at_ = waited + std::min(waited, kTellEveryMax);
  }

  PostgresSession& session_;
  const Driver::RunOptions* options_;
  Cancellation cancellation_;
  std::optional<Probe> probe_;
  Steady::time_point began_ = Steady::now();
  Steady::time_point heard_ = began_;
  std::optional<Steady::time_point> stopped_;
  std::optional<Steady::time_point> quit_;
  Duration tell_at_;
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

PostgresSession::PostgresSession(Connection connection, const PostgresAddress& address, PostgresLimits limits)
    : connection_(std::move(connection)),
      limits_(std::move(limits)),
      conninfo_(address.conninfo),
      password_(address.password) {
  PQsetnonblocking(connection_.get(), 1);
  PQsetNoticeProcessor(
      connection_.get(),
      [](void* self, const char* words) {
        const auto& listener = static_cast<PostgresSession*>(self)->on_notice_;
        if (listener) listener(trimmed(words));
      },
      this);
}

PostgresSession::~PostgresSession() = default;

int PostgresSession::server_version() const { return PQserverVersion(connection_.get()); }

Result<std::unique_ptr<PostgresSession>> PostgresSession::open(const PostgresAddress& address, PostgresLimits limits) {
  const auto refused = [&](std::string_view said) {
    const std::string words = sentence(one_line(without(std::string(said), address.password)));
    // "FATAL:" is the server speaking; everything else did not get so far.
    const bool answered = words.find("FATAL:") != std::string::npos;
    return failure(answered ? ErrorCode::kPermissionDenied : ErrorCode::kUnavailable,
                   answered ? "DATABASE_REFUSED" : "DATABASE_UNREACHABLE",
                   address.place + (answered ? " refuses: " : " cannot be reached: ") + words +
                       " Check the URL given with --database, and whether psql can connect with it.",
                   {{"database", address.place}});
  };
  Connection connection(PQconnectdb(address.conninfo.c_str()));
  if (connection == nullptr) return refused("out of memory");
  if (PQstatus(connection.get()) != CONNECTION_OK) return refused(PQerrorMessage(connection.get()));
  std::unique_ptr<PostgresSession> session(new PostgresSession(std::move(connection), address, std::move(limits)));
  const auto about = session->script("select pg_catalog.pg_backend_pid(), pg_catalog.current_database()");
  if (!about) return refused(about.error().words);
  session->backend_pid_ = std::atoi((*about)[0][0].c_str());
  session->database_ = (*about)[0][1];
  // A pooler answers the connection itself and lends its own server sessions: then the two disagree.
  session->pooled_ = PQbackendPID(session->connection_.get()) != session->backend_pid_;
  return session;
}

SqlError PostgresSession::lost(std::string_view said) {
  lost_ = true;
  const std::string words = one_line(without(std::string(said), password_));
  return {SqlError::Kind::kLost, words.empty() ? "the connection was lost" : words, "", 0};
}

void PostgresSession::take_one(PGresult* result, bool keep_rows, Sql<Rows>& last) {
  switch (PQresultStatus(result)) {
    case PGRES_FATAL_ERROR:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
      break;
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
      // Nothing stands behind it to be copied: the server then says that the COPY failed, and why.
      PQputCopyEnd(connection_.get(), "a migration has no input to copy from");
      return;
    case PGRES_COPY_OUT: {
      char* line = nullptr;
      while (PQgetCopyData(connection_.get(), &line, 0) > 0) PQfreemem(line);
      return;
    }
    default:
      if (keep_rows && last) last = rows_of(result);
      return;
  }
  const std::string state = field(result, PG_DIAG_SQLSTATE);
  const std::string words = PQresultErrorMessage(result);
  // 57P01 to 57P03: the server ends the session. 08: the connection.
  if (PQstatus(connection_.get()) == CONNECTION_BAD || starts_with_any(state, {"57P01", "57P02", "57P03", "08"})) {
    last = std::unexpected(lost(words));
    return;
  }
  if (!last) return;  // the first one is the cause
  SqlError refused{SqlError::Kind::kRefused, one_line(without(said_by(result), password_)), state, line_in(words)};
  if (state == "55P03" || state == "40P01") refused.kind = SqlError::Kind::kLockTimeout;
  if (state == "42501") refused.kind = SqlError::Kind::kRights;
  if (state == "25006") refused.kind = SqlError::Kind::kReadOnly;
  last = std::unexpected(std::move(refused));
}

std::optional<Sql<Rows>> PostgresSession::take(bool keep_rows, Sql<Rows>& last) {
  while (PQisBusy(connection_.get()) == 0) {
    const std::unique_ptr<PGresult, void (*)(PGresult*)> result(PQgetResult(connection_.get()), PQclear);
    if (result == nullptr) return std::move(last);
    take_one(result.get(), keep_rows, last);
  }
  return std::nullopt;
}

Sql<Rows> PostgresSession::exchange(bool sent, const Driver::RunOptions* options) {
  PGconn* connection = connection_.get();
  if (!sent) {
    const std::string words = PQerrorMessage(connection);
    if (PQstatus(connection) == CONNECTION_BAD) return std::unexpected(lost(words));
    return std::unexpected(SqlError{SqlError::Kind::kRefused, trimmed(without(words, password_)), "", 0});
  }
  Patience patience(*this, options);
  Sql<Rows> last = Rows{};
  for (;;) {
    const int unsent = PQflush(connection);
    if (unsent < 0) return std::unexpected(lost(PQerrorMessage(connection)));
    if (auto finished = take(options == nullptr, last)) {
      if (!*finished || PQstatus(connection) == CONNECTION_OK) return std::move(*finished);
      return std::unexpected(lost(PQerrorMessage(connection)));
    }
    if (const std::string why = patience.look(); !why.empty()) return std::unexpected(lost(why));
    pollfd one{PQsocket(connection), static_cast<short>(POLLIN | (unsent > 0 ? POLLOUT : 0)), 0};
    if (::poll(&one, 1, static_cast<int>(kTurn.count())) <= 0 || (one.revents & ~POLLOUT) == 0) continue;
    patience.heard();
    // What the server said before it hung up is taken first.
    if (PQconsumeInput(connection) == 0) {
      static_cast<void>(take(options == nullptr, last));
      if (!last) return std::unexpected(lost(last.error().words));
      return std::unexpected(lost(PQerrorMessage(connection)));
    }
  }
}

Sql<Rows> PostgresSession::script(const std::string& sql) {
  if (lost_) return std::unexpected(lost("the connection was lost before"));
  return exchange(PQsendQuery(connection_.get(), sql.c_str()) == 1, nullptr);
}

Sql<Rows> PostgresSession::one(std::string_view sql, const std::vector<std::string>& params) {
  if (lost_) return std::unexpected(lost("the connection was lost before"));
  std::vector<const char*> values;
  values.reserve(params.size());
  for (const std::string& param : params) values.push_back(param.c_str());
  return exchange(PQsendQueryParams(connection_.get(), std::string(sql).c_str(), static_cast<int>(values.size()),
                                    nullptr, values.data(), nullptr, nullptr, 0) == 1,
                  nullptr);
}

Sql<void> PostgresSession::run(std::string_view sql, const Driver::RunOptions& options) {
  if (lost_) return std::unexpected(lost("the connection was lost before"));
  on_notice_ = options.on_notice;
  const bool sent =
      PQsendQueryParams(connection_.get(), std::string(sql).c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) == 1;
  if (sent) PQsetSingleRowMode(connection_.get());  // nobody reads them: never all of them at once
  Sql<Rows> rows = exchange(sent, &options);
  on_notice_ = nullptr;
  if (rows) return {};
  // The same state stands for a statement_timeout: only a stop that was asked for is one.
  if (rows.error().state == "57014" && options.stop.stop_requested()) rows.error().kind = SqlError::Kind::kCancelled;
  return std::unexpected(std::move(rows.error()));
}

}  // namespace syzygy::migration
