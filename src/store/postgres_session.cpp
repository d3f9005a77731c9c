#include "store/postgres_session.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <pqxx/pqxx>
#include <set>
#include <string_view>
#include <utility>

#include "base/name.h"
#include "store/store.h"

namespace syzygy::pg {
namespace {

constexpr std::chrono::seconds kTimeoutMax{3'600};
constexpr std::size_t kSchemaBytesMax = 48;

std::unexpected<Error> bad(std::string message) {
  return failure(ErrorCode::kInvalidArgument, "STORE_ADDRESS_INVALID", std::move(message));
}

std::string conninfo_value(std::string_view value) {
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

// A name that needs no quotes anywhere.
bool is_plain_name(std::string_view name) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  return !name.empty() && name.size() <= kSchemaBytesMax && std::ranges::all_of(name, plain) &&
         !(name[0] >= '0' && name[0] <= '9');
}

// Takes the parameters that are ours out of the URL's query: libpq refuses what it does not know.
Result<std::string> take_own_parameters(std::string_view url, Address& address) {
  const auto question = url.rfind('?');
  if (question == std::string_view::npos) return std::string(url);
  std::string left(url.substr(0, question));
  char joint = '?';
  for (std::string_view rest = url.substr(question + 1); !rest.empty();) {
    const auto end = std::min(rest.find('&'), rest.size());
    const std::string_view parameter = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto value = [&](std::string_view name) { return parameter.substr(name.size()); };
    if (parameter.starts_with("schema=")) {
      address.schema = value("schema=");
      if (!is_plain_name(address.schema))
        return bad("The schema in --store must be a name of small letters, digits and underscores, of at most " +
                   std::to_string(kSchemaBytesMax) + " bytes that do not begin with a digit: ?schema=syzygy.");
      if (address.schema.starts_with("pg_")) return bad("PostgreSQL keeps schemas that begin with pg_ to itself.");
    } else if (parameter.starts_with("timeout=")) {
      const std::string_view digits = value("timeout=");
      int seconds = 0;
      const auto [last, error] = std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
      if (error != std::errc{} || last != digits.data() + digits.size() || seconds < 1 || seconds > kTimeoutMax.count())
        return bad("The timeout in --store must be a number of seconds from 1 to 3600: ?timeout=5.");
      address.timeout = std::chrono::seconds(seconds);
    } else {
      left.append(1, std::exchange(joint, '&')).append(parameter);
    }
  }
  return left;
}

// One line, and no secret in it.
std::string tidy(std::string_view said, const std::vector<std::string>& secrets) {
  std::string words(said);
  for (const std::string& secret : secrets) {
    if (secret.empty()) continue;
    for (auto at = words.find(secret); at != std::string::npos; at = words.find(secret, at + 3))
      words.replace(at, secret.size(), "***");
  }
  // The server's own first line says it; what follows is DETAIL, CONTEXT, and the statement.
  if (const auto context = words.find("\nCONTEXT:"); context != std::string::npos) words.resize(context);
  std::ranges::replace(words, '\n', ' ');
  while (!words.empty() && (words.back() == ' ' || words.back() == '.')) words.pop_back();
  return printable(words, 600);
}

// libpqxx 6 keeps the SQLSTATE of most errors, and of these only the type.
std::string state_of(const pqxx::sql_error& error) {
  if (!error.sqlstate().empty()) return error.sqlstate();
  if (dynamic_cast<const pqxx::disk_full*>(&error) != nullptr) return "53100";
  if (dynamic_cast<const pqxx::out_of_memory*>(&error) != nullptr) return "53200";
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) return "42501";
  if (dynamic_cast<const pqxx::undefined_table*>(&error) != nullptr) return "42P01";
  if (dynamic_cast<const pqxx::undefined_function*>(&error) != nullptr) return "42883";
  return "";
}

bool ends_the_session(std::string_view state) { return state.starts_with("08") || state.starts_with("57P"); }

void never_reconnect([[maybe_unused]] pqxx::connection& connection) {
#if PQXX_VERSION_MAJOR < 7
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
  connection.inhibit_reactivation(true);
#pragma GCC diagnostic pop
#endif
}

// `call(parameters...)` with the blob, if any, before the texts.
template <class Call>
pqxx::result with_parameters(const std::vector<std::string>& texts, const std::string* blob, Call call) {
#if PQXX_VERSION_MAJOR < 7
  const auto list = pqxx::prepare::make_dynamic_params(texts);
  return blob == nullptr ? call(list) : call(pqxx::binarystring(*blob), list);
#else
  pqxx::params list;
  if (blob != nullptr) list.append(pqxx::binary_cast(*blob));
  for (const std::string& text : texts) list.append(text);
  return call(list);
#endif
}

Rows rows_of(const pqxx::result& result) {
  Rows rows;
  rows.reserve(static_cast<std::size_t>(result.size()));
  for (const auto& line : result) {
    Row row;
    row.reserve(static_cast<std::size_t>(line.size()));
    for (const auto& field : line) row.emplace_back(field.is_null() ? "" : std::string(field.c_str(), field.size()));
    rows.push_back(std::move(row));
  }
  return rows;
}

class Silence final : public pqxx::errorhandler {
 public:
  using pqxx::errorhandler::errorhandler;
  bool operator()(const char[]) noexcept override { return false; }
};

class Ear final : public pqxx::notification_receiver {
 public:
  Ear(pqxx::connection& connection, const std::string& channel, std::function<void(const std::string&)> hear)
      : pqxx::notification_receiver(connection, channel), hear_(std::move(hear)) {}
  void operator()(const std::string& payload, int) override { hear_(payload); }

