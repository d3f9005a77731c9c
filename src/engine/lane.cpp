#include "engine/lane.h"

#include <pthread.h>

#include <algorithm>

#include "base/kill_point.h"
#include "engine/planted.h"

namespace syzygy::engine {
namespace {

// While something could not be done: how soon to look again. Shorter than the poll, so that nobody waits for that too.
constexpr Duration kProbe{500};
// A conflict needs another user of the store to have won; this many in a row are a storm.
constexpr int kAttemptsMax = 50;
constexpr int kEvictionsPerTurn = 64;
// How long a refused write speaks against this daemon, unless one succeeds before or the store itself tells: those who
// are sent elsewhere try nothing here, so that it cannot hold for ever.
constexpr Duration kRefusalHolds{10'000};
// A wake-up that changed nothing is not asked for again at once.
constexpr Duration kIdleWake{100};

std::string commit_of(const Listed& listed) { return listed.version.epoch + listed.version.commit; }

// "engine.before_commit" and, for what this commit means, "engine.before_commit.ELECTED".
void pass_kill_points([[maybe_unused]] const char* moment, [[maybe_unused]] const std::vector<Slot*>& slots) {
#ifdef SYZYGY_KILL_POINTS
  SYZYGY_KILL_POINT(moment);
  for (const Slot* slot : slots) {
    slot->for_each_milestone([&](const std::string& state) {
      const std::string name = std::string(moment) + "." + state;
      SYZYGY_KILL_POINT(name.c_str());
    });
  }
#endif
}

}  // namespace

// ---- Audience ----

void Audience::add(std::string prefix, SinkPtr sink) {
  const std::lock_guard lock(mutex_);
  auto listeners = std::make_shared<std::vector<Listener>>(*listeners_);
  listeners->push_back({std::move(prefix), std::move(sink)});
  listeners_ = std::move(listeners);
}

void Audience::sweep_closed() {
  const std::lock_guard lock(mutex_);
  auto listeners = std::make_shared<std::vector<Listener>>(*listeners_);
  std::erase_if(*listeners, [](const Listener& listener) { return listener.sink->closed(); });
  listeners_ = std::move(listeners);
}

std::size_t Audience::announce(const Update& update) const {
  std::shared_ptr<const std::vector<Listener>> listeners;
  {
    const std::lock_guard lock(mutex_);
    listeners = listeners_;
  }
  std::size_t heard = 0;
  for (const Listener& listener : *listeners) {
    if (!update.state->record.target.value.starts_with(listener.prefix)) continue;
    listener.sink->send(update);
    ++heard;
  }
  return heard;
}

// ---- Lane: from outside ----

Lane::Lane(Store& store, const Options& options, const Clock& time, std::shared_ptr<Counters> counters,
           std::shared_ptr<Sight> sight, Audience& audience, std::function<void(Moved)> route)
    : store_(store),
      options_(options),
      time_(time),
      counters_(std::move(counters)),
      sight_(std::move(sight)),
      audience_(audience),
      route_(std::move(route)),
      mailbox_(options.mailbox_max) {}

Lane::~Lane() {
  join();
  slots_.clear();
}

void Lane::start() {
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), "lane");
    run();
  });
}

void Lane::join() {
  if (thread_.joinable()) thread_.join();
}

bool Lane::offer(Item& item) {
  const auto* command = std::get_if<ToTarget>(&item);
  return mailbox_.offer(item, command != nullptr && TargetMachine::is_renewal(command->command));
}
void Lane::put(Item item) { mailbox_.put(std::move(item)); }
std::size_t Lane::queued() const { return mailbox_.size(); }

std::string Lane::trouble() const {
  const std::lock_guard lock(trouble_mutex_);
  const bool refused = !refused_.empty() && time_.steady() < refused_at_ + kRefusalHolds;
  return trouble_.empty() && refused ? refused_ : trouble_;
}

