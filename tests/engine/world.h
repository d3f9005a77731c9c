// world.h - an engine on a store in memory, and inboxes that its callbacks fill. Nothing sleeps: what a test waits for
// is a condition with a bound.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/plan.h"
#include "base/sha256.h"
#include "engine/clock.h"
#include "engine/engine.h"
#include "store/memory.h"
#include "tests/support/slowness.h"

namespace syzygy::engine {

using namespace std::chrono_literals;

inline const auto kPatience = 30s * test::slowness();  // of a machine under sanitizers with other things to do

// A machine's clocks and its store's, for engines whose turns the test calls: nothing moves by itself.
struct HandClock final : Clock {
  Duration awake{3'600'000};
  Duration asleep{0};
  [[nodiscard]] Steady steady() const override { return Steady{awake}; }
  [[nodiscard]] Duration boot() const override { return awake + asleep; }
  MemoryStore::Clock of_store() {
    return [this] { return Instant{1'700'000'000'000} + boot(); };
  }
};

// What callbacks said, in their order. Outlives nothing: callbacks hold a shared_ptr.
template <class T>
class Inbox {
 public:
  void put(T value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
    came_.notify_all();
  }
  // The first `n` values; fewer if they do not come.
  std::vector<T> wait_for(std::size_t n) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(came_.wait_for(lock, kPatience, [&] { return values_.size() >= n; }))
        << values_.size() << " of " << n << " came";
    return values_;
  }
  bool wait_until(const std::function<bool(const std::vector<T>&)>& holds) {
    std::unique_lock lock(mutex_);
    return came_.wait_for(lock, kPatience, [&] { return holds(values_); });
  }
  std::vector<T> now() {
    const std::lock_guard lock(mutex_);
    return values_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable came_;
  std::vector<T> values_;
};

template <class T>
using InboxPtr = std::shared_ptr<Inbox<T>>;

template <class T>
InboxPtr<T> inbox() {
  return std::make_shared<Inbox<T>>();
}

// True once `holds` does; looked at again and again, for things that nobody announces.
inline bool eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

// The store's clock: real, plus what a test added.
struct MovableClock {
  std::shared_ptr<std::atomic<std::int64_t>> added = std::make_shared<std::atomic<std::int64_t>>(0);
  void move(Duration by) const { *added += by.count(); }
  MemoryStore::Clock function() const {
    return [added = added] { return system_now() + Duration{added->load()}; };
  }
};

inline Options quick_options() {
  Options options;
  options.boot = "boot-1";
  options.renew_window = 1ms;
  options.poll = 50ms;
  return options;
}

inline Plan plan_of(const std::string& target, std::vector<std::string> ids = {"0001"}) {
  Plan plan;
  plan.target = TargetName{target};
  for (std::string& id : ids) {
    plan.steps.push_back(Step{StepId{id}, Direction::kUp, Stage::kPreDeploy, sha256_hex(id), true});
  }
  return plan;
}

inline round::Join join_of(const std::string& target, const std::string& party, const std::string& incarnation,
                           std::uint32_t quorum) {
  round::Join join;
  join.request = {IncarnationId{incarnation}, 1};
  join.party = PartyName{party};
  join.plan = plan_of(target);
  join.quorum = round::Quorum{quorum, {}};
  join.fresh_round = RoundId{"round-of-" + target + "-" + incarnation};
  return join;
}

using TargetResult = Result<TargetAnswer>;
using BarrierResult = Result<BarrierAnswer>;
using StateResult = Result<TargetStatePtr>;

// The calls, each waiting for its own answer.
inline TargetResult ask(Engine& engine, const std::string& target, round::Command command) {
  auto answers = inbox<std::shared_ptr<TargetResult>>();
  engine.submit(TargetName{target}, std::move(command),
                [answers](TargetResult r) { answers->put(std::make_shared<TargetResult>(std::move(r))); });
  const auto got = answers->wait_for(1);
  return got.empty() ? failure(ErrorCode::kInternal, "NO_ANSWER", "none came") : *got.front();
}

inline InboxPtr<BarrierResult> begin_enter(Engine& engine, const std::string& barrier, const std::string& party,
                                           const std::string& incarnation, std::uint32_t quorum, Duration wait,
                                           Duration lease = {}, WaitId* id = nullptr) {
  auto answers = inbox<BarrierResult>();
  const WaitId wait_id =
      engine.submit(barrier, barrier::Enter{quorum, PartyName{party}, IncarnationId{incarnation}, lease}, wait,
                    [answers](BarrierResult r) { answers->put(std::move(r)); });
  if (id != nullptr) *id = wait_id;
  return answers;
}

inline BarrierResult enter(Engine& engine, const std::string& barrier, const std::string& party,
                           const std::string& incarnation, std::uint32_t quorum, Duration wait = {}) {
  const auto got = begin_enter(engine, barrier, party, incarnation, quorum, wait)->wait_for(1);
  return got.empty() ? failure(ErrorCode::kInternal, "NO_ANSWER", "none came") : got.front();
}

inline BarrierResult await(Engine& engine, const std::string& barrier, std::uint64_t generation,
                           const std::string& incarnation) {
  auto answers = inbox<BarrierResult>();
  engine.submit(barrier, barrier::Await{Generation{generation}, IncarnationId{incarnation}}, Duration{0},
                [answers](BarrierResult r) { answers->put(std::move(r)); });
  const auto got = answers->wait_for(1);
  return got.empty() ? failure(ErrorCode::kInternal, "NO_ANSWER", "none came") : got.front();
}

inline StateResult get(Engine& engine, const std::string& target) {
  auto answers = inbox<StateResult>();
  engine.get(TargetName{target}, [answers](StateResult r) { answers->put(std::move(r)); });
  const auto got = answers->wait_for(1);
  return got.empty() ? failure(ErrorCode::kInternal, "NO_ANSWER", "none came") : got.front();
}

inline std::string told(const BarrierResult& result) {
  if (!result) return result.error().reason;
  const barrier::Reply& reply = result->reply;
  if (reply.error) return reply.error->reason;
  return std::to_string(reply.generation.value) + " " + std::string(barrier::to_string(reply.state)) + " " +
         std::to_string(reply.present) + "/" + std::to_string(reply.quorum) + (reply.completed_by_you ? "*" : "");
}

}  // namespace syzygy::engine