 private:
  const std::function<void(const std::string&)> hear_;
};

}  // namespace

Result<Address> read_address(std::string_view url) {
  if (!url.starts_with("postgresql://") && !url.starts_with("postgres://"))
    return bad("The store's URL must begin with postgresql://.");
  Address address;
  const auto plain = take_own_parameters(url, address);
  if (!plain) return std::unexpected(plain.error());
  char* words = nullptr;
  PQconninfoOption* options =
      plain->find('\0') == std::string::npos ? PQconninfoParse(plain->c_str(), &words) : nullptr;
  if (options == nullptr) {
    // libpq quotes pieces of the URL, and a piece may be the password: only what stands before the quote is told.
    const std::string said = words == nullptr ? "" : words;
    PQfreemem(words);
    return bad("The URL of --store cannot be read (" + tidy(said.substr(0, said.find('"')), {}) +
               "). It looks like postgresql://user:password@host:5432/database?schema=syzygy; special characters in it "
               "are written as %40 and the like.");
  }
  std::string host;
  std::string port;
  std::string database;
  std::set<std::string> given;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val == nullptr || std::string_view(option->keyword) == "application_name") continue;
    const std::string keyword = option->keyword;
    const std::string value = option->val;
    address.conninfo.append(keyword).append("=").append(conninfo_value(value)).append(" ");
    if (keyword == "host" || (keyword == "hostaddr" && host.empty())) host = value;
    if (keyword == "port") port = value;
    if (keyword == "dbname") database = value;
    if (keyword.find("password") != std::string::npos) address.secrets.push_back(value);
    given.insert(keyword);
  }
  PQconninfoFree(options);
  const auto environment = [](const char* name, std::string& value) {
    const char* set = value.empty() ? std::getenv(name) : nullptr;
    if (set != nullptr) value = set;
  };
  environment("PGHOST", host);
  environment("PGPORT", port);
  environment("PGDATABASE", database);
  if (const char* secret = std::getenv("PGPASSWORD"); secret != nullptr) address.secrets.emplace_back(secret);
  address.place = "postgresql://" + printable(host, 300) + (port.empty() ? "" : ":" + printable(port, 100)) + "/" +
                  printable(database, 100) + "?schema=" + address.schema;
  const std::pair<const char*, std::string> unless_given[] = {
      {"connect_timeout", std::to_string(std::max<std::int64_t>(2, address.timeout.count()))},
      // A store is written to: of several hosts the one that takes writes is the right one, also after a failover.
      {"target_session_attrs", "read-write"},
      {"keepalives_idle", "10"},
      {"keepalives_interval", "5"},
      {"keepalives_count", "4"},
      {"tcp_user_timeout", "30000"},
  };
  for (const auto& [keyword, value] : unless_given) {
    if (!given.contains(keyword))
      address.conninfo.append(keyword).append("=").append(conninfo_value(value)).append(" ");
  }
  // Whatever the URL says: this is how users of one store know each other.
  address.handle = mint_commit();
  address.conninfo += "client_encoding=UTF8 application_name='syzygyd " + address.schema + " " + address.handle + "'";
  return address;
}

