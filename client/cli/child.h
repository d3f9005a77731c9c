// child.h - one wrapped command as a process group of its own that does not outlive us.
//
// The child's standard input is ours, or /dev/null where ours is a terminal (it runs when the quorum is there, not when
// somebody types). If we are killed, the kernel kills it (PR_SET_PDEATHSIG). start() must be called by the process's
// main thread, which that signal is bound to.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace syzygy::cli {

class Child {
 public:
  Child() = default;
  ~Child();  // kills and reaps a child that still runs
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // 0, or what a shell would exit with: 127 the command is not found, 126 it cannot be executed.
  int start(const std::vector<std::string>& command,
            const std::vector<std::pair<std::string, std::string>>& environment);

  // True once it has ended; waits at most `wait`.
  bool ended_within(Duration wait);

  // SIGTERM to its group, SIGKILL `grace` later; returns when it is reaped.
  void stop(Duration grace);

  // As a shell says it: its code, or 128 + signal. REQUIRES: it has ended.
  [[nodiscard]] int code() const;
  [[nodiscard]] int pid() const { return pid_; }

 private:
  void reap(bool block);

  int pid_ = -1;
  int pid_fd_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

}  // namespace syzygy::cli
