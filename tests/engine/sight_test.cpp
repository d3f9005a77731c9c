// Who judges that a lease was not renewed must have seen that it could be: several daemons on one store, of which some
// asked it nothing while it was away. Time is the test's own.
#include "engine/sight.h"

#include <algorithm>

#include "engine/stepped.h"
#include "tests/engine/world.h"

namespace syzygy::engine {
namespace {

// One server for several daemons, as each of them reaches it. Its clock is read from what it last told, so it goes on
// while the server is away.
struct Server {
  bool away = false;
  bool full = false;
};
class Line final : public Store {
 public:
  Line(std::unique_ptr<MemoryStore> below, const Server& server) : below_(std::move(below)), server_(server) {}
  std::size_t calls = 0;

  Result<std::optional<Loaded>> load(const std::string& key) override {
    if (auto there = arrive(); !there) return std::unexpected(there.error());
    return below_->load(key);
  }
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override {
    if (auto there = arrive(); !there) return std::unexpected(there.error());
    return below_->scan(prefix, after, limit);
  }
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override {
    if (auto there = arrive(); !there) return std::unexpected(there.error());
    return below_->history(key, after, limit);
  }
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override {
    if (auto there = arrive(); !there) return std::unexpected(there.error());
    if (server_.full) return failure(ErrorCode::kResourceExhausted, "STORE_FULL", "no room left");
    return below_->commit(changes);
  }
  void watch(Hint hint) override { below_->watch(std::move(hint)); }
  Result<Instant> now() override { return below_->now(); }
  [[nodiscard]] std::string epoch() const override { return below_->epoch(); }
  [[nodiscard]] std::string describe() const override { return "line:"; }

 private:
  Result<void> arrive() {
    ++calls;
    if (server_.away) return failure(ErrorCode::kUnavailable, "STORE_UNAVAILABLE", "away");
    return {};
  }
  const std::unique_ptr<MemoryStore> below_;
  const Server& server_;
};

// `busy` hears the parties, `idle` only looks on; each of two lanes, and as many targets as it takes for both to have
// some. Idle always comes first.
struct Fleet {
  explicit Fleet(Duration its_lease) : lease(its_lease) {
    Options options = quick_options();
    options.poll = 2s;
    options.lanes = 2;
    for (std::size_t i = 0; i < 2; ++i) {
      lines.push_back(std::make_unique<Line>(memory.another_handle(), server));
      options.boot = i == 0 ? "idle" : "busy";
      engines.push_back(make_stepped_engine(*lines.back(), options, clock));
      EXPECT_TRUE(engines.back()->start().has_value());
    }
  }

  void turn() {
    for (const auto& engine : engines) {
      // Whatever its lanes send each other in a turn is looked at in the same moment.
      for (int n = 0; n < 10 && engine->due().value_or(Steady::max()) <= clock.steady(); ++n) engine->turn();
    }
  }
  void goes_on_for(Duration time) {
    for (const Duration until = clock.awake + time; clock.awake < until;) {
      clock.awake += 20ms;
      turn();
    }
  }
  void join() {
    for (const std::string& target : targets) {
      round::Join join = join_of(target, "eu", "e1", 2);
      join.lease = lease;
      engines[1]->submit(TargetName{target}, join, [](const auto&) {});
    }
    turn();
  }
  // How many were told that their lease goes on.
  std::size_t renew() {
    const auto answers = inbox<TargetResult>();
    for (const std::string& target : targets) {
      engines[1]->submit(TargetName{target}, round::Renew{IncarnationId{"e1"}, Token{}},
                         [answers](TargetResult r) { answers->put(std::move(r)); });
    }
    goes_on_for(60ms);
    return static_cast<std::size_t>(std::ranges::count_if(
        answers->now(), [](const TargetResult& r) { return r && !r->reply.error && r->reply.lease_until; }));
  }
  // Of all targets.
  std::size_t count(round::EventKind kind) {
    std::size_t n = 0;
    for (const std::string& target : targets) {
      const auto events = engines[1]->events(TargetName{target}, Revision{}, 100);
      n += static_cast<std::size_t>(std::ranges::count(*events, kind, &round::Event::kind));
    }
    return n;
  }
  std::size_t lapsed() { return count(round::EventKind::kPartyLapsed); }
  // Until every silent party has lapsed, or `most` is over.
  Duration until_all_lapsed(Duration most) {
    const Duration began = clock.awake;
    while (lapsed() < targets.size() && clock.awake - began < most) goes_on_for(20ms);
    return clock.awake - began;
  }