// ---- LaneSide ----

round::Settings Lane::rounds() const {
  round::Settings rounds = options_.rounds;
  rounds.quiet_until = quiet_until_;
  return rounds;
}

void Lane::announce(const Update& update) { Counters::add(counters_->updates_sent, audience_.announce(update)); }

void Lane::wait_begins(WaitId id, Slot& slot, Steady deadline) {
  waits_.emplace(id, Waiting{&slot, deadline});
  deadlines_.emplace(deadline, id);
}

void Lane::wait_over(WaitId id) {
  const auto waiting = waits_.find(id);
  if (waiting == waits_.end()) return;
  touch(*waiting->second.slot);
  deadlines_.erase({waiting->second.deadline, id});
  waits_.erase(waiting);
}

// ---- the loop ----

void Lane::run() {
  while (!over()) {
    const std::optional<Steady> until = next_turn();
    mailbox_.take(items_, until, renewals_at_.has_value());
    turn_at(until);
  }
}

std::optional<Steady> Lane::due() {
  if (over()) return std::nullopt;
  return mailbox_.ready(renewals_at_.has_value()) ? time_.steady() : next_turn();
}

void Lane::turn_now() {
  const std::optional<Steady> until = next_turn();
  mailbox_.take_now(items_);
  turn_at(until);
}

// `expected`: when this turn was to come at the latest.
void Lane::turn_at(std::optional<Steady> expected) {
  steady_now_ = time_.steady();
  boot_now_ = time_.boot();
  // This thread stood still: renewals that came in time could not be read in time.
  if (expected && steady_now_ > *expected + ClockWatch::kTolerance) grace_due_ = true;
  turn();
  items_.clear();
  // This turn took long, and meanwhile there may be renewals in the mailbox that came in time.
  if (time_.steady() - steady_now_ > ClockWatch::kTolerance && mailbox_.size() > 0) grace_due_ = true;
}

std::optional<Steady> Lane::next_turn() const {
  std::optional<Steady> next;
  const auto at = [&](Steady when) { next = std::min(next.value_or(when), when); };
  // What needs the store waits for the probe while that does not answer.
  if (!down_since_) {
    if (!wakes_.empty()) at(wake_time());
    if (poll_at_) at(*poll_at_);
    if (const auto look = look_time()) at(*look);
    if (grace_due_) at(steady_now_);
  }
  if (!deadlines_.empty()) at(deadlines_.begin()->first);
  if (renewals_at_) at(*renewals_at_);
  if (probe_at_) at(*probe_at_);
  return next;
}

// An instant of the store, as far as this lane knows its time; what is over is now_at_.
Steady Lane::when(Instant at) const { return now_at_ + std::max(Duration{0}, at - now_); }

// When somebody here must have seen the store again, so that leases which come near their end can be judged. Mostly the
// poll will have done it.
std::optional<Steady> Lane::look_time() const {
  if (looks_.empty() || !store_.shared()) return std::nullopt;
  const Instant now = now_ + std::chrono::duration_cast<Duration>(steady_now_ - now_at_);
  std::optional<Duration> every;
  for (const auto& [from, slot] : looks_) {
    if (every && from > now) break;
    if (const auto look = slot->look()) every = std::min(every.value_or(look->every), look->every);
  }
  if (!every) return std::nullopt;
  const Duration since = boot_now_ - sight_->last();
  return std::max(when(looks_.begin()->at), steady_now_ + (*every - std::min(since, *every)));
}

bool Lane::saw_the_end_of(const Lease& lease) const {
  const Duration since = sight_->seen_since(outage_survived(lease.ttl), now_at_boot_);
  return now_ - (now_at_boot_ - since) <= watched_from(lease);
}

