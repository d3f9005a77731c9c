#include "tests/store/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace syzygy::store_tests {

Child::Child(const std::vector<std::string>& argv) {
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  std::array<int, 2> out{};
  std::array<int, 2> in{};
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(in.data(), O_CLOEXEC) != 0) {
    ADD_FAILURE() << "no pipe: errno " << errno;
    return;
  }
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ == 0) {  // only what is safe between fork and exec
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  EXPECT_GT(pid_, 0);
  close(out[1]);
  close(in[0]);
  output_ = out[0];
  input_ = in[1];
}

Child::~Child() {
  if (pid_ > 0 && ended_.empty()) {
    kill();
    wait();
  }
  close(output_);
  close(input_);
}

std::optional<std::string> Child::read_line() {
  for (;;) {
    if (const auto end = buffered_.find('\n'); end != std::string::npos) {
      std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return line;
    }
    std::array<char, 4096> bytes{};
    const ssize_t size = read(output_, bytes.data(), bytes.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return std::nullopt;
    buffered_.append(bytes.data(), static_cast<std::size_t>(size));
  }
}

std::string Child::read_all() {
  std::string all;
  while (const auto line = read_line()) all += *line + "\n";
  return all + std::exchange(buffered_, {});
}

void Child::kill() { ::kill(pid_, SIGKILL); }

void Child::write_line() { EXPECT_EQ(write(input_, "\n", 1), 1); }

std::string Child::wait() {
  if (!ended_.empty()) return ended_;
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  ended_ = WIFSIGNALED(status) ? "killed by signal " + std::to_string(WTERMSIG(status))
                               : "exited " + std::to_string(WEXITSTATUS(status));
  return ended_;
}

std::string store_writer_path() { return STORE_WRITER_PATH; }

}  // namespace syzygy::store_tests
