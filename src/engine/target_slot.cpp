#include "engine/target_slot.h"

#include <algorithm>

#include "engine/planted.h"
#include "round/codec.h"

namespace syzygy::engine {
namespace {

constexpr std::size_t kRecentEventsMax = 256;
constexpr std::size_t kEventsPerUpdateMax = 1'000;
constexpr std::uint64_t kTrimEvery = 64;

const auto kNoEvents = std::make_shared<const std::vector<round::Event>>();

std::string milestone_of(round::State state) { return std::string(round::to_string(state)); }

}  // namespace

bool TargetMachine::has_leases(const Record& record) {
  return !record.guests.empty() ||
         std::ranges::any_of(record.rounds, [](const round::Round& r) { return !round::is_final(r.state); });
}

void TargetMachine::for_each_lease(const Record& record, const std::function<void(const Lease&)>& visit) {
  const auto visit_all = [&visit](const std::vector<round::Member>& members) {
    for (const round::Member& member : members) {
      if (member.standing == round::Standing::kLive) visit({member.lease_until, member.lease_ttl, member.graced});
    }
  };
  for (const round::Round& round : record.rounds) {
    if (round::is_final(round.state)) continue;
    visit_all(round.members);
    if (round.grant) visit({round.grant->lease_until, round.grant->lease_ttl, round.grant->graced});
  }
  visit_all(record.guests);
}

std::string TargetMachine::encode(const Record& record) { return round::encode(record); }

std::vector<HistoryRow> TargetMachine::rows(const Decision& decision) {
  std::vector<HistoryRow> rows;
  rows.reserve(decision.events.size());
  for (const round::Event& event : decision.events) rows.push_back({event.revision.value, round::encode(event)});
  return rows;
}

// Below it the store drops the rows. Only now and then, since each time costs the store a search: when the events of
// this commit step over a multiple of kTrimEvery.
std::uint64_t TargetMachine::floor(const Decision& decision, const Options& options) {
  if (options.history_max == 0 || decision.events.empty()) return 0;
  const std::uint64_t newest = decision.events.back().revision.value;
  if (newest / kTrimEvery == (decision.events.front().revision.value - 1) / kTrimEvery) return 0;
  return newest > options.history_max ? newest - options.history_max + 1 : 0;
}

void TargetMachine::for_each_milestone(const Decision& decision, const std::function<void(const std::string&)>& visit) {
  for (const round::Event& event : decision.events) {
    if (event.kind == round::EventKind::kRoundOpened) visit(milestone_of(round::State::kGathering));
    if (event.kind == round::EventKind::kRoundMoved) visit(milestone_of(event.to));
  }
}

TargetSlot::~TargetSlot() {
  if (state_) lane_.counters().targets_cached.fetch_sub(1, std::memory_order_relaxed);
  count_resync(false);
}

void TargetSlot::count_resync(bool resynchronises) {
  if (std::exchange(resynchronises_, resynchronises) == resynchronises) return;
  auto& count = lane_.counters().resynchronising;
  resynchronises ? count.fetch_add(1, std::memory_order_relaxed) : count.fetch_sub(1, std::memory_order_relaxed);
}

void TargetSlot::unload() {
  if (state_ && version_) before_ = state_;
  if (state_) lane_.counters().targets_cached.fetch_sub(1, std::memory_order_relaxed);
  state_ = nullptr;
  count_resync(false);
  loaded_ = false;
  recent_.clear();
}

void TargetSlot::adopt(round::Record record) {
  if (!state_) lane_.counters().targets_cached.fetch_add(1, std::memory_order_relaxed);
  auto state = std::make_shared<TargetState>();
  state->epoch = record.epoch;
  state->record = std::move(record);
  state->at = lane_.now();
  state->frozen = frozen_;
  state_ = std::move(state);
  count_resync(state_->record.resync.has_value());
  loaded_ = true;
}

// A record that is older than what was seen here, or of a life that knows nothing of it: the store went back in time.
// What was seen is put to it, and decides there (round/resync.cpp).
void TargetSlot::compare(const round::Record& loaded) {
  const TargetStatePtr seen = state_ && version_ ? state_ : before_;
  before_ = nullptr;
  if (!seen || frozen_) return;
  const round::Record& known = seen->record;
  const bool older = loaded.epoch == known.epoch && loaded.revision < known.revision;
  const bool another = loaded.epoch != known.epoch &&
                       (loaded.resync || std::ranges::find(loaded.former, known.epoch) == loaded.former.end());
  if (!older && !another) return;
  remind(round::Remind{round::memory_of(known)});
  gap_due_ = told_any_;
}

Result<void> TargetSlot::take(std::optional<Loaded> loaded, bool hinted) {
  Result<void> outcome{};
  round::Record record;
  record.target = TargetName{name_};
  bool readable = true;
  if (loaded) {
    auto decoded = round::decode(loaded->bytes);
    readable = decoded.has_value();
    if (readable) {
      record = *std::move(decoded);
    } else {
      freeze(decoded.error().message);
      outcome = std::unexpected(std::move(decoded.error()));
    }
  }
  if (!told_any_ && PLANTED_IN_ENGINE(token_reset_on_restart)) record.token = Token{};
  // A record's life begins with the store's; one that went back has another since.
  if (record.epoch.empty()) record.epoch = lane_.store().epoch();
  if (readable) compare(record);
  version_ = loaded ? std::optional(loaded->version) : std::nullopt;
  bytes_ = loaded ? loaded->bytes.size() : 0;
  const std::string told_epoch = state_ ? state_->epoch : record.epoch;
  adopt(std::move(record));
  if (!frozen_) learn_wake(state_->record);

  const Revision now = state_->record.revision;
  if (gap_due_) {  // they are told once the reminder is folded
    recent_.clear();
  } else if (told_any_ && (now != told_ || told_epoch != state_->epoch)) {
    // Somebody else wrote it: whoever watches here hears what happened in between.
    const bool goes_on = now > told_ && told_epoch == state_->epoch;
    auto events = goes_on && !sinks_.empty() ? events_between(told_, now) : std::nullopt;
    recent_.clear();
    if (events) {
      publish(std::make_shared<const std::vector<round::Event>>(*std::move(events)), false);
    } else {
      publish(kNoEvents, !PLANTED_IN_ENGINE(gap_hidden));
    }
  } else {
    if (hinted && !told_any_) lane_.announce(Update{state_, kNoEvents, false});
    told_ = now;
    told_any_ = true;
    answer_waits();
  }
  return outcome;
}

void TargetSlot::release(round::Decision decision, std::vector<TargetMachine::Asker> askers,
                         const std::vector<round::Command>& commands) {
  Counters& counters = lane_.counters();
  Counters::add(counters.commands, askers.size());
  Counters::add(counters.events, decision.events.size());
  for (const round::Command& command : commands) {
    if (TargetMachine::is_renewal(command)) Counters::add(counters.renewals);
  }
  for (const round::Event& event : decision.events) {
    if (event.kind == round::EventKind::kRoundOpened) Counters::add(counters.rounds_opened);
    if (event.kind == round::EventKind::kApplierGranted) Counters::add(counters.tokens_granted);
    if (event.kind != round::EventKind::kRoundMoved) continue;
    if (event.to == round::State::kSucceeded) Counters::add(counters.rounds_succeeded);
    if (event.to == round::State::kFailed) Counters::add(counters.rounds_failed);
    if (event.to == round::State::kIndeterminate) Counters::add(counters.rounds_indeterminate);
  }

  for (std::size_t i = 0; i < askers.size(); ++i) {
    if (!askers[i].done) continue;
    TargetAnswer answer;
    answer.reply = std::move(decision.replies[i]);
    answer.state = state_;
    if (answer.reply.lease_until) {
      answer.lease_left = std::max(Duration{0}, *answer.reply.lease_until - lane_.now());
      const auto ago = std::chrono::duration_cast<Duration>(lane_.steady_now() - askers[i].came);
      answer.renew_after = renew_after(heartbeat_tick_, lane_.now() - ago, answer.lease_left);
    }
    askers[i].done(std::move(answer));
  }
  if (!decision.events.empty() || gap_due_) {
    publish(std::make_shared<const std::vector<round::Event>>(std::move(decision.events)),
            std::exchange(gap_due_, false));
  }
}

void TargetSlot::publish(std::shared_ptr<const std::vector<round::Event>> events, bool gap) {
  told_ = state_->record.revision;
  told_any_ = true;
  for (const round::Event& event : *events) recent_.push_back(event);
  while (recent_.size() > kRecentEventsMax) recent_.pop_front();

  const Update update{state_, std::move(events), gap};
  for (const SinkPtr& sink : sinks_) sink->send(update);
  Counters::add(lane_.counters().updates_sent, sinks_.size());
  answer_waits();
  serve_watches();
  lane_.announce(Update{state_, kNoEvents, false});
}

void TargetSlot::frozen_now() {
  adopt(state_->record);
  publish(kNoEvents, false);
}

// ---- reads ----

void TargetSlot::get_after(WaitId id, Steady deadline, Wait wait) {
  waits_.emplace(id, std::move(wait));
  lane_.wait_begins(id, *this, deadline);
}

void TargetSlot::watch(SinkPtr sink, std::string epoch, Revision after) {
  // It saw more, at another daemon, than is known here: what is cached is old.
  if (loaded_ && !frozen_ && epoch == state_->epoch && after > state_->record.revision) unload();
  new_watches_.push_back({std::move(sink), std::move(epoch), after});
}

void TargetSlot::sweep_closed_sinks() {
  std::erase_if(sinks_, [](const SinkPtr& sink) { return sink->closed(); });
  std::erase_if(new_watches_, [](const Watch& watch) { return watch.sink->closed(); });
}

bool TargetSlot::moved_beyond(const Wait& wait) const {
  if (!version_) return false;
  return (!wait.epoch.empty() && wait.epoch != state_->epoch) || state_->record.revision > wait.after || frozen_;
}

Result<TargetStatePtr> TargetSlot::present() const {
  if (!version_) return std::unexpected(target_unknown(TargetName{name_}));
  return state_;
}

void TargetSlot::answer(WaitId id, Result<TargetStatePtr> with) {
  auto node = waits_.extract(id);
  if (node.empty()) return;
  lane_.wait_over(id);
  node.mapped().place = Place();  // whoever asks again when he hears this finds it free
  node.mapped().done(std::move(with));
}

void TargetSlot::answer_waits() {
  std::vector<WaitId> over;
  for (const auto& [id, wait] : waits_) {
    if (moved_beyond(wait)) over.push_back(id);
  }
  for (const WaitId id : over) answer(id, present());
}

void TargetSlot::serve_reads(const Error* error) {
  if (!loaded_) {
    if (error == nullptr) return;
    for (Engine::OnState& done : std::exchange(gets_, {})) done(std::unexpected(*error));
    return;  // waits and watchers stay: the store may be back before their time is over
  }
  for (Engine::OnState& done : std::exchange(gets_, {})) done(present());
  answer_waits();
  serve_watches();
}

void TargetSlot::serve_watches() {
  for (Watch& watch : std::exchange(new_watches_, {})) {
    if (watch.sink->closed()) continue;
    if (!version_ && watch.after.value > 0) {  // the store has lost what it saw
      watch.lost = true;
      new_watches_.push_back(std::move(watch));
      continue;
    }
    if (version_) {
      watch.sink->send(watch.lost ? Update{state_, kNoEvents, true} : first_update(watch.epoch, watch.after));
    }
    sinks_.push_back(std::move(watch.sink));
  }
}

Update TargetSlot::first_update(const std::string& epoch, Revision after) {
  const Revision now = state_->record.revision;
  if (epoch.empty() || (epoch == state_->epoch && after == now)) return {state_, kNoEvents, false};
  auto events = epoch == state_->epoch && after < now ? events_between(after, now) : std::nullopt;
  if (!events) return {state_, kNoEvents, true};
  return {state_, std::make_shared<const std::vector<round::Event>>(*std::move(events)), false};
}

// Every event of (after, upto], or nullopt where history does not have them all.
std::optional<std::vector<round::Event>> TargetSlot::events_between(Revision after, Revision upto) {
  const std::uint64_t wanted = upto.value - after.value;
  if (wanted > kEventsPerUpdateMax) return std::nullopt;
  std::vector<round::Event> events;
  if (!recent_.empty() && recent_.front().revision.value <= after.value + 1 && recent_.back().revision == upto) {
    for (const round::Event& event : recent_) {
      if (event.revision > after) events.push_back(event);
    }
  } else {
    const auto rows = lane_.store().history(key_, after.value, wanted);
    if (!rows) return std::nullopt;
    for (const HistoryRow& row : *rows) {
      auto event = round::decode_event(row.bytes);
      if (!event) return std::nullopt;
      events.push_back(*std::move(event));
    }
  }
  if (events.size() != wanted) return std::nullopt;
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (events[i].revision.value != after.value + 1 + i) return std::nullopt;
  }
  return events;
}

void TargetSlot::expire(WaitId id) {
  if (!loaded_) {
    answer(id, failure(ErrorCode::kUnavailable, "STORE_UNAVAILABLE",
                       "the store could not be reached while you waited for target " + printable(name_, 200) +
                           "; try again"));
    return;
  }
  answer(id, present());
}

void TargetSlot::cancel(WaitId id) {
  answer(id, failure(ErrorCode::kCancelled, "WAIT_CANCELLED", "the caller gave up waiting"));
}

void TargetSlot::end_waits(const Error& error) {
  while (!waits_.empty()) answer(waits_.begin()->first, std::unexpected(error));
}

bool TargetSlot::idle() const {
  return FoldingSlot::idle() && sinks_.empty() && new_watches_.empty() && waits_.empty() && gets_.empty();
}

}  // namespace syzygy::engine