// Where the store is a server every look at its clock is a command: a turn that has nothing for it asks it nothing.
bool Lane::needs_store() const {
  if (!store_.shared() || down_since_ || probe_at_ || grace_due_) return true;
  if (route_ && (!poll_at_ || *poll_at_ <= steady_now_)) return true;
  if (!work_.empty() || !moved_.empty() || !recovered_.empty()) return true;
  if (!wakes_.empty() && wake_time() <= steady_now_) return true;
  const auto look = look_time();
  return look && *look <= steady_now_;
}

void Lane::turn() {
  Counters::add(counters_->turns);
  for (Item& item : items_) std::visit([this](auto& what) { take(what); }, item);
  if (renewals_at_ && (steady_now_ >= *renewals_at_ || stopping_)) {
    for (Slot* slot : std::exchange(renewing_, {})) {
      slot->in_renewing = false;
      put_to_work(*slot);
    }
    renewals_at_ = std::nullopt;
  }
  if (!needs_store()) {
    // Nothing was asked that the store must answer.
  } else if (store_is_up()) {
    look_at_moved();
    give_grace();
    wake_due();
    work_through();
    poll();
  } else {
    work_through_without_store();
  }
  expire_waits();
  if (stopping_) end_all_waits();
  finish_touched();
  evict();
  for (const auto& done : std::exchange(recovered_, {})) {
    recovering_ = false;
    done->set_value(recovery_error_ ? Result<void>(std::unexpected(*recovery_error_)) : Result<void>{});
  }
}

// ---- what came ----

TargetSlot& Lane::target(const std::string& name) {
  return static_cast<TargetSlot&>(*slot_of(std::string(kTargetPrefix) + name));
}

BarrierSlot& Lane::barrier(const std::string& name) {
  return static_cast<BarrierSlot&>(*slot_of(std::string(kBarrierPrefix) + name));
}

// Null: the key is nothing of ours.
Slot* Lane::slot_of(const std::string& key) {
  const auto found = slots_.find(key);
  if (found != slots_.end()) return found->second.get();
  std::unique_ptr<Slot> slot;
  if (key.starts_with(kTargetPrefix)) {
    slot = std::make_unique<TargetSlot>(*this, key, key.substr(kTargetPrefix.size()));
  } else if (key.starts_with(kBarrierPrefix)) {
    slot = std::make_unique<BarrierSlot>(*this, key, key.substr(kBarrierPrefix.size()));
  } else {
    return nullptr;
  }
  slot->number = ++slots_made_;
  return slots_.emplace(key, std::move(slot)).first->second.get();
}

void Lane::touch(Slot& slot) {
  if (std::exchange(slot.is_touched, true)) return;
  touched_.push_back(&slot);
}

void Lane::put_to_work(Slot& slot) {
  if (std::exchange(slot.in_work, true)) return;
  work_.push_back(&slot);
  touch(slot);
}

void Lane::put_off(Slot& slot) {
  if (!probe_at_) probe_at_ = steady_now_ + std::min(kProbe, options_.poll);
  if (std::exchange(slot.in_later, true)) return;
  later_.push_back(&slot);
}

void Lane::take(ToTarget& item) {
  TargetSlot& slot = target(item.name);
  slot.add(std::move(item.command), {std::move(item.done), item.came});
  if (!slot.only_renewals()) {
    put_to_work(slot);
    return;
  }
  if (!renewals_at_) renewals_at_ = steady_now_ + std::min(options_.renew_window, options_.rounds.lease / 10);
  if (!std::exchange(slot.in_renewing, true)) renewing_.push_back(&slot);
}

void Lane::take(ToBarrier& item) {
  BarrierSlot& slot = barrier(item.name);
  slot.add(std::move(item.command), {std::move(item.done), item.id, item.deadline, std::move(item.place)});
  put_to_work(slot);
}

void Lane::take(ReadTarget& item) {
  TargetSlot& slot = target(item.name);
  slot.get(std::move(item.done));
  put_to_work(slot);
}

