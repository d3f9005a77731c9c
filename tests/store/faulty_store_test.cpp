#include "tests/store/faulty_store.h"

#include <algorithm>
#include <map>
#include <sstream>
#include <thread>

#include "store/memory.h"
#include "tests/store/conformance.h"

namespace syzygy::store_tests {
namespace {

// Without faults it is a store like any other.
class FaultlessStore final : public BackendUnderTest {
 public:
  std::unique_ptr<Store> open() override {
    handles_.push_back(first_.another_handle());
    return std::make_unique<FaultyStore>(*handles_.back());
  }

 private:
  MemoryStore first_;
  std::vector<std::unique_ptr<MemoryStore>> handles_;
};

const MakeBackend kFaultless{"FaultyStoreWithoutFaults", [] { return std::make_unique<FaultlessStore>(); }};
INSTANTIATE_TEST_SUITE_P(Wrapper, StoreConformance, ::testing::Values(kFaultless), backend_name);

class Faulty : public ::testing::Test {
 protected:
  MemoryStore memory_;
  FaultyStore store_{memory_};
  Version version_ = commit_one(memory_, {.key = "a", .bytes = "1"});

  Change update() { return {.key = "a", .expected = version_, .bytes = "2"}; }
};

TEST_F(Faulty, DownIsDownUntilItIsUp) {
  store_.set_down(true);
  const Change change = update();
  EXPECT_EQ(store_.load("a").error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store_.scan("", "", 1).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store_.history("a", 0, 1).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store_.commit({&change, 1}).error().code, ErrorCode::kUnavailable);
  store_.set_down(false);
  EXPECT_EQ(bytes_of(store_, "a"), "1");
  EXPECT_EQ(store_.counts().unavailable, 4u);
}

TEST_F(Faulty, AConflictIsARealOneAndIsHinted) {
  std::vector<Listed> hints;
  store_.watch([&](const std::string& key, const Version& version) { hints.push_back({key, version}); });
  store_.next_commit(CommitFault::kConflict);
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kConflict);
  const auto loaded = load(store_, "a");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->bytes, "1");
  EXPECT_NE(loaded->version, version_);
  ASSERT_EQ(hints.size(), 1u);
  EXPECT_EQ(hints[0].version, loaded->version);
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kConflict);
  version_ = loaded->version;
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kCommitted);
}

TEST_F(Faulty, AnUnknownCommitHappenedOrNot) {
  store_.next_commit(CommitFault::kUnknownLost);
  store_.next_commit(CommitFault::kUnknownApplied);
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kUnknown);
  EXPECT_EQ(bytes_of(store_, "a"), "1");
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kUnknown);
  EXPECT_EQ(bytes_of(store_, "a"), "2");
  EXPECT_EQ(store_.counts().unknown_lost, 1u);
  EXPECT_EQ(store_.counts().unknown_applied, 1u);
}

TEST_F(Faulty, ALateCommitLandsLater) {
  store_.next_commit(CommitFault::kUnknownLate);
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kUnknown);
  EXPECT_EQ(bytes_of(store_, "a"), "1");
  store_.land();
  EXPECT_EQ(bytes_of(store_, "a"), "2");
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kConflict);
}

TEST_F(Faulty, ALateCommitLosesAgainstAFasterOne) {
  store_.next_commit(CommitFault::kUnknownLate);
  EXPECT_EQ(outcome_of(store_, update()), CommitOutcome::kUnknown);
  commit_one(store_, {.key = "a", .expected = version_, .bytes = "3"});
  store_.land();
  EXPECT_EQ(bytes_of(store_, "a"), "3");
  EXPECT_EQ(store_.counts().landed, 0u);
}

TEST_F(Faulty, HintsGetLostRepeatedAndLate) {
  const auto other = memory_.another_handle();
  std::vector<std::string> hints;
  store_.watch([&](const std::string& key, const Version&) { hints.push_back(key); });
  commit_one(*other, {.key = "plain"});
  store_.set_plan({.hint_lost = 1000});
  commit_one(*other, {.key = "lost"});
  store_.set_plan({.hint_repeated = 1000});
  commit_one(*other, {.key = "repeated"});
  store_.set_plan({.hint_late = 1000});
  commit_one(*other, {.key = "late"});
  EXPECT_EQ(hints, (std::vector<std::string>{"plain", "repeated", "repeated"}));
  store_.release_hints();
  EXPECT_EQ(hints.back(), "late");
  store_.watch({});
  commit_one(*other, {.key = "nobody"});
  EXPECT_EQ(hints.size(), 4u);
}

