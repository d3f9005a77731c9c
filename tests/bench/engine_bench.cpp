// The engine alone, in one process, on the durable embedded store: what the network adds is measured elsewhere.
//
//   engine_bench --benchmark_counters_tabular=true
//
// Joins: 1,000 targets, `in flight` requests outstanding; a join counts once its commit was answered. Barrier: from the
// last party's enter to the last party's release. Fan-out: from the enter that completes it to the release of all.
#include <benchmark/benchmark.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/sha256.h"
#include "engine/engine.h"
#include "store/sqlite.h"

namespace syzygy::engine {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point began) { return std::chrono::duration<double>(Clock::now() - began).count(); }

struct Daemon {
  std::filesystem::path directory;
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<Engine> engine;

  explicit Daemon(Options options = {}) {
    std::string name = (std::filesystem::temp_directory_path() / "syzygy-bench-XXXXXX").native();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    directory = name;
    auto opened = SqliteStore::open(directory);
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    store = *std::move(opened);
    options.boot = "bench";
    options.waiters_max = 20'000;
    options.mailbox_max = 50'000;
    engine = make_engine(*store, std::move(options));
    if (!engine->start()) std::abort();
  }
  ~Daemon() {
    engine.reset();
    store.reset();
    std::error_code ignored;
    std::filesystem::remove_all(directory, ignored);
  }
};

// How many answers are still to come.
class Outstanding {
 public:
  void add() { count_.fetch_add(1); }
  void done() {
    if (count_.fetch_sub(1) > 0) count_.notify_all();
  }
  void wait_below(int most) {
    for (int now = count_.load(); now >= most; now = count_.load()) count_.wait(now);
  }

 private:
  std::atomic<int> count_ = 0;
};

// Everything that was submitted before is committed.
void settle(Engine& engine) {
  Outstanding outstanding;
  outstanding.add();
  engine.get(TargetName{"nobody-knows-it"}, [&](const auto&) { outstanding.done(); });
  outstanding.wait_below(1);
}

long resident_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  long value = 0;
  while (status >> word) {
    if (word == "VmRSS:") status >> value;
  }
  return value;
}

