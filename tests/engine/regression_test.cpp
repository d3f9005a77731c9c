// A store that goes back in time below a running daemon: what the daemon saw is put to the record, and nothing is
// granted twice.
#include <mutex>

#include "round/view.h"
#include "tests/engine/world.h"

namespace syzygy::engine {
namespace {

using round::State;
using round::Verdict;

// A store whose contents can be exchanged at any moment for others; its epoch stays, as that of a copy does, or not.
class TimeMachine final : public Store {
 public:
  TimeMachine() : now_(std::make_shared<MemoryStore>()), epoch_(now_->epoch()) {}

  struct Copy {
    std::string key;
    std::string bytes;
  };
  std::vector<Copy> backup() {
    std::vector<Copy> copies;
    const auto store = current();
    const auto all = store->scan("", "", 100);  // by a name: g++ 12 does not keep what a range is taken from
    for (const Listed& listed : *all) {
      copies.push_back({listed.key, (*store->load(listed.key))->bytes});
    }
    return copies;
  }
  void restore(const std::vector<Copy>& copies) {
    auto old = std::make_shared<MemoryStore>();
    for (const Copy& copy : copies) {
      const auto done = old->commit(std::vector<Change>{Change{.key = copy.key, .bytes = copy.bytes}});
      ASSERT_EQ(done->front().outcome, CommitOutcome::kCommitted);
    }
    const std::lock_guard lock(mutex_);
    now_ = old;
  }
  void flush() {
    const std::lock_guard lock(mutex_);
    now_ = std::make_shared<MemoryStore>();
    epoch_ = now_->epoch();
  }
  void fail_over() {
    const std::lock_guard lock(mutex_);
    lineage_ = "another server";
  }

  Result<std::optional<Loaded>> load(const std::string& key) override { return current()->load(key); }
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override {
    return current()->scan(prefix, after, limit);
  }
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override {
    return current()->history(key, after, limit);
  }
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override {
    return current()->commit(changes);
  }
  void watch(Hint) override {}  // hints may be lost: the poll backs them up
  Result<Instant> now() override { return current()->now(); }
  [[nodiscard]] std::string epoch() const override {
    const std::lock_guard lock(mutex_);
    return epoch_;
  }
  [[nodiscard]] std::string lineage() const override {
    const std::lock_guard lock(mutex_);
    return lineage_;
  }
  [[nodiscard]] std::string describe() const override { return "a time machine"; }

 private:
  std::shared_ptr<MemoryStore> current() const {
    const std::lock_guard lock(mutex_);
    return now_;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<MemoryStore> now_;
  std::string epoch_;
  std::string lineage_ = "a server";
};

Options short_leases() {
  Options options = quick_options();
  options.rounds.lease_max = options.rounds.lease_unfenced = options.rounds.lease = 2'000ms;
  options.rounds.lock_delay_unfenced = 500ms;
  return options;
}

struct RestoredWorld {
  TimeMachine store;
  std::unique_ptr<Engine> engine = make_engine(store, short_leases());
  RestoredWorld() { EXPECT_TRUE(engine->start().has_value()); }

  const round::Record& record() {
    const auto state = get(*engine, "orders");
    EXPECT_TRUE(state.has_value());
    if (state) seen_ = *state;
    return seen_->record;
  }
  bool becomes(State state) {
    return eventually([&] { return !record().rounds.empty() && record().rounds.front().state == state; });
  }
  // Joined alone, elected, and told to proceed: token 1.
  void begin_run(bool fenced) {
    ask(*engine, "orders", join_of("orders", "eu", "e1", 1));
    round::Confirm confirm;
    confirm.request = {IncarnationId{"e1"}, 2};
    confirm.round = RoundId{"round-of-orders-e1"};
    confirm.token = Token{1};
    confirm.fenced = fenced;
    confirm.finding.kind = round::Finding::Kind::kWhole;
    EXPECT_EQ(ask(*engine, "orders", confirm)->reply.verdict, Verdict::kProceed);
  }
  Result<TargetAnswer> report_success() {
    round::Report report;
    report.request = {IncarnationId{"e1"}, 3};
    report.round = RoundId{"round-of-orders-e1"};
    report.token = Token{1};
    report.result = round::RunResult::kSucceeded;
    return ask(*engine, "orders", report);
  }

 private:
  TargetStatePtr seen_;
};

TEST(Regression, AnEmptiedStoreIsToldOfTheRoundThatRan) {
  RestoredWorld world;
  world.begin_run(true);
  const std::string life = world.record().epoch;
  auto updates = inbox<Update>();
  const auto watching = world.engine->watch(TargetName{"orders"}, "", {}, [&](const Update& u) { updates->put(u); });
  ASSERT_TRUE(watching.has_value());
  updates->wait_for(1);
  world.store.flush();
  ASSERT_TRUE(world.becomes(State::kRecovering));
  EXPECT_TRUE(world.record().resync.has_value());
  EXPECT_NE(world.record().epoch, life);
  EXPECT_TRUE(updates->wait_until([&](const auto& all) { return all.back().gap && all.back().state->epoch != life; }));
  // Who comes now gathers, and is granted nothing before that is over; then above everything seen.
  round::Join other = join_of("orders", "us", "u1", 1);
  other.plan = plan_of("orders", {"0002"});
  EXPECT_EQ(ask(*world.engine, "orders", other)->state->record.rounds.back().state, State::kGathering);
  EXPECT_EQ(world.report_success()->state->record.rounds.front().state, State::kSucceeded);
  ASSERT_TRUE(eventually([&] { return !world.record().resync.has_value(); }));
  EXPECT_GT(world.record().token, Token{1'000});
}

TEST(Regression, ARunWithoutAFenceEndsIndeterminate) {
  RestoredWorld world;
  world.begin_run(false);
  world.store.flush();
  ASSERT_TRUE(world.becomes(State::kRecovering));
  ASSERT_TRUE(world.becomes(State::kIndeterminate));
}

TEST(Regression, ASuccessThatWasToldIsToldAgain) {
  RestoredWorld world;
  world.begin_run(false);
  const auto copy = world.store.backup();
  EXPECT_EQ(world.report_success()->state->record.rounds.front().state, State::kSucceeded);
  world.store.restore(copy);
  ASSERT_TRUE(eventually([&] { return world.record().resync.has_value(); }));
  EXPECT_EQ(world.record().rounds.front().state, State::kSucceeded);
  EXPECT_EQ(world.record().rounds.front().outcome->message, "as it was told before the store lost it");
}

TEST(Regression, NobodyIsElectedWhileAnotherServerIsSuspected) {
  RestoredWorld world;
  round::Join first = join_of("orders", "eu", "e1", 2);
  ask(*world.engine, "orders", first);
  world.store.fail_over();
  const auto second = ask(*world.engine, "orders", join_of("orders", "us", "u1", 2));
  EXPECT_EQ(second->state->record.rounds.front().state, State::kGathering);
  EXPECT_TRUE(eventually([&] {  // they renew, as who waits does
    for (const char* who : {"e1", "u1"}) ask(*world.engine, "orders", round::Renew{IncarnationId{who}, {}});
    return world.record().rounds.front().state == State::kElected;
  }));
  EXPECT_FALSE(world.record().resync.has_value());  // what agrees goes on
}

}  // namespace
}  // namespace syzygy::engine
