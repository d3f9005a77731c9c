// oracle.h - the protocol once more, written from PROTOCOL.md alone, as simply and slowly as can be.
//
// It shares with src/round the plain values (round.h, command.h, effect.h) and nothing else: no move table, no codec,
// no events. An Oracle and step() are given the same commands; their replies and pictures must be equal, letter by
// letter. It never forgets a round: one that has retired is only marked so.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "round/command.h"
#include "round/effect.h"
#include "round/round.h"

namespace syzygy::round {

class Oracle {
 public:
  explicit Oracle(const Settings& settings) : rules_(settings) {}

  std::vector<Reply> step(std::span<const Command> commands, Instant now);

  // Revisions count events, of which the oracle knows nothing: it is told the newest, and those of outcomes. So is the
  // name of the record's life.
  void hear(Revision newest, const std::map<RoundId, Revision>& outcomes, const std::string& epoch);

  std::string picture() const;

 private:
  struct Seat {
    PartyName party;
    IncarnationId who;
    bool may_apply = true;
    std::size_t has_from = 0;
    std::uint64_t arrival = 0;
    Duration term{0};
    Instant until;
    bool graced = false;
    Instant deadline;
    Instant declined_until;
    Standing standing = Standing::kLive;
  };
  struct Right {  // of the elected one
    IncarnationId who;
    Token token;
    bool to_settle = false;
    bool claimed = false;
    bool fenced = false;
    Duration term{0};
    Instant until;
    bool graced = false;
    bool unsure = false;  // a daemon has begun since
  };
  struct Lost {  // the run that reached APPLYING last
    IncarnationId who;
    Token token;
    bool fenced = false;
    bool ended = false;
  };
  struct Game {
    RoundId id;
    std::uint64_t generation = 0;
    Plan plan;
    Quorum asked;
    Quorum effective;
    State state = State::kGathering;
    std::vector<Seat> seats;
    std::optional<IncarnationId> completed_by;
    std::optional<Right> right;
    std::optional<Lost> run;
    std::optional<std::size_t> left_from;
    std::optional<Instant> severed_until;
    std::optional<std::pair<IncarnationId, Token>> resolving;
    Token outcome_token;
    bool outcome_in_target = false;
    Revision outcome_revision;
    std::set<PartyName> heard;
    Instant lingers_until;
    bool retired = false;
  };
  struct Remembered {
    std::uint64_t sequence = 0;
    std::string body;
    Reply reply;
    Instant until;
  };

  static bool over(const Game& game);
  static bool holds(const Game& game);
  bool able(const Seat& seat) const;
  Game* find(const RoundId& id);
  Game* holder();
  Quorum effective(const Quorum& asked) const;
  std::set<PartyName> counted(const Game& game) const;
  bool complete(const Game& game) const;
  std::set<RoundId> at_odds(const Game& game) const;

  void finish(Game& game, State state);
  void tell(Game& game, State state, Token token, bool in_target);
  void lose_applier(Game& game);
  void see_token(Token token);
  void look_back(const Command& command);
  void begin_again();
  void suppose_a_run(Game& game);
  void bring_back(const RememberedRound& seen);
  void see_row(Token row, Token known);
  bool quiet() const { return quiet_since_.has_value() || now_ < rules_.quiet_until; }
  void requorum();
  void pass_time();
  void give_grace(const Grace& grace);
  void elect();
  void go_on(Game& game);
  void give(Game& game, const Seat& seat, bool to_settle);

  Reply execute(const Command& command);
  Reply run(const Join& join);
  Reply run(const Renew& renew);
  Reply run(const Confirm& confirm);
  Reply run(const Progressed& progressed);
  Reply run(const Report& report);
  Reply run(const Leave& leave);
  Reply run(const SeverRound& sever);
  Reply run(const ResolveBegin& begin);
  Reply run(const ResolveFinish& finish);
  Reply run(const SetTarget& set);
  Reply run(const Tick&) { return {}; }
  Reply run(const Grace&) { return {}; }
  Reply run(const Remind&) { return {}; }

  std::optional<Reply> learn(const Join& join);
  Reply visit(const Join& join);
  Reply sit_down(Game& game, const Join& join, std::size_t has_from);
  Seat new_seat(const Join& join, std::size_t has_from);
  std::optional<std::size_t> fits(const Game& game, const Join& join) const;
  std::optional<Reply> disagree(const Game& game, const Join& join) const;
  Reply compare(Game& game, const Confirm& confirm);
  void stand_back(const IncarnationId& who);
  Reply take_up(Game& game, const Confirm& confirm, std::size_t from);
  Reply start(Game& game, const Confirm& confirm, std::size_t from);

  Settings rules_;
  Instant now_;
  Token token_;
  Revision revision_;
  std::uint64_t arrivals_ = 0;
  std::vector<Game> games_;
  std::vector<Seat> guests_;
  std::optional<Quorum> pin_;
  std::map<PartyName, Instant> excused_;
  std::set<PartyName> visited_;
  std::optional<Binding> binding_;
  std::map<PlanStage, Plan> opaque_done_;
  std::map<IncarnationId, Remembered> remembered_;
  std::string boot_;
  std::string epoch_;
  std::set<std::string> lives_;  // that were over before, or are being looked back at
  std::optional<Instant> quiet_since_;
  std::set<RoundId> given_up_;  // in this step
};

// What the oracle's picture must be equal to.
std::string picture(const Record& record);
std::string picture(const Reply& reply);

}  // namespace syzygy::round
