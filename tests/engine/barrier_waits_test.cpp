// What the engine adds to the plain barrier: waiting, being released, giving up, limits, and shutting down.
#include <filesystem>
#include <fstream>

#include "engine/replay.h"
#include "tests/engine/world.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temporary_directory.h"

namespace syzygy::engine {
namespace {

struct BarrierWorld {
  MovableClock clock;
  MemoryStore memory{clock.function()};
  FaultyStore store{memory};
  std::unique_ptr<Engine> engine;

  explicit BarrierWorld(Options options = quick_options()) {
    engine = make_engine(store, std::move(options));
    const auto started = engine->start();
    EXPECT_TRUE(started.has_value()) << started.error().message;
  }
};

TEST(EngineBarrier, WhoWaitsIsReleasedByTheLastToCome) {
  BarrierWorld w;
  const auto eu = begin_enter(*w.engine, "b", "eu", "e1", 3, 60s);
  const auto us = begin_enter(*w.engine, "b", "us", "u1", 3, 60s);
  EXPECT_EQ(told(enter(*w.engine, "b", "ap", "a1", 3, 60s)), "1 open 3/3*");
  EXPECT_EQ(told(eu->wait_for(1).front()), "1 open 3/3");
  EXPECT_EQ(told(us->wait_for(1).front()), "1 open 3/3");
  EXPECT_TRUE(eventually([&] { return w.engine->stats().waiters == 0; }));
}

// One of several users of a store, which counts what it asks.
class CountedStore final : public Store {
 public:
  explicit CountedStore(const MemoryStore& shared) : below_(shared.another_handle()) {}
  std::atomic<int> loads = 0;
  std::atomic<int> commits = 0;

  Result<std::optional<Loaded>> load(const std::string& key) override {
    ++loads;
    return below_->load(key);
  }
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override {
    return below_->scan(prefix, after, limit);
  }
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override {
    return below_->history(key, after, limit);
  }
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override {
    ++commits;
    return below_->commit(changes);
  }
  void watch(Hint hint) override { below_->watch(std::move(hint)); }
  Result<Instant> now() override { return below_->now(); }
  [[nodiscard]] std::string epoch() const override { return below_->epoch(); }
  [[nodiscard]] std::string describe() const override { return "counted:"; }

 private:
  const std::unique_ptr<MemoryStore> below_;
};

struct Replica {
  CountedStore store;
  std::unique_ptr<Engine> engine;

