// folding_slot.h - what a target's slot and a barrier's slot have in common: commands are queued, folded with the pure
// step(), and stay queued until the fold they are in is committed, so that it can be done again on another record.
//
// A Machine names the pure machine: Record, Command, Decision, Asker (who is to be answered), and the few functions
// below.
#pragma once

#include <algorithm>
#include <exception>
#include <utility>

#include "base/name.h"
#include "engine/replay.h"
#include "engine/slot.h"

namespace syzygy::engine {

template <class Machine>
class FoldingSlot : public Slot {
 public:
  using Record = typename Machine::Record;
  using Command = typename Machine::Command;
  using Decision = typename Machine::Decision;
  using Asker = typename Machine::Asker;

  FoldingSlot(LaneSide& lane, std::string key, std::string name) : Slot(lane, std::move(key)), name_(std::move(name)) {}

  void add(Command command, Asker asker) {
    renewals_ += Machine::is_renewal(command) ? 1 : 0;
    commands_.push_back(std::move(command));
    askers_.push_back(std::move(asker));
  }

  void grace(const std::string& id) final { grace_ = id; }
  void tick() final { tick_ = true; }

  [[nodiscard]] bool has_commands() const final {
    return !commands_.empty() || tick_ || !grace_.empty() || reminder_.has_value();
  }
  [[nodiscard]] bool only_renewals() const final {
    return renewals_ == commands_.size() && renewals_ > 0 && !tick_ && grace_.empty() && !reminder_;
  }

  Folded fold() final {
    if (frozen_) {
      refuse(frozen_error(Machine::kWord + (" " + printable(name_, 200)), why_frozen_));
      return {};
    }
    if (!has_commands()) return {};
    // The engine's own stand first: a reminder, since it may show that the record is an old one, and grace, since
    // leases are judged after it.
    std::vector<Command> own;
    if (reminder_) own.push_back(*reminder_);
    if (!grace_.empty() && Machine::has_leases(record())) {
      own.push_back(Machine::grace(grace_));
    } else if (judges_unseen()) {
      own.push_back(Machine::grace(lane_.new_grace()));
    }
    own_ = static_cast<std::ptrdiff_t>(own.size());
    commands_.insert(commands_.begin(), own.begin(), own.end());
    decision_ = decide();
    if (!decision_.broken.empty()) {
      freeze_broken();
      return {};
    }
    commands_.erase(commands_.begin(), commands_.begin() + own_);
    decision_.replies.erase(decision_.replies.begin(), decision_.replies.begin() + own_);
    if (!decision_.changed) return {Folded::Kind::kUnchanged};
    std::string bytes = Machine::encode(decision_.record);
    encoded_bytes_ = bytes.size();
    return {Folded::Kind::kChanged, Change{.key = key_,
                                           .expected = version_,
                                           .bytes = std::move(bytes),
                                           .history = Machine::rows(decision_),
                                           .history_floor = Machine::floor(decision_, lane_.options()),
                                           .hint = Machine::is_seen(record(), decision_)}};
  }

  void committed(const Version& version) final {
    version_ = version;
    bytes_ = encoded_bytes_;
    adopt(std::move(decision_.record));
    learn_look();
    settle();
  }

  void settle() final {
    wake_at_ = decision_.wake_at;
    tick_ = false;
    grace_.clear();
    reminder_.reset();
    renewals_ = 0;
    if (attempts > 0) lane_.counters().answered_after(std::exchange(attempts, 0), askers_.size());
    const std::vector<Command> commands = std::exchange(commands_, {});
    std::vector<Asker> askers = std::exchange(askers_, {});
    release(std::exchange(decision_, {}), std::move(askers), commands);
  }

  void refuse(const Error& error) final {
    decision_ = {};
    attempts = 0;
    // The callbacks may call the engine, but what they ask comes by the mailbox: the queue does not move under us.
    for (Asker& asker : std::exchange(askers_, {})) {
      if (asker.done) asker.done(std::unexpected(error));
    }
    commands_.clear();
    renewals_ = 0;
    // A tick, a grace and a reminder are the engine's own affair: they stay due.
  }