void Lane::take(WaitForTarget& item) {
  TargetSlot& slot = target(item.name);
  slot.get_after(item.id, item.deadline, std::move(item.wait));
  put_to_work(slot);
}

void Lane::take(WatchTarget& item) {
  TargetSlot& slot = target(item.name);
  slot.watch(std::move(item.sink), std::move(item.epoch), item.after);
  put_to_work(slot);
}

void Lane::take(Unwatch& item) {
  const auto found = slots_.find(std::string(kTargetPrefix) + item.name);
  if (found == slots_.end()) return;
  sweeps_.push_back(found->second.get());
  touch(*found->second);
}

void Lane::take(CancelWait& item) {
  const auto waiting = waits_.find(item.id);
  if (waiting != waits_.end()) {
    waiting->second.slot->cancel(item.id);
  } else {
    cancelled_.insert(item.id);  // of a command in this very batch, or of one that is over
  }
}

void Lane::take(Moved& item) {
  const auto found = slots_.find(item.key);  // of a commit of our own, mostly
  const bool known =
      found != slots_.end() && found->second->loaded() && item.version && found->second->version() == item.version;
  if (!known) moved_.push_back(std::move(item));
}
void Lane::take(Listing& item) {
  // A poll that came first has seen what is newer.
  for (const Listed& listed : item.page) polled_.try_emplace(listed.key, commit_of(listed));
}
void Lane::take(Recovered& item) { recovered_.push_back(std::move(item.done)); }
void Lane::take(Stop&) { stopping_ = true; }

// ---- the store: is it there, what time is it ----

void Lane::store_failed(const Error& error) {
  Counters::add(counters_->store_errors);
  if (recovering_ && !recovery_error_) recovery_error_ = error;
  if (error.code != ErrorCode::kUnavailable) return;
  if (!down_since_) down_since_ = steady_now_;
  probe_at_ = time_.steady() + std::min(kProbe, options_.poll);
  const std::lock_guard lock(trouble_mutex_);
  trouble_ = error.message;
}

Error Lane::unavailable(bool reached) const {
  Error error{ErrorCode::kUnavailable,
              "STORE_UNAVAILABLE",
              (reached ? "the store takes no writes now (" : "the store cannot be reached now (") + trouble() +
                  "), so it is not known whether this took effect; repeat the same request, with the same request id",
              {},
              kProbe};
  return error;
}

bool Lane::store_is_up() {
  if (down_since_ && steady_now_ < *probe_at_) return false;
  const auto now = store_.now();
  if (!now) {
    store_failed(now.error());
    return false;
  }
  now_ = PLANTED_IN_ENGINE(own_clock) ? system_now() : *now;
  now_at_ = steady_now_;
  now_at_boot_ = time_.boot();
  suspect();
  if (clock_.stepped(Duration{now_.ms}, time_.boot())) grace_due_ = true;
  // Of a suspend the clock of the store and that of boot show nothing: both went on while nobody could be heard. Looked
  // at after now_ was read, so that no suspend lies between: what comes later is not in now_.
  const Duration awake = std::chrono::duration_cast<Duration>(time_.steady().time_since_epoch());
  if (sleep_.stepped(time_.boot(), awake)) grace_due_ = true;
  const auto look = look_time();
  if (down_since_ || (look && *look <= steady_now_)) {
    // The clock alone is no proof: only a read is.
    if (const auto probe = read(std::string(kTargetPrefix)); !probe) {
      store_failed(probe.error());
      return false;
    }
  }
  if (down_since_) {
    if (steady_now_ - *down_since_ > ClockWatch::kTolerance) grace_due_ = true;
    down_since_ = std::nullopt;
    const std::lock_guard lock(trouble_mutex_);
    trouble_.clear();
  }
  if (probe_at_ && steady_now_ >= *probe_at_) {
    probe_at_ = std::nullopt;
    for (Slot* slot : std::exchange(later_, {})) {
      slot->in_later = false;
      put_to_work(*slot);
    }
  }
  return true;
}

