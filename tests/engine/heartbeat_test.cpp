// Renewals that come together: the pure grid, and parties that follow it through an engine whose time the test owns.
#include "engine/heartbeat.h"

#include <map>
#include <queue>
#include <random>

#include "engine/stepped.h"
#include "tests/engine/world.h"

namespace syzygy::engine {
namespace {

constexpr Instant kStart{1'700'000'000'000};

TEST(Heartbeat, AllOfOneRecordAreSentToOneMoment) {
  const std::uint64_t tick = tick_of("t/orders");
  std::map<std::int64_t, int> moments;
  for (int ms = 0; ms < 60'000; ++ms) {
    const Instant arrived = kStart + Duration{ms};
    ++moments[(arrived + renew_after(tick, arrived, 15s)).ms];
  }
  ASSERT_GE(moments.size(), 13u);
  std::int64_t before = 0;
  for (const auto& [at, count] : moments) {
    if (before != 0) EXPECT_EQ(at - before, 9 * 512);
    before = at;
  }
}

TEST(Heartbeat, NeverLaterThanAThirdOfTheLeaseAndNeverAtOnce) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const Duration lease{static_cast<std::int64_t>(random() % 200'000)};
    const Instant arrived = kStart + Duration{static_cast<std::int64_t>(random() % 1'000'000)};
    const Duration after = renew_after(random(), arrived, lease);
    ASSERT_LE(after, lease / 3) << lease.count();
    ASSERT_GE(after, lease / 3 / 32) << lease.count();
  }
  EXPECT_EQ(renew_after(7, kStart, Duration{-5}).count(), -1);
  EXPECT_EQ(renew_after(7, kStart, Duration{0}), Duration{0});
  EXPECT_EQ(renew_after(7, Instant{-3}, 15s), renew_after(7, Instant{9 * 512 - 3}, 15s));
}

TEST(Heartbeat, AllRecordsLieOnFewTicks) {
  std::map<std::int64_t, int> ticks;
  for (int i = 0; i < 900; ++i) {
    const Duration after = renew_after(tick_of("t/target-" + std::to_string(i)), kStart, 15s);
    ++ticks[(kStart + after).ms];
  }
  EXPECT_EQ(ticks.size(), 9u);
  for (const auto& [at, count] : ticks) {
    EXPECT_EQ(at % 512, ticks.begin()->first % 512);
    EXPECT_GT(count, 50) << "they are spread";
  }
}

// Who came early is not sent to the moment that he came for, and who came late finds back.
TEST(Heartbeat, JitterDoesNotAddRenewals) {
  const std::uint64_t tick = tick_of("t/orders");
  const Instant moment = kStart + renew_after(tick, kStart, 15s);
  for (const int late : {-200, -20, -1, 0, 1, 20, 200, 1'000}) {
    const Duration after = renew_after(tick, moment + Duration{late}, 15s);
    EXPECT_EQ((after + Duration{late}).count(), 9 * 512) << late;
  }
}

struct OwnedTime final : Clock {
  Duration gone{0};
  [[nodiscard]] Steady steady() const override { return Steady{} + 100h + gone; }
  [[nodiscard]] Duration boot() const override { return 100h + gone; }
};

TEST(Heartbeat, PartiesThatWaitShareTurnsAndCommits) {
  constexpr int kTargets = 30;
  constexpr int kParties = 300;
  OwnedTime time;
  MemoryStore store{[&] { return kStart + time.gone; }};
  Options options;
  options.boot = "boot-1";
  const auto engine = make_stepped_engine(store, options, time);
  ASSERT_TRUE(engine->start().has_value());

  std::mt19937_64 random(7);
  const auto some = [&](int most) {
    return Duration{static_cast<std::int64_t>(random() % static_cast<unsigned>(most))};
  };
  struct Event {
    Duration at;
    int party;
    Duration sent;
    bool operator>(const Event& other) const { return std::tie(at, party) > std::tie(other.at, other.party); }
  };
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  std::vector<bool> joined(kParties, false);
  std::uint64_t lapses = 0;
  for (int party = 0; party < kParties; ++party) {
    const Duration sent = some(20'000);
    events.push({sent, party, sent});
  }
  const auto arrive = [&](const Event& event) {
    const std::string target = "target-" + std::to_string(event.party % kTargets);
    const std::string name = std::to_string(event.party);
    round::Command command = round::Renew{IncarnationId{"i" + name}, Token{}};
    if (!joined[static_cast<std::size_t>(event.party)]) command = join_of(target, "p" + name, "i" + name, kParties);
    joined[static_cast<std::size_t>(event.party)] = true;
    engine->submit(TargetName{target}, std::move(command), [&, event](const TargetResult& answer) {
      ASSERT_TRUE(answer.has_value());
      ASSERT_FALSE(answer->reply.error.has_value()) << answer->reply.error->message;
      EXPECT_LE(answer->renew_after, 5s);
      const Duration sent = event.sent + answer->renew_after;  // as the clients do
      if (time.gone >= sent) ++lapses;
      events.push({sent + some(40), event.party, sent});
    });
  };
  Stats before;
  for (const Duration until : {40s, 100s}) {
    before = engine->stats();
    while (!events.empty() && time.gone < until) {
      Duration next = events.top().at;
      if (const auto due = engine->due()) {
        next = std::min(next, std::max(time.gone, std::chrono::ceil<Duration>(*due - (Steady{} + 100h))));
      }
      time.gone = std::max(time.gone, next);
      while (!events.empty() && events.top().at <= time.gone) {
        const Event event = events.top();
        events.pop();
        arrive(event);
      }
      if (const auto due = engine->due(); due && *due <= time.steady()) engine->turn();
    }
  }
  const Stats after = engine->stats();
  EXPECT_EQ(lapses, 0u);
  constexpr double kPeriods = 60 / 4.608;
  EXPECT_NEAR(static_cast<double>(after.renewals - before.renewals), kParties * kPeriods, kParties);
  EXPECT_NEAR(static_cast<double>(after.committed_records - before.committed_records), kTargets * kPeriods, kTargets);
  EXPECT_LE(after.commits - before.commits, 60'000u / 512 + 2) << "those of all targets of one tick in one";
  // One for the first of each tick and one for all, and two for each poll of a store that others may use.
  EXPECT_LE(after.turns - before.turns, 2 * (60'000u / 512 + 2) + 2 * (60u / 2 + 1));
  EXPECT_EQ(after.events, before.events) << "nobody lapsed";
  engine->stop();
}

}  // namespace
}  // namespace syzygy::engine
