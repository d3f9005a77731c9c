// target_slot.h - the slot of a target: rounds fold here, and whoever watches the target is told from here.
#pragma once

#include <deque>
#include <unordered_map>

#include "engine/folding_slot.h"
#include "engine/heartbeat.h"
#include "engine/sink.h"
#include "round/step.h"

namespace syzygy::engine {

struct TargetMachine {
  using Record = round::Record;
  using Command = round::Command;
  using Decision = round::Decision;
  struct Asker {
    Engine::OnTarget done;
    Steady came;
  };
  static constexpr bool kIsBarrier = false;
  static inline const std::string kWord = "target";

  static Decision step(Record record, std::span<const Command> commands, Instant now, const LaneSide& lane) {
    return round::step(std::move(record), commands, now, lane.rounds());
  }
  static bool is_renewal(const Command& command) { return std::holds_alternative<round::Renew>(command); }
  static Command tick() { return round::Tick{}; }
  static Command grace(const std::string& id) { return round::Grace{id}; }
  static bool has_leases(const Record& record);
  static void for_each_lease(const Record& record, const std::function<void(const Lease&)>& visit);
  static std::string encode(const Record& record);
  static std::string encode_command(const Command& command) { return round::encode(command); }
  static std::vector<HistoryRow> rows(const Decision& decision);
  static std::uint64_t floor(const Decision& decision, const Options& options);
  // By those who watch elsewhere.
  static bool is_seen(const Record& /*before*/, const Decision& decision) { return !decision.events.empty(); }
  static void for_each_milestone(const Decision& decision, const std::function<void(const std::string&)>& visit);
};

class TargetSlot final : public FoldingSlot<TargetMachine> {
 public:
  TargetSlot(LaneSide& lane, std::string key, std::string name)
      : FoldingSlot(lane, std::move(key), std::move(name)), heartbeat_tick_(tick_of(key_)) {}
  ~TargetSlot() override;

  void get(Engine::OnState done) { gets_.push_back(std::move(done)); }
  struct Wait {
    std::string epoch;
    Revision after;
    Engine::OnState done;
    Place place;
  };
  void get_after(WaitId id, Steady deadline, Wait wait);
  void watch(SinkPtr sink, std::string epoch, Revision after);
  void sweep_closed_sinks();

  void unload() override;
  void shrink() override { before_ = nullptr; }
  Result<void> take(std::optional<Loaded> loaded, bool hinted) override;
  void serve_reads(const Error* error) override;
  void expire(WaitId id) override;
  void cancel(WaitId id) override;
  void end_waits(const Error& error) override;
  [[nodiscard]] bool idle() const override;

 private:
  struct Watch {
    SinkPtr sink;
    std::string epoch;
    Revision after;
    bool lost = false;  // what it saw was not there
  };

  const round::Record& record() const override { return state_->record; }
  void adopt(round::Record record) override;
  void release(round::Decision decision, std::vector<TargetMachine::Asker> askers,
               const std::vector<round::Command>& commands) override;
  void frozen_now() override;

  void publish(std::shared_ptr<const std::vector<round::Event>> events, bool gap);
  void answer_waits();
  void answer(WaitId id, Result<TargetStatePtr> with);
  [[nodiscard]] bool moved_beyond(const Wait& wait) const;
  [[nodiscard]] Result<TargetStatePtr> present() const;
  void serve_watches();
  Update first_update(const std::string& epoch, Revision after);
  std::optional<std::vector<round::Event>> events_between(Revision after, Revision upto);
  void compare(const round::Record& loaded);
  void count_resync(bool resynchronises);

  const std::uint64_t heartbeat_tick_;  // at which its renewals come
  TargetStatePtr state_;                // null: not loaded
  TargetStatePtr before_;               // the newest that was known when it was unloaded
  bool resynchronises_ = false;
  bool gap_due_ = false;  // the record went back: whoever watches hears that events are missing
  Revision told_;         // what the watchers know
  bool told_any_ = false;
  std::deque<round::Event> recent_;  // the newest events, for watchers that resume
  std::vector<Engine::OnState> gets_;
  std::vector<Watch> new_watches_;
  std::vector<SinkPtr> sinks_;
  std::unordered_map<WaitId, Wait> waits_;
};

}  // namespace syzygy::engine
