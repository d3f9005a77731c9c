// A store in trouble, and time that jumps: what is refused, what stays open, what goes on by itself.
#include <algorithm>
#include <array>

#include "engine/clock_watch.h"
#include "engine/stepped.h"
#include "tests/engine/world.h"
#include "tests/store/faulty_store.h"

namespace syzygy::engine {
namespace {

using round::Standing;
using round::Verdict;

// Forwards everything; a test may answer a commit, or hold it.
class ScriptedStore final : public Store {
 public:
  std::function<std::optional<Error>(std::span<const Change>)> before_commit = [](auto) { return std::nullopt; };
  MovableClock clock;

  std::atomic<int> loads = 0;

  Result<std::optional<Loaded>> load(const std::string& key) override {
    ++loads;
    return below_.load(key);
  }
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override {
    return below_.scan(prefix, after, limit);
  }
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override {
    return below_.history(key, after, limit);
  }
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override {
    if (auto error = before_commit(changes)) return std::unexpected(*std::move(error));
    return below_.commit(changes);
  }
  void watch(Hint hint) override { below_.watch(std::move(hint)); }
  [[nodiscard]] bool shared() const override { return false; }
  Result<Instant> now() override { return below_.now(); }
  [[nodiscard]] std::string epoch() const override { return below_.epoch(); }
  [[nodiscard]] std::string describe() const override { return "scripted:"; }
  std::string read_only;  // set before the engine starts
  [[nodiscard]] std::string refuses_writes() const override { return read_only; }

 private:
  MemoryStore below_{clock.function()};
};

// A handle on a shared store to which every hint is lost; a test may act just before a poll looks.
class DeafStore final : public Store {
 public:
  explicit DeafStore(Store& below) : below_(below) {}
  std::function<void()> before_poll = [] {};

  Result<std::optional<Loaded>> load(const std::string& key) override { return below_.load(key); }
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override {
    if (prefix.empty()) before_poll();
    return below_.scan(prefix, after, limit);
  }
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override {
    return below_.history(key, after, limit);
  }
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override { return below_.commit(changes); }
  void watch(Hint /*hint*/) override {}
  Result<Instant> now() override { return below_.now(); }
  [[nodiscard]] std::string epoch() const override { return below_.epoch(); }
  [[nodiscard]] std::string describe() const override { return "deaf:"; }

 private:
  Store& below_;
};

// Closed until opened; whoever waits at it can be seen.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait_for(lock, kPatience, [&] { return open_; });
  }
  void await_somebody() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kPatience, [&] { return waiting_ > 0; }));
  }
  // Opens once somebody has been held for at least `least`.
  void open_after(Duration least) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, least, [] { return false; });
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

TEST(EngineTrouble, ADaemonWhoseStoreTakesNoWritesIsNotReady) {
  ScriptedStore store;
  bool full = false;
  store.before_commit = [&full](auto) {
    return full ? std::optional(Error{ErrorCode::kResourceExhausted, "STORE_FULL", "no room left", {}, {}})
                : std::nullopt;
  };
  const auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  EXPECT_TRUE(ask(*engine, "t", join_of("t", "eu", "e1", 3)).has_value());
  EXPECT_TRUE(engine->health().ready) << engine->health().why;

  full = true;  // the lane is idle: nobody else looks at it
  const auto refused = ask(*engine, "t", join_of("t", "us", "u1", 3));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "STORE_FULL");
  EXPECT_FALSE(engine->health().ready);
  EXPECT_EQ(engine->health().why, "no room left");

  full = false;
  EXPECT_TRUE(ask(*engine, "t", join_of("t", "ap", "a1", 3)).has_value());
  EXPECT_TRUE(engine->health().ready) << engine->health().why;
}