// Another server answers, or the store began anew: what was acknowledged may be missing. Everything that is known here
// is compared, those who wait may show more than this daemon saw, and until then nothing is granted.
void Lane::suspect() {
  const std::string life = store_.epoch() + " " + store_.lineage();
  const std::string before = std::exchange(life_, life);
  if (before.empty() || before == life) return;
  quiet_until_ = now_ + options_.rounds.lease;
  for (const auto& [key, slot] : slots_) {
    if (slot->loaded()) moved_.push_back(Moved{key, std::nullopt});
  }
  grace_due_ = true;
}

Result<std::optional<Loaded>> Lane::read(const std::string& key) {
  const Duration sent = time_.boot();
  auto loaded = store_.load(key);
  if (loaded) sight_->answered(sent, time_.boot());
  return loaded;
}

Result<void> Lane::load(Slot& slot, bool hinted) {
  touch(slot);
  auto loaded = read(slot.key());
  if (!loaded) {
    store_failed(loaded.error());
    return std::unexpected(std::move(loaded.error()));
  }
  return slot.take(*std::move(loaded), hinted);
}

// The poll has noted that version already: nobody else will say so again.
void Lane::look_again(Moved moved) {
  if (!probe_at_) probe_at_ = steady_now_ + std::min(kProbe, options_.poll);
  const auto waits = std::ranges::find(moved_, moved.key, &Moved::key);
  if (waits == moved_.end()) {
    moved_.push_back(std::move(moved));
  } else {
    waits->version = std::move(moved.version);
  }
}

// Records that another user of the store moved, or, at the start, all there are.
void Lane::look_at_moved() {
  std::vector<Moved> moved = std::exchange(moved_, {});
  for (std::size_t i = 0; i < moved.size(); ++i) {
    if (down_since_) {  // since the one before, which stands in moved_ again
      moved_.insert(moved_.end(), std::make_move_iterator(moved.begin() + static_cast<std::ptrdiff_t>(i)),
                    std::make_move_iterator(moved.end()));
      return;
    }
    Slot* slot = slot_of(moved[i].key);
    if (slot == nullptr || slot->frozen()) continue;
    if (slot->loaded() && moved[i].version && slot->version() == moved[i].version) continue;
#ifdef SYZYGY_PLANTED_BUGS
    if (slot->loaded() && moved[i].version && PLANTED_IN_ENGINE(hint_trusted)) {
      slot->believe(*moved[i].version);
      continue;
    }
#endif
    const auto taken = load(*slot, !recovering_);
    if (slot->has_commands()) put_to_work(*slot);  // it went back in time
    if (!taken && !slot->frozen()) {  // it could not be read: whoever watches it here still has to hear of it
      look_again(std::move(moved[i]));
      continue;
    }
    // A record of a newer program must not be worked around; a damaged one freezes its own target only.
    if (!taken && recovering_ && taken.error().reason == "RECORD_NEWER" && !recovery_error_) {
      recovery_error_ = taken.error();
    }
    if (recovering_ && !slot->frozen() && slot->wake_at()) {
      slot->grace(options_.boot);
      put_to_work(*slot);
    }
  }
}

// Each lease gets one full term before it is judged: those who hold them may not have been heard.
void Lane::give_grace() {
  if (!std::exchange(grace_due_, false) || recovering_) return;
  grace_ = new_grace();
  grace_until_ = steady_now_ + std::max(options_.rounds.lease, options_.rounds.lease_unfenced);
  for (const auto& [at, slot] : wakes_) put_to_work(*slot);
}

// A record that had no lease, or was not known here, when grace was given, has it before anything in it is judged:
// what another daemon made of it meanwhile is as old.
void Lane::pass_grace_on(Slot& slot) {
  if (steady_now_ >= grace_until_ || slot.grace_given == grace_) return;
  slot.grace_given = grace_;
  slot.grace(grace_);
}

