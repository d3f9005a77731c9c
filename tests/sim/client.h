// client.h - one process of a party: what client/cpp and the applier of client/cli do, as stories (task.h).
//
// What decides is theirs: next_move(), hints_at_change(), Backoff, and migration::compare() for a claim. What is
// written anew is the shell around them, for there the real one has threads and sockets.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/cpp/backoff.h"
#include "client/cpp/next_move.h"
#include "tests/sim/daemon.h"
#include "tests/sim/database.h"
#include "tests/sim/task.h"
#include "tests/sim/world.h"

namespace syzygy::sim {

// What a pipeline starts.
struct Job {
  PartyName party;
  std::vector<Step> directory;  // of its image, in order
  std::string opaque;           // not empty: a command under this plan hash, instead of the directory
  OnApplierLost on_lost = OnApplierLost::kStop;
  std::optional<round::Quorum> quorum;
  Ms timeout = 60'000;
  bool voter_only = false;
  bool has_database = true;
  bool pooler = false;  // steps outside a transaction run unfenced
  Ms step_takes = 300;
};

// The same view for all who are shown one state.
class Views {
 public:
  std::shared_ptr<const v1::Target> of(const engine::TargetStatePtr& state);

 private:
  std::vector<std::pair<engine::TargetStatePtr, std::shared_ptr<const v1::Target>>> recent_;
};

struct Surroundings {
  World& world;
  Checker& checker;
  Database& database;
  std::vector<std::unique_ptr<Daemon>>& daemons;
  Views& views;
};

// A process that asks daemons, one after the other until one answers.
class Caller : public Process {
 public:
  Caller(Surroundings& around, Node node, std::string name);

 protected:
  using Answer = Result<engine::TargetAnswer>;

  Task<Answer> call(round::Command command, Ms timeout);
  // Over all daemons, the same request again and again.
  Task<Answer> insist(round::Command command, Ms until, bool heeds_stop);
  Later<bool> timer(Ms until);
  virtual void merge(const engine::TargetStatePtr&) {}
  [[nodiscard]] Daemon& endpoint() { return *around_.daemons[endpoint_ % around_.daemons.size()]; }

  Surroundings& around_;
  std::size_t endpoint_ = 0;
  std::uint64_t sequence_ = 0;
  bool stop_wanted_ = false;
};

class Client final : public Caller {
 public:
  Client(Surroundings& around, Node node, std::string name, Job job, std::function<void(const std::string&)> on_end);
  ~Client() override;

  void begin();
  void kill();
  void tell_to_stop();  // SIGTERM
  [[nodiscard]] bool running() const { return self_.running != Token{}; }
  [[nodiscard]] const Job& job() const { return job_; }
  [[nodiscard]] bool waits() const { return member_; }
  [[nodiscard]] Ms deadline() const { return deadline_; }
  // 20: it should have returned by now.
  void check(Ms now);

 private:
  enum class Why { kNo, kLeaseOver, kTokenLost, kSevered, kRequested };

  Task<> live();
  Task<bool> wait_for_outcome();
  Task<> keep_lease();
  Task<> keep_watch();
  Task<> apply(moves::Claim claim);
  Task<std::optional<round::Confirm>> claim(const round::Round& r, Token token);
  Task<> run(const round::Round& r, Database::Run run, std::size_t from);
  Task<std::optional<round::Report>> run_step(const Plan& plan, std::size_t index, const Database::Run& run, bool& left,
                                              bool& by_hand);
  Task<std::optional<round::Report>> run_command(const Plan& plan, const Database::Run& run, bool& left);
  enum class Known { kApplied, kAppliedByHand, kNotApplied, kNotKnown };
  Task<std::optional<round::Report>> settle(const Plan& plan, std::size_t index, const Database::Run& run,
                                            Known& known);
  [[nodiscard]] bool heeds_stop(const Database::Run& run) const;
  Task<> leave_running(const Plan& plan, const Database::Run& run, bool opaque);
  Task<> report(round::Report report);
  Task<bool> goodbye();
  Task<> acknowledge();

