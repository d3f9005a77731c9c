#include "engine/engine.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

#include "base/name.h"
#include "engine/counters.h"
#include "engine/lane.h"
#include "engine/sink.h"
#include "engine/stepped.h"
#include "round/codec.h"

namespace syzygy::engine {
namespace {

Error refusal(ErrorCode code, std::string reason, std::string message) {
  return Error{code, std::move(reason), std::move(message), {}, Duration{1'000}};
}

Error not_running() {
  return refusal(ErrorCode::kUnavailable, "SHUTTING_DOWN",
                 "this daemon is starting or shutting down; ask again, or ask another one");
}

Error mailbox_full(std::size_t most) {
  return refusal(ErrorCode::kResourceExhausted, "MAILBOX_FULL",
                 "this daemon has " + std::to_string(most) +
                     " requests waiting to be worked on, which is its limit; "
                     "try again in a moment");
}

Error too_many_waiters(std::size_t most) {
  return refusal(ErrorCode::kResourceExhausted, "WAITERS_LIMIT",
                 "this daemon already serves " + std::to_string(most) +
                     " waiting calls and watches, which is its limit; try again later, ask without waiting, or raise "
                     "the limit");
}

class TargetSubscription final : public Subscription {
 public:
  TargetSubscription(SinkPtr sink, std::weak_ptr<Lane> lane, std::string name)
      : sink_(std::move(sink)), lane_(std::move(lane)), name_(std::move(name)) {}
  ~TargetSubscription() override {
    sink_->close();
    if (const auto lane = lane_.lock()) lane->put(Unwatch{name_});
  }

 private:
  const SinkPtr sink_;
  const std::weak_ptr<Lane> lane_;
  const std::string name_;
};

class AudienceSubscription final : public Subscription {
 public:
  AudienceSubscription(SinkPtr sink, std::weak_ptr<Audience> audience)
      : sink_(std::move(sink)), audience_(std::move(audience)) {}
  ~AudienceSubscription() override {
    sink_->close();
    if (const auto audience = audience_.lock()) audience->sweep_closed();
  }

 private:
  const SinkPtr sink_;
  const std::weak_ptr<Audience> audience_;
};

class EngineOfLanes final : public SteppedEngine {
 public:
  enum class Turns { kByThreads, kByHand };
  EngineOfLanes(Store& store, Options options, const Clock& time, Turns turns)
      : store_(store), options_(std::move(options)), time_(time), turns_(turns) {
    const std::size_t lanes = std::max<std::size_t>(1, options_.lanes);
    const auto sight = std::make_shared<Sight>(store_.shared());
    for (std::size_t i = 0; i < lanes; ++i) {
      std::function<void(Moved)> route;
      if (i == 0 && store_.shared()) route = [this](Moved moved) { route_moved(std::move(moved)); };
      lanes_.push_back(std::make_shared<Lane>(store_, options_, time_, counters_, sight, *audience_, std::move(route)));
    }
  }
  ~EngineOfLanes() override { stop(); }

  Result<void> start() override;
  void stop() override;

  void submit(const TargetName& target, round::Command command, OnTarget done) override;
  WaitId submit(const std::string& barrier, barrier::Command command, Duration wait, OnBarrier done) override;
  void get(const TargetName& target, OnState done) override;
  WaitId get_after(const TargetName& target, const std::string& epoch, Revision after, Duration wait,
                   OnState done) override;
  void cancel(WaitId wait) override;
  Result<SubscriptionPtr> watch(const TargetName& target, const std::string& epoch, Revision after,
                                OnUpdate sink) override;
  Result<SubscriptionPtr> watch_all(const std::string& prefix, OnUpdate sink) override;
  Result<std::vector<TargetStatePtr>> list(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<round::Event>> events(const TargetName& target, Revision after, std::size_t limit) override;
  [[nodiscard]] const Options& options() const override { return options_; }
  [[nodiscard]] Health health() const override;
  [[nodiscard]] Stats stats() const override;

  std::optional<Steady> due() override;
  void turn() override;

 private:
  [[nodiscard]] bool running() const { return running_.load(std::memory_order_acquire); }
  std::size_t lane_index(std::string_view prefix, std::string_view name) const {
    return std::hash<std::string>{}(std::string(prefix).append(name)) % lanes_.size();
  }
  Lane& lane_of_target(const TargetName& target) { return *lanes_[lane_index(kTargetPrefix, target.value)]; }
  // Its remainder by the number of lanes names the lane.
  WaitId new_wait(std::size_t lane) { return next_wait_.fetch_add(1) * lanes_.size() + lane; }
  void route_moved(Moved moved) {
    const std::size_t lane = lane_index({}, moved.key);
    lanes_[lane]->put(std::move(moved));
  }

  Store& store_;
  const Options options_;
  const Clock& time_;
  const Turns turns_;
  const std::shared_ptr<Counters> counters_ = std::make_shared<Counters>();
  const std::shared_ptr<Audience> audience_ = std::make_shared<Audience>();
  std::vector<std::shared_ptr<Lane>> lanes_;
  std::atomic<WaitId> next_wait_ = 1;

  std::mutex life_;  // start() and stop(), one at a time
  bool started_ = false;
  bool stopped_ = false;
  std::atomic<bool> running_ = false;
};

Result<void> EngineOfLanes::start() {
  const std::lock_guard lock(life_);
  if (started_ || stopped_) {
    return failure(ErrorCode::kFailedPrecondition, "ENGINE_STARTED", "an engine starts once; make another one");
  }
  started_ = true;
  if (turns_ == Turns::kByThreads) {
    for (const auto& lane : lanes_) lane->start();
  }
  if (store_.shared()) {
    store_.watch([this](const std::string& key, const Version& version) { route_moved(Moved{key, version}); });
  }
  Result<void> outcome{};
  for (const std::string_view prefix : {kTargetPrefix, kBarrierPrefix}) {
    std::string after;
    while (outcome) {
      const auto page = store_.scan(prefix, after, kScanPage);
      if (!page) {
        outcome = std::unexpected(page.error());
        break;
      }
      if (store_.shared()) lanes_.front()->put(Listing{*page});  // it is the one that polls
      for (const Listed& listed : *page) route_moved(Moved{listed.key, std::nullopt});
      if (page->size() < kScanPage) break;
      after = page->back().key;
    }
  }
  for (const auto& lane : lanes_) {
    auto done = std::make_shared<std::promise<Result<void>>>();
    auto recovered = done->get_future();
    lane->put(Recovered{std::move(done)});
    if (turns_ == Turns::kByHand) lane->turn_now();
    auto of_lane = recovered.get();
    if (outcome) outcome = std::move(of_lane);
  }
  if (outcome) running_ = true;
  return outcome;
}

void EngineOfLanes::stop() {
  running_ = false;
  const std::lock_guard lock(life_);
  if (!started_ || std::exchange(stopped_, true)) return;
  if (store_.shared()) store_.watch({});
  for (const auto& lane : lanes_) lane->put(Stop{});
  for (const auto& lane : lanes_) {
    while (turns_ == Turns::kByHand && !lane->over()) lane->turn_now();
    lane->join();
  }
}

std::optional<Steady> EngineOfLanes::due() {
  std::optional<Steady> next;
  for (const auto& lane : lanes_) {
    if (const auto at = lane->due()) next = std::min(next.value_or(*at), *at);
  }
  return next;
}

void EngineOfLanes::turn() {
  for (const auto& lane : lanes_) {
    if (const auto at = lane->due(); at && *at <= time_.steady()) lane->turn_now();
  }
}

void EngineOfLanes::submit(const TargetName& target, round::Command command, OnTarget done) {
  if (!running()) return done(std::unexpected(not_running()));
  Item item = ToTarget{target.value, std::move(command), std::move(done), time_.steady()};
  if (!lane_of_target(target).offer(item)) {
    std::get<ToTarget>(item).done(std::unexpected(mailbox_full(options_.mailbox_max)));
  }
}

WaitId EngineOfLanes::submit(const std::string& barrier, barrier::Command command, Duration wait, OnBarrier done) {
  if (!running()) {
    done(std::unexpected(not_running()));
    return 0;
  }
  const std::size_t lane = lane_index(kBarrierPrefix, barrier);
  ToBarrier to{barrier, std::move(command), std::move(done), 0, {}, {}};
  if (wait.count() > 0) {
    to.place = Place::take(counters_, options_.waiters_max);
    if (!to.place.taken()) {
      to.done(std::unexpected(too_many_waiters(options_.waiters_max)));
      return 0;
    }
    to.id = new_wait(lane);
    to.deadline = time_.steady() + wait;
  }
  const WaitId id = to.id;
  Item item = std::move(to);
  if (!lanes_[lane]->offer(item)) {
    std::get<ToBarrier>(item).done(std::unexpected(mailbox_full(options_.mailbox_max)));
    return 0;
  }
  return id;
}

void EngineOfLanes::get(const TargetName& target, OnState done) {
  if (!running()) return done(std::unexpected(not_running()));
  Item item = ReadTarget{target.value, std::move(done)};
  if (!lane_of_target(target).offer(item)) {
    std::get<ReadTarget>(item).done(std::unexpected(mailbox_full(options_.mailbox_max)));
  }
}

WaitId EngineOfLanes::get_after(const TargetName& target, const std::string& epoch, Revision after, Duration wait,
                                OnState done) {
  if (!running()) {
    done(std::unexpected(not_running()));
    return 0;
  }
  Place place = Place::take(counters_, options_.waiters_max);
  if (!place.taken()) {
    done(std::unexpected(too_many_waiters(options_.waiters_max)));
    return 0;
  }
  const std::size_t lane = lane_index(kTargetPrefix, target.value);
  const WaitId id = new_wait(lane);
  Item item = WaitForTarget{target.value, id, time_.steady() + wait,
                            TargetSlot::Wait{epoch, after, std::move(done), std::move(place)}};
  if (!lanes_[lane]->offer(item)) {
    std::get<WaitForTarget>(item).wait.done(std::unexpected(mailbox_full(options_.mailbox_max)));
    return 0;
  }
  return id;
}

void EngineOfLanes::cancel(WaitId wait) {
  if (wait == 0 || !running()) return;
  lanes_[wait % lanes_.size()]->put(CancelWait{wait});
}

Result<SubscriptionPtr> EngineOfLanes::watch(const TargetName& target, const std::string& epoch, Revision after,
                                             OnUpdate sink) {
  if (!running()) return std::unexpected(not_running());
  Place place = Place::take(counters_, options_.waiters_max);
  if (!place.taken()) return std::unexpected(too_many_waiters(options_.waiters_max));
  auto shared = std::make_shared<Sink>(std::move(sink), std::move(place));
  const auto& lane = lanes_[lane_index(kTargetPrefix, target.value)];
  Item item = WatchTarget{target.value, shared, epoch, after};
  if (!lane->offer(item)) return std::unexpected(mailbox_full(options_.mailbox_max));
  return std::make_unique<TargetSubscription>(std::move(shared), lane, target.value);
}

Result<SubscriptionPtr> EngineOfLanes::watch_all(const std::string& prefix, OnUpdate sink) {
  if (!running()) return std::unexpected(not_running());
  Place place = Place::take(counters_, options_.waiters_max);
  if (!place.taken()) return std::unexpected(too_many_waiters(options_.waiters_max));
  auto shared = std::make_shared<Sink>(std::move(sink), std::move(place));
  audience_->add(prefix, shared);
  return std::make_unique<AudienceSubscription>(std::move(shared), audience_);
}

Result<std::vector<TargetStatePtr>> EngineOfLanes::list(std::string_view prefix, std::string_view after,
                                                        std::size_t limit) {
  const std::string begin = after.empty() ? std::string{} : std::string(kTargetPrefix).append(after);
  const auto page = store_.scan(std::string(kTargetPrefix).append(prefix), begin, limit);
  if (!page) return std::unexpected(page.error());
  std::vector<TargetStatePtr> states;
  states.reserve(page->size());
  for (const Listed& listed : *page) {
    auto loaded = store_.load(listed.key);
    if (!loaded) return std::unexpected(std::move(loaded.error()));
    if (!*loaded) continue;
    auto state = std::make_shared<TargetState>();
    auto record = round::decode((*loaded)->bytes);
    if (record) {
      state->record = *std::move(record);
    } else {
      // It is listed, as what it is: one damaged target must not hide the others.
      state->record.target = TargetName{listed.key.substr(kTargetPrefix.size())};
      state->frozen = true;
    }
    state->epoch = state->record.epoch.empty() ? store_.epoch() : state->record.epoch;
    state->at = state->record.now;
    states.push_back(std::move(state));
  }
  return states;
}

Result<std::vector<round::Event>> EngineOfLanes::events(const TargetName& target, Revision after, std::size_t limit) {
  const auto rows = store_.history(std::string(kTargetPrefix) + target.value, after.value, limit);
  if (!rows) return std::unexpected(rows.error());
  std::vector<round::Event> events;
  events.reserve(rows->size());
  for (const HistoryRow& row : *rows) {
    auto event = round::decode_event(row.bytes);
    if (!event) return std::unexpected(std::move(event.error()));
    events.push_back(*std::move(event));
  }
  return events;
}

Health EngineOfLanes::health() const {
  Health health;
  health.store = store_.describe();
  health.epoch = store_.epoch();
  health.frozen_targets = counters_->frozen.load();
  health.resynchronising_targets = counters_->resynchronising.load();
  if (!running()) {
    health.why = "the daemon is starting or shutting down";
    return health;
  }
  for (const auto& lane : lanes_) {
    health.why = lane->trouble();
    if (!health.why.empty()) return health;
  }
  health.why = store_.refuses_writes();
  if (!health.why.empty()) return health;
  health.ready = true;
  return health;
}

Stats EngineOfLanes::stats() const {
  Stats stats = counters_->read();
  stats.queued = 0;
  for (const auto& lane : lanes_) stats.queued += lane->queued();
  return stats;
}

}  // namespace

Error target_unknown(const TargetName& target) {
  return Error{ErrorCode::kNotFound,
               "TARGET_UNKNOWN",
               "no target " + printable(target.value, kNameBytesMax) +
                   " is known here: nobody ever joined it, and nothing was set for it; syzygy status lists those that "
                   "are",
               {{"target", target.value}},
               std::nullopt};
}

std::unique_ptr<Engine> make_engine(Store& store, Options options) {
  return std::make_unique<EngineOfLanes>(store, std::move(options), machine_clock(), EngineOfLanes::Turns::kByThreads);
}

std::unique_ptr<SteppedEngine> make_stepped_engine(Store& store, Options options, const Clock& clock) {
  return std::make_unique<EngineOfLanes>(store, std::move(options), clock, EngineOfLanes::Turns::kByHand);
}

}  // namespace syzygy::engine
