// Targets through the engine: joins to outcomes, what watchers and waiters are told, and what survives faults.
#include "round/codec.h"
#include "store/sqlite.h"
#include "tests/engine/world.h"
#include "tests/store/faulty_store.h"
#include "tests/store/temporary_directory.h"

namespace syzygy::engine {
namespace {

using round::EventKind;
using round::State;
using round::Verdict;

struct World {
  MovableClock clock;
  MemoryStore memory{clock.function()};
  FaultyStore store{memory};
  std::unique_ptr<Engine> engine;

  explicit World(Options options = quick_options()) {
    engine = make_engine(store, std::move(options));
    const auto started = engine->start();
    EXPECT_TRUE(started.has_value()) << started.error().message;
  }
};

TargetAnswer must(const TargetResult& result) {
  EXPECT_TRUE(result.has_value()) << result.error().message;
  if (!result) return {};
  EXPECT_FALSE(result->reply.error.has_value()) << result->reply.error->message;
  return *result;
}

const round::Round& newest_round(const TargetAnswer& answer) { return answer.state->record.rounds.back(); }

round::Confirm confirm_of(const TargetAnswer& elected, const std::string& incarnation, std::uint64_t sequence) {
  const round::Round& round = newest_round(elected);
  round::Confirm confirm;
  confirm.request = {IncarnationId{incarnation}, sequence};
  confirm.round = round.id;
  confirm.token = round.grant->token;
  confirm.fenced = true;
  confirm.finding.kind = round::Finding::Kind::kWhole;
  return confirm;
}

round::Report success_of(const TargetAnswer& elected, const std::string& incarnation, std::uint64_t sequence) {
  const round::Round& round = newest_round(elected);
  round::Report report;
  report.request = {IncarnationId{incarnation}, sequence};
  report.round = round.id;
  report.token = round.grant->token;
  report.result = round::RunResult::kSucceeded;
  report.steps_done = 1;
  report.in_target = true;
  report.session_ended = true;
  return report;
}

// Two parties, one applies. Returns the last answer.
TargetAnswer whole_round(Engine& engine, const std::string& target, const std::string& suffix = "1") {
  must(ask(engine, target, join_of(target, "eu", "e" + suffix, 2)));
  const TargetAnswer elected = must(ask(engine, target, join_of(target, "us", "u" + suffix, 2)));
  EXPECT_EQ(newest_round(elected).state, State::kElected);
  EXPECT_EQ(newest_round(elected).grant->incarnation, IncarnationId{"u" + suffix});
  EXPECT_EQ(must(ask(engine, target, confirm_of(elected, "u" + suffix, 2))).reply.verdict, Verdict::kProceed);
  return must(ask(engine, target, success_of(elected, "u" + suffix, 3)));
}

using Updates = InboxPtr<Update>;
SubscriptionPtr watch(Engine& engine, const std::string& target, const Updates& updates, const std::string& epoch = "",
                      Revision after = {}) {
  auto subscription =
      engine.watch(TargetName{target}, epoch, after, [updates](const Update& update) { updates->put(update); });
  EXPECT_TRUE(subscription.has_value());
  return subscription ? *std::move(subscription) : nullptr;
}

// The revisions that the updates told, one after the other; false if there was a gap or something came twice.
bool in_order(const std::vector<Update>& updates, std::uint64_t first) {
  std::uint64_t next = first;
  for (const Update& update : updates) {
    if (update.gap) return false;
    for (const round::Event& event : *update.events) {
      if (event.revision.value != next++) return false;
    }
    if (update.state->record.revision.value != next - 1) return false;
  }
  return true;
}

TEST(EngineTarget, ARoundFromJoinToOutcome) {
  World w;
  const TargetAnswer first = must(ask(*w.engine, "orders", join_of("orders", "eu", "e1", 2)));
  EXPECT_EQ(first.reply.verdict, Verdict::kWait);
  EXPECT_GT(first.lease_left, 10s);
  EXPECT_LE(first.lease_left, 15s);
  EXPECT_GT(first.renew_after, 200ms);
  EXPECT_LE(first.renew_after, first.lease_left / 3);
  EXPECT_EQ(first.state->epoch, w.store.epoch());
  const TargetAnswer last = whole_round(*w.engine, "orders");
  EXPECT_EQ(newest_round(last).state, State::kSucceeded);
  const Stats stats = w.engine->stats();
  EXPECT_EQ(stats.rounds_opened, 1u);
  EXPECT_EQ(stats.rounds_succeeded, 1u);
  EXPECT_EQ(stats.tokens_granted, 1u);
  EXPECT_EQ(stats.targets_cached, 1u);
  EXPECT_EQ(stats.events, last.state->record.revision.value);
}

TEST(EngineTarget, NobodyKnowsATargetThatNobodyNamed) {
  World w;
  EXPECT_EQ(get(*w.engine, "orders").error().reason, "TARGET_UNKNOWN");
  EXPECT_EQ(get(*w.engine, "orders").error().code, ErrorCode::kNotFound);
  const auto renewed = ask(*w.engine, "orders", round::Renew{IncarnationId{"e1"}, Token{}});
  ASSERT_TRUE(renewed.has_value());
  EXPECT_EQ(renewed->reply.error->reason, "MEMBER_UNKNOWN");
  EXPECT_NE(renewed->state, nullptr);
  EXPECT_EQ(w.engine->stats().commits, 0u);
  EXPECT_TRUE(eventually([&] { return w.engine->stats().targets_cached == 0; }));
}

TEST(EngineTarget, AWatcherHearsEveryEventInOrder) {
  World w;
  const auto updates = inbox<Update>();
  const auto subscription = watch(*w.engine, "orders", updates, w.store.epoch());
  const TargetAnswer last = whole_round(*w.engine, "orders");
  const Revision end = last.state->record.revision;
  ASSERT_TRUE(
      updates->wait_until([&](const auto& got) { return !got.empty() && got.back().state->record.revision == end; }));
  EXPECT_TRUE(in_order(updates->now(), 1));
}

TEST(EngineTarget, AWatcherResumesWhereItWas) {
  World w;
  const TargetAnswer last = whole_round(*w.engine, "orders");
  const std::string epoch = w.store.epoch();
  for (std::uint64_t after = 0; after <= last.state->record.revision.value; ++after) {
    const auto updates = inbox<Update>();
    const auto subscription = watch(*w.engine, "orders", updates, epoch, Revision{after});
    EXPECT_TRUE(in_order(updates->wait_for(1), after + 1)) << after;
  }
  // From now; from another life of the store; from a future that this store does not know.
  struct Case {
    std::string epoch;
    std::uint64_t after;
    bool gap;
  };
  for (const Case& c : {Case{"", 0, false}, Case{"another", 1, true}, Case{epoch, 10'000, true}}) {
    const auto updates = inbox<Update>();
    const auto subscription = watch(*w.engine, "orders", updates, c.epoch, Revision{c.after});
    const Update first = updates->wait_for(1).front();
    EXPECT_EQ(first.gap, c.gap) << c.epoch;
    EXPECT_TRUE(first.events->empty());
    EXPECT_EQ(first.state->record.revision, last.state->record.revision);
  }
}

TEST(EngineTarget, AWatcherResumesFromTheHistoryAfterARestart) {
  MemoryStore store;
  std::uint64_t end = 0;
  {
    auto engine = make_engine(store, quick_options());
    ASSERT_TRUE(engine->start().has_value());
    end = whole_round(*engine, "orders").state->record.revision.value;
  }
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  const auto updates = inbox<Update>();
  const auto subscription = watch(*engine, "orders", updates, store.epoch(), Revision{2});
  const auto got = updates->wait_for(1);
  EXPECT_TRUE(in_order(got, 3));
  EXPECT_EQ(got.front().state->record.revision.value, end);
}

TEST(EngineTarget, AnEndedSubscriptionIsNeverCalledAgainEvenFromInside) {
  World w;
  const auto updates = inbox<Update>();
  SubscriptionPtr subscription;
  std::mutex mutex;
  auto result = w.engine->watch(TargetName{"orders"}, "", Revision{}, [&](const Update& update) {
    updates->put(update);
    const std::lock_guard lock(mutex);
    subscription.reset();
  });
  ASSERT_TRUE(result.has_value());
  {
    const std::lock_guard lock(mutex);
    subscription = *std::move(result);
  }
  const auto others = inbox<Update>();
  const auto other = watch(*w.engine, "orders", others);
  const Revision end = whole_round(*w.engine, "orders").state->record.revision;
  ASSERT_TRUE(others->wait_until([&](const auto& got) { return got.back().state->record.revision == end; }));
  EXPECT_EQ(updates->now().size(), 1u);
  EXPECT_TRUE(eventually([&] { return w.engine->stats().waiters == 1; }));
}

TEST(EngineTarget, WhoStoppedWatchingIsForgotten) {
  World w;
  auto one = watch(*w.engine, "orders", inbox<Update>());
  const auto two = watch(*w.engine, "orders", inbox<Update>());
  must(ask(*w.engine, "orders", join_of("orders", "eu", "e1", 3)));
  EXPECT_TRUE(get(*w.engine, "orders").has_value());
  one.reset();
  EXPECT_TRUE(get(*w.engine, "orders").has_value());
  const std::uint64_t before = w.engine->stats().updates_sent;
  must(ask(*w.engine, "orders", join_of("orders", "us", "u1", 3)));
  EXPECT_TRUE(get(*w.engine, "orders").has_value());
  EXPECT_EQ(w.engine->stats().updates_sent - before, 1u);
}

TEST(EngineTarget, WhereHistoryIsMissingAWatcherIsToldSo) {
  MemoryStore store;
  round::Record record;
  record.target = TargetName{"orders"};
  record.revision = Revision{5};
  const Change change{.key = "t/orders", .bytes = round::encode(record)};
  ASSERT_TRUE(store.commit({&change, 1}).has_value());
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  const auto updates = inbox<Update>();
  const auto subscription = watch(*engine, "orders", updates, store.epoch(), Revision{3});
  const Update first = updates->wait_for(1).front();
  EXPECT_TRUE(first.gap);
  EXPECT_TRUE(first.events->empty());
}

TEST(EngineTarget, ASubscriptionMayOutliveItsEngine) {
  SubscriptionPtr one;
  SubscriptionPtr all;
  {
    World w;
    one = watch(*w.engine, "orders", inbox<Update>());
    all = *w.engine->watch_all("", [](const Update&) {});
  }
  one.reset();
  all.reset();
}

TEST(EngineTarget, ABlockingQueryAnswersWhenTheTargetMoves) {
  World w;
  const auto wait_for_it = [&](const std::string& epoch, Revision after, Duration wait) {
    auto answers = inbox<StateResult>();
    w.engine->get_after(TargetName{"orders"}, epoch, after, wait, [answers](StateResult r) { answers->put(r); });
    return answers;
  };
  EXPECT_EQ(wait_for_it("", {}, 10ms)->wait_for(1).front().error().reason, "TARGET_UNKNOWN");
  const auto created = wait_for_it("", {}, 60s);
  const TargetAnswer joined = must(ask(*w.engine, "orders", join_of("orders", "eu", "e1", 2)));
  EXPECT_EQ(created->wait_for(1).front().value()->record.rounds.size(), 1u);

  const Revision now = joined.state->record.revision;
  EXPECT_EQ(wait_for_it("", now, 10ms)->wait_for(1).front().value()->record.revision, now) << "its time is over";
  EXPECT_EQ(wait_for_it("another", now, 60s)->wait_for(1).front().value()->record.revision, now) << "another epoch";
  const auto waiting = wait_for_it(w.store.epoch(), now, 60s);
  must(ask(*w.engine, "orders", round::Renew{IncarnationId{"e1"}, Token{}}));
  EXPECT_TRUE(waiting->now().empty()) << "a renewal tells nobody anything";
  must(ask(*w.engine, "orders", join_of("orders", "us", "u1", 2)));
  EXPECT_GT(waiting->wait_for(1).front().value()->record.revision, now);
  EXPECT_TRUE(eventually([&] { return w.engine->stats().waiters == 0; }));
}

TEST(EngineTarget, ABlockingQueryHearsOfWhatAnotherDaemonDid) {
  MemoryStore memory;
  const auto handle = memory.another_handle();
  auto one = make_engine(memory, quick_options());
  auto two = make_engine(*handle, quick_options());
  ASSERT_TRUE(one->start().has_value());
  ASSERT_TRUE(two->start().has_value());
  const TargetAnswer joined = must(ask(*one, "orders", join_of("orders", "eu", "e1", 2)));
  auto answers = inbox<StateResult>();
  two->get_after(TargetName{"orders"}, memory.epoch(), joined.state->record.revision, 60s,
                 [answers](StateResult r) { answers->put(std::move(r)); });
  must(ask(*one, "orders", join_of("orders", "us", "u1", 2)));
  EXPECT_GT(answers->wait_for(1).front().value()->record.revision, joined.state->record.revision);
}

TEST(EngineTarget, WhoWatchesAllHearsOfEachUnderThePrefix) {
  World w;
  const auto updates = inbox<Update>();
  auto subscription = w.engine->watch_all("or", [updates](const Update& update) { updates->put(update); });
  must(ask(*w.engine, "billing", join_of("billing", "eu", "e1", 2)));
  must(ask(*w.engine, "orders", join_of("orders", "eu", "e1", 2)));
  const auto got = updates->wait_for(1);
  EXPECT_EQ(got.front().state->record.target, TargetName{"orders"});
  EXPECT_TRUE(got.front().events->empty());
  subscription->reset();
  must(ask(*w.engine, "orders", join_of("orders", "us", "u1", 2)));
  EXPECT_EQ(updates->now().size(), 1u);
}

TEST(EngineTarget, ListsAndEventsComeInPages) {
  World w;
  for (const char* name : {"a", "b", "bb", "c"}) must(ask(*w.engine, name, join_of(name, "eu", "e1", 2)));
  const auto names = [&](const std::string& prefix, const std::string& after, std::size_t limit) {
    std::string all;
    const auto states = w.engine->list(prefix, after, limit);
    for (const TargetStatePtr& state : *states) all += state->record.target.value + " ";
    return all;
  };
  EXPECT_EQ(names("", "", 10), "a b bb c ");
  EXPECT_EQ(names("b", "", 10), "b bb ");
  EXPECT_EQ(names("b", "b", 10), "bb ");
  EXPECT_EQ(names("", "a", 2), "b bb ");
  const auto events = w.engine->events(TargetName{"a"}, Revision{1}, 1);
  ASSERT_EQ(events->size(), 1u);
  EXPECT_EQ(events->front().revision, Revision{2});
}

TEST(EngineTarget, RenewalsOfOneRecordShareACommit) {
  Options options = quick_options();
  options.renew_window = 500ms;  // longer than it takes to send them
  World w(options);
  for (int i = 0; i < 50; ++i) {
    must(ask(*w.engine, "orders", join_of("orders", "p" + std::to_string(i), "i" + std::to_string(i), 100)));
  }
  const std::uint64_t before = w.engine->stats().commits;
  w.clock.move(5ms);  // so that each renewal changes something
  const auto answers = inbox<TargetResult>();
  for (int i = 0; i < 50; ++i) {
    w.engine->submit(TargetName{"orders"}, round::Renew{IncarnationId{"i" + std::to_string(i)}, Token{}},
                     [answers](TargetResult r) { answers->put(std::move(r)); });
  }
  for (const TargetResult& r : answers->wait_for(50)) EXPECT_GT(must(r).lease_left, 10s);
  EXPECT_LE(w.engine->stats().commits - before, 2u);
  EXPECT_EQ(w.engine->stats().renewals, 50u);
}

TEST(EngineTarget, ARenewalGoesAlongWithWhateverComes) {
  Options options = quick_options();
  options.renew_window = 3600s;
  World w(options);
  must(ask(*w.engine, "orders", join_of("orders", "eu", "e1", 3)));
  const auto renewed = inbox<TargetResult>();
  w.engine->submit(TargetName{"orders"}, round::Renew{IncarnationId{"e1"}, Token{}},
                   [renewed](TargetResult r) { renewed->put(std::move(r)); });
  must(ask(*w.engine, "orders", join_of("orders", "us", "u1", 3)));
  EXPECT_EQ(renewed->wait_for(1).size(), 1u);
}

TEST(EngineTarget, ALostApplierIsNoticedWithoutAnybodyAsking) {
  World w;
  round::Join eu = join_of("orders", "eu", "e1", 2);
  round::Join us = join_of("orders", "us", "u1", 2);
  us.lease = 300ms;
  must(ask(*w.engine, "orders", eu));
  const TargetAnswer elected = must(ask(*w.engine, "orders", us));
  must(ask(*w.engine, "orders", confirm_of(elected, "u1", 2)));
  const auto updates = inbox<Update>();
  const auto subscription = watch(*w.engine, "orders", updates);
  EXPECT_TRUE(updates->wait_until([&](const std::vector<Update>& got) {
    const auto& grant = got.empty() ? std::nullopt : got.back().state->record.rounds.back().grant;
    return grant && grant->incarnation == IncarnationId{"e1"} && grant->token == Token{2};
  }));
}

TEST(EngineTarget, AFrozenTargetIsRefusedAndShown) {
  MemoryStore store;
  round::Record bad;
  bad.target = TargetName{"orders"};
  bad.revision = Revision{5};
  bad.now = Instant{1};
  for (const char* id : {"r1", "r2"}) {  // two rounds that hold one target: step() never makes such a record
    round::Round round;
    round.id = RoundId{id};
    round.state = State::kIndeterminate;
    round.plan = plan_of("orders");
    round.hash = plan_hash(round.plan);
    bad.rounds.push_back(round);
  }
  Change change{.key = "t/orders", .bytes = round::encode(bad)};
  ASSERT_TRUE(store.commit({&change, 1}).has_value());
  auto engine = make_engine(store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  const auto updates = inbox<Update>();
  const auto subscription = watch(*engine, "orders", updates);
  const auto refused = ask(*engine, "orders", join_of("orders", "eu", "e1", 2));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().reason, "TARGET_FROZEN");
  EXPECT_TRUE(updates->wait_until([](const auto& got) { return !got.empty() && got.back().state->frozen; }));
  EXPECT_TRUE(get(*engine, "orders").value()->frozen);
  EXPECT_EQ((*store.load("t/orders"))->bytes, change.bytes) << "nothing was committed";
  must(ask(*engine, "billing", join_of("billing", "eu", "e1", 2)));
}

struct FaultCase {
  std::string name;
  CommitFault fault;
};
void PrintTo(const FaultCase& c, std::ostream* out) { *out << c.name; }
class EngineTargetFault : public ::testing::TestWithParam<FaultCase> {};

TEST_P(EngineTargetFault, EachCommandOfARoundHasItsEffectOnceAndWatchersMissNothing) {
  for (int nth = 0; nth < 4; ++nth) {
    World w;
    const auto updates = inbox<Update>();
    const auto subscription = watch(*w.engine, "orders", updates, w.store.epoch());
    const auto fault = [&](int command) {
      if (command == nth) w.store.next_commit(GetParam().fault);
    };
    // kConflict rewrites a record that exists, so the first commit cannot meet it.
    fault(0);
    must(ask(*w.engine, "orders", join_of("orders", "eu", "e1", 2)));
    fault(1);
    const TargetAnswer elected = must(ask(*w.engine, "orders", join_of("orders", "us", "u1", 2)));
    fault(2);
    EXPECT_EQ(must(ask(*w.engine, "orders", confirm_of(elected, "u1", 2))).reply.verdict, Verdict::kProceed);
    w.store.land();
    fault(3);
    const TargetAnswer last = must(ask(*w.engine, "orders", success_of(elected, "u1", 3)));
    w.store.land();
    EXPECT_EQ(newest_round(last).state, State::kSucceeded);
    EXPECT_EQ(last.state->record.token, Token{1});

    const auto events = w.engine->events(TargetName{"orders"}, Revision{}, 1'000);
    std::size_t joined = 0;
    for (std::size_t i = 0; i < events->size(); ++i) {
      EXPECT_EQ((*events)[i].revision.value, i + 1);
      if ((*events)[i].kind == EventKind::kPartyJoined) ++joined;
    }
    EXPECT_EQ(joined, 2u);
    const Revision end = last.state->record.revision;
    ASSERT_TRUE(
        updates->wait_until([&](const auto& got) { return !got.empty() && got.back().state->record.revision == end; }));
    EXPECT_TRUE(in_order(updates->now(), 1)) << nth;
  }
}

INSTANTIATE_TEST_SUITE_P(Faults, EngineTargetFault,
                         ::testing::Values(FaultCase{"none", CommitFault::kNone},
                                           FaultCase{"conflict", CommitFault::kConflict},
                                           FaultCase{"applied", CommitFault::kUnknownApplied},
                                           FaultCase{"lost", CommitFault::kUnknownLost},
                                           FaultCase{"late", CommitFault::kUnknownLate}),
                         [](const auto& of) { return of.param.name; });

TEST(EngineTarget, AnOutageEndsWithGraceForThoseWhoCouldNotRenew) {
  World w;
  round::Join eu = join_of("orders", "eu", "e1", 2);
  eu.lease = 60s;
  must(ask(*w.engine, "orders", eu));
  w.store.set_down(true);
  EXPECT_EQ(ask(*w.engine, "orders", join_of("orders", "us", "u1", 2)).error().reason, "STORE_UNAVAILABLE");
  EXPECT_TRUE(get(*w.engine, "orders").has_value()) << "what is known can be read";
  w.clock.move(90s);
  w.store.set_down(false);
  ASSERT_TRUE(eventually([&] { return w.engine->health().ready; }));
  const TargetAnswer elected = must(ask(*w.engine, "orders", join_of("orders", "us", "u1", 2)));
  EXPECT_EQ(newest_round(elected).state, State::kElected);
}

TEST(EngineTarget, HistoryKeepsItsNewestEventsAndAWatchFromBeforeIsToldOfTheGap) {
  MemoryStore store;
  Options options = quick_options();
  options.history_max = 100;
  const auto engine = make_engine(store, options);
  ASSERT_TRUE(engine->start());
  for (int i = 0; i < 150; ++i) {
    round::Join visit = join_of("orders", "party-" + std::to_string(i), "i" + std::to_string(i), 1);
    visit.plan.reset();
    ASSERT_TRUE(ask(*engine, "orders", visit));
  }
  const auto events = engine->events(TargetName{"orders"}, Revision{0}, 1'000);
  ASSERT_TRUE(events);
  EXPECT_EQ(events->back().revision, Revision{150});
  EXPECT_GE(events->size(), 100u);
  EXPECT_LT(events->size(), 150u);
  // This engine remembers the newest events; the next one has only what the store kept.
  engine->stop();
  const auto next = make_engine(store, options);
  ASSERT_TRUE(next->start());
  const std::string epoch = store.epoch();
  auto updates = inbox<Update>();
  auto watch = next->watch(TargetName{"orders"}, epoch, Revision{1}, [updates](const Update& u) { updates->put(u); });
  ASSERT_TRUE(watch);
  auto late = inbox<Update>();
  auto resumed = next->watch(TargetName{"orders"}, epoch, Revision{140}, [late](const Update& u) { late->put(u); });
  ASSERT_TRUE(resumed);
  EXPECT_TRUE(updates->wait_for(1).front().gap);
  const Update told = late->wait_for(1).front();
  EXPECT_FALSE(told.gap);
  EXPECT_EQ(told.events->size(), 10u);
  (*watch).reset();
  (*resumed).reset();
  next->stop();
}

// Found by the simulation: this daemon knew the target as unknown, and told the watch all of it again, with no word of
// a gap.
TEST(EngineTarget, AWatchThatSawMoreAtAnotherDaemonIsToldNothingTwice) {
  MemoryStore memory;
  const auto handle = memory.another_handle();
  FaultPlan deaf;
  deaf.hint_lost = 1'000;
  FaultyStore store{*handle, deaf};
  const auto one = make_engine(memory, quick_options());
  Options options = quick_options();
  options.poll = 3600s;
  const auto other = make_engine(store, options);
  ASSERT_TRUE(one->start().has_value());
  ASSERT_TRUE(other->start().has_value());

  const auto from_the_start = inbox<Update>();
  const auto waiting = watch(*other, "orders", from_the_start, memory.epoch());
  EXPECT_FALSE(get(*other, "orders").has_value()) << "nobody has joined yet";
  const Revision end = whole_round(*one, "orders").state->record.revision;

  const auto resumed = inbox<Update>();
  const auto subscription = watch(*other, "orders", resumed, memory.epoch(), end);
  EXPECT_TRUE(get(*other, "orders").has_value()) << "the watch knew of it";
  must(ask(*other, "orders", join_of("orders", "ap", "a1", 2)));  // by now, at the latest, it has read the record
  ASSERT_FALSE(resumed->wait_for(1).empty());
  for (const Update& update : resumed->now()) {
    EXPECT_FALSE(update.gap);
    for (const round::Event& event : *update.events) EXPECT_GT(event.revision, end);
  }
  EXPECT_TRUE(from_the_start->wait_until(
      [&](const auto& got) { return !got.empty() && got.back().state->record.revision >= end; }));
  EXPECT_TRUE(in_order(from_the_start->now(), 1));
}

// Found by the simulation: the store had gone back to before the target was first written, in the same life, and the
// first events of the new record were told as if they went on from what the watch had seen.
TEST(EngineTarget, AWatchOfWhatTheStoreHasLostIsToldOfTheGap) {
  World w;
  const auto resumed = inbox<Update>();
  const auto subscription = watch(*w.engine, "orders", resumed, w.store.epoch(), Revision{2});
  const auto from_the_start = inbox<Update>();
  const auto waiting = watch(*w.engine, "orders", from_the_start, w.store.epoch());
  EXPECT_FALSE(get(*w.engine, "orders").has_value()) << "nobody has joined yet";

  const Revision end = whole_round(*w.engine, "orders").state->record.revision;
  const auto all = [&](const auto& got) { return !got.empty() && got.back().state->record.revision == end; };
  ASSERT_TRUE(resumed->wait_until(all));
  const std::vector<Update> told = resumed->now();
  EXPECT_TRUE(told.front().gap);
  EXPECT_TRUE(told.front().events->empty());
  EXPECT_TRUE(in_order({told.begin() + 1, told.end()}, told.front().state->record.revision.value + 1));
  ASSERT_TRUE(from_the_start->wait_until(all));
  EXPECT_TRUE(in_order(from_the_start->now(), 1));
}

TEST(EngineTarget, TheDurableStoreRemembersAcrossARestart) {
  const store_tests::TemporaryDirectory directory;
  std::uint64_t end = 0;
  {
    auto store = SqliteStore::open(directory.path());
    ASSERT_TRUE(store.has_value());
    auto engine = make_engine(**store, quick_options());
    ASSERT_TRUE(engine->start().has_value());
    end = whole_round(*engine, "orders").state->record.revision.value;
  }
  auto store = SqliteStore::open(directory.path());
  ASSERT_TRUE(store.has_value());
  auto engine = make_engine(**store, quick_options());
  ASSERT_TRUE(engine->start().has_value());
  EXPECT_EQ(get(*engine, "orders").value()->record.revision.value, end);
  // A late party with the same plan is told at once.
  const TargetAnswer late = must(ask(*engine, "orders", join_of("orders", "ap", "a1", 2)));
  EXPECT_EQ(late.reply.verdict, Verdict::kApplied);
}

}  // namespace
}  // namespace syzygy::engine
