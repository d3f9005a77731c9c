// Many threads, many targets, two daemons on one store that misbehaves: every command that was accepted had its effect
// exactly once, and nobody was told two different things. The seed is printed and replays the faults (not the threads).
#include <map>
#include <random>
#include <set>
#include <thread>

#include "round/history.h"
#include "tests/engine/world.h"
#include "tests/store/faulty_store.h"

namespace syzygy::engine {
namespace {

using round::EventKind;
using round::State;
using round::Verdict;

constexpr int kThreads = 6;
constexpr int kTargets = 5;
constexpr int kProcessesPerThread = 25;

FaultPlan faults(std::uint64_t seed) {
  FaultPlan plan;
  plan.seed = seed;
  plan.unavailable = 5;
  plan.conflict = 60;
  plan.unknown_applied = 25;
  plan.unknown_lost = 25;
  plan.unknown_late = 25;
  plan.hint_lost = 200;
  plan.hint_repeated = 100;
  plan.hint_late = 100;
  return plan;
}

std::string target_name(int n) { return "target-" + std::to_string(n); }

// What the processes were told, to be held against the history.
struct Account {
  std::mutex mutex;
  std::map<std::string, std::multiset<std::string>> joined;     // target -> incarnations that were told to wait
  std::map<std::string, std::multiset<std::string>> excused;    // target -> parties whose excuse was accepted
  std::map<std::string, std::multiset<std::string>> succeeded;  // target -> rounds whose report was accepted
  std::map<std::uint64_t, std::set<std::string>> completed;     // generation of the barrier -> who was told so
  std::map<std::uint64_t, barrier::State> ended;
  std::uint64_t left_waiting = 0;
};

class Process {
 public:
  Process(std::vector<Engine*> engines, std::uint64_t seed, std::string incarnation)
      : engines_(std::move(engines)), random_(seed), incarnation_(std::move(incarnation)) {}

  // Sends until it is answered: now by this daemon, now by that one, sometimes twice though it was answered.
  TargetResult send(const std::string& target, const round::Command& command) {
    for (int attempt = 0;; ++attempt) {
      auto result = ask(*engines_[random_() % engines_.size()], target, command);
      const bool away = !result && result.error().code == ErrorCode::kUnavailable;
      if (away && attempt < 10'000) {
        std::this_thread::yield();
        continue;
      }
      if (result && !result->reply.error && random_() % 5 == 0 && !repeated_) {
        repeated_ = true;
        const auto again = send(target, command);
        repeated_ = false;
        EXPECT_TRUE(again.has_value());
        if (again) {
          EXPECT_EQ(again->reply.verdict, result->reply.verdict);
          EXPECT_EQ(again->reply.token, result->reply.token);
        }
      }
      return result;
    }
  }

  BarrierResult enter(std::uint32_t quorum, Duration wait) {
    for (;;) {
      const barrier::Enter enter{quorum, PartyName{incarnation_}, IncarnationId{incarnation_}, Duration{0}};
      auto answers = inbox<BarrierResult>();
      engines_[random_() % engines_.size()]->submit("gate", enter, wait,
                                                    [answers](BarrierResult r) { answers->put(std::move(r)); });
      auto result = answers->wait_for(1).at(0);
      if (result || result.error().code != ErrorCode::kUnavailable) return result;
      std::this_thread::yield();
    }
  }

  std::uint64_t draw(std::uint64_t below) { return random_() % below; }
  const std::string& incarnation() const { return incarnation_; }
  round::RequestId next() { return {IncarnationId{incarnation_}, ++sequence_}; }

