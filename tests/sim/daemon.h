// daemon.h - one syzygyd: the real engine, on its side of the store, called by messages. Killed, stopped, suspended and
// started again.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "engine/stepped.h"
#include "tests/sim/checker.h"
#include "tests/sim/truth.h"
#include "tests/sim/world.h"

namespace syzygy::sim {

// One watch, as both ends know it. Its messages come in order or not at all.
struct Stream {
  std::uint64_t number = 0;  // of this world: what a daemon does with its streams hangs on no address
  Node client = 0;
  bool broken = false;  // the client hears nothing any more, and will notice
  Ms delivered_at = 0;
  std::optional<Checker::Watched> told;
  Ms open_since = 0;
  std::function<void(engine::Update)> on_update;
  std::function<void()> on_broken;
};
using StreamPtr = std::shared_ptr<Stream>;
struct OlderStream {
  bool operator()(const StreamPtr& a, const StreamPtr& b) const { return a->number < b->number; }
};

class Daemon final : public Process, private engine::Clock {
 public:
  Daemon(World& world, Truth& truth, Checker& checker, Node node, std::string name);
  ~Daemon() override;

  void start();
  void kill();
  void restart();  // in order: stops, and starts again
  void suspend(Ms duration);
  [[nodiscard]] bool up() const { return engine_ != nullptr && !dying_ && running_; }
  // Nothing was wrong with it or its store since `since`.
  [[nodiscard]] bool sound_since(Ms since) const;

  // A message came: `reply` sends the answer back.
  using Reply = std::function<void(Result<engine::TargetAnswer>)>;
  void ask(Node client, round::Command command, bool altered, Reply reply);
  void watch(const StreamPtr& stream, const std::string& epoch, Revision after);
  void unwatch(const StreamPtr& stream);

  // Somebody at the daemon itself waits for the target to move, again and again, and somebody watches all targets.
  void wait_for_more();

  // 20: what has not been answered though nothing was wrong; 21: who was not told.
  void check(Ms now);

 private:
  [[nodiscard]] engine::Steady steady() const override;
  [[nodiscard]] Duration boot() const override;
  void blocked();
  void pump();
  void turn();
  void end(bool orderly);

  struct Open {
    Node client;
    Ms since;
    Reply reply;
  };

  Truth& truth_;
  Checker& checker_;
  std::unique_ptr<StoreSide> side_;
  std::unique_ptr<engine::SteppedEngine> engine_;
  std::uint64_t life_ = 0;
  bool running_ = false;
  bool in_turn_ = false;
  bool dying_ = false;
  Ms started_at_ = 0;
  Ms turn_began_ = 0;
  Ms slept_ = 0;  // of suspends that are over
  Ms suspended_since_ = 0;
  Ms suspended_until_ = 0;
  std::optional<Ms> pump_at_;
  Ms unsound_until_ = 0;
  std::uint64_t calls_ = 0;
  std::map<std::uint64_t, Open> open_;
  std::map<StreamPtr, engine::SubscriptionPtr, OlderStream> streams_;
  std::optional<Checker::Watched> waited_;  // what it was answered last
  std::optional<Ms> waits_since_;
  engine::SubscriptionPtr of_all_;
  std::optional<Revision> told_of_all_;
};

}  // namespace syzygy::sim
