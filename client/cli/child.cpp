#include "client/cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>

namespace syzygy::cli {
namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (auto& text : strings) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> merged_environment(const std::vector<std::pair<std::string, std::string>>& added) {
  std::map<std::string, std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::size_t equals = text.find('=');
    if (equals != std::string::npos) all[text.substr(0, equals)] = text.substr(equals + 1);
  }
  for (const auto& [name, value] : added) all[name] = value;
  std::vector<std::string> out;
  for (const auto& [name, value] : all) out.push_back(name + "=" + value);
  return out;
}

}  // namespace

Child::~Child() {
  if (pid_ > 0 && !ended_) {
    ::kill(-pid_, SIGKILL);
    reap(true);
  }
  if (pid_fd_ >= 0) ::close(pid_fd_);
}

int Child::start(const std::vector<std::string>& command,
                 const std::vector<std::pair<std::string, std::string>>& environment) {
  // Everything that allocates happens before the fork: other threads may hold the allocator's lock at that moment.
  std::vector<std::string> arguments = command;
  std::vector<std::string> variables = merged_environment(environment);
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> envp = pointers(variables);
  int error_pipe[2];
  if (::pipe2(error_pipe, O_CLOEXEC) != 0) return 126;
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(126);  // we died before the line above
    for (const int signal : {SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_DFL);
    struct sigaction hang_up{};
    if (::sigaction(SIGHUP, nullptr, &hang_up) == 0 && hang_up.sa_handler != SIG_IGN) ::signal(SIGHUP, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    if (terminal) {
      const int null = ::open("/dev/null", O_RDONLY);
      if (null >= 0) ::dup2(null, STDIN_FILENO);
    }
    ::execvpe(argv[0], argv.data(), envp.data());
    const int why = errno;
    static_cast<void>(!::write(error_pipe[1], &why, sizeof why));
    ::_exit(why == ENOENT ? 127 : 126);
  }
  ::close(error_pipe[1]);
  if (pid_ < 0) {
    ::close(error_pipe[0]);
    return 126;
  }
  ::setpgid(pid_, pid_);  // also from here: whoever comes first
  pid_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
  int why = 0;
  ssize_t got = 0;
  do {
    got = ::read(error_pipe[0], &why, sizeof why);
  } while (got < 0 && errno == EINTR);
  ::close(error_pipe[0]);
  if (got <= 0) return 0;  // closed by the exec: the command runs
  reap(true);
  return why == ENOENT ? 127 : 126;
}

bool Child::ended_within(Duration wait) {
  if (ended_) return true;
  if (pid_fd_ >= 0) {
    pollfd ready{pid_fd_, POLLIN, 0};
    ::poll(&ready, 1, static_cast<int>(wait.count()));
  }
  reap(false);
  return ended_;
}

void Child::stop(Duration grace) {
  if (ended_) return;
  ::kill(-pid_, SIGTERM);
  const bool gone = ended_within(grace);
  ::kill(-pid_, SIGKILL);  // what it may have started and left behind, too
  if (!gone) reap(true);
}

void Child::reap(bool block) {
  if (ended_) return;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status_, block ? 0 : WNOHANG);
  } while (got < 0 && errno == EINTR);
  ended_ = got == pid_ || got < 0;
}

int Child::code() const { return WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_); }

}  // namespace syzygy::cli
