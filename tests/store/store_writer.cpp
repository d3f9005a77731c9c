// store_writer.cpp - a process of its own that uses a store, for tests that kill it, starve it or lock it out.
//
//   store_writer write URL   several threads increment records for ever, alone and in groups; one line "KEY NUMBER" on
//                            standard output for each, after its commit was acknowledged
//   store_writer hold URL    opens the store, prints "open" or the error, holds it until a line comes on standard input
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "store/sqlite.h"

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

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  constexpr std::string_view kSqlite = "sqlite:";
  if (arguments.size() != 2 || !arguments[1].starts_with(kSqlite)) return 2;
  auto opened = SqliteStore::open(arguments[1].substr(kSqlite.size()));
  if (!opened) die(opened.error());
  Store& store = **opened;
  if (arguments[0] == "write") {
    const std::jthread alone([&] { write_group(store, "alone", 1); });
    const std::jthread pair([&] { write_group(store, "pair", 2); });
    write_group(store, "many", 20);
  }
  if (arguments[0] == "hold") {
    print("open\n");
    std::string line;
    std::getline(std::cin, line);
    return 0;
  }
  return 2;
}
