#include "tests/sim/scenario.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/sha256.h"
#include "round/election.h"
#include "round/rules.h"
#include "round/view.h"
#include "tests/sim/checker.h"
#include "tests/sim/client.h"
#include "tests/sim/daemon.h"
#include "tests/sim/database.h"
#include "tests/sim/truth.h"

namespace syzygy::sim {
namespace {

constexpr Ms kDeploymentMost = 200'000;
constexpr Ms kLookEvery = 500;

class Scenario {
 public:
  Scenario(const Shape& shape, bool traced)
      : world_(shape, traced), truth_(world_), checker_(world_, truth_), database_(world_, checker_) {
    for (std::size_t i = 0; i < shape.daemons; ++i) {
      daemons_.push_back(
          std::make_unique<Daemon>(world_, truth_, checker_, next_node_++, "daemon" + std::to_string(i)));
    }
    for (const auto& daemon : daemons_) {
      onlookers_.push_back(std::make_unique<Onlooker>(world_, *daemon, next_node_++, "onlooker at " + daemon->name()));
    }
    operator_ =
        std::make_unique<Operator>(around_, next_node_++, [this](const RoundId& round) { stop_appliers(round); });
  }

  Played play();

 private:
  // One party's pipeline in one deployment: tries again like a CI job does.
  struct Pipeline {
    Job job;
    int tries_left = 3;
    bool done = false;
    bool well = false;
    std::vector<std::string> ends;
  };

  void look();
  void look_for_liveness();
  void chaos();
  void deploy(bool last);
  void deploy_the_last();
  void start_process(const std::shared_ptr<Pipeline>& pipeline);
  void stop_appliers(const RoundId& round);
  Client* some_client(bool applier);
  Daemon* some_daemon();
  [[nodiscard]] bool pipelines_done() const {
    return std::ranges::all_of(pipelines_, [](const auto& p) { return p->done; });
  }
  void run_until_done(Ms most);