round::Join join_of(const std::string& target, const std::string& party, const std::string& incarnation) {
  static const std::string content = sha256_hex("create table t ()");
  round::Join join;
  join.request = {IncarnationId{incarnation}, 1};
  join.party = PartyName{party};
  Plan plan;
  plan.target = TargetName{target};
  plan.steps.push_back({StepId{"0001_create"}, Direction::kUp, Stage::kPreDeploy, content, true});
  join.plan = std::move(plan);
  join.quorum = round::Quorum{1'000, {}};
  join.host = "a-host-of-some-cluster";
  join.fresh_round = RoundId{"round-" + incarnation};
  return join;
}

void Joins(benchmark::State& state) {
  constexpr int kTargets = 1'000;
  constexpr int kJoins = 20'000;
  const int in_flight = static_cast<int>(state.range(0));
  double commits = 0;
  for (auto _ : state) {
    Daemon daemon;
    Outstanding outstanding;
    std::atomic<int> refused = 0;
    const auto began = Clock::now();
    for (int i = 0; i < kJoins; ++i) {
      const std::string n = std::to_string(i);
      const std::string target = "target-" + std::to_string(i % kTargets);
      outstanding.wait_below(in_flight);
      outstanding.add();
      daemon.engine->submit(TargetName{target}, join_of(target, "party-" + n, "0f0e0d0c-0b0a-4908-8706-" + n),
                            [&](const Result<TargetAnswer>& r) {
                              if (!r || r->reply.error) ++refused;
                              outstanding.done();
                            });
    }
    outstanding.wait_below(1);
    state.SetIterationTime(seconds_since(began));
    if (refused > 0) state.SkipWithError("a join was refused");
    commits += static_cast<double>(daemon.engine->stats().commits);
  }
  const auto joins = static_cast<double>(state.iterations()) * kJoins;
  state.counters["joins/s"] = benchmark::Counter(joins, benchmark::Counter::kIsRate);
  state.counters["joins/commit"] = joins / commits;
}
BENCHMARK(Joins)->Arg(64)->Arg(256)->Arg(1'024)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(1);

// 1,000 parties of one round: what a large record costs.
void OneRound(benchmark::State& state) {
  constexpr int kParties = 1'000;
  for (auto _ : state) {
    Daemon daemon;
    Outstanding outstanding;
    const auto began = Clock::now();
    for (int i = 0; i < kParties; ++i) {
      const std::string n = std::to_string(i);
      outstanding.wait_below(static_cast<int>(state.range(0)));
      outstanding.add();
      daemon.engine->submit(TargetName{"orders"}, join_of("orders", "party-" + n, "i-" + n),
                            [&](const Result<TargetAnswer>&) { outstanding.done(); });
    }
    outstanding.wait_below(1);
    state.SetIterationTime(seconds_since(began));
    state.counters["commits"] = static_cast<double>(daemon.engine->stats().commits);
  }
}
BENCHMARK(OneRound)->Arg(1)->Arg(64)->Arg(1'000)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(1);

void BarrierRound(benchmark::State& state) {
  const int parties = static_cast<int>(state.range(0));
  Daemon daemon;
  int generation = 0;
  for (auto _ : state) {
    ++generation;
    Outstanding outstanding;
    Clock::time_point began;
    for (int i = 0; i < parties; ++i) {
      outstanding.add();
      if (i == parties - 1) {  // the last one comes when all others wait
        settle(*daemon.engine);
        began = Clock::now();
      }
      const std::string n = std::to_string(i);
      daemon.engine->submit("gate",
                            barrier::Enter{static_cast<std::uint32_t>(parties), PartyName{"party-" + n},
                                           IncarnationId{"i-" + std::to_string(generation) + "-" + n}, Duration{0}},
                            Duration{30'000}, [&](const Result<BarrierAnswer>&) { outstanding.done(); });
    }
    outstanding.wait_below(1);
    state.SetIterationTime(seconds_since(began));
  }
}
BENCHMARK(BarrierRound)->Arg(3)->Arg(10)->Arg(100)->Arg(1'000)->UseManualTime()->Unit(benchmark::kMicrosecond);

// 10,000 waiters on ten barriers: the limit of parties of one is 1,000.
void FanOut(benchmark::State& state) {
  constexpr int kBarriers = 10;
  constexpr int kParties = 1'000;
  for (auto _ : state) {
    Daemon daemon;
    Outstanding outstanding;
    const long before = resident_kib();
    const auto enter = [&](int gate, int party) {
      outstanding.add();
      const std::string n = std::to_string(party);
      daemon.engine->submit(
          "gate-" + std::to_string(gate),
          barrier::Enter{kParties, PartyName{"party-" + n}, IncarnationId{"0f0e0d0c-0b0a-4908-8706-" + n}, Duration{0}},
          Duration{60'000}, [&](const Result<BarrierAnswer>&) { outstanding.done(); });
    };
    for (int gate = 0; gate < kBarriers; ++gate) {
      for (int party = 1; party < kParties; ++party) enter(gate, party);
    }
    settle(*daemon.engine);
    state.counters["kB/waiter"] = static_cast<double>(resident_kib() - before) * 1.024 / (kBarriers * (kParties - 1));
    const auto began = Clock::now();
    for (int gate = 0; gate < kBarriers; ++gate) enter(gate, 0);
    outstanding.wait_below(1);
    state.SetIterationTime(seconds_since(began));
  }
}
BENCHMARK(FanOut)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(3);

// 10,000 watchers of one target, told of one join.
void Watchers(benchmark::State& state) {
  constexpr int kWatchers = 10'000;
  Daemon daemon;
  std::atomic<int> told = 0;
  std::vector<SubscriptionPtr> subscriptions;
  for (int i = 0; i < kWatchers; ++i) {
    auto subscription = daemon.engine->watch(TargetName{"orders"}, "", Revision{}, [&](const Update&) {
      ++told;
      told.notify_all();
    });
    if (!subscription) std::abort();
    subscriptions.push_back(*std::move(subscription));
  }
  int joined = 0;
  for (auto _ : state) {
    const int wanted = told + kWatchers;
    const auto began = Clock::now();
    const std::string n = std::to_string(++joined);
    daemon.engine->submit(TargetName{"orders"}, join_of("orders", "party-" + n, "i-" + n),
                          [](const Result<TargetAnswer>&) {});
    for (int now = told; now < wanted; now = told) told.wait(now);
    state.SetIterationTime(seconds_since(began));
  }
}
BENCHMARK(Watchers)->UseManualTime()->Unit(benchmark::kMillisecond)->Iterations(50);

// 1,000 parties that wait and renew every five seconds: what the daemon's core does meanwhile.
void Idle(benchmark::State& state) {
  const int kTargets = static_cast<int>(state.range(0));
  const int kParties = 1'000 / kTargets;
  Daemon daemon;
  Outstanding outstanding;
  const auto incarnation = [](int target, int party) {
    return "i-" + std::to_string(target) + "-" + std::to_string(party);
  };
  for (int t = 0; t < kTargets; ++t) {
    for (int p = 0; p < kParties; ++p) {
      outstanding.add();
      const std::string target = "target-" + std::to_string(t);
      daemon.engine->submit(TargetName{target}, join_of(target, "party-" + std::to_string(p), incarnation(t, p)),
                            [&](const Result<TargetAnswer>&) { outstanding.done(); });
    }
  }
  outstanding.wait_below(1);
  for (auto _ : state) {
    const auto began = Clock::now();
    const std::clock_t cpu = std::clock();
    for (int i = 0; i < kTargets * kParties; ++i) {
      std::this_thread::sleep_until(began + std::chrono::microseconds(5'000L * i));
      outstanding.add();
      const int t = i % kTargets;
      daemon.engine->submit(TargetName{"target-" + std::to_string(t)},
                            round::Renew{IncarnationId{incarnation(t, i / kTargets)}, Token{}},
                            [&](const Result<TargetAnswer>&) { outstanding.done(); });
    }
    outstanding.wait_below(1);
    const double wall = seconds_since(began);
    state.SetIterationTime(wall);
    state.counters["% of a core"] =
        100.0 * static_cast<double>(std::clock() - cpu) / static_cast<double>(CLOCKS_PER_SEC) / wall;
  }
}
BENCHMARK(Idle)->Arg(1)->Arg(100)->Arg(1'000)->UseManualTime()->Unit(benchmark::kSecond)->Iterations(1);

}  // namespace
}  // namespace syzygy::engine

BENCHMARK_MAIN();
