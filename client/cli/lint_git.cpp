#include "client/cli/lint_git.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/name.h"

namespace syzygy::cli {
namespace {

struct Output {
  int code = -1;
  std::string text;
};

Output run(const std::vector<std::string>& command) {
  int pipe_ends[2];
  if (::pipe2(pipe_ends, O_CLOEXEC) != 0) return {};
  std::vector<char*> argv;
  argv.reserve(command.size() + 1);
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t pid = ::fork();
  if (pid == 0) {
    const int nothing = ::open("/dev/null", O_RDWR);
    const bool ready = ::dup2(pipe_ends[1], STDOUT_FILENO) >= 0 && nothing >= 0 &&
                       ::dup2(nothing, STDERR_FILENO) >= 0 && ::dup2(nothing, STDIN_FILENO) >= 0;
    if (ready) ::execvp(argv[0], argv.data());
    ::_exit(127);
  }
  ::close(pipe_ends[1]);
  Output output;
  if (pid > 0) {
    char buffer[16 << 10];
    while (true) {
      const ssize_t got = ::read(pipe_ends[0], buffer, sizeof(buffer));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      output.text.append(buffer, static_cast<std::size_t>(got));
    }
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    output.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  ::close(pipe_ends[0]);
  return output;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace

Result<std::set<std::string>> changed_since(const std::string& directory, const std::string& revision) {
  const auto git = [&](std::vector<std::string> words) {
    std::vector<std::string> command = {"git", "-C", directory};
    command.insert(command.end(), words.begin(), words.end());
    return run(command);
  };
  const Output inside = git({"rev-parse", "--is-inside-work-tree"});
  if (inside.code == 127) {
    return failure(ErrorCode::kFailedPrecondition, "GIT_MISSING",
                   "--since needs git, which is not found on this machine");
  }
  if (inside.code != 0) {
    return failure(ErrorCode::kFailedPrecondition, "GIT_FAILED",
                   "--since needs a git work tree, which " + directory + " is not in (or git refuses to read it)");
  }
  const Output commit = git({"rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}"});
  if (commit.code != 0) {
    return failure(ErrorCode::kFailedPrecondition, "GIT_REVISION",
                   "git knows no revision \"" + printable(revision) +
                       "\" here; fetch it first (a shallow checkout in CI may lack it: fetch-depth: 0)");
  }
  // From where the branch left the other one, so that what was merged there meanwhile does not count.
  const Output base = git({"merge-base", first_line(commit.text), "HEAD"});
  const std::string from = base.code == 0 ? first_line(base.text) : first_line(commit.text);
  std::set<std::string> files;
  for (const auto& words : {std::vector<std::string>{"diff", "--name-only", "--relative", "--no-renames",
                                                     "--diff-filter=AMT", "-z", from, "--", "."},
                            std::vector<std::string>{"ls-files", "--others", "--exclude-standard", "-z", "--", "."}}) {
    const Output listed = git(words);
    if (listed.code != 0) {
      return failure(ErrorCode::kFailedPrecondition, "GIT_FAILED",
                     "git " + words.front() + " failed in " + directory + "; try it by hand");
    }
    std::size_t start = 0;
    while (start < listed.text.size()) {
      const auto end = std::min(listed.text.find('\0', start), listed.text.size());
      files.insert(listed.text.substr(start, end - start));
      start = end + 1;
    }
  }
  return files;
}

}  // namespace syzygy::cli