  [[nodiscard]] bool idle() const override { return !frozen_ && !has_commands(); }

  void freeze(std::string why) {
    if (!frozen_) lane_.counters().frozen.fetch_add(1, std::memory_order_relaxed);
    frozen_ = true;
    why_frozen_ = std::move(why);
    tick_ = false;
    grace_.clear();
    reminder_.reset();
  }

 protected:
  // What the store has is older than what was seen here: this comes first in the next fold, until one is committed.
  void remind(Command reminder) {
    if (!reminder_) reminder_ = std::move(reminder);
  }

  // REQUIRES: loaded().
  [[nodiscard]] virtual const Record& record() const = 0;
  // `record` is what the store holds from now on.
  virtual void adopt(Record record) = 0;
  // The decision is durable (or changed nothing): its updates and replies go out. `askers` are those of its replies.
  virtual void release(Decision decision, std::vector<Asker> askers, const std::vector<Command>& commands) = 0;
  virtual void frozen_now() {}

  // Of a record just loaded: when it must be looked at next, without changing it.
  void learn_wake(const Record& loaded) {
    learn_look();
    try {
      wake_at_ = Machine::step(loaded, {}, loaded.now, lane_).wake_at;
    } catch (const std::exception& e) {
      freeze(std::string("its record cannot be judged (") + e.what() + ")");
    }
  }

  const std::string name_;
  std::string why_frozen_;

 private:
  // Every fold ends the leases that are over, whatever it is for.
  [[nodiscard]] bool judges_unseen() const {
    bool unseen = false;
    Machine::for_each_lease(record(), [&](const Lease& lease) {
      unseen = unseen || (lease.until <= lane_.now() && !lease.graced && !lane_.saw_the_end_of(lease));
    });
    return unseen;
  }

  void learn_look() {
    look_ = std::nullopt;
    Machine::for_each_lease(record(), [this](const Lease& lease) {
      if (lease.graced) return;
      const Look look{watched_from(lease), look_every(lease.ttl)};
      if (!look_) look_ = look;
      look_->from = std::min(look_->from, look.from);
      look_->every = std::min(look_->every, look.every);
    });
  }

  Decision decide() {
    static const std::vector<Command> kTick{Machine::tick()};
    try {
      return Machine::step(record(), commands_.empty() ? kTick : commands_, lane_.now(), lane_);
    } catch (const std::exception& e) {
      Decision decision;
      decision.broken = std::string("step() threw: ") + e.what();
      return decision;
    }
  }

  // Nothing is committed, the file replays it, and this record alone stands still.
  void freeze_broken() {
    std::string why = "an invariant failed (" + decision_.broken + ")";
    const Options& options = lane_.options();
    if (!options.replay_directory.empty()) {
      Replay replay;
      replay.is_barrier = Machine::kIsBarrier;
      replay.broken = decision_.broken;
      replay.now = lane_.now();
      replay.round_settings = lane_.rounds();
      replay.barrier_settings = options.barriers;
      replay.record = Machine::encode(record());
      for (const Command& command : commands_) replay.commands.push_back(Machine::encode_command(command));
      const auto path = write_replay(options.replay_directory, name_, replay);
      why += path ? "; " + *path + " replays it" : "; " + path.error().message;
    }
    commands_.erase(commands_.begin(), commands_.begin() + own_);
    freeze(std::move(why));
    refuse(frozen_error(Machine::kWord + (" " + printable(name_, 200)), why_frozen_));
    frozen_now();
  }

  std::vector<Command> commands_;
  std::vector<Asker> askers_;  // one for each command
  std::size_t renewals_ = 0;   // of the commands
  bool tick_ = false;
  std::string grace_;
  std::optional<Command> reminder_;
  std::ptrdiff_t own_ = 0;  // of the engine, at the head of the fold
  Decision decision_;       // folded, not committed yet
  std::size_t encoded_bytes_ = 0;

  void for_each_milestone(const std::function<void(const std::string&)>& visit) const final {
    Machine::for_each_milestone(decision_, visit);
  }
};

}  // namespace syzygy::engine