// ---- Deadlines ----

Deadlines::Deadlines() : thread_([this] { run(); }) {}

Deadlines::~Deadlines() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  woken_.notify_all();
  thread_.join();
}

void Deadlines::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const auto due = std::ranges::find_if(sockets_, [](const auto& entry) { return !entry.second.cut; });
    if (due == sockets_.end()) {
      looks_at_ = Steady::max();
      woken_.wait(lock);
    } else if (due->first > std::chrono::steady_clock::now()) {
      looks_at_ = due->first;
      woken_.wait_until(lock, looks_at_);
    } else {
      ::shutdown(due->second.socket, SHUT_RDWR);
      due->second.cut = true;
    }
  }
}

Deadlines::Watch::Watch(Deadlines& deadlines, int socket, Steady when) : deadlines_(deadlines) {
  const std::lock_guard lock(deadlines_.mutex_);
  at_ = deadlines_.sockets_.emplace(when, Socket{socket});
  // Mostly it looks soon enough by itself, as it was asked to for a statement that is long over.
  if (when < deadlines_.looks_at_) deadlines_.woken_.notify_all();
}

Deadlines::Watch::~Watch() {
  const std::lock_guard lock(deadlines_.mutex_);
  deadlines_.sockets_.erase(at_);
}

// ---- Session ----

struct Session::Inside {
  const Address& address;
  Deadlines& deadlines;
  std::unique_ptr<pqxx::connection> connection;
  std::unique_ptr<Silence> silence;  // destroyed before the connection, as is the ear
  std::unique_ptr<Ear> ear;
  int socket = -1;  // a duplicate: libpq closes its own whenever it likes
  std::set<std::string> prepared;
  bool pooled = false;
  bool lost = false;

