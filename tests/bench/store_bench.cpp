// store_bench.cpp - what the embedded store can do: commits of 1, 64 and 512 changes, and reads beside them.
//
// Records are of a usual size (2 kB, one row of history of 200 bytes for each change, the last 100 rows are kept), over
// 1,000 targets. `--directory=DIR` puts the store on the disk in question; by default it stands in the temporary
// directory. items_per_second counts changes, commits_per_second fsyncs. The floor is one fdatasync of 4 kB.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <thread>

#include "store/memory.h"
#include "store/sqlite.h"

namespace {

using namespace syzygy;

std::filesystem::path base_directory = std::filesystem::temp_directory_path();

class Directory {
 public:
  Directory() {
    std::string name = (base_directory / "syzygy-bench-XXXXXX").native();
    if (mkdtemp(name.data()) == nullptr) {
      std::cerr << "cannot create a directory in " << base_directory << "\n";
      std::exit(1);
    }
    path_ = name;
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

template <class T>
T must(Result<T> result) {
  if (result) return std::move(*result);
  std::cerr << result.error().message << "\n";
  std::exit(1);
}

// The targets of one store, each with its version, changed in turn.
class Targets {
 public:
  explicit Targets(Store& store) : store_(store) {
    for (std::size_t i = 0; i < kCount; ++i)
      targets_.push_back({.key = "target/" + std::to_string(i), .bytes = std::string(2000, 'x')});
    const auto results = must(store_.commit(targets_));
    for (std::size_t i = 0; i < kCount; ++i) targets_[i].expected = results[i].version;
    revisions_.resize(kCount);
  }

  void commit(std::size_t count) {
    std::vector<Change> changes;
    changes.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = (next_ + i) % kCount;
      const std::uint64_t revision = ++revisions_[at];
      targets_[at].history = {{revision, std::string(200, 'h')}};
      targets_[at].history_floor = revision > 100 ? revision - 100 : 0;
      changes.push_back(targets_[at]);
    }
    const auto results = must(store_.commit(changes));
    for (std::size_t i = 0; i < count; ++i) targets_[(next_ + i) % kCount].expected = results[i].version;
    next_ += count;
  }

  [[nodiscard]] std::string any_key() const { return targets_[next_ % kCount].key; }

 private:
  static constexpr std::size_t kCount = 1000;

  Store& store_;
  std::vector<Change> targets_;
  std::vector<std::uint64_t> revisions_;
  std::size_t next_ = 0;
};

void commits(benchmark::State& state, Store& store) {
  Targets targets(store);
  const auto count = static_cast<std::size_t>(state.range(0));
  for ([[maybe_unused]] const auto turn : state) targets.commit(count);
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["commits_per_second"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void sqlite_commit(benchmark::State& state) {
  const Directory directory;
  const auto store = must(SqliteStore::open(directory.path()));
  commits(state, *store);
}
BENCHMARK(sqlite_commit)->Arg(1)->Arg(64)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

void memory_commit(benchmark::State& state) {
  MemoryStore store;
  commits(state, store);
}
BENCHMARK(memory_commit)->Arg(1)->Arg(512)->UseRealTime()->Unit(benchmark::kMicrosecond);

// A load while another thread commits without a pause.
void sqlite_load_beside_commits(benchmark::State& state) {
  const Directory directory;
  const auto store = must(SqliteStore::open(directory.path()));
  Targets targets(*store);
  const std::string key = targets.any_key();
  std::atomic<bool> done = false;
  {
    const std::jthread committer([&] {
      while (!done) targets.commit(64);
    });
    for ([[maybe_unused]] const auto turn : state) benchmark::DoNotOptimize(must(store->load(key)));
    done = true;
  }
}
BENCHMARK(sqlite_load_beside_commits)->UseRealTime()->Unit(benchmark::kMicrosecond);

// What opening costs with the store's whole check: 1,000 targets with 100 rows of history each, about 25 MB.
void sqlite_open(benchmark::State& state) {
  const Directory directory;
  {
    const auto store = must(SqliteStore::open(directory.path()));
    Targets targets(*store);
    for (int i = 0; i < 100; ++i) targets.commit(1000);
  }
  for ([[maybe_unused]] const auto turn : state) must(SqliteStore::open(directory.path())).reset();
}
BENCHMARK(sqlite_open)->UseRealTime()->Unit(benchmark::kMillisecond);

void floor_fdatasync(benchmark::State& state) {
  const Directory directory;
  const int descriptor = open((directory.path() / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::array<char, 4096> page{};
  off_t at = 0;
  for ([[maybe_unused]] const auto turn : state) {
    if (pwrite(descriptor, page.data(), page.size(), at) != static_cast<ssize_t>(page.size()) ||
        fdatasync(descriptor) != 0)
      state.SkipWithError("the disk does not take it");
    at = (at + 4096) % (4 << 20);
  }
  close(descriptor);
}
BENCHMARK(floor_fdatasync)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    constexpr std::string_view kDirectory = "--directory=";
    if (!argument.starts_with(kDirectory)) {
      std::cerr << argument << ": no such flag. --directory=DIR, and those of Google Benchmark (--help).\n";
      return 2;
    }
    base_directory = argument.substr(kDirectory.size());
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
