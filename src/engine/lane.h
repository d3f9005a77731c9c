// lane.h - one thread that owns the records whose keys are hashed to it, and the only one that touches their slots.
//
// Its life is one loop: take everything that waits, read the store's clock once, load what is missing, fold, commit all
// of it in one call, release. A conflict or an unknown commit goes around again with the same commands. While the store
// cannot be reached, commands are refused at once and waits stay open; every probe looks whether it is back.
#pragma once

#include <atomic>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <variant>
#include <vector>

#include "engine/barrier_slot.h"
#include "engine/clock.h"
#include "engine/clock_watch.h"
#include "engine/counters.h"
#include "engine/mailbox.h"
#include "engine/target_slot.h"

namespace syzygy::engine {

inline constexpr std::string_view kTargetPrefix = "t/";
inline constexpr std::string_view kBarrierPrefix = "b/";
inline constexpr std::size_t kScanPage = 1'000;  // records that one scan of the store brings

// What comes to a lane.
struct ToTarget {
  std::string name;
  round::Command command;
  Engine::OnTarget done;
  Steady came{};
};
struct ToBarrier {
  std::string name;
  barrier::Command command;
  Engine::OnBarrier done;
  WaitId id = 0;
  Steady deadline{};
  Place place;
};
struct ReadTarget {
  std::string name;
  Engine::OnState done;
};
struct WaitForTarget {
  std::string name;
  WaitId id = 0;
  Steady deadline{};
  TargetSlot::Wait wait;
};
struct WatchTarget {
  std::string name;
  SinkPtr sink;
  std::string epoch;
  Revision after;
};
struct Unwatch {
  std::string name;
};
struct CancelWait {
  WaitId id = 0;
};
// Another user of the store moved `key`; or, at the start, it is there.
struct Moved {
  std::string key;
  std::optional<Version> version;
};
// What the store held before anything of it was loaded: where it moves after that, the poll sees it.
struct Listing {
  std::vector<Listed> page;
};
// Everything that was put before has been looked at. The answer is the store's error if something could not be.
struct Recovered {
  std::shared_ptr<std::promise<Result<void>>> done;
};
struct Stop {};

using Item = std::variant<ToTarget, ToBarrier, ReadTarget, WaitForTarget, WatchTarget, Unwatch, CancelWait, Moved,
                          Listing, Recovered, Stop>;

// Those who watch all targets; shared by the lanes.
class Audience {
 public:
  void add(std::string prefix, SinkPtr sink);
  void sweep_closed();
  // Returns how many heard it.
  std::size_t announce(const Update& update) const;

 private:
  struct Listener {
    std::string prefix;
    SinkPtr sink;
  };
  mutable std::mutex mutex_;
  std::shared_ptr<const std::vector<Listener>> listeners_ = std::make_shared<const std::vector<Listener>>();
};

class Lane final : public LaneSide {
 public:
  // `route` takes what this lane's poll found to the lane that owns it; empty: it does not poll. `sight` is that of all
  // lanes of the engine.
  Lane(Store& store, const Options& options, const Clock& time, std::shared_ptr<Counters> counters,
       std::shared_ptr<Sight> sight, Audience& audience, std::function<void(Moved)> route);
  ~Lane() override;

  void start();
  // Waits for the thread, which ends once everything that was put before Stop is done.
  void join();

  // Instead of a thread (stepped.h): when there is something to do, and what the thread would then do.
  std::optional<Steady> due();
  void turn_now();
  // Everything that was put before Stop is done.
  [[nodiscard]] bool over() const { return stopping_ && mailbox_.size() == 0; }

  // False, and `item` is untouched: the mailbox is full.
  bool offer(Item& item);
  void put(Item item);

  [[nodiscard]] std::size_t queued() const;
  // Why the store does not answer, or what it lately refused to write; empty: it does, and takes writes.
  [[nodiscard]] std::string trouble() const;

 private:
  // Of slots that wake at the same instant the older comes first: what a turn does hangs on no address.
  struct Wake {
    Instant at;
    Slot* slot;
    friend bool operator<(const Wake& a, const Wake& b) {
      return a.at != b.at ? a.at < b.at : a.slot->number < b.slot->number;
    }
  };

  // ---- LaneSide ----
  Store& store() override { return store_; }
  const Options& options() const override { return options_; }
  round::Settings rounds() const override;
  Counters& counters() override { return *counters_; }
  Instant now() const override { return now_; }
  Steady steady_now() const override { return steady_now_; }
  bool saw_the_end_of(const Lease& lease) const override;
  std::string new_grace() override { return options_.boot + "/" + std::to_string(++graces_); }
  void announce(const Update& update) override;
  void wait_begins(WaitId id, Slot& slot, Steady deadline) override;
  void wait_over(WaitId id) override;