  Inside(const Address& a, Deadlines& d) : address(a), deadlines(d) {}
  ~Inside() {
    ear.reset();
    silence.reset();
    connection.reset();
    if (socket >= 0) ::close(socket);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

  Failure lose(std::string_view said) {
    lost = true;
    std::string words = tidy(said, address.secrets);
    return {Failure::Kind::kLost, "", words.empty() ? "the connection was lost" : std::move(words), false};
  }

  // Whatever `call` does with the connection, it is over by the deadline, and no exception leaves.
  template <class Call>
  auto guarded(std::chrono::milliseconds timeout, Call call) -> Answer<decltype(call())> {
    if (lost) return std::unexpected(lose("the connection was lost before"));
    const Steady until = std::chrono::steady_clock::now() + timeout;
    const auto too_late = [&](std::string_view said) {
      if (std::chrono::steady_clock::now() < until) return lose(said);
      Failure late = lose("no answer within " + std::to_string(timeout.count()) + " ms");
      late.late = true;
      return late;
    };
    const Deadlines::Watch watch(deadlines, socket, until);
    try {
      return call();
    } catch (const pqxx::serialization_failure& error) {
      return std::unexpected(Failure{Failure::Kind::kRefused, "40001", tidy(error.what(), address.secrets), false});
    } catch (const pqxx::deadlock_detected& error) {
      return std::unexpected(Failure{Failure::Kind::kRefused, "40P01", tidy(error.what(), address.secrets), false});
    } catch (const pqxx::sql_error& error) {
      std::string state = state_of(error);
      if (!connection->is_open() || ends_the_session(state)) return std::unexpected(too_late(error.what()));
      return std::unexpected(
          Failure{Failure::Kind::kRefused, std::move(state), tidy(error.what(), address.secrets), false});
    } catch (const std::exception& error) {
      // Anything else is about the connection, or about libpqxx's idea of it: not to be used again.
      return std::unexpected(too_late(error.what()));
    }
  }
};

Session::Session(std::unique_ptr<Inside> inside) : inside_(std::move(inside)) {}
Session::~Session() = default;

bool Session::pooled() const { return inside_->pooled; }
int Session::server_version() const { return inside_->connection->server_version(); }

Answer<std::unique_ptr<Session>> Session::open(const Address& address, Deadlines& deadlines) {
  auto inside = std::make_unique<Inside>(address, deadlines);
  try {
    inside->connection = std::make_unique<pqxx::connection>(address.conninfo);
    never_reconnect(*inside->connection);
    inside->silence = std::make_unique<Silence>(*inside->connection);
  } catch (const std::exception& error) {
    return std::unexpected(Failure{Failure::Kind::kLost, "", tidy(error.what(), address.secrets), false});
  }
  inside->socket = ::fcntl(inside->connection->sock(), F_DUPFD_CLOEXEC, 0);
  if (inside->socket < 0) return std::unexpected(inside->lose("no descriptor is left"));
  std::unique_ptr<Session> session(new Session(std::move(inside)));
  const auto backend = session->run({"", "select pg_catalog.pg_backend_pid()"}, {});
  if (!backend) return std::unexpected(backend.error());
  session->inside_->pooled = std::atoi((*backend)[0][0].c_str()) != session->inside_->connection->backendpid();
  return session;
}

Answer<Rows> Session::run(const Statement& statement, const std::vector<std::string>& texts, const std::string* blob) {
  return inside_->guarded(inside_->address.timeout, [&] {
    pqxx::connection& connection = *inside_->connection;
    // Through a pooler a prepared statement would stay on somebody else's session.
    const bool prepares = !statement.name.empty() && !inside_->pooled;
    if (prepares && !inside_->prepared.contains(statement.name)) {
      connection.prepare(statement.name, statement.sql);
      inside_->prepared.insert(statement.name);
    }
    pqxx::nontransaction session(connection);
    return rows_of(with_parameters(texts, blob, [&](const auto&... parameters) {
      return prepares ? session.exec_prepared(statement.name, parameters...)
                      : session.exec_params(statement.sql, parameters...);
    }));
  });
}

Answer<Rows> Session::script(const std::string& sql, std::chrono::seconds timeout) {
  return inside_->guarded(timeout, [&] {
    pqxx::nontransaction session(*inside_->connection);
    return rows_of(session.exec(sql));
  });
}

Answer<void> Session::listen(const std::string& channel, std::function<void(const std::string&)> hear) {
  const auto heard = inside_->guarded(inside_->address.timeout, [&] {
    inside_->ear = std::make_unique<Ear>(*inside_->connection, channel, std::move(hear));
    return true;
  });
  if (!heard) return std::unexpected(heard.error());
  return {};
}

Answer<void> Session::wait(int interrupt, std::chrono::milliseconds at_most) {
  if (inside_->lost) return std::unexpected(inside_->lose("the connection was lost before"));
  pollfd both[] = {{inside_->socket, POLLIN, 0}, {interrupt, POLLIN, 0}};
  if (::poll(both, 2, static_cast<int>(at_most.count())) < 0 && errno != EINTR)
    return std::unexpected(inside_->lose("poll failed"));
  if (both[1].revents != 0) return {};
  const auto heard = inside_->guarded(inside_->address.timeout, [&] { return inside_->connection->get_notifs(); });
  if (!heard) return std::unexpected(heard.error());
  if (*heard > 0) return {};
  // libpqxx finds no notifications on a dead connection, too.
  const auto there = run({"", "select 1"}, {});
  if (!there) return std::unexpected(there.error());
  return {};
}

bool Session::quiet() const {
  if (inside_->lost) return false;
  pollfd socket = {inside_->socket, POLLIN, 0};
  return ::poll(&socket, 1, 0) == 0;
}

}  // namespace syzygy::pg
