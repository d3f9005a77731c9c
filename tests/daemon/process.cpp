#include "tests/daemon/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/slowness.h"

extern char** environ;

namespace syzygy::daemon_tests {
namespace {

// Waits for `condition` by looking every few milliseconds.
template <class Condition>
bool within(std::chrono::seconds timeout, Condition condition) {
  const auto until = std::chrono::steady_clock::now() + timeout;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

std::vector<std::string> with(const Directory& directory, std::vector<std::string> more) {
  const auto given = [&](const std::string& flag) { return std::ranges::find(more, flag) != more.end(); };
  std::vector<std::string> arguments = {"--port-file", directory / "ports"};
  if (!given("--http")) arguments.insert(arguments.end(), {"--http", "127.0.0.1:0"});
  if (!given("--grpc")) arguments.insert(arguments.end(), {"--grpc", "127.0.0.1:0"});
  if (!given("--store")) arguments.insert(arguments.end(), {"--store", "sqlite:" + (directory / "state")});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

Directory::Directory() {
  std::string name = (std::filesystem::temp_directory_path() / "syzygyd-test-XXXXXX").native();
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  path_ = name;
}

Directory::~Directory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Directory::write(const std::string& name, const std::string& content) const {
  std::ofstream(path_ / name, std::ios::binary) << content;
  return path_ / name;
}

std::string read(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

bool eventually(const std::function<bool()>& condition) {
  return within(std::chrono::seconds(30) * test::slowness(), condition);
}

Process::Process(const Directory& directory, std::vector<std::string> arguments,
                 std::map<std::string, std::string> environment, int err)
    : out_(directory / "stdout"), err_(directory / "stderr") {
  arguments.insert(arguments.begin(), SYZYGYD_PATH);
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    if (std::strncmp(*variable, "SYZYGY_", 7) != 0 && std::strncmp(*variable, "NOTIFY_", 7) != 0) {
      variables.emplace_back(*variable);
    }
  }
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(variables);
  const int parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {  // only what is safe between fork and exec
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(open(out_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(err >= 0 ? err : open(err_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  EXPECT_GT(pid_, 0);
}

Process::~Process() {
  if (pid_ > 0 && !ended_) {
    signal(SIGKILL);
    wait();
  }
}

void Process::signal(int number) const {
  ASSERT_GT(pid_, 0) << "no process was started";  // kill(-1) would reach every process of the user
  kill(pid_, number);
}

std::optional<Ended> Process::wait(std::chrono::seconds timeout) {
  if (ended_) return ended_;
  int status = 0;
  if (!within(timeout, [&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) return std::nullopt;
  ended_ = Ended{WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status), read(out_), read(err_)};
  return ended_;
}

std::string Process::err() const { return read(err_); }

Daemon::Daemon(const Directory& directory, std::vector<std::string> more,
               std::map<std::string, std::string> environment, int err)
    : process(directory, (std::filesystem::remove(directory / "ports"), with(directory, std::move(more))),
              std::move(environment), err) {
  const std::string ports = directory / "ports";
  const bool serves = within(std::chrono::seconds(30) * test::slowness(), [&] {
    return std::filesystem::exists(ports) || process.wait(std::chrono::seconds(0)).has_value();
  });
  if (!serves || !std::filesystem::exists(ports)) {
    ADD_FAILURE() << "the daemon does not serve: " << process.err();
    return;
  }
  std::ifstream lines(ports);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.starts_with("http=")) http = line.substr(5);
    if (line.starts_with("grpc=")) grpc = line.substr(5);
  }
}

Ended run(const Directory& directory, std::vector<std::string> arguments,
          std::map<std::string, std::string> environment) {
  Process process(directory, std::move(arguments), std::move(environment));
  const auto ended = process.wait();
  if (!ended) ADD_FAILURE() << "it runs on: " << process.err();
  return ended.value_or(Ended{});
}

}  // namespace syzygy::daemon_tests