  explicit Replica(const MemoryStore& shared) : store(shared) {
    Options options = quick_options();
    options.poll = 1h;  // what one hears of the other is by hints
    engine = make_engine(store, options);
    EXPECT_TRUE(engine->start().has_value());
  }
};

TEST(EngineBarrier, AConflictTellsWhatWasThereSoThatNobodyLoadsIt) {
  const MemoryStore shared;
  Replica one(shared);
  Replica other(shared);
  EXPECT_EQ(told(enter(*one.engine, "b", "eu", "e1", 9)), "1 waiting 1/9");
  EXPECT_EQ(told(enter(*other.engine, "b", "us", "u1", 9)), "1 waiting 2/9");
  const int loads = one.store.loads;
  const int commits = one.store.commits;
  EXPECT_EQ(told(enter(*one.engine, "b", "ap", "a1", 9)), "1 waiting 3/9");
  EXPECT_EQ(one.store.loads, loads);
  EXPECT_EQ(one.store.commits, commits + 2);
  EXPECT_EQ(one.engine->stats().conflicts, 1u);
}

TEST(EngineBarrier, TheLastToComeFindsItsDaemonPrepared) {
  const MemoryStore shared;
  Replica one(shared);
  Replica other(shared);
  Replica last(shared);
  // It has looked at this barrier before, so that only a hint can tell it more.
  EXPECT_EQ(told(enter(*last.engine, "b", "ap", "a0", 1)), "1 open 1/1*");
  const auto eu = begin_enter(*one.engine, "b", "eu", "e1", 3, 60s);
  EXPECT_TRUE(eventually([&] { return one.engine->stats().commands == 1; }));
  const auto us = begin_enter(*other.engine, "b", "us", "u1", 3, 60s);
  EXPECT_TRUE(eventually([&] { return other.engine->stats().commands == 1; }));
  const int commits = last.store.commits;
  EXPECT_EQ(told(enter(*last.engine, "b", "ap", "a1", 3, 60s)), "2 open 3/3*");
  EXPECT_EQ(last.store.commits, commits + 1);
  EXPECT_EQ(last.engine->stats().conflicts, 0u);
  EXPECT_EQ(told(eu->wait_for(1).front()), "2 open 3/3");
  EXPECT_EQ(told(us->wait_for(1).front()), "2 open 3/3");
}

TEST(EngineBarrier, ASeverReleasesThemToo) {
  BarrierWorld w;
  const auto eu = begin_enter(*w.engine, "b", "eu", "e1", 3, 60s);
  auto severed = inbox<BarrierResult>();
  w.engine->submit("b", barrier::Sever{3, PartyName{"us"}, IncarnationId{"u1"}, "no"}, 0s,
                   [severed](BarrierResult r) { severed->put(std::move(r)); });
  EXPECT_EQ(told(eu->wait_for(1).front()), "1 severed 2/3");
  EXPECT_EQ(eu->now().front()->reply.reason, "no");
  EXPECT_EQ(told(severed->wait_for(1).front()), "1 severed 2/3");
}

TEST(EngineBarrier, AWaitEndsAtItsLimitWithTheStateAsItIs) {
  BarrierWorld w;
  EXPECT_EQ(told(enter(*w.engine, "b", "eu", "e1", 3, 20ms)), "1 waiting 1/3");
  EXPECT_EQ(w.engine->stats().waiters, 0u);
}

TEST(EngineBarrier, AWaitEndsWhileItsLeaseStillLasts) {
  // The store's clock stands still, so that a slow machine cannot end the lease.
  MemoryStore store([] { return Instant{1'000'000}; });
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  const auto eu = begin_enter(*engine, "b", "eu", "e1", 2, 3600s, 300ms);
  EXPECT_EQ(told(eu->wait_for(1).front()), "1 waiting 1/2");
}

TEST(EngineBarrier, ALeaseThatEndsIsNoticedByItself) {
  BarrierWorld w;
  begin_enter(*w.engine, "b", "eu", "e1", 2, 0s, 50ms)->wait_for(1);
  // Nobody asks for this barrier meanwhile; the engine wakes by itself and commits that the party is gone.
  EXPECT_TRUE(eventually([&] {
    const auto loaded = w.memory.load("b/b");
    return loaded && *loaded && barrier::decode((*loaded)->bytes)->arrivals.empty();
  }));
}

TEST(EngineBarrier, ACancelledWaitIsAnsweredAndItsPlaceIsFree) {
  BarrierWorld w;
  WaitId id = 0;
  const auto eu = begin_enter(*w.engine, "b", "eu", "e1", 3, 60s, {}, &id);
  EXPECT_NE(id, 0u);
  w.engine->cancel(id);
  const auto got = eu->wait_for(1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(told(got.front()), "WAIT_CANCELLED");
  EXPECT_TRUE(eventually([&] { return w.engine->stats().waiters == 0; }));
  w.engine->cancel(id);
  w.engine->cancel(12345);
  EXPECT_EQ(told(enter(*w.engine, "b", "us", "u1", 3)), "1 waiting 2/3");
  EXPECT_EQ(eu->now().size(), 1u);
}

TEST(EngineBarrier, WaitersAreLimited) {
  Options options = quick_options();
  options.waiters_max = 2;
  BarrierWorld w(options);
  const auto a = begin_enter(*w.engine, "b", "a", "a1", 9, 60s);
  const auto b = begin_enter(*w.engine, "b", "b", "b1", 9, 60s);
  const auto c = begin_enter(*w.engine, "b", "c", "c1", 9, 60s)->wait_for(1);
  ASSERT_FALSE(c.front().has_value());
  EXPECT_EQ(c.front().error().reason, "WAITERS_LIMIT");
  EXPECT_EQ(c.front().error().code, ErrorCode::kResourceExhausted);
  EXPECT_TRUE(c.front().error().retry_after.has_value());
  EXPECT_EQ(told(enter(*w.engine, "b", "d", "d1", 9)), "1 waiting 3/9") << "who does not wait takes no place";
}

TEST(EngineBarrier, ShuttingDownTellsEverybodyToAskElsewhere) {
  BarrierWorld w;
  const auto eu = begin_enter(*w.engine, "b", "eu", "e1", 3, 60s);
  EXPECT_EQ(told(enter(*w.engine, "b", "us", "u1", 3)), "1 waiting 2/3");
  w.engine->stop();
  const auto got = eu->now();
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(told(got.front()), "SHUTTING_DOWN");
  EXPECT_EQ(got.front().error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(told(enter(*w.engine, "b", "ap", "a1", 3)), "SHUTTING_DOWN");
  EXPECT_FALSE(w.engine->health().ready);
  w.engine->stop();
}

TEST(EngineBarrier, WhatWasAcceptedBeforeTheStopIsAnswered) {
  BarrierWorld w;
  std::vector<InboxPtr<BarrierResult>> answers;
  for (int i = 0; i < 200; ++i) {
    answers.push_back(begin_enter(*w.engine, "b" + std::to_string(i), "eu", "e", 1, i % 2 == 0 ? 60s : 0s));
  }
  w.engine->stop();
  for (const auto& answer : answers) {
    ASSERT_EQ(answer->now().size(), 1u);
    EXPECT_EQ(told(answer->now().front()), "1 open 1/1*");
  }
}

TEST(EngineBarrier, ARestartGivesGraceOnceAndForgetsNothing) {
  MovableClock clock;
  MemoryStore store(clock.function());
  Options options = quick_options();
  {
    auto engine = make_engine(store, options);
    ASSERT_TRUE(engine->start().has_value());
    EXPECT_EQ(told(begin_enter(*engine, "b", "eu", "e1", 2, 0s, 60s)->wait_for(1).front()), "1 waiting 1/2");
  }
  clock.move(70s);  // longer than the lease
  options.boot = "boot-2";
  auto engine = make_engine(store, options);
  ASSERT_TRUE(engine->start().has_value());
  EXPECT_EQ(told(await(*engine, "b", 1, "e1")), "1 waiting 1/2");
  EXPECT_EQ(told(enter(*engine, "b", "us", "u1", 2)), "1 open 2/2*");
}

TEST(EngineBarrier, AStepOfTheStoresClockGivesGrace) {
  BarrierWorld w;
  begin_enter(*w.engine, "b", "eu", "e1", 2, 0s, 60s)->wait_for(1);
  w.clock.move(70s);
  EXPECT_EQ(told(enter(*w.engine, "b", "us", "u1", 2)), "1 open 2/2*");
}

TEST(EngineBarrier, AnUnreachableStoreRefusesAtOnceAndKeepsWaitsOpen) {
  BarrierWorld w;
  const auto eu = begin_enter(*w.engine, "b", "eu", "e1", 2, 60s);
  ASSERT_TRUE(eventually([&] { return w.engine->stats().commits == 1; }));
  w.store.set_down(true);
  const auto refused = enter(*w.engine, "b", "us", "u1", 2);
  EXPECT_EQ(told(refused), "STORE_UNAVAILABLE");
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(refused.error().retry_after.has_value());
  EXPECT_EQ(told(enter(*w.engine, "other", "us", "u1", 2, 60s)), "STORE_UNAVAILABLE");
  EXPECT_FALSE(w.engine->health().ready);
  EXPECT_NE(w.engine->health().why, "");
  EXPECT_TRUE(eu->now().empty());

  w.store.set_down(false);
  EXPECT_TRUE(eventually([&] { return w.engine->health().ready; }));
  EXPECT_EQ(told(enter(*w.engine, "b", "us", "u1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(eu->wait_for(1).front()), "1 open 2/2");
}

TEST(EngineBarrier, AStartWithoutAStoreFailsAndSaysWhy) {
  MemoryStore memory;
  FaultyStore store(memory);
  store.set_down(true);
  auto engine = make_engine(store, quick_options());
  const auto started = engine->start();
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().code, ErrorCode::kUnavailable);
}

struct BarrierFault {
  std::string name;
  CommitFault fault;
};
void PrintTo(const BarrierFault& c, std::ostream* out) { *out << c.name; }
class EngineBarrierFault : public ::testing::TestWithParam<BarrierFault> {};

TEST_P(EngineBarrierFault, TheCommandHasItsEffectOnce) {
  BarrierWorld w;
  EXPECT_EQ(told(enter(*w.engine, "b", "eu", "e1", 2)), "1 waiting 1/2");
  const auto eu = begin_enter(*w.engine, "b", "eu", "e1", 2, 60s);
  w.store.next_commit(GetParam().fault);
  EXPECT_EQ(told(enter(*w.engine, "b", "us", "u1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(eu->wait_for(1).front()), "1 open 2/2");
  w.store.land();
  EXPECT_EQ(told(enter(*w.engine, "b", "us", "u1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(await(*w.engine, "b", 1, "e1")), "1 open 2/2");
}

INSTANTIATE_TEST_SUITE_P(Faults, EngineBarrierFault,
                         ::testing::Values(BarrierFault{"conflict", CommitFault::kConflict},
                                           BarrierFault{"applied", CommitFault::kUnknownApplied},
                                           BarrierFault{"lost", CommitFault::kUnknownLost},
                                           BarrierFault{"late", CommitFault::kUnknownLate}),
                         [](const auto& of) { return of.param.name; });

TEST(EngineBarrier, ABrokenInvariantFreezesThatBarrierOnlyAndLeavesAReplay) {
  const store_tests::TemporaryDirectory directory;
  MemoryStore store;
  barrier::Record record;
  record.name = "bad";
  record.generation = Generation{1};
  record.revision = Revision{1};
  record.state = barrier::State::kOpen;  // open, and nobody is there: step() never makes such a one
  record.quorum = 3;
  Change change{.key = "b/bad", .bytes = barrier::encode(record)};
  ASSERT_EQ(store.commit({&change, 1})->front().outcome, CommitOutcome::kCommitted);

  Options options = quick_options();
  options.replay_directory = (directory / "replay").string();
  auto engine = make_engine(store, options);
  ASSERT_TRUE(engine->start().has_value());
  const auto refused = await(*engine, "bad", 1, "e1");
  EXPECT_EQ(told(refused), "TARGET_FROZEN");
  EXPECT_EQ(refused.error().code, ErrorCode::kInternal);
  EXPECT_EQ(told(enter(*engine, "bad", "eu", "e1", 3)), "TARGET_FROZEN");
  EXPECT_EQ(told(enter(*engine, "good", "eu", "e1", 1)), "1 open 1/1*");
  EXPECT_EQ(engine->health().frozen_targets, 1u);
  EXPECT_TRUE(engine->health().ready);

  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(directory / "replay")) files.push_back(entry.path());
  ASSERT_EQ(files.size(), 1u);
  EXPECT_NE(refused.error().message.find(files.front().string()), std::string::npos);
  const auto replayed = replay(files.front().string());
  ASSERT_TRUE(replayed.has_value()) << replayed.error().message;
  EXPECT_EQ(replayed->broken, "a generation opened without its quorum");
  EXPECT_NE(replayed->text.find("Await"), std::string::npos);

  std::ofstream(files.front(), std::ios::app) << "x";
  EXPECT_EQ(replay(files.front().string()).error().reason, "REPLAY_CORRUPT");
  EXPECT_EQ(replay("/nowhere").error().reason, "REPLAY_NOT_FOUND");
}

TEST(EngineBarrier, ADamagedRecordFreezesItselfANewerOneStopsTheStart) {
  MemoryStore store;
  Change damaged{.key = "b/bad", .bytes = "\x01nonsense"};
  ASSERT_TRUE(store.commit({&damaged, 1}).has_value());
  {
    auto engine = make_engine(store, quick_options());
    ASSERT_TRUE(engine->start().has_value());
    EXPECT_EQ(told(enter(*engine, "bad", "eu", "e1", 1)), "TARGET_FROZEN");
    EXPECT_EQ(told(enter(*engine, "good", "eu", "e1", 1)), "1 open 1/1*");
  }
  Change newer{.key = "b/newer", .bytes = "\x63"};
  ASSERT_TRUE(store.commit({&newer, 1}).has_value());
  auto engine = make_engine(store, quick_options());
  const auto started = engine->start();
  ASSERT_FALSE(started.has_value());
  EXPECT_EQ(started.error().reason, "RECORD_NEWER");
}

TEST(EngineBarrier, FinishedOnesAreForgottenAndComeBack) {
  Options options = quick_options();
  options.cache_bytes_max = 2'000;
  BarrierWorld w(options);
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(told(enter(*w.engine, "b" + std::to_string(i), "eu", "e1", 1)), "1 open 1/1*");
  }
  for (int i = 0; i < 500; ++i) {
    ASSERT_EQ(told(await(*w.engine, "b" + std::to_string(i), 1, "e1")), "1 open 1/1*");
  }
}

TEST(EngineBarrier, SeveralLanes) {
  Options options = quick_options();
  options.lanes = 4;
  BarrierWorld w(options);
  std::vector<InboxPtr<BarrierResult>> waiters;
  std::vector<WaitId> ids(100);
  for (std::size_t i = 0; i < 100; ++i) {
    waiters.push_back(begin_enter(*w.engine, "b" + std::to_string(i), "eu", "e1", 2, 60s, {}, &ids[i]));
  }
  for (std::size_t i = 0; i < 100; i += 2) w.engine->cancel(ids[i]);
  for (std::size_t i = 1; i < 100; i += 2) enter(*w.engine, "b" + std::to_string(i), "us", "u1", 2);
  for (std::size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(told(waiters[i]->wait_for(1).front()), i % 2 == 0 ? "WAIT_CANCELLED" : "1 open 2/2");
  }
}

TEST(EngineBarrier, TwoDaemonsOnOneStoreReleaseEachOthersWaiters) {
  MemoryStore memory;
  const auto other_handle = memory.another_handle();
  auto one = make_engine(memory, quick_options());
  auto two = make_engine(*other_handle, quick_options());
  ASSERT_TRUE(one->start().has_value());
  ASSERT_TRUE(two->start().has_value());
  const auto eu = begin_enter(*one, "b", "eu", "e1", 3, 60s);
  const auto us = begin_enter(*two, "b", "us", "u1", 3, 60s);
  EXPECT_EQ(told(enter(*one, "b", "ap", "a1", 3, 60s)).substr(0, 6), "1 open");
  EXPECT_EQ(told(eu->wait_for(1).front()).substr(0, 6), "1 open");
  EXPECT_EQ(told(us->wait_for(1).front()).substr(0, 6), "1 open");
}

TEST(EngineBarrier, ALostHintDelaysAWaiterByOnePoll) {
  MemoryStore memory;
  const auto handle = memory.another_handle();
  FaultPlan plan;
  plan.hint_lost = 1'000;
  FaultyStore deaf(*handle, plan);
  auto one = make_engine(memory, quick_options());
  auto two = make_engine(deaf, quick_options());
  ASSERT_TRUE(one->start().has_value());
  ASSERT_TRUE(two->start().has_value());
  const auto us = begin_enter(*two, "b", "us", "u1", 2, 60s);
  ASSERT_TRUE(eventually([&] { return two->stats().commits == 1; }));
  EXPECT_EQ(told(enter(*one, "b", "eu", "e1", 2)), "1 open 2/2*");
  EXPECT_EQ(told(us->wait_for(1).front()), "1 open 2/2");
  EXPECT_GT(deaf.counts().hints_lost, 0u);
}

}  // namespace
}  // namespace syzygy::engine
