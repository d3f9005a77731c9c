#include "client/cli/lint_git.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>
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

std::set<std::string> names_of(const std::string& listed) {
  std::set<std::string> names;
  std::size_t start = 0;
  while (start < listed.size()) {
    const auto end = std::min(listed.find('\0', start), listed.size());
    names.insert(listed.substr(start, end - start));
    start = end + 1;
  }
  return names;
}

// git in one directory, on behalf of one flag.
class Git {
 public:
  Git(const std::string& directory, std::string flag) : directory_(directory), flag_(std::move(flag)) {}

  [[nodiscard]] Output operator()(const std::vector<std::string>& words) const {
    std::vector<std::string> command = {"git", "-C", directory_};
    command.insert(command.end(), words.begin(), words.end());
    return run(command);
  }

  // The revision's commit, and the one where HEAD left it: what was merged there meanwhile does not count.
  struct Base {
    std::string commit;
    std::string left_at;
  };
  [[nodiscard]] Result<Base> base(const std::string& revision) const {
    const Output inside = (*this)({"rev-parse", "--is-inside-work-tree"});
    if (inside.code == 127) {
      return failure(ErrorCode::kFailedPrecondition, "GIT_MISSING",
                     flag_ + " needs git, which is not found on this machine");
    }
    if (inside.code != 0) {
      return failure(ErrorCode::kFailedPrecondition, "GIT_FAILED",
                     flag_ + " needs a git work tree, which " + directory_ + " is not in (or git refuses to read it)");
    }
    const Output commit = (*this)({"rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}"});
    if (commit.code != 0) {
      return failure(ErrorCode::kFailedPrecondition, "GIT_REVISION",
                     "git knows no revision \"" + printable(revision) +
                         "\" here; fetch it first (a shallow checkout in CI may lack it: fetch-depth: 0)");
    }
    const Output left = (*this)({"merge-base", first_line(commit.text), "HEAD"});
    return Base{first_line(commit.text), first_line(left.code == 0 ? left.text : commit.text)};
  }

  [[nodiscard]] Result<std::set<std::string>> files(const std::vector<std::string>& words) const {
    const Output listed = (*this)(words);
    if (listed.code != 0) {
      return failure(ErrorCode::kFailedPrecondition, "GIT_FAILED",
                     "git " + words.front() + " failed in " + directory_ + "; try it by hand");
    }
    return names_of(listed.text);
  }

  [[nodiscard]] Result<std::set<std::string>> differing(const std::string& filter,
                                                        const std::vector<std::string>& revisions) const {
    std::vector<std::string> words = {"diff", "--name-only", "--relative", "--no-renames", "--diff-filter=" + filter,
                                      "-z"};
    words.insert(words.end(), revisions.begin(), revisions.end());
    words.insert(words.end(), {"--", "."});
    return files(words);
  }
  [[nodiscard]] Result<std::set<std::string>> untracked() const {
    return files({"ls-files", "--others", "--exclude-standard", "-z", "--", "."});
  }

 private:
  const std::string& directory_;
  std::string flag_;
};

}  // namespace

Result<std::set<std::string>> changed_since(const std::string& directory, const std::string& revision) {
  const Git git(directory, "--since");
  const auto base = git.base(revision);
  if (!base) return std::unexpected(base.error());
  auto changed = git.differing("AMT", {base->left_at});
  if (!changed) return changed;
  auto untracked = git.untracked();
  if (!untracked) return untracked;
  changed->merge(*untracked);
  return changed;
}

Result<BranchFiles> branch_files(const std::string& directory, const std::string& revision) {
  const Git git(directory, "--base");
  const auto base = git.base(revision);
  if (!base) return std::unexpected(base.error());
  BranchFiles files;
  struct Wanted {
    const char* filter;
    std::set<std::string>* into;
  };
  for (const auto& [filter, into] :
       {Wanted{"A", &files.added}, Wanted{"MT", &files.changed}, Wanted{"D", &files.removed}}) {
    auto found = git.differing(filter, {base->left_at});
    if (!found) return std::unexpected(found.error());
    *into = std::move(*found);
  }
  auto untracked = git.untracked();
  if (!untracked) return std::unexpected(untracked.error());
  files.added.merge(*untracked);
  const auto merged = git.differing("A", {base->left_at, base->commit});
  if (!merged) return std::unexpected(merged.error());
  for (const std::string& name : *merged) {
    Output shown = git({"show", base->commit + ":./" + name});
    if (shown.code != 0) {
      return failure(ErrorCode::kFailedPrecondition, "GIT_FAILED",
                     "git show " + printable(revision + ":./" + name) + " failed in " + directory + "; try it by hand");
    }
    files.merged.emplace(name, std::move(shown.text));
  }
  return files;
}

}  // namespace syzygy::cli
