// slot.h - one record in a lane: the newest committed state that this process knows, the commands that wait to be
// folded into it, and everybody who waits to see it move.
//
// Belongs to its lane's thread. The lane decides when; the slot knows what: it folds, gives the lane one Change, and
// releases replies and updates once told that this was committed. Nobody is answered from a fold that was not.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/counters.h"
#include "engine/engine.h"
#include "engine/mailbox.h"
#include "engine/sight.h"
#include "store/store.h"

namespace syzygy::engine {

class Slot;

// What a slot has of its lane.
class LaneSide {
 public:
  virtual ~LaneSide() = default;

  virtual Store& store() = 0;
  virtual const Options& options() const = 0;
  // The rules as they hold at this moment.
  virtual round::Settings rounds() const = 0;
  virtual Counters& counters() = 0;
  // The store's time of this turn.
  virtual Instant now() const = 0;
  virtual Steady steady_now() const = 0;
  // Whether the holder of `lease`, which is over, could have renewed it as far as this daemon has seen the store.
  virtual bool saw_the_end_of(const Lease& lease) const = 0;
  // Names one more grace.
  virtual std::string new_grace() = 0;
  // To those who watch all targets.
  virtual void announce(const Update& update) = 0;
  // At `deadline` the slot gets expire(id). wait_over() takes that back.
  virtual void wait_begins(WaitId id, Slot& slot, Steady deadline) = 0;
  virtual void wait_over(WaitId id) = 0;
};

class Slot {
 public:
  Slot(LaneSide& lane, std::string key) : lane_(lane), key_(std::move(key)) {}
  virtual ~Slot() = default;
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] bool loaded() const { return loaded_; }
  [[nodiscard]] const std::optional<Version>& version() const { return version_; }
  [[nodiscard]] std::optional<Instant> wake_at() const { return frozen_ ? std::nullopt : wake_at_; }
  // From when on the store must be seen, and how often, so that the end of a lease can be judged here.
  struct Look {
    Instant from;
    Duration every{0};
  };
  [[nodiscard]] std::optional<Look> look() const { return frozen_ ? std::nullopt : look_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] bool frozen() const { return frozen_; }

  // The cached state is not to be trusted, or not worth its memory: the next fold loads first.
  virtual void unload() = 0;
  // Unloaded for good: what was known before is not worth its memory either.
  virtual void shrink() {}
  // Takes the record as the store has it, and tells whoever waits if it moved. Error: it cannot be decoded; the slot is
  // then frozen. `hinted`: because another user of the store moved it.
  virtual Result<void> take(std::optional<Loaded> loaded, bool hinted) = 0;

  // Leases get one full term (`id` names this grace) if the record has any.
  virtual void grace(const std::string& id) = 0;
  // Time has come to look at it.
  virtual void tick() = 0;

  [[nodiscard]] virtual bool has_commands() const = 0;
  // Only renewals wait: they may wait a little longer.
  [[nodiscard]] virtual bool only_renewals() const = 0;
  // Nobody waits for anything here, so it may be forgotten.
  [[nodiscard]] virtual bool idle() const = 0;

  // Folds every command that waits into the loaded record. kNothing: there was nothing to fold, or everybody has been
  // answered. kUnchanged: the lane calls settle(), once it knows that the record is still the newest. kChanged: the
  // lane commits `change` and calls committed(). Instead of either it may call refuse(), or unload(), take() and fold()
  // again.
  struct Folded {
    enum class Kind : std::uint8_t { kNothing, kUnchanged, kChanged };
    Kind kind = Kind::kNothing;
    Change change = {};
  };
  virtual Folded fold() = 0;
  virtual void settle() = 0;
  virtual void committed(const Version& version) = 0;
  // What the fold that awaits its commit means, as names for kill points: "ELECTED", "BARRIER_OPEN".
  virtual void for_each_milestone(const std::function<void(const std::string&)>& visit) const = 0;

  // Every command that waits is answered with `error`.
  virtual void refuse(const Error& error) = 0;
  // Answers the reads that came since. Without a loaded record: those that cannot wait get `error`.
  virtual void serve_reads(const Error* error) = 0;
  // A wait is over: with the state as it is, or (cancelled) because nobody wants it any more.
  virtual void expire(WaitId id) = 0;
  virtual void cancel(WaitId id) = 0;
  // The engine stops: every wait is answered with `error`.
  virtual void end_waits(const Error& error) = 0;

#ifdef SYZYGY_PLANTED_BUGS
  void believe(const Version& version) { version_ = version; }  // that it has this one cached
#endif

  // The lane's own marks.
  std::uint64_t number = 0;  // in the order of their making
  bool in_work = false;
  bool in_renewing = false;
  bool in_later = false;
  bool is_touched = false;
  std::uint64_t attempts = 0;  // at committing what waits
  std::string grace_given;     // the lane's last that it has had
  std::optional<Instant> armed;
  std::optional<Instant> looked_from;
  std::list<Slot*>::iterator cached_at;
  bool cached = false;
  std::size_t counted_bytes = 0;

 protected:
  LaneSide& lane_;
  const std::string key_;
  std::optional<Version> version_;  // of the record as this slot knows it; nullopt: there is none
  bool loaded_ = false;
  bool frozen_ = false;
  std::optional<Instant> wake_at_;
  std::optional<Look> look_;
  std::size_t bytes_ = 0;  // of the record, encoded
};

inline Error frozen_error(const std::string& what, const std::string& why) {
  return Error{ErrorCode::kInternal,
               "TARGET_FROZEN",
               what + " is frozen: " + why + "; nothing of it changes until the daemon is mended and started again",
               {},
               std::nullopt};
}

}  // namespace syzygy::engine
