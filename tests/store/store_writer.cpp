// store_writer.cpp - a process of its own that uses a store, for tests that kill it, starve it or lock it out.
//
//   store_writer write URL   several threads increment records for ever, alone and in groups; one line "KEY NUMBER" on
//                            standard output for each, after its commit was acknowledged
//   store_writer hold URL    opens the store, prints "open" or the error, holds it until a line comes on standard input
//   store_writer nobody URL  the same, as the user nobody where it is root: permissions do not bind root
//   store_writer starve URL  commits under a limit on the size of files until that fails and prints "KEY NUMBER" for
//   each
//                            commit, then the error; at a line on standard input the limit is lifted, and one more
//                            commit and "done" follow
#include <grp.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/open.h"

namespace {

using namespace syzygy;

// One write: a line is never cut by a kill between two.
void print(const std::string& line) {
  if (write(STDOUT_FILENO, line.data(), line.size()) != static_cast<ssize_t>(line.size())) _exit(0);
}

std::string described(const Error& error) { return error.reason + ": " + error.message; }

[[noreturn]] void die(const Error& error) {
  print(described(error) + "\n");
  _exit(1);
}

// Increments the records `name`0 to `name`(count-1), all in one commit, for ever.
void write_group(Store& store, const std::string& name, int count) {
  std::vector<Change> changes;
  std::vector<std::uint64_t> numbers;
  for (int i = 0; i < count; ++i) {
    changes.push_back({.key = name + std::to_string(i)});
    const auto loaded = store.load(changes.back().key);
    if (!loaded) die(loaded.error());
    if (*loaded) changes.back().expected = (*loaded)->version;
    numbers.push_back(*loaded ? std::stoull((*loaded)->bytes) : 0);
  }
  for (;;) {
    for (std::size_t i = 0; i < changes.size(); ++i) {
      changes[i].bytes = std::to_string(++numbers[i]);
      changes[i].history = {{numbers[i], std::string(100 * i, 'h')}};
    }
    const auto results = store.commit(changes);
    if (!results) die(results.error());
    std::string lines;
    for (std::size_t i = 0; i < changes.size(); ++i) {
      if ((*results)[i].outcome != CommitOutcome::kCommitted) _exit(2);
      changes[i].expected = (*results)[i].version;
      lines += changes[i].key + " " + changes[i].bytes + "\n";
    }
    print(lines);
  }
}

void limit_files(rlim_t bytes) {
  rlimit limit{};
  getrlimit(RLIMIT_FSIZE, &limit);
  limit.rlim_cur = std::min(bytes, limit.rlim_max);
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(3);
}

void starve(Store& store) {
  std::optional<Version> version;
  bool lifted = false;
  for (int number = 1;; ++number) {
    const Change change{
        .key = "starved", .expected = version, .bytes = std::to_string(number) + std::string(5000, ' ')};
    const auto results = store.commit({&change, 1});
    if (results && results->front().outcome == CommitOutcome::kCommitted) {
      version = results->front().version;
      print("starved " + std::to_string(number) + "\n");
      if (lifted) return print("done\n");
      continue;
    }
    print(results ? "unknown\n" : described(results.error()) + "\n");
    if (lifted) _exit(4);
    std::string line;
    std::getline(std::cin, line);
    limit_files(RLIM_INFINITY);
    lifted = true;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  if (arguments.size() != 2) return 2;
  if (arguments[0] == "nobody" && geteuid() == 0) {
    constexpr uid_t kNobody = 65534;
    if (setgroups(0, nullptr) != 0 || setresgid(kNobody, kNobody, kNobody) != 0 ||
        setresuid(kNobody, kNobody, kNobody) != 0)
      return 3;
  }
  if (arguments[0] == "starve") {
    signal(SIGXFSZ, SIG_IGN);  // then a write beyond the limit fails with EFBIG
    limit_files(256UZ << 10);
  }
  auto opened = open_store(arguments[1]);
  if (!opened) die(opened.error());
  Store& store = **opened;
  if (arguments[0] == "write") {
    const std::jthread alone([&] { write_group(store, "alone", 1); });
    const std::jthread pair([&] { write_group(store, "pair", 2); });
    write_group(store, "many", 20);
  }
  if (arguments[0] == "starve") {
    starve(store);
    return 0;
  }
  if (arguments[0] == "hold" || arguments[0] == "nobody") {
    print("open\n");
    std::string line;
    std::getline(std::cin, line);
    return 0;
  }
  return 2;
}