 private:
  std::vector<Engine*> engines_;
  std::mt19937_64 random_;
  const std::string incarnation_;
  std::uint64_t sequence_ = 0;
  bool repeated_ = false;
};

void live(Process& process, Account& account) {
  const std::string target = target_name(static_cast<int>(process.draw(kTargets)));
  const std::string party = "party-" + std::to_string(process.draw(4));

  round::Join join = join_of(target, party, process.incarnation(), 2);
  join.request = process.next();
  join.again = true;
  join.checked = true;
  const TargetResult joined = process.send(target, join);
  ASSERT_TRUE(joined.has_value()) << joined.error().message;
  if (joined->reply.verdict == Verdict::kWait) {
    const std::lock_guard lock(account.mutex);
    account.joined[target].insert(process.incarnation());
  }

  // Whoever is elected applies; the others leave.
  for (const round::Round& r : joined->state->record.rounds) {
    if (!r.grant || r.grant->incarnation.value != process.incarnation()) continue;
    round::Confirm confirm;
    confirm.request = process.next();
    confirm.round = r.id;
    confirm.token = r.grant->token;
    confirm.fenced = true;
    confirm.finding.kind = round::Finding::Kind::kWhole;
    const TargetResult confirmed = process.send(target, confirm);
    ASSERT_TRUE(confirmed.has_value());
    if (confirmed->reply.verdict != Verdict::kProceed) break;
    round::Report report;
    report.request = process.next();
    report.round = r.id;
    report.token = confirm.token;
    report.result = round::RunResult::kSucceeded;
    report.steps_done = 1;
    report.in_target = true;
    report.session_ended = true;
    const TargetResult reported = process.send(target, report);
    ASSERT_TRUE(reported.has_value());
    if (reported->reply.verdict == Verdict::kDone) {
      const std::lock_guard lock(account.mutex);
      account.succeeded[target].insert(r.id.value);
    }
  }

  round::SetTarget excuse;
  excuse.request = process.next();
  excuse.excuse = PartyName{"excused-by-" + process.incarnation()};
  excuse.excuse_for = 3'600s;
  excuse.actor = process.incarnation();
  excuse.reason = "stress";
  const TargetResult excused = process.send(target, excuse);
  ASSERT_TRUE(excused.has_value());
  if (!excused->reply.error) {
    const std::lock_guard lock(account.mutex);
    account.excused[target].insert(excuse.excuse->value);
  }
  ASSERT_TRUE(process.send(target, round::Renew{IncarnationId{process.incarnation()}, Token{}}).has_value());
  round::Leave leave;
  leave.request = process.next();
  ASSERT_TRUE(process.send(target, leave).has_value());

  const BarrierResult entered = process.enter(3, 20ms);
  ASSERT_TRUE(entered.has_value());
  ASSERT_FALSE(entered->reply.error.has_value()) << entered->reply.error->message;
  const std::lock_guard lock(account.mutex);
  const barrier::Reply& reply = entered->reply;
  if (reply.state == barrier::State::kWaiting) {
    ++account.left_waiting;
    return;
  }
  const auto [it, first] = account.ended.emplace(reply.generation.value, reply.state);
  EXPECT_EQ(it->second, reply.state);
  if (reply.completed_by_you) account.completed[reply.generation.value].insert(process.incarnation());
}

// What a watcher was told: revisions rise without a gap that it was not told of.
void check_updates(const std::vector<Update>& updates) {
  std::uint64_t at = 0;
  for (const Update& update : updates) {
    for (const round::Event& event : *update.events) {
      if (!update.gap) {
        EXPECT_EQ(event.revision.value, at + 1);
      }
      at = event.revision.value;
    }
    if (update.gap) at = update.state->record.revision.value;
    EXPECT_EQ(update.state->record.revision.value, at);
  }
}

TEST(EngineStress, EachAcceptedCommandHasItsEffectOnce) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  MemoryStore memory;
  const auto handle = memory.another_handle();
  FaultyStore store_one(memory, FaultPlan{});
  FaultyStore store_two(*handle, FaultPlan{});
  Options options = quick_options();
  options.lanes = 2;
  options.cache_bytes_max = 8'000;  // records come and go
  auto one = make_engine(store_one, options);
  options.boot = "boot-of-two";
  options.lanes = 1;
  auto two = make_engine(store_two, options);
  ASSERT_TRUE(one->start().has_value());
  ASSERT_TRUE(two->start().has_value());