  template <class R>
  Task<std::optional<R>> query(Fault loses, std::function<R()> at_server);

  Later<bool> woken_or(Ms until);
  void wake();
  void merge(const engine::TargetStatePtr& state) override;
  void remember();
  [[nodiscard]] std::optional<round::Memory> memory(bool with_round) const;
  void set_lease(Ms sent_at, Duration left);
  void end(const std::string& how);
  void finish(round::State state, const RoundId& round);
  [[nodiscard]] Plan pending_plan() const;
  [[nodiscard]] Plan plan_of(const std::vector<Step>& steps) const;
  [[nodiscard]] bool lease_is_over() const;
  [[nodiscard]] bool is_known() const;  // by the record, as somebody who waits
  [[nodiscard]] bool is_shown() const;
  [[nodiscard]] Why must_stop() const;
  [[nodiscard]] round::RequestId next_request() { return {self_.incarnation, ++sequence_}; }
  [[nodiscard]] round::Finding finding(const Plan& plan, const RoundId& round, const migration::Snapshot& snapshot,
                                       const migration::ClaimRow& last_run) const;

  const Job job_;
  const std::function<void(const std::string&)> on_end_;
  std::vector<Task<>> stories_;
  Ms deadline_ = 0;
  Ms ran_until_ = 0;
  Ms astray_since_ = 0;
  Ms unshown_since_ = 0;
  Self self_;
  bool ended_ = false;
  bool ever_joined_ = false;
  bool member_ = false;
  bool confirmed_ = false;
  bool unknown_to_daemon_ = false;
  bool token_refused_ = false;
  bool left_ = false;
  std::optional<Plan> plan_;  // that it joined with
  Ms read_at_ = 0;            // when that was read
  Revision to_acknowledge_;
  engine::TargetStatePtr state_;
  std::shared_ptr<const v1::Target> view_;
  // What it saw last, before the store lost it; its own round, and who applied that.
  engine::TargetStatePtr remembered_;
  RoundId own_round_;
  RoundId applier_of_;
  round::Grant applier_;
  bool memory_refused_ = false;
  std::shared_ptr<const v1::Target> decided_;
  Ms lease_sent_ = 0;
  Ms lease_until_ = 0;
  Ms renew_after_ = 5'000;
  Backoff rejoin_;
  std::optional<Later<bool>::Setter> main_;
  std::optional<Later<bool>::Setter> keeper_;
  StreamPtr stream_;
  Daemon* stream_at_ = nullptr;
  SessionPtr session_;
  std::vector<SessionPtr> children_;
};

// Who only looks, at one daemon, for as long as that is there: a dashboard. Nothing that it does makes the daemon look
// at its store, so what the daemon misses it misses too.
class Onlooker final : public Process {
 public:
  Onlooker(World& world, Daemon& daemon, Node node, std::string name)
      : Process(world, node, std::move(name)), daemon_(daemon) {}
  void look();

 private:
  void follow(const std::shared_ptr<Stream>& stream);

  Daemon& daemon_;
  engine::TargetStatePtr state_;
};

// Who looks after rounds that nobody else can end.
class Operator final : public Caller {
 public:
  // `stop_appliers`: makes sure that no process of that round runs any more.
  Operator(Surroundings& around, Node node, std::function<void(const RoundId&)> stop_appliers);

  void look();       // resolves what is INDETERMINATE, if it is not at it already
  void interfere();  // severs, pins, excuses
  void put_right();  // no pin, no excuse
  [[nodiscard]] bool idle() const { return !busy_; }

 private:
  Task<> resolve(RoundId id);
  Task<> say(round::Command command);
  void begin(Task<> story);

  const std::function<void(const RoundId&)> stop_appliers_;
  std::vector<Task<>> stories_;
  std::vector<PartyName> excused_;
  bool busy_ = false;
  std::uint64_t acts_ = 0;
};

}  // namespace syzygy::sim