void Lane::wake_due() {
  for (const auto& [at, slot] : wakes_) {
    if (at > now_) break;
    slot->tick();
    put_to_work(*slot);
  }
}

// ---- fold, commit, release ----

void Lane::refuse(Slot& slot, const Error& error) {
  slot.refuse(error);
  slot.serve_reads(&error);
}

void Lane::work_through() {
  std::vector<Slot*> open = std::exchange(work_, {});
  for (Slot* slot : open) slot->in_work = false;
  std::vector<Slot*> folded;
  std::vector<Slot*> stale;
  std::vector<Change> changes;
  for (int attempt = 0; !open.empty(); ++attempt) {
    folded.clear();
    changes.clear();
    stale.clear();
    for (Slot* slot : open) {
      if (!slot->loaded()) {
        if (down_since_) {
          refuse(*slot, unavailable());
          put_off(*slot);
          continue;
        }
        if (auto loaded = load(*slot, false); !loaded && !slot->frozen()) {
          const bool away = loaded.error().code == ErrorCode::kUnavailable;
          refuse(*slot, away ? unavailable() : loaded.error());
          if (away || !slot->idle()) put_off(*slot);
          continue;
        }
      }
      if (attempt == kAttemptsMax) {
        Error error{ErrorCode::kUnavailable,
                    "STORE_CONTENDED",
                    "another daemon kept changing the same record; repeat the same request",
                    {},
                    kProbe};
        refuse(*slot, error);
        put_off(*slot);
        continue;
      }
      pass_grace_on(*slot);
      Slot::Folded fold = slot->fold();
      if (fold.kind == Slot::Folded::Kind::kChanged) {
        folded.push_back(slot);
        changes.push_back(std::move(fold.change));
        if (attempt > 0 && PLANTED_IN_ENGINE(history_lost_on_retry)) changes.back().history.clear();
      } else {
        if (fold.kind == Slot::Folded::Kind::kUnchanged && !settle_unchanged(*slot)) stale.push_back(slot);
        slot->serve_reads(nullptr);
      }
    }
    open = changes.empty() ? std::vector<Slot*>{} : commit(folded, changes);
    open.insert(open.end(), stale.begin(), stale.end());
  }
}

// An answer that changes nothing is not held against the store by a commit: where others write too, a look at the
// record must do it, or somebody who joined by way of another daemon would be told that nobody knows him. False: the
// slot is to be folded again, on a newer record.
bool Lane::settle_unchanged(Slot& slot) {
  if (store_.shared() && !PLANTED_IN_ENGINE(stale_cache_served)) {
    auto loaded = read(slot.key());
    if (!loaded) {
      store_failed(loaded.error());
      refuse(slot, loaded.error().code == ErrorCode::kUnavailable ? unavailable() : loaded.error());
      put_off(slot);
      return true;
    }
    const auto version = *loaded ? std::optional((*loaded)->version) : std::nullopt;
    if (version != slot.version()) {
      [[maybe_unused]] const auto taken =
          slot.take(*std::move(loaded), false);  // a damaged one freezes the slot, and fold() says so
      return false;
    }
  }
  slot.settle();
  return true;
}