// Reads succeed all the while: what they show must not end what a write was answered.
TEST(EngineTrouble, ADaemonWhoseStoreHasTooFewReplicasForAWriteStaysNotReady) {
  ScriptedStore store;
  bool few = false;
  store.before_commit = [&few](auto) {
    return few ? std::optional(Error{ErrorCode::kUnavailable, "STORE_TOO_FEW_REPLICAS", "too few replicas", {}, {}})
               : std::nullopt;
  };
  const auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  EXPECT_TRUE(ask(*engine, "t", join_of("t", "eu", "e1", 3)).has_value());
  few = true;
  const auto refused = ask(*engine, "t", join_of("t", "us", "u1", 3));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "STORE_UNAVAILABLE");
  const int loads = store.loads;
  EXPECT_TRUE(eventually([&] { return store.loads > loads; })) << "it looks whether the store is there";
  EXPECT_FALSE(get(*engine, "another")) << "the store is there: this is no more than unknown";
  EXPECT_FALSE(engine->health().ready);
  EXPECT_EQ(engine->health().why, "too few replicas");
  few = false;
  EXPECT_TRUE(ask(*engine, "t", join_of("t", "ap", "a1", 3)).has_value());
  EXPECT_TRUE(engine->health().ready) << engine->health().why;
}

TEST(EngineTrouble, ADaemonWhoseStoreIsReadOnlyIsNotReadyBeforeItWroteAnything) {
  ScriptedStore store;
  store.read_only = "the server is a replica";
  const auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  EXPECT_FALSE(engine->health().ready);
  EXPECT_EQ(engine->health().why, "the server is a replica");
}

TEST(ClockWatch, ToleratesDriftAndNoticesSteps) {
  ClockWatch watch;
  EXPECT_FALSE(watch.stepped(1'000'000ms, 10s));
  EXPECT_FALSE(watch.stepped(1'005'000ms, 15s));
  EXPECT_FALSE(watch.stepped(1'005'900ms, 15s)) << "within the tolerance";
  EXPECT_FALSE(watch.stepped(1'006'800ms, 15s)) << "drift adds up without ever being a step";
  EXPECT_TRUE(watch.stepped(1'010'000ms, 15s));
  EXPECT_FALSE(watch.stepped(1'011'000ms, 16s)) << "one step is told once";
  EXPECT_TRUE(watch.stepped(1'000'000ms, 16s));
}

TEST(EngineTrouble, AFullDiskIsSaidAndNothingIsLost) {
  ScriptedStore store;
  std::atomic<bool> full = false;
  store.before_commit = [&](auto) -> std::optional<Error> {
    if (!full) return std::nullopt;
    return Error{ErrorCode::kResourceExhausted, "STORE_FULL", "the disk is full", {}, std::nullopt};
  };
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  ASSERT_TRUE(ask(*engine, "orders", join_of("orders", "eu", "e1", 2)).has_value());
  full = true;
  const auto refused = ask(*engine, "orders", join_of("orders", "us", "u1", 2));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().reason, "STORE_FULL");
  EXPECT_EQ(get(*engine, "orders").value()->record.rounds.front().members.size(), 1u)
      << "what is not durable is not shown";
  full = false;
  const auto accepted = ask(*engine, "orders", join_of("orders", "us", "u1", 2));
  ASSERT_TRUE(accepted.has_value());
  EXPECT_EQ(accepted->state->record.rounds.front().state, round::State::kElected);
}

TEST(EngineTrouble, ALeaseThatEndsOnAFullDiskIsEndedWhenThereIsRoom) {
  ScriptedStore store;
  std::atomic<bool> full = false;
  std::atomic<int> tries = 0;
  store.before_commit = [&](auto) -> std::optional<Error> {
    if (!full) return std::nullopt;
    ++tries;
    return Error{ErrorCode::kResourceExhausted, "STORE_FULL", "the disk is full", {}, std::nullopt};
  };
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  round::Join join = join_of("orders", "eu", "e1", 2);
  join.lease = 50ms;
  ASSERT_TRUE(ask(*engine, "orders", join).has_value());
  full = true;
  EXPECT_TRUE(eventually([&] { return tries > 1; }));
  full = false;
  EXPECT_TRUE(eventually(
      [&] { return get(*engine, "orders").value()->record.rounds.front().state == round::State::kExpired; }));
}

