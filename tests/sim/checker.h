// checker.h - the invariants of PROTOCOL.md, over the whole world: what is durable, what anybody was told, and what
// happened in the target. The numbers are those of the document.
//
// It is told of everything at the moment at which it happens, and says World::broke() at the first contradiction. It
// shares nothing with the engine, and with round/ only what reads a record.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "round/command.h"
#include "round/effect.h"
#include "round/history.h"
#include "round/round.h"
#include "tests/sim/truth.h"
#include "tests/sim/world.h"

namespace syzygy::sim {

inline const TargetName kTarget{"orders"};

class Checker {
 public:
  Checker(World& world, Truth& truth);

  // ---- what the world tells it
  // A process was asked something; `arrived` when a daemon took it.
  struct Asked {
    std::string daemon;
    Revision revision;      // of the truth when it arrived
    bool executed = false;  // the truth held this request's answer when it arrived
    Instant kept_until;     // and keeps it so long
    bool altered = false;   // a forged body under an old id
    Ms at = 0;
  };
  Asked asked(const round::Command& command, bool altered, const std::string& daemon);
  // A daemon ends: what it was asked and has not answered it answers no more.
  void ends(const std::string& daemon);
  // A daemon begins anew to hear of renewals: until now it could not, and it must have noticed that.
  void listens(const std::string& daemon) { listens_since_[daemon] = world_.now(); }
  // The truth holds the answer to this very request.
  [[nodiscard]] bool executed(const round::RequestId& request) const;
  // A daemon answers.
  void answered(const Asked& asked, const round::Command& command, const Result<engine::TargetAnswer>& answer);
  // A daemon shows somebody a state.
  void shown(const engine::TargetState& state);
  // A watch of a daemon says something. `last`: of this watch; nullopt: it is the first.
  struct Watched {
    Revision revision;
    std::string epoch;
  };
  void watched(std::optional<Watched>& last, const engine::Update& update);
  // A process ends, and says to its pipeline that the round succeeded or failed.
  void told(const std::string& who, const RoundId& round, round::State state);
  // It also says that `plan` is applied, which it had read as pending at `read_at`.
  void told_applied(const std::string& who, const Plan& plan, Ms read_at);

  // ---- the target
  void claim_complete(Token token);
  // A run did something in the target: a step, whole or (outside a transaction) its statement or its mark.
  void took_effect(const RoundId& round, Token token, bool fenced, const std::string& what);
  void applied(const RoundId& round, const Step& step, const std::vector<StepId>& before);
  void statement_ran(const StepId& step);  // outside a transaction, under the step lock
  // An operator put the target in order by hand.
  void stood(const StepId& step) { stood_[step] = world_.now(); }
  void undone(const StepId& step) {
    times_applied_.erase(step);
    times_run_.erase(step);
  }
  // What stands in the target's history, and which opaque plans have run to their end.
  std::function<bool(const Plan& plan, const RoundId& round)> stands;
  // The target's own row says that this round has SUCCEEDED.
  std::function<bool(const RoundId& round)> recorded;
  // A command of this round runs, and nobody has stopped it.
  std::function<bool(const RoundId& round)> child_runs;

  // ---- what it knows
  [[nodiscard]] const round::Record& record() const { return record_; }
  [[nodiscard]] Revision revision_at(Ms when) const;
  [[nodiscard]] std::optional<Ms> became(round::State state, const RoundId& round) const;

 private:
  void committed(const Change& change, const std::string& by, const Truth::Entry& now);
  void gone_back();
  [[nodiscard]] bool lost_something() const { return truth_.gone_back_at().has_value(); }
  void check_elsewhere(const round::Record& after, std::span<const round::Event> events);
  void check_event(const round::Event& event, const round::Record& before, const round::Record& after);
  [[nodiscard]] bool must_remember(const round::RequestId& request) const;
  void check_requests(const round::Record& before, const round::Record& after);
  void check_leases(const round::Record& before, const round::Record& after, std::span<const round::Event> events,
                    const std::string& by);
  void check_grace(const round::Record& before, const round::Record& after);
  void check_extended(const round::Record& before, const round::Record& after, bool graced, const std::string& by);
  void check_over(const round::Event& event, const round::Record& before, const round::Record& after);
  void check_told(const engine::Update& update);
  void count_round(const RoundId& round, round::State state);
  // When a daemon heard of it last: now, where it has asked and was not answered.
  [[nodiscard]] Ms heard(const IncarnationId& incarnation) const;
  void hear(const IncarnationId& incarnation, Ms until);
  void broke(const std::string& what) { world_.broke(what); }

  struct Life {
    std::string hash;
    Plan plan;
    Generation generation;
    std::set<IncarnationId> joined;
    std::uint64_t struck_before = 0;
    bool elected = false;
    bool over = false;
    std::optional<round::State> ended;
    std::set<round::State> ended_before;  // in a life of the store that is lost
    bool lost = false;                    // the store knows nothing of it any more
    std::map<round::State, Ms> since;
  };

  World& world_;
  Truth& truth_;
  round::Record record_;
  round::View view_;
  std::map<RoundId, Life> rounds_;
  std::map<Generation, RoundId> generations_;
  std::map<Token, IncarnationId> granted_;
  Token highest_;
  // All that ever were, of each life of the record: one that is lost may have been followed by another that looks
  // alike.
  std::multimap<std::pair<std::string, Revision>, std::vector<std::pair<RoundId, round::State>>> states_;
  std::set<RoundId> unseen_;                              // of which somebody said that he cannot look at the target
  std::set<std::pair<IncarnationId, Token>> said_ended_;  // its run under that token: by itself
  std::multimap<Revision, round::Event> events_;          // of all lives of the store
  std::vector<std::pair<Ms, Revision>> revisions_;
  std::map<RoundId, round::State> told_;
  std::map<std::pair<IncarnationId, std::uint64_t>, round::Verdict> verdicts_;
  std::map<std::pair<IncarnationId, std::uint64_t>, Instant> remembered_until_;  // at least, each request
  std::map<IncarnationId, Instant> joined_until_;                                // at least, whatever it asked last
  Token complete_;
  std::map<StepId, int> times_applied_;
  std::map<StepId, int> times_run_;
  std::map<PlanStage, std::string> commands_;  // the last that succeeded: the hash of its plan
  std::map<StepId, Ms> stood_;                 // when it was applied last, whoever did it
  std::map<std::string, Ms> listens_since_;
  std::map<Token, Ms> grant_moved_;          // when its lease was stored last
  std::map<IncarnationId, Ms> lease_moved_;  // when its lease was stored last
  std::map<IncarnationId, Ms> graced_;       // when its lease was extended without a word from it
  std::map<IncarnationId, Ms> heard_;        // when a daemon heard of it last
  std::map<IncarnationId, std::multiset<std::string>> unanswered_;  // the daemons that it asked, once for each request
};

}  // namespace syzygy::sim