  World world_;
  Truth truth_;
  Checker checker_;
  Database database_;
  Views views_;
  std::vector<std::unique_ptr<Daemon>> daemons_;
  Surroundings around_{world_, checker_, database_, daemons_, views_};
  std::vector<std::unique_ptr<Onlooker>> onlookers_;
  std::unique_ptr<Operator> operator_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::shared_ptr<Pipeline>> pipelines_;
  std::vector<Step> directory_;
  Node next_node_ = 2;
  std::size_t deployed_ = 0;
  std::uint64_t processes_ = 0;
  bool chaos_on_ = true;
  std::optional<Ms> ready_since_;
  std::optional<Ms> recovering_since_;
};

// ---- what the pipelines start ----

void Scenario::start_process(const std::shared_ptr<Pipeline>& pipeline) {
  if (!world_.broken().empty()) return;
  const std::string name = pipeline->job.party.value + "/" + std::to_string(++processes_);
  world_.tell(name + " begins" + (pipeline->job.opaque.empty() ? "" : " for " + pipeline->job.opaque));
  auto client =
      std::make_unique<Client>(around_, next_node_++, name, pipeline->job, [this, pipeline](const std::string& how) {
        pipeline->ends.push_back(how);
        const bool well = how.starts_with("applied") || how.starts_with("already") || how.starts_with("nothing");
        if (well || --pipeline->tries_left <= 0) {
          pipeline->done = true;
          pipeline->well = well;
          return;
        }
        world_.after(world_.chance().between(200, 8'000), [this, pipeline] { start_process(pipeline); });
      });
  clients_.push_back(std::move(client));
  clients_.back()->begin();
}

void Scenario::deploy(bool last) {
  Random& chance = world_.chance();
  ++deployed_;
  // Somebody took the newest step back: what is deployed again is what was applied before.
  const auto is_over = [](const round::Round& r) { return round::is_final(r.state); };
  const bool again = !last && !directory_.empty() && std::ranges::all_of(checker_.record().rounds, is_over) &&
                     database_.may_revert(directory_.back()) &&
                     world_.strikes(Fault::kStepReverted, directory_.back().id.value);
  if (again) database_.revert_by_hand(directory_.back());
  const bool opaque = !last && !again && chance.chance(220);
  const std::size_t before = directory_.size() - (again ? 1 : 0);
  if (!opaque && !again) {
    const std::size_t more = last ? 1 : 1 + chance.below(3);
    for (std::size_t i = 0; i < more; ++i) {
      const std::string id = std::to_string(1'001 + directory_.size()).substr(1);
      const bool atomic = last || chance.chance(750);
      directory_.push_back(Step{StepId{id}, Direction::kUp, Stage::kPreDeploy, sha256_hex(id), atomic});
    }
  }
  world_.tell("== deployment " + std::to_string(deployed_) + (opaque ? " of a command" : "") +
              (last ? ", the last" : ""));
  pipelines_.clear();
  const bool retry = chance.chance(500);
  const bool pooler = chance.chance(100);
  const bool with_database = chance.chance(700);
  const bool roster = !last && chance.chance(120);
  // Only one of them may apply, and old images come by: where he is lost, they are asked to look.
  const bool lone = !last && !opaque && chance.chance(150);
  for (std::size_t i = 0; i < world_.shape.parties; ++i) {
    auto pipeline = std::make_shared<Pipeline>();
    Job& job = pipeline->job;
    job.party = PartyName{"party-" + std::to_string(i)};
    job.directory = directory_;
    if (opaque) {
      job.opaque = "build-" + std::to_string(deployed_);
      job.on_lost = retry ? OnApplierLost::kRetry : OnApplierLost::kStop;
      job.has_database = with_database;
    }
    round::Quorum quorum{static_cast<std::uint32_t>(world_.shape.quorum), {}};
    if (roster) {
      for (std::size_t r = 0; r < world_.shape.quorum; ++r)
        quorum.roster.insert(PartyName{"party-" + std::to_string(r)});
    }
    job.quorum = quorum;
    job.pooler = pooler;
    job.step_takes = chance.chance(850) ? chance.between(20, 800) : chance.between(1'000, 12'000);
    job.timeout = last ? 120'000 : chance.between(12'000, 120'000);
    Ms begins = chance.between(0, 6'000);
    if (last) {
      pipeline->tries_left = 8;
    } else {
      if (chance.chance(100)) begins = chance.between(6'000, 40'000);
      if (chance.chance(120)) job.voter_only = true;
      if (chance.chance(40)) job.quorum = round::Quorum{quorum.parties + 1, {}};
      if (chance.chance(30)) job.quorum.reset();
      // An old image, which lacks some of the newest steps, or all of them.
      if (chance.chance(120) && !opaque) {
        job.directory.resize(before + chance.below(directory_.size() - before));
      }
      pipeline->tries_left = 1 + static_cast<int>(chance.below(4));
      if (lone) {
        job.voter_only = i > 0;
        if (i == 0) pipeline->tries_left = 1;
      }
    }
    pipelines_.push_back(pipeline);
    world_.after(begins, [this, pipeline] { start_process(pipeline); });
    if (lone && i > 0) {
      auto visitor = std::make_shared<Pipeline>();
      visitor->job = job;
      visitor->job.party = PartyName{"old-image-" + std::to_string(i)};
      visitor->job.directory.resize(before);
      visitor->job.voter_only = false;
      visitor->tries_left = 1;
      pipelines_.push_back(visitor);
      world_.after(chance.between(8'000, 70'000), [this, visitor] { start_process(visitor); });
    }
    // Two live processes that call themselves the same.
    if (!last && chance.chance(80)) {
      auto twin = std::make_shared<Pipeline>(*pipeline);
      pipelines_.push_back(twin);
      world_.after(begins + chance.between(100, 9'000), [this, twin] { start_process(twin); });
    }
  }
}

// ---- what goes wrong ----

Client* Scenario::some_client(bool applier) {
  std::vector<Client*> there;
  for (const auto& client : clients_) {
    if (client->alive() && client->running() == applier) there.push_back(client.get());
  }
  return there.empty() ? nullptr : there[world_.chance().below(there.size())];
}

Daemon* Scenario::some_daemon() {
  std::vector<Daemon*> there;
  for (const auto& daemon : daemons_) {
    if (daemon->up()) there.push_back(daemon.get());
  }
  return there.empty() ? nullptr : there[world_.chance().below(there.size())];
}

void Scenario::stop_appliers(const RoundId&) {
  for (const auto& client : clients_) {
    if (client->alive() && client->running()) client->kill();
  }
}

void Scenario::chaos() {
  if (!chaos_on_ || !world_.broken().empty()) return;
  Random& chance = world_.chance();
  world_.after(world_.shape.chaos_every, [this] { chaos(); });
  const auto cut = [&](bool both) {
    Client* client = some_client(chance.chance(300));
    Daemon* daemon = some_daemon();
    if (client == nullptr || daemon == nullptr) return;
    std::pair<Node, Node> ends{client->node(), daemon->node()};
    const auto kind = chance.below(4);
    if (kind == 2) ends = {daemon->node(), kStoreNode};
    if (kind == 3) ends = {client->node(), kDatabaseNode};
    if (chance.chance(500)) std::swap(ends.first, ends.second);
    const Ms length = chance.between(300, 25'000);
    world_.cut(ends.first, ends.second, length);
    if (both) world_.cut(ends.second, ends.first, length);
  };
  if (world_.strikes(Fault::kPartition, "both ways")) cut(true);
  if (world_.strikes(Fault::kPartitionOneWay, "one way")) cut(false);
  if (Daemon* d = some_daemon(); d != nullptr && world_.strikes(Fault::kDaemonKilled, d->name())) d->kill();
  if (Daemon* d = some_daemon(); d != nullptr && world_.strikes(Fault::kDaemonStopped, d->name())) {
    d->stop_for(chance.between(100, 25'000));
  }
  if (Daemon* d = some_daemon(); d != nullptr && world_.strikes(Fault::kDaemonSuspended, d->name())) {
    d->suspend(chance.between(500, 40'000));
  }
  if (Daemon* d = some_daemon(); d != nullptr && world_.strikes(Fault::kDaemonRestarted, d->name())) d->restart();
  if (Client* c = some_client(false); c != nullptr && world_.strikes(Fault::kClientKilled, c->name())) c->kill();
  if (Client* c = some_client(false); c != nullptr && world_.strikes(Fault::kClientStopped, c->name())) {
    c->stop_for(chance.between(100, 40'000));
  }
  if (Client* c = some_client(chance.chance(400));
      c != nullptr && world_.strikes(Fault::kClientToldToStop, c->name())) {
    c->tell_to_stop();
  }
  if (Client* c = some_client(true); c != nullptr && world_.strikes(Fault::kApplierKilled, c->name())) c->kill();
  if (Client* c = some_client(true); c != nullptr && world_.strikes(Fault::kApplierStopped, c->name())) {
    c->stop_for(chance.between(100, 60'000));
  }
  if (world_.strikes(Fault::kStoreAway, "")) truth_.go_away(chance.between(200, 12'000));
  if (world_.strikes(Fault::kClockForward, ""))
    truth_.jump(chance.between(300, 40'000) * (chance.chance(200) ? 200 : 1));
  if (world_.strikes(Fault::kClockBack, "")) truth_.jump(-chance.between(300, 40'000));
  if (world_.strikes(Fault::kDatabaseAway, "")) database_.go_away(chance.between(200, 15'000));
  if (!directory_.empty()) {
    const Step& step = directory_[directory_.size() - 1 - chance.below(std::min<std::size_t>(directory_.size(), 4))];
    if (!database_.is_applied(step.id) && world_.strikes(Fault::kStepByHand, step.id.value)) {
      database_.apply_by_hand(step);
    }
  }
  if (world_.strikes(Fault::kOperator, "interferes")) operator_->interfere();
  if (!world_.shape.goes_back) return;
  // It is away while it is put back.
  if (world_.strikes(Fault::kStoreRestored, "")) {
    if (truth_.restore(chance.below(4), chance.chance(500))) truth_.go_away(chance.between(100, 12'000));
  } else if (world_.strikes(Fault::kStoreEmptied, "")) {
    truth_.empty();
    truth_.go_away(chance.between(100, 12'000));
  }
  if (chance.chance(300)) truth_.back_up();
}

// ---- looking ----

void Scenario::look() {
  if (!world_.broken().empty()) return;
  world_.after(kLookEvery, [this] { look(); });
  for (const auto& daemon : daemons_) daemon->check(world_.now());
  for (const auto& client : clients_) client->check(world_.now());
  operator_->look();
  look_for_liveness();
}

// 18 and 19, once faults have stopped: what could go on does.
void Scenario::look_for_liveness() {
  const Ms now = world_.now();
  const bool calm = world_.is_calm() && now > world_.calm_since() + 6'000 && !checker_.record().resync &&
                    std::ranges::all_of(daemons_, [&](const auto& d) { return d->sound_since(now - 4'000); });
  const round::Record& record = checker_.record();
  const Instant store_now = truth_.now();
  bool ready = false;
  bool recovering = false;
  for (const round::Round& r : record.rounds) {
    if (r.state == round::State::kGathering && round::holder(record) == nullptr && round::quorum_complete(record, r) &&
        round::first_applier(record, r, store_now) != nullptr) {
      ready = true;
    }
    if (r.state == round::State::kRecovering && !r.sever && round::heir(r, store_now) != nullptr) recovering = true;
    if (calm && r.grant && !r.sever) {
      round::Settings settings;
      const Duration delay = r.grant->claimed && !r.grant->fenced ? settings.lock_delay_unfenced : Duration{0};
      // Grace may have given its lease a full term, once.
      if (r.grant->lease_until + delay + Duration{2'000} < store_now) {
        return world_.broke("19: the lease of the applier of round " + r.id.value + " is over for " +
                            std::to_string((store_now - r.grant->lease_until).count()) + " ms, and nobody took over");
      }
    }
  }
  const auto since = [&](std::optional<Ms>& began, bool holds) {
    if (!holds || !calm) {
      began.reset();
    } else if (!began) {
      began = now;
    }
    return began ? now - *began : 0;
  };
  if (since(ready_since_, ready) > 1'000)
    world_.broke("18: a round is complete, the target is free, and nobody is elected");
  if (since(recovering_since_, recovering) > 2'000) world_.broke("19: somebody could take over, and nobody is elected");
}

void Scenario::run_until_done(Ms most) {
  const Ms until = world_.now() + most;
  while (world_.broken().empty() && world_.now() < until && !pipelines_done()) {
    world_.run_until(std::min(until, world_.now() + kLookEvery));
  }
}

// With one more who waits and dies once somebody is elected (22).
void Scenario::deploy_the_last() {
  deploy(true);
  auto bystander = std::make_shared<Pipeline>();
  bystander->job = pipelines_.front()->job;
  bystander->job.party = PartyName{"bystander"};
  bystander->job.voter_only = true;
  bystander->tries_left = 1;
  start_process(bystander);
  Client* dies = clients_.back().get();
  const auto dying = std::make_shared<std::function<void()>>();
  *dying = [this, dies, again = std::weak_ptr(dying)] {
    const bool elected = std::ranges::any_of(checker_.record().rounds, [](const round::Round& r) {
      return r.state == round::State::kElected || r.state == round::State::kApplying;
    });
    if (elected && dies->alive()) return dies->kill();
    const auto self = again.lock();
    if (self) {
      world_.after(20, [self] {
        if (*self) (*self)();
      });
    }
  };
  (*dying)();
  run_until_done(kDeploymentMost);
  *dying = nullptr;
}

Played Scenario::play() {
  for (const auto& daemon : daemons_) daemon->start();
  for (const auto& onlooker : onlookers_) onlooker->look();
  look();
  world_.after(world_.shape.chaos_every, [this] { chaos(); });
  for (std::size_t i = 0; i < world_.shape.deployments && world_.broken().empty(); ++i) {
    deploy(false);
    run_until_done(kDeploymentMost);
    world_.run_until(world_.now() + world_.chance().between(100, 6'000));
  }

  // Nothing goes wrong any more: everything must come right.
  const auto resynchronised = [this] {
    const auto count = world_.coverage.seen.find("resynchronisation");
    return count == world_.coverage.seen.end() ? 0 : count->second;
  };
  std::uint64_t before = resynchronised();
  chaos_on_ = false;
  world_.calm();
  truth_.come_back();
  database_.come_back();
  operator_->put_right();
  // The record's time stands still for as long as the store's clock is behind it: whatever has a bound ends so much
  // later.
  const Ms behind = std::max<Ms>(0, checker_.record().now.ms - truth_.now().ms);
  run_until_done(kDeploymentMost);
  world_.run_until(world_.now() + 45'000 + behind);  // those that were stopped go on, leases of the dead end
  if (truth_.gone_back_at()) world_.run_until(std::max(world_.now(), *truth_.gone_back_at() + 120'000 + behind));
  // Whoever comes back only now with the memory of a lost life begins a resynchronisation, in which nobody is elected
  // and an operator is told to wait: then the deployment after it counts.
  for (bool again = true; again && world_.broken().empty();) {
    const Ms began = world_.now();
    deploy_the_last();
    const bool well = std::ranges::all_of(pipelines_, [](const auto& p) { return p->well; }) &&
                      database_.is_applied(directory_.back().id);
    again = !well && resynchronised() != before;
    before = resynchronised();
    if (again) world_.run_until(world_.now() + 120'000);
    if (well || again || !world_.broken().empty()) continue;
    std::string ends;
    for (const auto& p : pipelines_) {
      ends += " " + p->job.party.value + ":";
      for (const std::string& how : p->ends) ends += " " + how + ";";
    }
    world_.broke("23: nothing goes wrong any more, and after " + std::to_string(world_.now() - began) +
                 " ms of retries not everybody is done:" + ends);
  }
  Played played;
  played.broken = world_.broken();
  played.struck = world_.struck();
  world_.coverage.worlds = 1;
  played.coverage = world_.coverage;
  played.story = world_.story();
  return played;
}

}  // namespace

Played play(const Shape& shape, bool traced) {
  Scenario scenario(shape, traced);
  return scenario.play();
}

}  // namespace syzygy::sim