TEST_F(Faulty, TimeJumps) {
  MemoryStore at_noon([] { return Instant{1000}; });
  FaultyStore store(at_noon);
  store.jump_clock(Duration{-300});
  EXPECT_EQ(store.now(), Instant{700});
  EXPECT_EQ(store.now(), Instant{700});
  store.set_plan({.clock_jump = 1000, .clock_jump_max = Duration{50}});
  bool earlier = false;
  bool later = false;
  Instant last{700};
  for (int i = 0; i < 100; ++i) {
    const Instant now = *store.now();
    EXPECT_LE(std::abs((now - last).count()), 50);
    earlier |= now < last;
    later |= now > last;
    last = now;
  }
  EXPECT_TRUE(earlier && later);
}

TEST_F(Faulty, LatencyIsTheCallersAffair) {
  Duration waited{0};
  FaultyStore store(memory_, {.slow = 1000, .slow_max = Duration{5000}}, [&](Duration pause) { waited += pause; });
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(store.load("a"));
  EXPECT_GT(waited, Duration{5000});
  EXPECT_LE(waited, Duration{20 * 5000});
}

constexpr FaultPlan kStorm{.seed = 7,
                           .unavailable = 50,
                           .conflict = 100,
                           .unknown_applied = 80,
                           .unknown_lost = 80,
                           .unknown_late = 150,
                           .clock_jump = 10,
                           .clock_jump_max = Duration{10'000}};

TEST_F(Faulty, ASeedReplays) {
  const auto transcript = [](std::uint64_t seed) {
    MemoryStore memory([] { return Instant{0}; });
    FaultPlan plan = kStorm;
    plan.seed = seed;
    FaultyStore store(memory, plan);
    std::ostringstream text;
    std::optional<Version> version;
    for (int i = 0; i < 300; ++i) {
      if (const auto loaded = store.load("a"); loaded && *loaded) version = (*loaded)->version;
      const Change change{.key = "a", .expected = version, .bytes = std::to_string(i)};
      const auto results = store.commit({&change, 1});
      text << (results ? static_cast<int>(results->front().outcome) : -1) << ' ' << store.now()->ms << ' ';
    }
    return text.str();
  };
  EXPECT_EQ(transcript(1), transcript(1));
  EXPECT_NE(transcript(1), transcript(2));
}

// Exactly what the engine does: load, fold, commit, and after an unknown commit load and look. In a storm of faults
// each operation takes effect once, and nothing that was acknowledged is lost.
TEST_F(Faulty, WhoLooksAfterAnUnknownCommitLosesAndRepeatsNothing) {
  constexpr int kThreads = 4;
  constexpr int kEach = 250;
  MemoryStore memory;
  FaultyStore store(memory, kStorm);
  const auto append = [&store](const std::string& id) {
    for (;;) {
      const auto loaded = store.load("list");
      if (!loaded) continue;
      Change change{.key = "list"};
      if (const auto& record = *loaded) {
        change.expected = record->version;
        change.bytes = record->bytes;
      }
      if (change.bytes.find(" " + id + ";") != std::string::npos) return;  // it had happened
      change.bytes += " " + id + ";";
      const auto results = store.commit({&change, 1});
      if (results && results->front().outcome == CommitOutcome::kCommitted) return;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&append, thread] {
        for (int i = 0; i < kEach; ++i) append(std::to_string(thread) + "." + std::to_string(i));
      });
    }
  }
  store.land();
  std::map<std::string, int> seen;
  std::istringstream list(bytes_of(memory, "list"));
  for (std::string id; list >> id;) ++seen[id];
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kThreads * kEach));
  for (const auto& [id, times] : seen) EXPECT_EQ(times, 1) << id;
  const FaultCounts counts = store.counts();
  EXPECT_GT(counts.unavailable, 10u);
  EXPECT_GT(counts.conflicts, 10u);
  EXPECT_GT(counts.unknown_applied, 10u);
  EXPECT_GT(counts.unknown_lost, 10u);
  EXPECT_GT(counts.unknown_late, 10u);
  EXPECT_GT(counts.landed, 10u);
}

}  // namespace
}  // namespace syzygy::store_tests
