// barrier_slot.h - the slot of a plain barrier: who enters with time to wait is answered when the generation is over.
#pragma once

#include <unordered_map>

#include "engine/folding_slot.h"
#include "round/barrier.h"

namespace syzygy::engine {

struct BarrierMachine {
  using Record = barrier::Record;
  using Command = barrier::Command;
  using Decision = barrier::Decision;
  struct Asker {
    Engine::OnBarrier done;
    WaitId id = 0;  // 0: answered at once
    Steady deadline{};
    Place place;
  };
  static constexpr bool kIsBarrier = true;
  static inline const std::string kWord = "barrier";

  static Decision step(Record record, std::span<const Command> commands, Instant now, const LaneSide& lane) {
    return barrier::step(std::move(record), commands, now, lane.options().barriers);
  }
  static bool is_renewal(const Command&) { return false; }
  static Command tick() { return barrier::Tick{}; }
  static Command grace(const std::string& id) { return barrier::Grace{id}; }
  static bool has_leases(const Record& record) {
    return record.state == barrier::State::kWaiting && !record.arrivals.empty();
  }
  static void for_each_lease(const Record& record, const std::function<void(const Lease&)>& visit) {
    if (record.state != barrier::State::kWaiting) return;
    for (const barrier::Arrival& arrival : record.arrivals) {
      visit({arrival.lease_until, arrival.lease_ttl, arrival.graced});
    }
  }
  static std::string encode(const Record& record) { return barrier::encode(record); }
  static std::string encode_command(const Command& command) { return barrier::encode(command); }
  static std::vector<HistoryRow> rows(const Decision&) { return {}; }
  static std::uint64_t floor(const Decision&, const Options&) { return 0; }
  // By those who wait elsewhere; and by a daemon to which the last party may come next, which then need not look first.
  static bool is_seen(const Record& before, const Decision& decision) {
    const Record& now = decision.record;
    const bool came = now.generation != before.generation || now.arrivals.size() > before.arrivals.size();
    return !decision.ended.empty() ||
           (came && now.state == barrier::State::kWaiting && now.arrivals.size() + 1 == now.quorum);
  }
  static void for_each_milestone(const Decision& decision, const std::function<void(const std::string&)>& visit);
};

class BarrierSlot final : public FoldingSlot<BarrierMachine> {
 public:
  BarrierSlot(LaneSide& lane, std::string key, std::string name) : FoldingSlot(lane, std::move(key), std::move(name)) {}

  void unload() override;
  Result<void> take(std::optional<Loaded> loaded, bool hinted) override;
  void serve_reads(const Error*) override {}
  void expire(WaitId id) override;
  void cancel(WaitId id) override;
  void end_waits(const Error& error) override;
  [[nodiscard]] bool idle() const override { return FoldingSlot::idle() && waits_.empty(); }

 private:
  struct Wait {
    Generation generation;
    IncarnationId incarnation;
    Engine::OnBarrier done;
    Place place;
  };

  const barrier::Record& record() const override { return *record_; }
  void adopt(barrier::Record record) override;
  void release(barrier::Decision decision, std::vector<BarrierMachine::Asker> askers,
               const std::vector<barrier::Command>& commands) override;
  void begin_wait(BarrierMachine::Asker asker, const barrier::Command& command, const barrier::Reply& reply);
  void answer(WaitId id, Result<BarrierAnswer> with);

  std::unique_ptr<const barrier::Record> record_;
  std::unordered_map<WaitId, Wait> waits_;
};

}  // namespace syzygy::engine