  const Duration lease;
  HandClock clock;
  MemoryStore memory{clock.of_store()};
  Server server;
  std::vector<std::unique_ptr<Line>> lines;
  std::vector<std::unique_ptr<SteppedEngine>> engines;
  const std::vector<std::string> targets = {"a", "b", "c", "d", "e", "f", "g", "h"};
};

TEST(Sight, AGapCountsForThoseThatItCouldCost) {
  Sight sight(true);
  EXPECT_EQ(sight.seen_since(5s, 100s), 100s) << "nothing was ever seen";
  sight.answered(100s, 100s);
  for (Duration at = 102s; at <= 110s; at += 2s) sight.answered(at, at);
  EXPECT_EQ(sight.seen_since(5s, 111s), 100s);
  EXPECT_EQ(sight.seen_since(1s, 111s), 110s) << "whom two seconds can cost his lease cannot rely on these";
  EXPECT_EQ(sight.seen_since(5s, 116s), 116s) << "nor anybody now";
  sight.answered(117s, 117s);
  for (Duration at = 119s; at <= 125s; at += 2s) sight.answered(at, at);
  EXPECT_EQ(sight.seen_since(5s, 126s), 117s);
  EXPECT_EQ(sight.seen_since(7s, 126s), 100s);
}

TEST(Sight, AnAnswerProvesTheTimeOfItsQuestionOnly) {
  Sight sight(true);
  sight.answered(100s, 100s);
  sight.answered(101s, 110s);
  EXPECT_EQ(sight.seen_since(8s, 110s), 110s) << "it may have been away for nine of the ten seconds";
  sight.answered(110s, 110s);
  EXPECT_EQ(sight.seen_since(8s, 111s), 110s);
  EXPECT_EQ(sight.seen_since(10s, 111s), 100s);
}

TEST(Sight, AStoreThatTakesNoWritesIsNotSeen) {
  for (const bool shared : {true, false}) {
    Sight sight(shared);
    sight.answered(100s, 100s);
    sight.refused(101s);
    sight.answered(102s, 102s);
    EXPECT_EQ(sight.seen_since(60s, 103s), 101s);
  }
}

TEST(Sight, ALaneAloneWithItsStoreNeedsNoProof) {
  const Sight sight(false);
  EXPECT_LT(sight.seen_since(1s, 100s), 0s);
}

TEST(Sight, ForgetsNoGapThatMatters) {
  Sight sight(true);
  Duration at = 0s;
  for (Duration gap = 60s; gap > 1s; gap -= 50ms) {
    at += gap;
    sight.answered(at, at);
  }
  EXPECT_EQ(sight.seen_since(1s, at), at);
  EXPECT_EQ(sight.seen_since(1'060ms, at), at - 1'050ms);
  EXPECT_GE(sight.seen_since(59s, at), 60s + 59'950ms + 59'900ms) << "it is not forgotten that there was a long one";
}

// Seen by simulation: renewals were refused by one daemon, and a lane of another, which had nothing to ask meanwhile,
// took that for silence.
TEST(Outage, CostsNobodyALeaseThatAnotherDaemonJudges) {
  for (const Duration lease : {15s, 6s, 2s}) {
    Fleet fleet(lease);
    fleet.join();
    // So that its end comes at any time before that of the lease, and now and then between two polls.
    for (Duration early = 0ms; early < lease / 3; early += lease / 12) {
      fleet.goes_on_for(lease / 3);
      ASSERT_EQ(fleet.renew(), fleet.targets.size());
      fleet.goes_on_for(lease / 30);
      fleet.server.away = true;
      fleet.goes_on_for(lease / 3);
      EXPECT_EQ(fleet.renew(), 0u);
      fleet.goes_on_for(lease - lease / 3 - lease / 30 - early - 20ms);
      fleet.server.away = false;
      fleet.goes_on_for(early + lease / 6);
      EXPECT_EQ(fleet.renew(), fleet.targets.size());
    }
    EXPECT_EQ(fleet.lapsed(), 0u) << lease.count();
    EXPECT_EQ(fleet.count(round::EventKind::kPartyRevived), 0u);
  }
}

TEST(Outage, KeepsTheDeadForOneTermOnly) {
  for (const Duration lease : {15s, 2s}) {
    Fleet fleet(lease);
    fleet.join();
    fleet.goes_on_for(lease / 2);
    fleet.server.away = true;
    fleet.goes_on_for(lease);
    fleet.server.away = false;
    EXPECT_LE(fleet.until_all_lapsed(10 * lease), lease + lease / 2 + 1s) << "of those who were silent since";
    EXPECT_EQ(fleet.lapsed(), fleet.targets.size());
  }
}

TEST(Outage, OfWritesAloneCostsNobodyALeaseEither) {
  Fleet fleet(15s);
  fleet.join();
  fleet.goes_on_for(1s);
  fleet.server.full = true;  // reads go on, so nobody who only looks can see it
  fleet.goes_on_for(9s);
  EXPECT_EQ(fleet.renew(), 0u);
  fleet.goes_on_for(8s);
  fleet.server.full = false;
  fleet.goes_on_for(3s);
  EXPECT_EQ(fleet.renew(), fleet.targets.size());
  EXPECT_EQ(fleet.lapsed(), 0u);
}

// Without an outage a silent party lapses when its lease ends, whoever judges it, and nobody is given grace.
TEST(Outage, ThatWasNoneKeepsNobody) {
  for (const Duration lease : {60s, 15s, 2s, 1s}) {
    Fleet fleet(lease);
    fleet.join();
    fleet.goes_on_for(lease / 3);
    EXPECT_EQ(fleet.renew(), fleet.targets.size());
    EXPECT_LE(fleet.until_all_lapsed(3 * lease), lease + 60ms) << lease.count();
    EXPECT_EQ(fleet.count(round::EventKind::kGraceGiven), 0u);
  }
}

// What a daemon asks that has only to look on, while parties are there that it may have to judge: its polls, and what
// others changed.
TEST(Outage, IsLookedOutForByThePollAlone) {
  Fleet fleet(15s);
  fleet.join();
  fleet.goes_on_for(1s);
  const std::size_t before = fleet.lines[0]->calls;
  constexpr std::size_t kTimes = 10;
  for (std::size_t i = 0; i < kTimes; ++i) {
    fleet.goes_on_for(5s);
    ASSERT_EQ(fleet.renew(), fleet.targets.size());
  }
  const std::size_t polls = kTimes * 5 / 2 + 1;
  EXPECT_LE(fleet.lines[0]->calls - before, polls + kTimes * fleet.targets.size());
}

}  // namespace
}  // namespace syzygy::engine
