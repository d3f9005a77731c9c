// child.h - a process that a test starts, listens to and kills. It never outlives the object.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace syzygy::store_tests {

class Child {
 public:
  // Starts argv[0] by fork and exec; its standard output comes here, its standard error stays the test's.
  explicit Child(const std::vector<std::string>& argv);
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }

  // The next whole line without its newline; nullopt at the end of its output.
  std::optional<std::string> read_line();
  // All of its output that is left.
  std::string read_all();

  void kill();         // SIGKILL
  void write_line();   // one newline on its standard input: "go on"
  std::string wait();  // "exited 0", "killed by signal 9"

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  int input_ = -1;
  std::string buffered_;
  std::string ended_;
};

// The program tests/store/store_writer.cpp.
std::string store_writer_path();

}  // namespace syzygy::store_tests
