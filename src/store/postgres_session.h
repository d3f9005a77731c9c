// postgres_session.h - one connection to PostgreSQL, and all that the store uses of libpqxx.
//
// libpqxx 6 reconnects by itself after a lost connection, and waits for an answer for ever. Here neither happens: a
// session that lost its connection stays lost, and a Deadlines cuts the connection of a statement that takes too long,
// so a server that stands still looks like one that is gone. Exceptions end here. No error holds the password. A
// session is used by one thread at a time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"

namespace syzygy::pg {

using Steady = std::chrono::steady_clock::time_point;

// A store's URL, taken apart by libpq itself. Each reading is a user of its own.
struct Address {
  std::string conninfo;  // keywords and values, the password among them
  std::vector<std::string> secrets;
  std::string place;  // "postgresql://db:5432/orders?schema=syzygy", for people
  std::string schema = "syzygy";
  std::string handle;               // random: tells the users of one schema apart, also in pg_stat_activity
  std::chrono::seconds timeout{5};  // of a statement, and of connecting
};
// Errors: kInvalidArgument STORE_ADDRESS_INVALID.
Result<Address> read_address(std::string_view url);

// Shuts down the sockets of statements that are not over in time, on a thread of its own. It may be shared.
class Deadlines {
 public:
  Deadlines();
  ~Deadlines();
  Deadlines(const Deadlines&) = delete;
  Deadlines& operator=(const Deadlines&) = delete;

  // As long as it lives, `socket` is shut down at `when`. The socket must not be closed before.
  struct Socket {
    int socket = -1;
    bool cut = false;
  };
  class Watch {
   public:
    Watch(Deadlines& deadlines, int socket, Steady when);
    ~Watch();
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

   private:
    Deadlines& deadlines_;
    std::multimap<Steady, Socket>::iterator at_;
  };

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable woken_;
  std::multimap<Steady, Socket> sockets_;
  Steady looks_at_ = Steady::max();  // the thread, at the latest
  bool stop_ = false;
  std::thread thread_;
};

struct Failure {
  enum class Kind {
    kLost,     // there is no connection (any more): whether the statement took effect is not known
    kRefused,  // the server said no, and nothing happened
  };
  Kind kind = Kind::kLost;
  std::string state;  // SQLSTATE, where it is known
  std::string words;  // the server's or libpq's, one line, without secrets
  bool late = false;  // lost because there was no answer in time
};
template <class T>
using Answer = std::expected<T, Failure>;

using Row = std::vector<std::string>;  // NULL reads as ""
using Rows = std::vector<Row>;

// A statement that a session may prepare under its name, where no pooler stands between.
struct Statement {
  std::string name;
  std::string sql;
};

class Session {
 public:
  static Answer<std::unique_ptr<Session>> open(const Address& address, Deadlines& deadlines);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // One statement, autocommitted. `blob`, if any, is its first parameter, as bytea.
  Answer<Rows> run(const Statement& statement, const std::vector<std::string>& texts,
                   const std::string* blob = nullptr);
  // Several statements without parameters, as one transaction.
  Answer<Rows> script(const std::string& sql, std::chrono::seconds timeout);

  // From now on notifications of `channel` go to `hear`, on the thread that calls wait().
  Answer<void> listen(const std::string& channel, std::function<void(const std::string& payload)> hear);
  // Waits until notifications were heard, `interrupt` became readable, or the time is over. A connection that brings
  // nothing in that time is asked whether it is still there.
  Answer<void> wait(int interrupt, std::chrono::milliseconds at_most);

  // False: the server has ended it, or it says something that nobody asked for. For a session that was idle.
  [[nodiscard]] bool quiet() const;
  // A pooler stands between: it answers the connection itself, and lends its own sessions.
  [[nodiscard]] bool pooled() const;
  [[nodiscard]] int server_version() const;  // 150018

 private:
  struct Inside;
  explicit Session(std::unique_ptr<Inside> inside);
  std::unique_ptr<Inside> inside_;
};

}  // namespace syzygy::pg