  std::vector<std::shared_ptr<Inbox<Update>>> updates;
  std::vector<SubscriptionPtr> subscriptions;
  for (Engine* engine : {one.get(), two.get()}) {
    for (int t = 0; t < kTargets; ++t) {
      auto box = inbox<Update>();
      auto subscription = engine->watch(TargetName{target_name(t)}, store_one.epoch(), Revision{},
                                        [box](const Update& update) { box->put(update); });
      ASSERT_TRUE(subscription.has_value());
      subscriptions.push_back(*std::move(subscription));
      updates.push_back(std::move(box));
    }
  }
  store_one.set_plan(faults(seed));
  store_two.set_plan(faults(seed + 1));

  Account account;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int p = 0; p < kProcessesPerThread; ++p) {
        const std::string incarnation = "i-" + std::to_string(t) + "-" + std::to_string(p);
        Process process({one.get(), two.get()}, seed ^ std::hash<std::string>{}(incarnation), incarnation);
        live(process, account);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  store_one.set_plan({});
  store_two.set_plan({});
  store_one.land();
  store_two.land();
  store_one.release_hints();
  store_two.release_hints();

  std::uint64_t tokens = 0;
  for (int t = 0; t < kTargets; ++t) {
    const std::string target = target_name(t);
    SCOPED_TRACE(target);
    const auto listed = one->list(target, "", 1);  // as the store has it
    ASSERT_TRUE(listed.has_value() && listed->size() == 1);
    const TargetStatePtr state = listed->front();
    EXPECT_FALSE(state->frozen);
    const auto events = one->events(TargetName{target}, Revision{}, 1'000'000);
    ASSERT_TRUE(events.has_value());
    std::multiset<std::string> joined, excused, succeeded;
    std::set<std::uint64_t> granted;
    round::View view;
    for (std::size_t i = 0; i < events->size(); ++i) {
      const round::Event& event = (*events)[i];
      ASSERT_EQ(event.revision.value, i + 1);
      round::fold(view, event);
      if (event.kind == EventKind::kPartyJoined) joined.insert(event.incarnation.value);
      if (event.kind == EventKind::kExcused) excused.insert(event.party.value);
      if (event.kind == EventKind::kRoundMoved && event.to == State::kSucceeded) succeeded.insert(event.round.value);
      if (event.kind == EventKind::kApplierGranted) {
        EXPECT_TRUE(granted.insert(event.token.value).second) << "a token was granted twice";
      }
    }
    tokens += granted.size();
    for (const std::string& incarnation : account.joined[target]) EXPECT_EQ(joined.count(incarnation), 1u);
    EXPECT_EQ(excused, account.excused[target]);
    for (const std::string& round : account.succeeded[target]) EXPECT_EQ(succeeded.count(round), 1u);
    // State equals the fold of its history, whatever happened in between.
    EXPECT_EQ(view.revision, state->record.revision);
    EXPECT_TRUE(view == round::project(state->record));
  }
  EXPECT_GT(tokens, 0u);
  for (const auto& [generation, who] : account.completed) EXPECT_EQ(who.size(), 1u) << generation;

  for (std::size_t i = 0; i < updates.size(); ++i) {
    const auto last = one->events(TargetName{target_name(static_cast<int>(i % kTargets))}, Revision{}, 1'000'000);
    EXPECT_TRUE(updates[i]->wait_until(
        [&](const auto& got) { return !got.empty() && got.back().state->record.revision.value >= last->size(); }));
    check_updates(updates[i]->now());
  }
  // It met what it is about.
  FaultCounts met = store_one.counts();
  const FaultCounts other = store_two.counts();
  EXPECT_GT(met.conflicts + other.conflicts, 0u);
  EXPECT_GT(met.unknown_applied + met.unknown_late + other.unknown_applied + other.unknown_late, 0u);
  EXPECT_GT(met.unavailable + other.unavailable, 0u);
  EXPECT_GT(one->stats().conflicts + two->stats().conflicts, 0u);
  EXPECT_EQ(one->health().frozen_targets + two->health().frozen_targets, 0u);
}

}  // namespace
}  // namespace syzygy::engine