// Returns those that must be folded again, on what the store now has.
std::vector<Slot*> Lane::commit(const std::vector<Slot*>& folded, const std::vector<Change>& changes) {
  pass_kill_points("engine.before_commit", folded);
  for (Slot* slot : folded) ++slot->attempts;
  if (PLANTED_IN_ENGINE(reply_before_commit)) {
    for (Slot* slot : folded) {
      slot->committed({});
      slot->serve_reads(nullptr);
    }
    static_cast<void>(store_.commit(changes));
    for (Slot* slot : folded) slot->unload();
    return {};
  }
  const Steady began = time_.steady();
  const Duration sent = time_.boot();
  const auto results = store_.commit(changes);
  if (results &&
      std::ranges::any_of(*results, [](const CommitResult& r) { return r.outcome != CommitOutcome::kUnknown; }))
    sight_->answered(sent, time_.boot());
  counters_->committed_in(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time_.steady() - began).count()));

  if (!results) {
    const Error& error = results.error();
    const bool all_alike = error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kResourceExhausted;
    if (!all_alike && changes.size() > 1) {
      // One of them is not to the store's liking: it must not take the others down with it.
      std::vector<Slot*> again;
      for (std::size_t i = 0; i < changes.size(); ++i) {
        const auto more = commit({folded[i]}, {changes[i]});
        again.insert(again.end(), more.begin(), more.end());
      }
      return again;
    }
    store_failed(error);
    const bool reached = takes_no_writes(error);
    if (reached) {
      sight_->refused(time_.boot());
      const bool told_by_store = !store_.refuses_writes().empty();
      const std::lock_guard lock(trouble_mutex_);
      refused_ = told_by_store ? std::string() : error.message;
      refused_at_ = time_.steady();
    }
    for (Slot* slot : folded) {
      refuse(*slot, error.code == ErrorCode::kUnavailable ? unavailable(reached) : error);
      put_off(*slot);
    }
    return {};
  }

  if (!refused_.empty()) {  // written by this thread only
    const std::lock_guard lock(trouble_mutex_);
    refused_.clear();
  }
  pass_kill_points("engine.after_commit", folded);
  pass_kill_points("engine.before_reply", folded);
  Counters::add(counters_->commits);
  std::vector<Slot*> again;
  for (std::size_t i = 0; i < folded.size(); ++i) {
    const CommitResult& result = (*results)[i];
    if (result.outcome == CommitOutcome::kCommitted) {
      Counters::add(counters_->committed_records);
      folded[i]->committed(result.version);
      folded[i]->serve_reads(nullptr);
      continue;
    }
    const bool conflict = result.outcome == CommitOutcome::kConflict;
    Counters::add(conflict ? counters_->conflicts : counters_->unknown_commits);
#ifdef SYZYGY_PLANTED_BUGS
    if (conflict && PLANTED_IN_ENGINE(conflict_keeps_cache)) {
      const auto loaded = store_.load(folded[i]->key());
      if (loaded && *loaded) folded[i]->believe((*loaded)->version);
      again.push_back(folded[i]);
      continue;
    }
    if (conflict && PLANTED_IN_ENGINE(commands_lost_on_conflict)) {
      folded[i]->unload();
      continue;
    }
    if (!conflict && PLANTED_IN_ENGINE(unknown_is_failure)) {
      refuse(*folded[i], Error{ErrorCode::kAborted, "COMMIT_FAILED", "the commit failed", {}, std::nullopt});
      folded[i]->unload();
      continue;
    }
    const bool taken_for_done =
        (!conflict && PLANTED_IN_ENGINE(unknown_is_success)) ||
        (conflict && PLANTED_IN_ENGINE(renewals_lost_on_conflict) && folded[i]->only_renewals());
    if (taken_for_done) {
      folded[i]->committed({});
      folded[i]->serve_reads(nullptr);
      folded[i]->unload();
      continue;
    }
#endif
    folded[i]->unload();
    if (result.held) {
      [[maybe_unused]] const auto taken =
          folded[i]->take(result.held, false);  // a damaged one freezes the slot, and fold() says so
    }
    again.push_back(folded[i]);
  }
  return again;
}

// Nobody is kept waiting for an answer that cannot be given now; who only waits to see something goes on waiting.
void Lane::work_through_without_store() {
  const Error error = unavailable();
  for (Slot* slot : std::exchange(work_, {})) {
    slot->in_work = false;
    refuse(*slot, error);
    put_off(*slot);
  }
  if (!recovered_.empty() && !recovery_error_) recovery_error_ = error;
}

