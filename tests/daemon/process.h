// process.h - syzygyd as a process of its own, in a directory of its own: started, watched and ended by a test.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace syzygy::daemon_tests {

class Directory {
 public:
  Directory();
  ~Directory();
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  [[nodiscard]] std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  // Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

std::string read(const std::string& path);

// Waits for a condition, at most 30 s.
bool eventually(const std::function<bool()>& condition);

// What a whole run left behind.
struct Ended {
  int code = -1;  // exit code, or 128 + the signal that ended it
  std::string out;
  std::string err;
};

class Process {
 public:
  // Starts the daemon with these arguments and, beside the test's environment without SYZYGY_*, these variables.
  // Its outputs go to files in `directory`; its standard error to `err` instead, if that is given.
  Process(const Directory& directory, std::vector<std::string> arguments,
          std::map<std::string, std::string> environment = {}, int err = -1);
  ~Process();  // SIGKILL, if it still runs
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] int pid() const { return pid_; }
  void signal(int number) const;
  // nullopt: it runs on after that time.
  std::optional<Ended> wait(std::chrono::seconds timeout = std::chrono::seconds(30));
  [[nodiscard]] std::string err() const;

 private:
  int pid_ = -1;
  std::string out_;
  std::string err_;
  std::optional<Ended> ended_;
};

// A daemon that serves: ports chosen by itself, state below `directory`.
class Daemon {
 public:
  explicit Daemon(const Directory& directory, std::vector<std::string> more = {},
                  std::map<std::string, std::string> environment = {}, int err = -1);

  Process process;
  std::string http;  // HOST:PORT; empty: it did not start
  std::string grpc;
};

// Runs it to its end: for what must fail, or only prints.
Ended run(const Directory& directory, std::vector<std::string> arguments,
          std::map<std::string, std::string> environment = {});

}  // namespace syzygy::daemon_tests
