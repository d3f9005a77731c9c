#include "tests/sim/daemon.h"

#include <algorithm>
#include <utility>

#include "engine/clock_watch.h"

namespace syzygy::sim {
namespace {

constexpr Ms kLongTurn = 100;

Error reset() { return Error{ErrorCode::kUnavailable, "CONNECTION_RESET", "the daemon is gone", {}, std::nullopt}; }

}  // namespace

Daemon::Daemon(World& world, Truth& truth, Checker& checker, Node node, std::string name)
    : Process(world, node, std::move(name)), truth_(truth), checker_(checker) {}

Daemon::~Daemon() {
  if (side_) side_->die();
  streams_.clear();
  engine_.reset();
}

engine::Steady Daemon::steady() const {
  const Ms asleep = std::max<Ms>(0, std::min(world_.now(), suspended_until_) - suspended_since_);
  return engine::Steady{} + std::chrono::hours{1} + Duration{world_.now() - slept_ - asleep};
}
Duration Daemon::boot() const { return Duration{3'600'000 + world_.now()}; }

bool Daemon::sound_since(Ms since) const {
  // A turn that waits for the store, or for another daemon that does, is not its fault.
  if (in_turn_ && turn_began_ < world_.now() - kLongTurn) return false;
  return up() && stopped_until() < since && unsound_until_ < since && side_->trouble_until() < since &&
         started_at_ < since;
}

// A process that was stopped goes on where it was.
void Daemon::blocked() {
  while (stopped() && !dying_ && world_.broken().empty()) world_.sleep(stopped_until() - world_.now());
  if (in_turn_ && !dying_ && world_.strikes(Fault::kDaemonKilledInTurn, name())) kill();
}

void Daemon::start() {
  if (engine_ || !world_.broken().empty()) return;
  ++life_;
  dying_ = false;
  alive_ = true;
  side_ = std::make_unique<StoreSide>(world_, truth_, *this, [this] { blocked(); }, [this] { pump(); });
  engine::Options options;
  options.rounds.lease = Duration{world_.shape.lease};
  options.rounds.lease_unfenced = Duration{world_.shape.lease_unfenced};
  options.rounds.linger = Duration{world_.shape.linger};
  if (world_.shape.goes_back) options.rounds.lease_max = options.rounds.lease;  // or resynchronising takes all the time
  options.boot = name() + "/" + std::to_string(life_);
  options.lanes = world_.shape.many_lanes ? 2 : 1;
  options.cache_bytes_max = world_.shape.many_lanes ? 1 : 1 << 20;
  engine_ = engine::make_stepped_engine(*side_, options, *this);
  world_.tell(name() + " starts");
  checker_.listens(name());
  in_turn_ = true;
  const auto started = engine_->start();
  in_turn_ = false;
  if (dying_) return end(false);
  if (!started) {
    world_.tell(name() + " cannot start: " + started.error().message);
    end(true);
    world_.after(world_.chance().between(500, 3'000), [this] { start(); });
    return;
  }
  running_ = true;
  started_at_ = world_.now();
  waited_.reset();
  told_of_all_.reset();
  auto of_all = engine_->watch_all("", [this](const engine::Update& update) {
    if (dying_) return;
    checker_.shown(*update.state);
    told_of_all_ = update.state->record.revision;
  });
  if (of_all) of_all_ = *std::move(of_all);
  wait_for_more();
  pump();
}

void Daemon::kill() {
  if (!engine_ || dying_) return;
  world_.tell(name() + " is killed");
  side_->die();
  dying_ = true;
  running_ = false;
  if (!in_turn_) end(false);
}

void Daemon::restart() {
  if (!up() || in_turn_ || stopped()) return;
  world_.tell(name() + " is restarted in order");
  end(true);
  world_.after(world_.chance().between(100, 3'000), [this] { start(); });
}

// Takes the engine down; in order: everybody who waits is told to go elsewhere.
void Daemon::end(bool orderly) {
  running_ = false;
  if (orderly) {
    in_turn_ = true;
    engine_->stop();
    in_turn_ = false;
  } else {
    alive_ = false;
  }
  side_->die();
  ++life_;
  for (auto& [stream, subscription] : std::exchange(streams_, {})) {
    subscription.reset();
    stream->broken = true;
    if (world_.chance().chance(800)) world_.after(world_.latency(), stream->on_broken);
  }
  of_all_.reset();
  engine_.reset();
  for (auto& [call, open] : std::exchange(open_, {})) {
    if (world_.chance().chance(800))
      world_.send(node(), open.client, name() + " resets", [reply = open.reply] { reply(std::unexpected(reset())); });
  }
  checker_.ends(name());
  side_.reset();
  pump_at_.reset();
  if (!orderly) {
    const bool was_broken = !world_.broken().empty();
    if (!was_broken) world_.after(world_.chance().between(200, 12'000), [this] { start(); });
  }
}

void Daemon::suspend(Ms duration) {
  if (world_.now() < suspended_until_) return;
  slept_ += suspended_until_ - suspended_since_;
  suspended_since_ = world_.now();
  suspended_until_ = world_.now() + duration;
  stop_for(duration);
  if (duration > 2 * engine::ClockWatch::kTolerance.count()) {
    world_.at(suspended_until_, [this] { checker_.listens(name()); });
  }
}

// ---- its turns ----

void Daemon::pump() {
  if (!up() || in_turn_) return;
  const auto due = engine_->due();
  if (!due) return;
  const auto wait = std::chrono::ceil<Duration>(*due - steady()).count();
  const Ms when = std::max(world_.now() + std::max<Ms>(wait, 0), stopped_until());
  if (pump_at_ && *pump_at_ <= when) return;
  pump_at_ = when;
  world_.at(when, [this, when, life = life_] {
    if (life != life_ || pump_at_ != when) return;
    pump_at_.reset();
    turn();
  });
}

void Daemon::turn() {
  if (!up() || in_turn_) return;
  if (stopped()) return pump();
  const auto due = engine_->due();
  if (due && *due <= steady()) {
    turn_began_ = world_.now();
    // It comes so late that it must see it: the process stood still. (Of several lanes only some had something to do.)
    if (*due + 2 * engine::ClockWatch::kTolerance < steady() && !world_.shape.many_lanes) checker_.listens(name());
    in_turn_ = true;
    engine_->turn();
    in_turn_ = false;
    if (dying_) return end(false);
    if (world_.now() - turn_began_ > kLongTurn) unsound_until_ = world_.now();
  }
  pump();
}

// ---- what comes ----

void Daemon::ask(Node client, round::Command command, bool altered, Reply reply) {
  if (!up()) {
    world_.send(node(), client, name() + " refuses the connection", [reply] { reply(std::unexpected(reset())); });
    return;
  }
  if (auto* join = std::get_if<round::Join>(&command)) {
    join->fresh_round = RoundId{"r" + std::to_string(life_) + name().substr(6) + "-" + std::to_string(++calls_)};
  }
  const std::uint64_t call = ++calls_;
  const Checker::Asked asked = checker_.asked(command, altered, name());
  open_[call] = Open{client, world_.now(), reply};
  engine_->submit(
      kTarget, command, [this, life = life_, call, client, asked, command, reply](Result<engine::TargetAnswer> answer) {
        if (life != life_ || dying_) return;  // nobody is there who could send it
        if (!open_.contains(call)) return world_.broke("20: a request was answered twice");
        open_.erase(call);
        checker_.answered(asked, command, answer);
        world_.send(node(), client, name() + " answers", [reply, answer = std::move(answer)] { reply(answer); });
      });
  pump();
}

void Daemon::watch(const StreamPtr& stream, const std::string& epoch, Revision after) {
  if (!up()) {
    stream->broken = true;
    world_.after(world_.latency(), stream->on_broken);
    return;
  }
  // What is known of (epoch, after) is what the first update goes on from, where it does.
  stream->open_since = world_.now();
  if (!epoch.empty()) stream->told = Checker::Watched{after, epoch};
  auto subscription = engine_->watch(kTarget, epoch, after, [this, stream](const engine::Update& update) {
    if (dying_) return;
    checker_.watched(stream->told, update);
    if (stream->broken) return;
    const bool cut = !world_.open(node(), stream->client);
    if (cut || world_.strikes(Fault::kStreamBroken, name())) {
      stream->broken = true;  // both ends find out, later
      world_.after(world_.chance().between(500, 10'000), stream->on_broken);
      return;
    }
    stream->delivered_at = std::max(stream->delivered_at, world_.now() + world_.latency());
    world_.at(stream->delivered_at, [stream, update] {
      if (!stream->broken) stream->on_update(update);
    });
  });
  if (!subscription) {
    stream->broken = true;
    world_.after(world_.latency(), stream->on_broken);
    return;
  }
  streams_[stream] = *std::move(subscription);
  pump();
}

void Daemon::unwatch(const StreamPtr& stream) {
  stream->broken = true;
  streams_.erase(stream);
  pump();
}

void Daemon::wait_for_more() {
  constexpr Duration kWait{20'000};
  const Checker::Watched seen = waited_.value_or(Checker::Watched{});
  waits_since_ = world_.now();
  engine_->get_after(kTarget, seen.epoch, seen.revision, kWait,
                     [this, life = life_](const Result<engine::TargetStatePtr>& state) {
                       if (life != life_ || dying_) return;
                       waits_since_.reset();
                       if (state) {
                         checker_.shown(**state);
                         waited_ = Checker::Watched{(*state)->record.revision, (*state)->epoch};
                       }
                       world_.after(state ? 1 : 500, [this, life] {
                         if (life == life_ && up()) wait_for_more();
                       });
                     });
  pump();
}

void Daemon::check(Ms now) {
  constexpr Ms kSound = 4'000;
  if (now < kSound || !sound_since(now - kSound)) return;
  for (const auto& [call, open] : open_) {
    if (now - open.since > kSound) return world_.broke("20: " + name() + " did not answer within 4 s");
  }
  // 21: what was durable a poll ago is known here. (The poll, and what a turn may take.)
  const Revision known = checker_.revision_at(now - 2'700);
  if (told_of_all_ && *told_of_all_ < known) {
    return world_.broke("21: who watches all targets at " + name() + " knows revision " +
                        std::to_string(told_of_all_->value) + ", but " + std::to_string(known.value) +
                        " is durable for longer than a poll");
  }
  if (waited_ && waits_since_ && waited_->revision < known) {
    return world_.broke("21: who waits at " + name() + " for more than revision " +
                        std::to_string(waited_->revision.value) + " is not answered, but " +
                        std::to_string(known.value) + " is durable for longer than a poll");
  }
  for (const auto& [stream, subscription] : streams_) {
    if (stream->open_since > now - kSound) continue;
    const Revision told = stream->told ? stream->told->revision : Revision{};
    if (told < known) {
      return world_.broke("21: a watch at " + name() + " knows revision " + std::to_string(told.value) + ", but " +
                          std::to_string(known.value) + " is durable for longer than a poll");
    }
  }
}

}  // namespace syzygy::sim