void Lane::expire_waits() {
  while (!deadlines_.empty() && deadlines_.begin()->first <= steady_now_) {
    const WaitId id = deadlines_.begin()->second;
    waits_.at(id).slot->expire(id);
    wait_over(id);
  }
  for (const WaitId id : std::exchange(cancelled_, {})) {
    const auto waiting = waits_.find(id);
    if (waiting != waits_.end()) waiting->second.slot->cancel(id);
  }
}

void Lane::end_all_waits() {
  const Error error{ErrorCode::kUnavailable,
                    "SHUTTING_DOWN",
                    "this daemon is shutting down; ask again, or ask another one",
                    {},
                    kProbe};
  for (const auto& [key, slot] : slots_) slot->end_waits(error);
}

// ---- what another daemon may have done ----

void Lane::poll() {
  if (!route_ || PLANTED_IN_ENGINE(poll_forgotten)) return;
  if (poll_at_ && steady_now_ < *poll_at_) return;
  poll_at_ = steady_now_ + options_.poll;
  std::string after;
  for (;;) {
    const Duration sent = time_.boot();
    const auto page = store_.scan({}, after, kScanPage);  // targets and barriers with one command
    if (!page) {
      store_failed(page.error());
      return;
    }
    sight_->answered(sent, time_.boot());
    for (const Listed& listed : *page) {
      std::string& known = polled_[listed.key];
      std::string at = commit_of(listed);
      if (known == at) continue;
      known = std::move(at);
      route_(Moved{listed.key, listed.version});
    }
    if (page->size() < kScanPage) break;
    after = page->back().key;
  }
}

// ---- timers and memory ----

void Lane::arm(std::set<Wake>& in, std::optional<Instant>& armed, std::optional<Instant> at, Slot& slot) {
  if (at == armed) return;
  if (armed) in.erase(Wake{*armed, &slot});
  if (at) in.insert(Wake{*at, &slot});
  armed = at;
}

void Lane::finish_touched() {
  for (Slot* slot : std::exchange(sweeps_, {})) static_cast<TargetSlot*>(slot)->sweep_closed_sinks();
  for (Slot* slot : std::exchange(touched_, {})) {
    slot->is_touched = false;

    std::optional<Instant> wake = slot->wake_at();
    if (wake && *wake <= now_) wake = now_ + kIdleWake;
    arm(wakes_, slot->armed, wake, *slot);
    arm(looks_, slot->looked_from, slot->look() ? std::optional(slot->look()->from) : std::nullopt, *slot);

    if (slot->cached) {
      cached_bytes_ -= slot->counted_bytes;
      cached_.erase(slot->cached_at);
      slot->cached = false;
    }
    if (slot->loaded() && slot->version()) {
      slot->counted_bytes = slot->bytes();
      cached_bytes_ += slot->counted_bytes;
      slot->cached_at = cached_.insert(cached_.end(), slot);
      slot->cached = true;
    } else {
      forget(*slot);
    }
  }
}

// Drops a slot that holds nothing worth its memory. One that must wake later stays, without its record.
void Lane::forget(Slot& slot) {
  if (!slot.idle() || slot.armed || slot.looked_from || slot.in_work || slot.in_renewing || slot.in_later) return;
  slots_.erase(std::string(slot.key()));
}

void Lane::evict() {
  for (int n = 0; n < kEvictionsPerTurn && cached_bytes_ > options_.cache_bytes_max && !cached_.empty(); ++n) {
    Slot* slot = cached_.front();
    if (!slot->idle() || slot->in_work || slot->in_renewing || slot->in_later) {
      cached_.splice(cached_.end(), cached_, cached_.begin());
      continue;
    }
    cached_.pop_front();
    slot->cached = false;
    cached_bytes_ -= slot->counted_bytes;
    slot->unload();
    slot->shrink();
    forget(*slot);
  }
}

}  // namespace syzygy::engine
