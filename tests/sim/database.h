// database.h - the target: a fence row, a history, outcomes, marks of steps outside a transaction, the locks of its
// sessions. What src/migration/target does with a real one, in the fewest lines.
//
// Everything here happens at the server, at once; how requests come and answers go (and get lost) is the client's side
// (Client::query). A session outlives its client for a while: what it has begun it may still commit.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "migration/target/compare.h"
#include "round/command.h"
#include "tests/sim/checker.h"
#include "tests/sim/world.h"

namespace syzygy::sim {

struct Session {
  bool alive = true;
  bool row = false;       // a transaction of it holds the fence row
  bool lock = false;      // it holds the step lock, shared
  Ms busy_until = 0;      // a statement outside a transaction, or a child's, runs
  bool of_child = false;  // of an opaque run's child: named by its round and token
  RoundId round;
  Token token;
};
using SessionPtr = std::shared_ptr<Session>;

class Database {
 public:
  Database(World& world, Checker& checker);

  SessionPtr connect();
  void end(const SessionPtr& session);       // rolls back, gives up its locks; after what it is busy with
  void end_soon(const SessionPtr& session);  // its client is gone: the server notices, sooner or later
  void go_away(Ms for_how_long) { away_until_ = world_.now() + for_how_long; }
  void come_back() { away_until_ = 0; }
  [[nodiscard]] bool away() const { return world_.now() < away_until_; }

  // ---- what is asked of it
  [[nodiscard]] migration::Snapshot snapshot(const RoundId& round) const;
  [[nodiscard]] round::Snapshot seen_by_join(const std::string& last_known) const;
  [[nodiscard]] bool is_applied(const StepId& step) const;

  struct Run {
    RoundId round;
    Token token;
    IncarnationId incarnation;
    bool fenced = true;
  };
  struct NotGiven {};
  // The token is committed; `previous` is the claim before. NotGiven: the row is locked.
  std::variant<migration::ClaimRow, migration::ClaimRefused, NotGiven> try_claim(const Run& run);
  // Once no step lock is held: what the claimer compares. nullopt: another claim came in between.
  std::variant<migration::Snapshot, migration::ClaimRefused, NotGiven> complete(const Run& run);

  enum class Begun { kYes, kBusy, kFencedOut, kChanged };
  // A guarded transaction: locks the row where it is ours.
  Begun begin(const SessionPtr& session, const Run& run, const Step& step);
  // False: the session was gone, and everything was rolled back.
  bool commit(const SessionPtr& session, const Run& run, const Step& step, bool last);
  void rollback(const SessionPtr& session);

  // A step outside a transaction: the step lock, the mark, then the statement, which ends at the server whatever
  // becomes of its client, then the history.
  Begun begin_outside(const SessionPtr& session, const Run& run, const Step& step);
  void run_outside(const SessionPtr& session, const Run& run, const Step& step, Ms takes, std::function<void()> done);
  Begun finish_outside(const SessionPtr& session, const Run& run, const Step& step, bool last);

  // An opaque run's child: does its work after `takes`, in a session of its own.
  SessionPtr run_child(const Run& run, Ms takes, std::function<void()> done);
  [[nodiscard]] bool child_sessions(const RoundId& round, Token token) const;
  [[nodiscard]] bool child_runs(const RoundId& round) const;  // and nobody has stopped it
  void mark_ended(const Run& run);

  // kAppliedByHand: it stands, but no outcome of the run's round does.
  enum class Settled { kApplied, kAppliedByHand, kNotApplied, kBegun, kFencedOut };
  // nullopt: the old session still holds something.
  std::optional<Settled> settle(const Run& run, const Step& step);

  // An operator makes sure that nothing runs any more, and takes back what half-done steps of that round or that plan
  // left: they may run again.
  void stop_everything();
  void put_in_order(const RoundId& round, const Plan& plan);
  // Another tool applies a step, and writes it into the history that it shares. It waits for whoever runs one.
  void apply_by_hand(const Step& step);
  [[nodiscard]] bool may_revert(const Step& step) const;
  void revert_by_hand(const Step& step);
  [[nodiscard]] bool stands(const Plan& plan, const RoundId& round) const;

  [[nodiscard]] Token token() const { return row_.token; }

 private:
  [[nodiscard]] bool row_locked() const;
  [[nodiscard]] bool step_locked() const;
  void write_history(const Run& run, const Step& step, bool last);
  [[nodiscard]] std::vector<StepId> applied_ids() const;

  World& world_;
  Checker& checker_;
  Ms away_until_ = 0;
  migration::ClaimRow row_;
  migration::ClaimRow previous_;
  std::vector<migration::AppliedRow> applied_;
  std::vector<migration::BegunStep> begun_;
  std::vector<migration::OutcomeRow> outcomes_;
  std::set<StepId> taken_back_;  // by hand, ever
  std::vector<Step> recent_;     // newest first
  std::map<RoundId, int> children_done_;
  std::vector<SessionPtr> sessions_;
};

}  // namespace syzygy::sim