TEST(EngineTrouble, AChangeThatTheStoreDislikesDoesNotTakeOthersDown) {
  ScriptedStore store;
  Gate gate;
  std::atomic<bool> held = true;
  store.before_commit = [&](std::span<const Change> changes) -> std::optional<Error> {
    if (held.exchange(false)) gate.pass();
    for (const Change& change : changes) {
      if (change.key == "t/bad") return Error{ErrorCode::kInvalidArgument, "ODD", "no", {}, std::nullopt};
    }
    return std::nullopt;
  };
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  const auto answers = inbox<std::pair<std::string, bool>>();
  const auto join = [&](const std::string& target) {
    engine->submit(TargetName{target}, join_of(target, "eu", "e1", 2),
                   [answers, target](const TargetResult& r) { answers->put({target, r.has_value()}); });
  };
  join("first");  // holds the lane, so that the three below share a commit
  gate.await_somebody();
  join("a");
  join("bad");
  join("b");
  gate.open_after(0ms);
  for (const auto& [target, accepted] : answers->wait_for(4)) EXPECT_EQ(accepted, target != "bad") << target;
}

TEST(EngineTrouble, WatchesAndWaitsThatBeganInAnOutageAreServedAfterIt) {
  MemoryStore memory;
  {
    auto engine = make_engine(memory, quick_options());
    ASSERT_TRUE(engine->start().has_value());
    ASSERT_TRUE(ask(*engine, "orders", join_of("orders", "eu", "e1", 2)).has_value());
  }
  FaultyStore store(memory);
  Options options = quick_options();
  options.cache_bytes_max = 0;  // nothing is cached that nobody waits for
  auto engine = make_engine(store, options);
  ASSERT_TRUE(engine->start().has_value());
  store.set_down(true);
  EXPECT_EQ(get(*engine, "orders").error().reason, "STORE_UNAVAILABLE");
  EXPECT_EQ(engine->stats().targets_cached, 0u);
  const auto updates = inbox<Update>();
  const auto subscription =
      engine->watch(TargetName{"orders"}, "", Revision{}, [updates](const Update& u) { updates->put(u); });
  const auto waits = inbox<StateResult>();
  engine->get_after(TargetName{"orders"}, "", Revision{}, 60s, [waits](StateResult r) { waits->put(std::move(r)); });
  const auto expired = inbox<StateResult>();
  engine->get_after(TargetName{"orders"}, "", Revision{}, 1ms,
                    [expired](StateResult r) { expired->put(std::move(r)); });
  EXPECT_EQ(expired->wait_for(1).front().error().reason, "STORE_UNAVAILABLE");
  EXPECT_TRUE(updates->now().empty());
  EXPECT_TRUE(waits->now().empty());
  store.set_down(false);
  EXPECT_EQ(updates->wait_for(1).front().state->record.target, TargetName{"orders"});
  EXPECT_TRUE(waits->wait_for(1).front().has_value());
}

