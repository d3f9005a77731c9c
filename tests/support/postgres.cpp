#include "tests/support/postgres.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <list>
#include <memory>
#include <mutex>
#include <pqxx/pqxx>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/support/held_port.h"

namespace syzygy::test {
namespace {

using std::chrono::steady_clock;

constexpr auto kStartMax = std::chrono::seconds(60);  // a loaded machine starts a server slowly

const passwd* server_user() {
  if (::geteuid() != 0) return nullptr;
  const passwd* user = ::getpwnam("postgres");
  if (user == nullptr) throw std::runtime_error("no user postgres on this machine: install the package postgresql");
  return user;
}

std::filesystem::path make_directory() {
  std::string name = (std::filesystem::temp_directory_path() / "syzygy-server-XXXXXX").native();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a directory like " + name);
  if (const passwd* user = server_user(); user != nullptr && ::chown(name.c_str(), user->pw_uid, user->pw_gid) != 0) {
    throw std::runtime_error("cannot give " + name + " to the user postgres");
  }
  return name;
}

std::string contents(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

void write_file(const std::filesystem::path& file, const std::string& text) { std::ofstream(file) << text; }

int wait_for(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

bool has_ended(pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) == pid; }

// True once it answers; false when the process ended first. `pid_file`, if any, says that it is this process that
// answers, and no other test's server that took the port in between.
bool answers(pid_t pid, const std::string& url, const std::filesystem::path& pid_file) {
  const auto deadline = steady_clock::now() + kStartMax;
  const auto is_it = [&] {
    const std::string text = pid_file.empty() ? "" : contents(pid_file);
    const bool own =
        pid_file.empty() || (std::atol(text.c_str()) == pid &&
                             (text.find("ready") != std::string::npos || text.find("standby") != std::string::npos));
    return own && PQping(url.c_str()) == PQPING_OK;
  };
  while (!is_it()) {
    if (has_ended(pid)) return false;
    if (steady_clock::now() > deadline) {
      ::kill(pid, SIGKILL);
      wait_for(pid);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace

int free_port() {
  static std::mutex mutex;
  static std::list<HeldPort> all;
  const std::lock_guard lock(mutex);
  return all.emplace_back().port();
}

pid_t start_server(const std::vector<std::string>& argv, const std::filesystem::path& log) {
  const passwd* user = server_user();
  std::vector<char*> arguments;
  arguments.reserve(argv.size() + 1);
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  const int output = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork failed");
  if (pid == 0) {
    const bool ready = (user == nullptr || (::initgroups(user->pw_name, user->pw_gid) == 0 &&
                                            ::setgid(user->pw_gid) == 0 && ::setuid(user->pw_uid) == 0)) &&
                       ::prctl(PR_SET_PDEATHSIG, SIGQUIT) == 0 && ::getppid() == parent &&
                       ::dup2(output, STDOUT_FILENO) >= 0 && ::dup2(output, STDERR_FILENO) >= 0 && ::chdir("/") == 0;
    if (ready) ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  ::close(output);
  return pid;
}

std::filesystem::path PostgresServer::programs() {
  std::filesystem::path newest;
  int version = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    const int number = std::atoi(entry.path().filename().c_str());
    if (number <= version || !std::filesystem::exists(entry.path() / "bin" / "postgres")) continue;
    version = number;
    newest = entry.path() / "bin";
  }
  if (newest.empty()) throw std::runtime_error("no PostgreSQL server under /usr/lib/postgresql: install postgresql");
  return newest;
}

PostgresServer& PostgresServer::shared() {
  static PostgresServer server;
  return server;
}

PostgresServer::PostgresServer(const std::vector<std::string>& settings)
    : directory_(make_directory()), settings_(settings) {
  const auto log = directory_ / "log";
  const auto data = directory_ / "data";
  const pid_t initdb = start_server({programs() / "initdb", "-D", data, "-U", "postgres", "--no-sync", "-A", "trust",
                                     "-E", "UTF8", "--locale=C", "--no-instructions"},
                                    log);
  if (wait_for(initdb) != 0) throw std::runtime_error("initdb failed:\n" + contents(log));
  write_file(data / "pg_hba.conf",
             "host all secretive all scram-sha-256\nlocal all all trust\nhost all all all trust\n"
             "host replication all all trust\n");
  start();
  sql("postgres", "create role secretive login superuser password 'hidden words'");
}

PostgresServer::PostgresServer(const PostgresServer& primary, const std::vector<std::string>& settings)
    : directory_(make_directory()), settings_(settings) {
  const auto log = directory_ / "log";
  const pid_t copy =
      start_server({programs() / "pg_basebackup", "-D", directory_ / "data", "-d", primary.url("postgres"),
                    "--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream"},
                   log);
  if (wait_for(copy) != 0) throw std::runtime_error("pg_basebackup failed:\n" + contents(log));
  start();
}

std::unique_ptr<PostgresServer> PostgresServer::make_standby() const {
  return std::unique_ptr<PostgresServer>(new PostgresServer(*this, settings_));
}

PostgresServer::~PostgresServer() {
  stop();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void PostgresServer::start() {
  const auto log = directory_ / "log";
  if (port_ == 0) port_ = free_port();
  // A server that was killed may still be on its way out, and its memory with it.
  for (int attempt = 0; attempt < 10; ++attempt) {
    std::vector<std::string> argv = {programs() / "postgres", "-D", directory_ / "data", "-p", std::to_string(port_)};
    std::vector<std::string> settings = {"listen_addresses=127.0.0.1",
                                         "unix_socket_directories=" + directory_.string(),
                                         "fsync=off",
                                         "full_page_writes=off",
                                         "shared_buffers=32MB",
                                         "dynamic_shared_memory_type=mmap",  // in its directory: gone with it
                                         "max_connections=200",
                                         "autovacuum=off"};
    settings.insert(settings.end(), settings_.begin(), settings_.end());
    for (const std::string& setting : settings) {
      argv.emplace_back("-c");
      argv.push_back(setting);
    }
    pid_ = start_server(argv, log);
    if (answers(pid_, url("postgres"), directory_ / "data" / "postmaster.pid")) return;
    pid_ = -1;
  }
  throw std::runtime_error("PostgreSQL does not start:\n" + contents(log));
}

void PostgresServer::stop() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGQUIT);
  wait_for(pid_);
  pid_ = -1;
}

// The postmaster and its children, who are in sessions of their own.
void PostgresServer::signal_all(int number) const {
  if (pid_ <= 0) return;
  std::vector<pid_t> all = {pid_};
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string stat = contents(entry.path() / "stat");  // "PID (NAME) STATE PPID ..."
    const auto name_end = stat.rfind(')');
    if (name_end == std::string::npos || std::atol(entry.path().filename().c_str()) <= 0) continue;
    if (std::atol(stat.c_str() + std::min(name_end + 4, stat.size())) == pid_) all.push_back(std::atoi(stat.c_str()));
  }
  for (const pid_t pid : all) ::kill(pid, number);
}

void PostgresServer::kill() {
  if (pid_ <= 0) return;
  signal_all(SIGKILL);
  wait_for(pid_);
  pid_ = -1;
}

void PostgresServer::freeze() const { signal_all(SIGSTOP); }
void PostgresServer::thaw() const { signal_all(SIGCONT); }

std::string PostgresServer::url(const std::string& database, const std::string& user) const {
  return "postgresql://" + user + "@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

std::string PostgresServer::socket_url(const std::string& database) const {
  return "postgresql://postgres@/" + database + "?host=" + directory_.string() + "&port=" + std::to_string(port_);
}

std::string PostgresServer::create_database(const std::string& prefix) {
  std::string name = prefix + std::to_string(++databases_);
  sql("postgres", "create database " + name);
  return name;
}

PostgresServer::Rows PostgresServer::sql(const std::string& database, const std::string& text) const {
  pqxx::connection connection(url(database));
  pqxx::nontransaction session(connection);
  Rows rows;
  for (const auto& line : session.exec(text)) {
    rows.emplace_back();
    for (const auto& field : line) rows.back().emplace_back(field.is_null() ? "" : field.c_str());
  }
  return rows;
}

std::string PostgresServer::value(const std::string& database, const std::string& text) const {
  const Rows rows = sql(database, text);
  return rows.empty() || rows[0].empty() ? "" : rows[0][0];
}

Pooler::Pooler(const PostgresServer& server, const std::string& mode) : directory_(make_directory()) {
  const auto config = directory_ / "pgbouncer.ini";
  const auto log = directory_ / "log";
  port_ = free_port();
  write_file(config, "[databases]\n* = host=127.0.0.1 port=" + std::to_string(server.port()) +
                         "\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = " + std::to_string(port_) +
                         "\nunix_socket_dir =\nauth_type = trust\nauth_file = " + (directory_ / "users").string() +
                         "\npool_mode = " + mode + "\nmax_client_conn = 200\ndefault_pool_size = 10\n");
  write_file(directory_ / "users", "\"postgres\" \"\"\n");
  pid_ = start_server({"/usr/sbin/pgbouncer", config}, log);
  if (answers(pid_, url("postgres"), {})) return;
  pid_ = -1;
  throw std::runtime_error("pgbouncer does not start:\n" + contents(log));
}

Pooler::~Pooler() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    wait_for(pid_);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string Pooler::url(const std::string& database) const {
  return "postgresql://postgres@127.0.0.1:" + std::to_string(port_) + "/" + database;
}

}  // namespace syzygy::test