  void run();
  std::optional<Steady> next_turn() const;
  [[nodiscard]] Steady when(Instant at) const;
  [[nodiscard]] Steady wake_time() const { return when(wakes_.begin()->at); }
  [[nodiscard]] std::optional<Steady> look_time() const;
  static void arm(std::set<Wake>& in, std::optional<Instant>& armed, std::optional<Instant> at, Slot& slot);
  [[nodiscard]] bool needs_store() const;
  void turn_at(std::optional<Steady> expected);
  void turn();
  void take(ToTarget& item);
  void take(ToBarrier& item);
  void take(ReadTarget& item);
  void take(WaitForTarget& item);
  void take(WatchTarget& item);
  void take(Unwatch& item);
  void take(CancelWait& item);
  void take(Moved& item);
  void take(Listing& item);
  void take(Recovered& item);
  void take(Stop& item);
  void touch(Slot& slot);
  void put_to_work(Slot& slot);
  void put_off(Slot& slot);
  void look_again(Moved moved);
  TargetSlot& target(const std::string& name);
  BarrierSlot& barrier(const std::string& name);
  Slot* slot_of(const std::string& key);

  bool store_is_up();
  Result<std::optional<Loaded>> read(const std::string& key);
  void suspect();
  void look_at_moved();
  void give_grace();
  void pass_grace_on(Slot& slot);
  void wake_due();
  void work_through();
  void work_through_without_store();
  Result<void> load(Slot& slot, bool hinted);
  std::vector<Slot*> commit(const std::vector<Slot*>& folded, const std::vector<Change>& changes);
  bool settle_unchanged(Slot& slot);
  void refuse(Slot& slot, const Error& error);
  void expire_waits();
  void poll();
  void finish_touched();
  void forget(Slot& slot);
  void evict();
  void end_all_waits();

  void store_failed(const Error& error);
  [[nodiscard]] Error unavailable(bool reached = false) const;

  Store& store_;
  const Options options_;
  std::string life_;     // of the store, and who serves it, as it was last seen
  Instant quiet_until_;  // nothing is granted before: another life was seen
  const Clock& time_;
  const std::shared_ptr<Counters> counters_;
  const std::shared_ptr<Sight> sight_;
  Audience& audience_;
  const std::function<void(Moved)> route_;
  std::uint64_t slots_made_ = 0;
  Mailbox<Item> mailbox_;
  std::thread thread_;

  // The thread's own.
  std::vector<Item> items_;  // of this turn
  std::unordered_map<std::string, std::unique_ptr<Slot>> slots_;
  std::vector<Slot*> work_;      // to be folded or read in this turn
  std::vector<Slot*> renewing_;  // with renewals only: to be folded at renewals_at_
  std::optional<Steady> renewals_at_;
  std::vector<Slot*> later_;  // what this turn could not do: again at the next probe
  std::vector<Moved> moved_;
  std::vector<Slot*> touched_;  // whose timers and memory are looked at when the turn ends
  std::vector<Slot*> sweeps_;   // of targets: some of their watchers are gone
  std::set<WaitId> cancelled_;  // in this turn, before they began to wait
  std::set<Wake> wakes_;
  std::set<Wake> looks_;  // from when on the store must be seen, for those whose leases come near their end
  std::set<std::pair<Steady, WaitId>> deadlines_;
  struct Waiting {
    Slot* slot;
    Steady deadline;
  };
  std::unordered_map<WaitId, Waiting> waits_;
  std::list<Slot*> cached_;  // least recently used first
  std::size_t cached_bytes_ = 0;
  std::vector<std::shared_ptr<std::promise<Result<void>>>> recovered_;
  std::optional<Error> recovery_error_;

  Instant now_;
  Steady now_at_{};  // when the store said so
  Duration now_at_boot_{0};
  Steady steady_now_{};
  Duration boot_now_{0};
  ClockWatch clock_;  // the store's against boot's, which counts suspend
  ClockWatch sleep_;  // boot's against the steady one, which does not
  std::uint64_t graces_ = 0;
  std::string grace_;     // the last that was given
  Steady grace_until_{};  // a lease that is over by then has had its term
  bool grace_due_ = false;
  bool recovering_ = true;            // until the first Recovered
  std::optional<Steady> probe_at_;    // while something has to be tried again
  std::optional<Steady> down_since_;  // the store does not answer
  std::optional<Steady> poll_at_;
  std::unordered_map<std::string, std::string> polled_;  // the commit at which each record was at the last poll
  bool stopping_ = false;

  mutable std::mutex trouble_mutex_;  // guards what follows
  std::string trouble_;
  std::string refused_;  // the last commit: no room, or read-only
  Steady refused_at_{};
};

}  // namespace syzygy::engine
