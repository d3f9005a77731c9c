// postgres.h - real PostgreSQL servers and poolers for tests, benchmarks and the demo, on free ports, gone with their
// object.
//
// A server is initdb'd once into a temporary directory (fsync off: it need not survive a power cut), listens on
// 127.0.0.1 and on a socket in that directory, and trusts everybody but the role `secretive` (password "hidden words").
// As root the programs run as the user postgres, which PostgreSQL demands. They die with this process, also when it is
// killed. Start them on a thread that lives as long as they shall. A failure to start throws std::runtime_error with
// the server's own log.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace syzygy::test {

// Starts argv[0], as the user `postgres` where this process is root, with its output in `log`. It gets SIGQUIT when the
// calling thread ends.
pid_t start_server(const std::vector<std::string>& argv, const std::filesystem::path& log);
// A TCP port of 127.0.0.1 that is this process's until its end (held_port.h): for a server, or to have nobody listen.
int free_port();

class PostgresServer {
 public:
  using Rows = std::vector<std::vector<std::string>>;

  // `settings`: "max_connections=200" and the like, besides what makes a test server fast.
  explicit PostgresServer(const std::vector<std::string>& settings = {});
  ~PostgresServer();
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  // One for the whole test program, started with the first use.
  static PostgresServer& shared();

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string url(const std::string& database, const std::string& user = "postgres") const;
  [[nodiscard]] std::string socket_url(const std::string& database) const;
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  // A new empty database; its name (the prefix, and a number).
  std::string create_database(const std::string& prefix = "db");
  // Runs SQL on a connection of its own (several statements: the last one's rows; NULL reads as ""). Throws what the
  // database says.
  Rows sql(const std::string& database, const std::string& text) const;
  // The first field of the first row; "" where there is none.
  std::string value(const std::string& database, const std::string& text) const;

  void start();
  void stop();  // at once, as if the machine had failed; start() recovers
  void kill();  // SIGKILL to all of its processes; start() recovers
  // SIGSTOP and SIGCONT to all of its processes: it takes connections (the kernel does), and answers nothing.
  void freeze() const;
  void thaw() const;
  // A new server that follows this one as a hot standby, on a port of its own; sql("... select pg_promote()") makes it
  // the primary.
  [[nodiscard]] std::unique_ptr<PostgresServer> make_standby() const;

  // Directory of initdb, postgres and psql: the newest version that is installed.
  static std::filesystem::path programs();

 private:
  std::filesystem::path directory_;
  std::vector<std::string> settings_;
  // The standby of a server.
  PostgresServer(const PostgresServer& primary, const std::vector<std::string>& settings);
  void signal_all(int number) const;

  pid_t pid_ = -1;
  int port_ = 0;
  int databases_ = 0;
};

// pgbouncer in front of a server.
class Pooler {
 public:
  explicit Pooler(const PostgresServer& server, const std::string& mode = "transaction");
  ~Pooler();
  Pooler(const Pooler&) = delete;
  Pooler& operator=(const Pooler&) = delete;

  [[nodiscard]] std::string url(const std::string& database) const;

 private:
  std::filesystem::path directory_;
  pid_t pid_ = -1;
  int port_ = 0;
};

}  // namespace syzygy::test