// The store takes longer than a lease for one commit; the renewal that came meanwhile, in time, could not be read.
TEST(EngineTrouble, ASlowCommitDoesNotCostALeaseThatWasRenewedInTime) {
  ScriptedStore store;
  Gate gate;
  std::atomic<bool> held = false;
  store.before_commit = [&](auto) -> std::optional<Error> {
    if (held.exchange(false)) gate.pass();
    return std::nullopt;
  };
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  round::Join join = join_of("orders", "eu", "e1", 2);
  join.lease = 1'100ms;
  ASSERT_TRUE(ask(*engine, "orders", join).has_value());
  held = true;
  const auto other = inbox<int>();
  engine->submit(TargetName{"billing"}, join_of("billing", "eu", "e1", 2), [other](const auto&) { other->put(1); });
  gate.await_somebody();
  const auto renewed = inbox<TargetResult>();
  engine->submit(TargetName{"orders"}, round::Renew{IncarnationId{"e1"}, Token{}},
                 [renewed](TargetResult r) { renewed->put(std::move(r)); });
  gate.open_after(1'500ms);
  const auto answer = renewed->wait_for(1).front();
  ASSERT_TRUE(answer.has_value());
  const auto events = engine->events(TargetName{"orders"}, Revision{}, 100);
  for (const round::Event& event : *events) EXPECT_NE(event.kind, round::EventKind::kPartyLapsed);
  EXPECT_EQ(answer->state->record.rounds.front().members.front().standing, Standing::kLive);
}

// The store was away for longer than a lease, and its clock did not step.
TEST(EngineTrouble, AnOutageLongerThanALeaseDoesNotCostIt) {
  MemoryStore memory;
  FaultyStore store(memory);
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  round::Join join = join_of("orders", "eu", "e1", 2);
  join.lease = 1'200ms;
  ASSERT_TRUE(ask(*engine, "orders", join).has_value());
  store.set_down(true);
  EXPECT_EQ(ask(*engine, "orders", round::Renew{IncarnationId{"e1"}, Token{}}).error().reason, "STORE_UNAVAILABLE");
  const auto began = std::chrono::steady_clock::now();
  EXPECT_TRUE(eventually([&] { return std::chrono::steady_clock::now() - began > 1'400ms; }));
  store.set_down(false);
  ASSERT_TRUE(eventually([&] { return engine->health().ready; }));
  ASSERT_TRUE(ask(*engine, "orders", round::Renew{IncarnationId{"e1"}, Token{}}).has_value());
  const auto events = engine->events(TargetName{"orders"}, Revision{}, 100);
  for (const round::Event& event : *events) EXPECT_NE(event.kind, round::EventKind::kPartyLapsed);
}

// The store's clock stepped, and what another daemon had written meanwhile was first loaded here after grace was given:
// who had joined there lost his place at once.
TEST(EngineTrouble, ARecordThatIsLoadedAfterAStepHasItsGraceToo) {
  HandClock clock;
  Duration stepped{0};
  MemoryStore memory([&] { return clock.of_store()() + stepped; });
  const auto handle = memory.another_handle();
  DeafStore deaf(*handle);
  Options options = quick_options();
  auto there = make_stepped_engine(memory, options, clock);
  options.boot = "boot-2";
  auto here = make_stepped_engine(deaf, options, clock);
  ASSERT_TRUE(there->start().has_value());
  ASSERT_TRUE(here->start().has_value());
  here->turn();
  there->submit(TargetName{"orders"}, join_of("orders", "eu", "e1", 3), [](const auto&) {});
  there->turn();

  stepped = 60s;
  here->submit(TargetName{"orders"}, join_of("orders", "us", "u1", 3), [](const auto&) {});
  here->turn();
  const auto events = here->events(TargetName{"orders"}, Revision{}, 100);
  const auto count = [&](round::EventKind kind) { return std::ranges::count(*events, kind, &round::Event::kind); };
  EXPECT_EQ(count(round::EventKind::kPartyJoined), 2);
  EXPECT_EQ(count(round::EventKind::kPartyLapsed), 0);
  EXPECT_EQ(count(round::EventKind::kGraceGiven), 1);
}

// The machine slept for longer than a lease, and the store's clock went on with that of boot: no step was seen, and who
// could not be heard meanwhile lost his place at once.
TEST(EngineTrouble, AMachineThatSleptGivesGraceOnce) {
  HandClock clock;
  MemoryStore memory(clock.of_store());
  auto engine = make_stepped_engine(memory, quick_options(), clock);
  ASSERT_TRUE(engine->start().has_value());
  round::Join join = join_of("orders", "eu", "e1", 2);
  join.lease = 2s;
  engine->submit(TargetName{"orders"}, join, [](const auto&) {});
  engine->turn();
  const auto count = [&](round::EventKind kind) {
    const auto events = engine->events(TargetName{"orders"}, Revision{}, 100);
    return std::ranges::count(*events, kind, &round::Event::kind);
  };
  const auto goes_on_for = [&](Duration time) {
    for (const Duration until = clock.awake + time; clock.awake < until; clock.awake += quick_options().poll) {
      engine->turn();
    }
  };
  ASSERT_EQ(count(round::EventKind::kPartyJoined), 1);

  clock.asleep += 60s;
  goes_on_for(1s);
  EXPECT_EQ(count(round::EventKind::kGraceGiven), 1);
  EXPECT_EQ(count(round::EventKind::kPartyLapsed), 0);
  const auto renewed = inbox<TargetResult>();
  engine->submit(TargetName{"orders"}, round::Renew{IncarnationId{"e1"}, Token{}},
                 [renewed](TargetResult r) { renewed->put(std::move(r)); });
  goes_on_for(1s);
  ASSERT_EQ(renewed->now().size(), 1u);
  EXPECT_EQ(renewed->now().front().value().state->record.rounds.front().members.front().standing, Standing::kLive);

  goes_on_for(5s);  // silent, and awake
  EXPECT_EQ(count(round::EventKind::kPartyLapsed), 1);
}

// A refusal changes nothing, so no commit holds it against the store.
TEST(EngineTrouble, AnOutageIsWaitedThroughNotSpunThrough) {
  MemoryStore memory;
  FaultyStore store(memory);
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  ASSERT_TRUE(ask(*engine, "orders", join_of("orders", "eu", "e1", 2)).has_value());
  store.set_down(true);
  EXPECT_FALSE(ask(*engine, "orders", join_of("orders", "us", "u1", 2)).has_value());
  const Stats before = engine->stats();
  EXPECT_TRUE(eventually([&] { return engine->stats().store_errors >= before.store_errors + 4; })) << "it looks again";
  const Stats after = engine->stats();
  EXPECT_LE(after.turns - before.turns, 2 * (after.store_errors - before.store_errors) + 5);
}

// Two records moved by way of another daemon, and the store is lost as the first of them is looked at.
TEST(EngineTrouble, NothingThatMovedIsForgottenOverAnOutage) {
  MemoryStore memory;
  const auto handle = memory.another_handle();
  FaultyStore store(*handle);
  Options options = quick_options();
  options.poll = 3'600s;
  auto other = make_engine(memory, options);
  auto engine = make_stepped_engine(store, options, machine_clock());
  ASSERT_TRUE(other->start().has_value());
  ASSERT_TRUE(engine->start().has_value());
  const std::array<std::string, 2> targets = {"billing", "orders"};
  std::array<InboxPtr<Update>, 2> heard = {inbox<Update>(), inbox<Update>()};
  std::vector<SubscriptionPtr> watching;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    ASSERT_TRUE(ask(*other, targets[i], join_of(targets[i], "eu", "e1", 3)).has_value());
    watching.push_back(*engine->watch(TargetName{targets[i]}, "", Revision{},
                                      [to = heard[i]](const Update& update) { to->put(update); }));
  }
  const auto members = [&](std::size_t i) {
    const auto updates = heard[i]->now();
    return updates.empty() ? 0 : updates.back().state->record.rounds.front().members.size();
  };
  const auto turns_until = [&](auto holds) {
    return eventually([&] {
      engine->turn();
      return holds();
    });
  };
  ASSERT_TRUE(turns_until([&] { return members(0) == 1 && members(1) == 1; }));

  store.set_down(true);
  for (const std::string& target : targets) {
    ASSERT_TRUE(ask(*other, target, join_of(target, "us", "u1", 3)).has_value());
  }
  engine->turn();
  EXPECT_FALSE(engine->health().ready);
  store.set_down(false);
  ASSERT_TRUE(turns_until([&] { return members(1) == 2; }));
  EXPECT_EQ(members(0), 2u);
}

// Another daemon moved a record after this one had loaded it, as it started, and before its first poll; the hint was
// lost. That poll took what it found for known, so nobody here heard of the move until the next one.
TEST(EngineTrouble, WhatMovesBetweenTheStartAndTheFirstPollIsSeen) {
  HandClock clock;
  MemoryStore memory(clock.of_store());
  const auto handle = memory.another_handle();
  DeafStore deaf(*handle);
  auto other = make_stepped_engine(memory, quick_options(), clock);
  auto engine = make_stepped_engine(deaf, quick_options(), clock);
  const auto join = [&](const std::string& party) {
    other->submit(TargetName{"orders"}, join_of("orders", party, party + "-1", 3), [](const auto&) {});
    other->turn();
  };
  ASSERT_TRUE(other->start().has_value());
  join("eu");
  deaf.before_poll = [&] {
    join("us");
    deaf.before_poll = [] {};
  };
  ASSERT_TRUE(engine->start().has_value());
  const auto heard = inbox<Update>();
  const auto watching =
      engine->watch(TargetName{"orders"}, "", Revision{}, [heard](const Update& update) { heard->put(update); });
  for (int turns = 0; turns < 3; ++turns) {  // one that begins to watch, one that polls, one that takes what it found
    engine->turn();
    clock.awake += quick_options().poll;
  }
  ASSERT_FALSE(heard->now().empty());
  EXPECT_EQ(heard->now().back().state->record.rounds.front().members.size(), 2u);
}

// A record moved by way of another daemon, and for a while it cannot be read here: the store is there, but says no.
TEST(EngineTrouble, WhatCannotBeReadForAWhileIsLookedAtAgain) {
  MemoryStore memory;
  const auto handle = memory.another_handle();
  FaultyStore store(*handle);
  Options options = quick_options();
  options.poll = 3'600s;
  options.cache_bytes_max = 1;
  auto other = make_engine(memory, options);
  auto engine = make_stepped_engine(store, options, machine_clock());
  ASSERT_TRUE(other->start().has_value());
  ASSERT_TRUE(ask(*other, "orders", join_of("orders", "eu", "e1", 3)).has_value());
  ASSERT_TRUE(engine->start().has_value());
  engine->turn();
  const auto heard = inbox<Update>();
  const auto members = [&] {
    const auto updates = heard->now();
    return updates.empty() ? 0 : updates.back().state->record.rounds.front().members.size();
  };
  const auto turns_until = [&](auto holds) {
    return eventually([&] {
      engine->turn();
      return holds();
    });
  };
  const auto errors = [&] { return engine->stats().store_errors; };
  const Error no{ErrorCode::kInternal, "STORE_FAILED", "out of memory", {}, std::nullopt};

  store.fail_loads(no);
  const auto watching =
      engine->watch(TargetName{"orders"}, "", Revision{}, [heard](const Update& update) { heard->put(update); });
  ASSERT_TRUE(turns_until([&] { return errors() > 0; }));
  store.fail_loads(std::nullopt);
  ASSERT_TRUE(turns_until([&] { return members() == 1; })) << "a watch that began meanwhile is served";

  store.fail_loads(no);
  const auto before = errors();
  ASSERT_TRUE(ask(*other, "orders", join_of("orders", "us", "u1", 3)).has_value());
  ASSERT_TRUE(turns_until([&] { return errors() > before; }));
  store.fail_loads(std::nullopt);
  ASSERT_TRUE(turns_until([&] { return members() == 2; })) << "nor is what moved meanwhile forgotten";
}

TEST(EngineTrouble, NobodyIsRefusedFromACacheThatAnotherDaemonHasOvertaken) {
  MemoryStore memory;
  const auto handle = memory.another_handle();
  FaultPlan plan;
  plan.hint_lost = 1'000;
  FaultyStore deaf(*handle, plan);
  Options options = quick_options();
  options.poll = 3'600s;
  auto one = make_engine(memory, options);
  auto two = make_engine(deaf, options);
  ASSERT_TRUE(one->start().has_value());
  ASSERT_TRUE(two->start().has_value());
  ASSERT_TRUE(ask(*two, "orders", join_of("orders", "eu", "e1", 3)).has_value());
  ASSERT_TRUE(ask(*one, "orders", join_of("orders", "us", "u1", 3)).has_value());
  EXPECT_EQ(get(*two, "orders").value()->record.rounds.front().members.size(), 1u) << "it has not heard of it";
  const auto renewed = ask(*two, "orders", round::Renew{IncarnationId{"u1"}, Token{}});
  ASSERT_TRUE(renewed.has_value());
  EXPECT_FALSE(renewed->reply.error.has_value()) << renewed->reply.error->message;
  EXPECT_EQ(renewed->state->record.rounds.front().members.size(), 2u);
}

TEST(EngineTrouble, AClockThatGoesBackEndsNothingEarlyAndNothingNever) {
  MovableClock clock;
  MemoryStore store(clock.function());
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  round::Join join = join_of("orders", "eu", "e1", 2);
  join.lease = 2s;
  ASSERT_TRUE(ask(*engine, "orders", join).has_value());
  clock.move(-60s);
  const auto renewed = ask(*engine, "orders", round::Renew{IncarnationId{"e1"}, Token{}});
  ASSERT_TRUE(renewed.has_value());
  EXPECT_FALSE(renewed->reply.error.has_value());
  clock.move(60s);
  // It is silent now, and its lease ends, by the grace of the second step at the latest.
  EXPECT_TRUE(eventually(
      [&] { return get(*engine, "orders").value()->record.rounds.front().state == round::State::kExpired; }));
}

TEST(EngineTrouble, WhoStopsWatchingDuringACommitDoesNotHearOfIt) {
  ScriptedStore store;
  Gate gate;
  std::atomic<bool> held = false;
  store.before_commit = [&](auto) -> std::optional<Error> {
    if (held.exchange(false)) gate.pass();
    return std::nullopt;
  };
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  ASSERT_TRUE(ask(*engine, "orders", join_of("orders", "eu", "e1", 3)).has_value());
  ASSERT_TRUE(get(*engine, "orders").has_value());  // only now has everybody heard of that join
  const auto updates = inbox<Update>();
  const auto put = [updates](const Update& update) { updates->put(update); };
  auto watching = *engine->watch(TargetName{"orders"}, "", Revision{}, put);
  auto watching_all = *engine->watch_all("", put);
  updates->wait_for(1);
  held = true;
  const auto joined = inbox<int>();
  engine->submit(TargetName{"orders"}, join_of("orders", "us", "u1", 3), [joined](const auto&) { joined->put(1); });
  gate.await_somebody();
  watching.reset();
  watching_all.reset();
  gate.open_after(0ms);
  joined->wait_for(1);
  EXPECT_TRUE(get(*engine, "orders").has_value());
  EXPECT_EQ(updates->now().size(), 1u);
}

TEST(EngineTrouble, AFullMailboxRefusesAndSaysSo) {
  ScriptedStore store;
  Gate gate;
  std::atomic<bool> held = true;
  store.before_commit = [&](auto) -> std::optional<Error> {
    if (held.exchange(false)) gate.pass();
    return std::nullopt;
  };
  Options options = quick_options();
  options.mailbox_max = 3;
  auto engine = make_engine(store, options);
  ASSERT_TRUE(engine->start().has_value());
  const auto answers = inbox<TargetResult>();
  const auto join = [&](int n) {
    engine->submit(TargetName{"orders"}, join_of("orders", "p" + std::to_string(n), "i" + std::to_string(n), 20),
                   [answers](TargetResult r) { answers->put(std::move(r)); });
  };
  join(0);
  gate.await_somebody();
  for (int n = 1; n <= 4; ++n) join(n);
  const auto refused = answers->wait_for(1).front();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().reason, "MAILBOX_FULL");
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(engine->stats().queued, 3u);
  gate.open_after(0ms);
  std::size_t accepted = 0;
  for (const TargetResult& r : answers->wait_for(5)) accepted += r.has_value() ? 1 : 0;
  EXPECT_EQ(accepted, 4u);
}

}  // namespace
}  // namespace syzygy::engine
