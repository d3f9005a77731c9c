#include "oracle.h"

#include <algorithm>
#include <sstream>
#include <type_traits>

#include "commands.h"

namespace syzygy::round {
namespace {

constexpr std::uint64_t kImplausible = std::uint64_t{1} << 62;

Reply say(Verdict verdict) {
  Reply reply;
  reply.verdict = verdict;
  return reply;
}
Reply say(Verdict verdict, const RoundId& round) {
  Reply reply = say(verdict);
  reply.round = round;
  return reply;
}
Reply no(const char* reason) {
  Reply reply = say(Verdict::kRefused);
  reply.error = Error{ErrorCode::kInternal, reason, "", {}, std::nullopt};
  return reply;
}

const IncarnationId* who_asks(const Command& command) {
  return std::visit(
      [](const auto& c) -> const IncarnationId* {
        if constexpr (requires { c.request; }) {
          return &c.request.incarnation;
        } else {
          return nullptr;
        }
      },
      command);
}

std::uint64_t number_of(const Command& command) {
  return std::visit(
      [](const auto& c) -> std::uint64_t {
        if constexpr (requires { c.request; }) {
          return c.request.sequence;
        } else {
          return 0;
        }
      },
      command);
}

std::string plain(const Quorum& quorum) {
  std::string text = std::to_string(quorum.parties);
  for (const PartyName& party : quorum.roster) text += "," + party.value;
  return text;
}

}  // namespace

// --- Words -----------------------------------------------------------------------------------------------------------

bool Oracle::over(const Game& game) {
  return game.state == State::kSucceeded || game.state == State::kFailed || game.state == State::kExpired ||
         game.state == State::kDissolved || game.state == State::kSuperseded;
}

bool Oracle::holds(const Game& game) { return !over(game) && game.state != State::kGathering; }

bool Oracle::able(const Seat& seat) const {
  return seat.standing == Standing::kLive && seat.may_apply && seat.declined_until <= now_;
}

Oracle::Game* Oracle::find(const RoundId& id) {
  for (Game& game : games_) {
    if (game.id == id && !game.retired) return &game;
  }
  return nullptr;
}

Oracle::Game* Oracle::holder() {
  for (Game& game : games_) {
    if (holds(game)) return &game;
  }
  return nullptr;
}

// "A pin wins over both. Each excuse lowers the effective N by one, never below 1; a roster implies N."
Quorum Oracle::effective(const Quorum& asked) const {
  Quorum quorum = pin_ ? *pin_ : asked;
  if (!quorum.roster.empty()) {
    std::set<PartyName> left;
    for (const PartyName& party : quorum.roster) {
      if (!excused_.contains(party)) left.insert(party);
    }
    return Quorum{static_cast<std::uint32_t>(left.size()), left};
  }
  for (std::size_t i = 0; i < excused_.size() && quorum.parties > 1; ++i) quorum.parties -= 1;
  return quorum;
}

std::set<PartyName> Oracle::counted(const Game& game) const {
  std::set<PartyName> parties;
  for (const Seat& seat : game.seats) {
    if (seat.standing != Standing::kLive) continue;
    if (excused_.contains(seat.party)) continue;
    if (!game.effective.roster.empty() && !game.effective.roster.contains(seat.party)) continue;
    parties.insert(seat.party);
  }
  return parties;
}

bool Oracle::complete(const Game& game) const {
  return game.effective.parties > 0 && counted(game).size() >= game.effective.parties;
}

// "Two gathering rounds are diverged while each lacks its quorum and each counts a party that the other lacks."
std::set<RoundId> Oracle::at_odds(const Game& game) const {
  std::set<RoundId> odds;
  if (game.state != State::kGathering || complete(game)) return odds;
  const std::set<PartyName> mine = counted(game);
  for (const Game& other : games_) {
    if (other.retired || other.id == game.id || other.state != State::kGathering || complete(other)) continue;
    const std::set<PartyName> theirs = counted(other);
    if (!std::ranges::includes(mine, theirs) && !std::ranges::includes(theirs, mine)) odds.insert(other.id);
  }
  return odds;
}

void Oracle::hear(Revision newest, const std::map<RoundId, Revision>& outcomes, const std::string& epoch) {
  revision_ = newest;
  epoch_ = epoch;
  for (Game& game : games_) {
    const auto told = outcomes.find(game.id);
    if (told != outcomes.end()) game.outcome_revision = told->second;
  }
}

// --- How rounds end --------------------------------------------------------------------------------------------------

void Oracle::finish(Game& game, State state) {
  game.state = state;
  game.right.reset();
  game.resolving.reset();
  game.lingers_until = now_ + rules_.linger;
}

void Oracle::tell(Game& game, State state, Token token, bool in_target) {
  game.outcome_token = token;
  game.outcome_in_target = in_target;
  game.outcome_revision = Revision{~std::uint64_t{0}};  // not heard yet
  if (state == State::kIndeterminate) {
    game.state = state;
    game.right.reset();
    return;
  }
  finish(game, state);
  if (state != State::kSucceeded) return;
  if (game.plan.opaque) opaque_done_[game.plan.stage] = game.plan;
  for (Game& other : games_) {
    if (other.state != State::kGathering) continue;
    bool shares = false;
    for (const Step& mine : game.plan.steps) {
      for (const Step& theirs : other.plan.steps) shares = shares || mine == theirs;
    }
    if (shares) finish(other, State::kSuperseded);
  }
}

void Oracle::lose_applier(Game& game) {
  game.state = State::kRecovering;
  game.right.reset();
}

void Oracle::see_token(Token token) { token_ = std::max(token_, token); }

void Oracle::requorum() {
  for (Game& game : games_) {
    if (game.state == State::kGathering && effective(game.asked) != game.effective) finish(game, State::kSuperseded);
  }
}

// --- A store that went back in time -------------------------------------------------------------------------------

// "Found by what daemons and clients last saw, and by the target's own row."
void Oracle::look_back(const Command& command) {
  const std::optional<Memory>* memory = nullptr;
  std::optional<Memory> reminded;
  const Snapshot* looked = nullptr;
  const Join* join = std::get_if<Join>(&command);
  if (join != nullptr) {
    memory = &join->memory;
    const bool elsewhere = binding_ && join->binding && *join->binding != *binding_;
    if (join->snapshot && !elsewhere) looked = &*join->snapshot;
  }
  if (const auto* renew = std::get_if<Renew>(&command)) memory = &renew->memory;
  if (const auto* report = std::get_if<Report>(&command)) memory = &report->memory;
  if (const auto* remind = std::get_if<Remind>(&command)) {
    reminded = remind->memory;
    memory = &reminded;
  }
  const bool remembers = memory != nullptr && memory->has_value();
  if (!quiet_since_) {
    bool lost = false;
    if (remembers && (*memory)->token.value < kImplausible) {
      const Memory& seen = **memory;
      if (seen.epoch == epoch_) {
        lost = seen.revision > revision_;
      } else {
        // "It is skipped for a target on which nothing was ever claimed."
        const bool claimed = seen.token.value != 0 || seen.round.has_value();
        const bool known_empty = looked != nullptr ? looked->token.value == 0 : join == nullptr;
        lost = seen.token > token_ || (!lives_.contains(seen.epoch) && (claimed || !known_empty));
      }
    }
    if (looked != nullptr && looked->token > token_ && looked->token.value < kImplausible) {
      // A break-glass run claims the row's token + 2^20, or a little less than what was granted.
      const std::uint64_t beyond = (looked->token.value - token_.value) & ((1U << 20) - 1);
      lost = lost || (beyond != 0 && beyond <= (1U << 20) - (1U << 16));
    }
    if (lost) {
      const bool more_of_this_life = std::holds_alternative<Remind>(command) && (*memory)->epoch == epoch_;
      begin_again();
      // "A daemon that saw more of this life knows another round, or none, to hold the target: it had ended."
      Game* held = holder();
      const bool fenced = held != nullptr && held->state != State::kIndeterminate && binding_ && !held->plan.opaque &&
                          (!held->run || held->run->fenced || held->run->ended);
      const bool named = held != nullptr && remembers && (*memory)->round && (*memory)->round->id == held->id;
      if (more_of_this_life && fenced && !named) {
        given_up_.insert(held->id);
        held->retired = true;
        held->state = State::kDissolved;
      }
    }
  }
  if (remembers && !(*memory)->epoch.empty() && quiet_since_) lives_.insert((*memory)->epoch);
  if (!quiet_since_) return;
  const auto plausible = [](Token token) { return token.value < kImplausible; };
  if (remembers) {
    const Memory& seen = **memory;
    if (plausible(seen.token)) see_token(seen.token);
    if (seen.round && plausible(seen.round->token)) {
      see_token(seen.round->token);
      bring_back(*seen.round);
    }
  }
  if (looked == nullptr) return;
  if (plausible(looked->token)) see_token(looked->token);
  if (!looked->last_outcome || holder() != nullptr) return;
  Game* game = find(looked->last_outcome->round);
  if (game == nullptr || game->state != State::kGathering) return;
  game->run = Lost{{}, looked->last_outcome->token, true, true};
  lose_applier(*game);
}

void Oracle::see_row(Token row, Token known) {
  const std::uint64_t beyond = row > known ? (row.value - known.value) & ((1U << 20) - 1) : 0;
  if (!quiet_since_ && beyond != 0 && beyond <= (1U << 20) - (1U << 16)) begin_again();
}

void Oracle::begin_again() {
  quiet_since_ = now_;
  if (!epoch_.empty()) lives_.insert(epoch_);
  Game* held = holder();
  if (held == nullptr || held->state == State::kIndeterminate) return;
  suppose_a_run(*held);
  if (held->right) lose_applier(*held);
}

// Not known whether it ran, or once more; if it did, in a database that is known, the fence guards it.
void Oracle::suppose_a_run(Game& game) {
  if (game.run && !game.run->ended) return;
  Lost run = game.run ? *game.run : Lost{{}, token_, false, false};
  if (game.right) run = Lost{game.right->who, game.right->token, false, false};
  run.fenced = binding_.has_value() && !game.plan.opaque;
  run.ended = false;
  game.run = run;
}

void Oracle::bring_back(const RememberedRound& seen) {
  if (seen.id.empty()) return;
  Game* game = find(seen.id);
  if (seen.state == State::kSucceeded || seen.state == State::kFailed) {  // invariant 7
    if (game != nullptr && !over(*game)) tell(*game, seen.state, seen.token, false);
    return;
  }
  if (seen.state != State::kElected && seen.state != State::kApplying && seen.state != State::kRecovering &&
      seen.state != State::kIndeterminate) {
    return;
  }
  Game* held = holder();
  if (held != nullptr && held != game) {
    if (held->run && held->run->token >= seen.token) return;
    if (!held->run && seen.token.value == 0) return;
    given_up_.insert(held->id);
    held->retired = true;  // it had ended before the newer one was elected
    held->state = State::kDissolved;
  }
  if (game == nullptr) {
    if (!check_plan(seen.plan) || given_up_.contains(seen.id)) return;
    Game again;
    again.id = seen.id;
    again.generation = games_.size() + 1;
    again.plan = seen.plan;
    again.effective = seen.quorum;
    games_.push_back(again);
    game = &games_.back();
  }
  if (over(*game) || game->state == State::kIndeterminate) return;
  if (!game->run || game->run->token < seen.token) {
    game->run = Lost{seen.applier, seen.token, seen.fenced && !game->plan.opaque, false};
  } else if (game->run->token == seen.token) {
    game->run = Lost{seen.applier, seen.token, (seen.fenced || game->run->fenced) && !game->plan.opaque, false};
  }
  if (game->state == State::kGathering) lose_applier(*game);
}

// --- Time ------------------------------------------------------------------------------------------------------------

void Oracle::pass_time() {
  std::map<PartyName, Instant> still;
  for (const auto& [party, until] : excused_) {
    if (until > now_) still.emplace(party, until);
  }
  if (still.size() != excused_.size()) {
    excused_ = still;
    requorum();
  }
  for (Game& game : games_) {
    if (over(game)) continue;
    for (Seat& seat : game.seats) {
      const bool gave_up = game.state == State::kGathering && seat.deadline <= now_;
      if (seat.standing == Standing::kLive && (gave_up || seat.until <= now_)) seat.standing = Standing::kLapsed;
    }
    if (game.right) {
      Instant end = game.right->until;
      if (game.right->claimed && !game.right->fenced) end = end + rules_.lock_delay_unfenced;
      if (end <= now_ && game.right->unsure) suppose_a_run(game);
      if (end <= now_) lose_applier(game);
    }
    if (game.severed_until && *game.severed_until <= now_ && game.state != State::kIndeterminate) {
      tell(game, State::kIndeterminate, game.run ? game.run->token : Token{}, false);
    }
    if (game.state == State::kGathering) {
      bool anybody = false;
      for (const Seat& seat : game.seats) anybody = anybody || seat.standing == Standing::kLive;
      if (!anybody) finish(game, State::kExpired);
    }
  }
  const Duration longest = std::max(rules_.lease_max, rules_.lease_unfenced) + rules_.lock_delay_unfenced;
  if (quiet_since_ && *quiet_since_ + longest <= now_) {
    quiet_since_.reset();
    if (token_.value > 0) token_.value += 1'024;  // above what nobody brought, because nobody claimed it
    Game* held = holder();
    if (held != nullptr && held->state == State::kRecovering && held->run && !held->run->fenced && !held->run->ended) {
      tell(*held, State::kIndeterminate, held->run->token, false);
    }
  }
  std::vector<Seat> awake;
  for (const Seat& guest : guests_) {
    if (guest.until > now_) awake.push_back(guest);
  }
  guests_ = awake;
  std::size_t lingering = 0;
  for (Game& game : games_) {
    if (!over(game) || game.retired) continue;
    game.retired = game.lingers_until <= now_;
    if (!game.retired) ++lingering;
  }
  for (; lingering > rules_.lingering_max; --lingering) {  // those that ended first, but none that ended just now
    Game* oldest = nullptr;
    for (Game& game : games_) {
      if (!over(game) || game.retired || game.lingers_until == now_ + rules_.linger) continue;
      if (oldest == nullptr || game.lingers_until < oldest->lingers_until) oldest = &game;
    }
    if (oldest == nullptr) break;
    oldest->retired = true;
  }
}

void Oracle::give_grace(const Grace& grace) {
  if (boot_ == grace.boot) return;
  boot_ = grace.boot;
  const auto extend = [&](auto& lease) {
    const Instant full = now_ + lease.term;
    if (lease.graced || lease.until >= full) return;
    lease.until = full;
    lease.graced = true;
  };
  for (Game& game : games_) {
    if (over(game)) continue;
    for (Seat& seat : game.seats) {
      if (seat.standing == Standing::kLive) extend(seat);
    }
    if (game.right) extend(*game.right);
  }
  for (Seat& guest : guests_) extend(guest);
  if (Game* held = holder()) {
    if (held->right) held->right->unsure = true;
    if (held->state == State::kRecovering) suppose_a_run(*held);
  }
}

// --- Electing --------------------------------------------------------------------------------------------------------

void Oracle::give(Game& game, const Seat& seat, bool to_settle) {
  token_ = token_.next();
  Right right;
  right.who = seat.who;
  right.token = token_;
  right.to_settle = to_settle;
  right.term = seat.term;
  right.until = seat.until;
  right.graced = seat.graced;
  game.state = State::kElected;
  game.right = right;
}

void Oracle::elect() {
  if (quiet()) return;
  if (Game* held = holder()) {
    if (held->state == State::kRecovering) go_on(*held);
    if (holder() != nullptr) return;
  }
  for (Game& game : games_) {
    if (game.state != State::kGathering || !complete(game)) continue;
    const std::set<PartyName> parties = counted(game);
    const Seat* chosen = nullptr;
    for (const Seat& seat : game.seats) {
      if (!able(seat) || !parties.contains(seat.party)) continue;
      bool newest = true;  // of its party
      for (const Seat& other : game.seats) {
        if (other.party == seat.party && other.standing == Standing::kLive && other.arrival > seat.arrival) {
          newest = false;
        }
      }
      if (!newest) continue;
      const bool favoured = chosen != nullptr && game.completed_by == chosen->who;
      if (game.completed_by == seat.who || (!favoured && (chosen == nullptr || seat.arrival > chosen->arrival))) {
        chosen = &seat;
      }
    }
    if (chosen != nullptr) return give(game, Seat(*chosen), false);
  }
}

void Oracle::go_on(Game& game) {
  const Seat* heir = nullptr;
  const auto better = [&](const Seat& a, const Seat& b) {
    const bool a_lost = game.run && game.run->who == a.who;
    const bool b_lost = game.run && game.run->who == b.who;
    if (a_lost != b_lost) return b_lost;
    if (a.has_from != b.has_from) return a.has_from < b.has_from;
    return a.arrival > b.arrival;
  };
  bool anybody = false;
  for (const Seat& seat : game.seats) {
    anybody = anybody || (seat.standing == Standing::kLive && seat.may_apply);
    if (!able(seat) || (game.left_from && seat.has_from > *game.left_from)) continue;
    if (heir == nullptr || better(seat, *heir)) heir = &seat;
  }
  const bool severed = game.severed_until.has_value();
  if (heir != nullptr && !severed) return give(game, Seat(*heir), false);
  if (!game.run) return tell(game, State::kFailed, Token{}, false);
  if (severed && game.run->ended) return tell(game, State::kFailed, game.run->token, false);
  if (heir == nullptr) {
    const auto look_at = [&](const Seat& seat) {
      if (able(seat) && (heir == nullptr || seat.arrival > heir->arrival)) heir = &seat;
    };
    for (const Seat& guest : guests_) look_at(guest);
    for (const Game& other : games_) {
      if (other.state != State::kGathering) continue;
      for (const Seat& seat : other.seats) look_at(seat);
    }
    if (heir == nullptr) {
      for (const Seat& seat : game.seats) look_at(seat);
    }
  }
  if (heir != nullptr) return give(game, Seat(*heir), true);
  if (game.run->ended && !anybody) return tell(game, State::kFailed, game.run->token, false);
  if (!game.run->fenced && !game.run->ended && !severed) {
    return tell(game, State::kIndeterminate, game.run->token, false);
  }
}

// --- One step --------------------------------------------------------------------------------------------------------

std::vector<Reply> Oracle::step(std::span<const Command> commands, Instant now) {
  now_ = std::max(now_, now);
  std::vector<Reply> replies(commands.size());
  given_up_.clear();
  for (const Command& command : commands) look_back(command);
  for (const Command& command : commands) {
    if (const Grace* grace = std::get_if<Grace>(&command)) give_grace(*grace);
  }
  pass_time();
  for (const bool reports : {true, false}) {
    for (std::size_t i = 0; i < commands.size(); ++i) {
      if (std::holds_alternative<Report>(commands[i]) == reports) replies[i] = execute(commands[i]);
    }
  }
  pass_time();
  elect();
  return replies;
}

Reply Oracle::execute(const Command& command) {
  const auto attempt = [&] { return std::visit([&](const auto& c) { return run(c); }, command); };
  const IncarnationId* who = who_asks(command);
  if (who == nullptr) return attempt();
  std::erase_if(remembered_, [&](const auto& entry) { return entry.second.until <= now_; });
  const auto before = remembered_.find(*who);
  if (before != remembered_.end()) {
    if (number_of(command) < before->second.sequence) return no("REQUEST_OLD");
    if (number_of(command) == before->second.sequence) {
      if (describe(command) != before->second.body) return no("REQUEST_REUSED");
      Reply reply = before->second.reply;
      reply.rounds.clear();
      reply.lease_until.reset();
      for (const Seat& guest : guests_) {
        if (guest.who == *who) reply.lease_until = guest.until;
      }
      for (auto game = games_.rbegin(); game != games_.rend(); ++game) {
        if (over(*game)) continue;
        for (const Seat& seat : game->seats) {
          if (seat.who == *who && seat.standing == Standing::kLive) reply.lease_until = seat.until;
        }
      }
      return reply;
    }
  } else if (remembered_.size() >= rules_.requests_max) {
    return no("REQUESTS_LIMIT");
  }
  // What a joiner saw in the target is true whatever becomes of its request; else a refusal changes nothing.
  const Join* join = std::get_if<Join>(&command);
  std::optional<Reply> refusal = join != nullptr ? learn(*join) : std::nullopt;
  if (refusal) return *refusal;
  const Oracle as_it_was = *this;
  Reply reply = attempt();
  if (reply.verdict == Verdict::kRefused) {
    *this = as_it_was;
    return reply;
  }
  Instant until = now_ + rules_.linger;
  if (join != nullptr) until = until + (join->timeout.count() > 0 ? join->timeout : rules_.wait_default);
  if (const auto known = remembered_.find(*who); known != remembered_.end())
    until = std::max(until, known->second.until);
  remembered_[*who] = Remembered{number_of(command), describe(command), reply, until};
  return reply;
}

// --- Joining ---------------------------------------------------------------------------------------------------------

std::optional<Reply> Oracle::learn(const Join& join) {
  if (join.snapshot && join.snapshot->token.value >= kImplausible) return no("TOKEN_IMPLAUSIBLE");
  if (join.binding && binding_ && *join.binding != *binding_) return no("TARGET_MISMATCH");
  if (join.binding) binding_ = join.binding;
  if (!join.snapshot) return std::nullopt;
  see_token(join.snapshot->token);
  Game* held = holder();
  const auto& outcome = join.snapshot->last_outcome;
  if (held != nullptr && held->state == State::kRecovering && outcome && outcome->round == held->id) {
    tell(*held, outcome->state, outcome->token, true);
  }
  return std::nullopt;
}

// The same plan, or a proper suffix of it whose earlier steps stand in the history that the joiner read.
std::optional<std::size_t> Oracle::fits(const Game& game, const Join& join) const {
  if (*join.plan == game.plan) return 0;
  Plan rest = game.plan;
  for (std::size_t cut = 1; cut < game.plan.steps.size(); ++cut) {
    rest.steps.erase(rest.steps.begin());
    if (rest != *join.plan) continue;
    if (!join.snapshot) return std::nullopt;
    for (std::size_t i = 0; i < cut; ++i) {
      const Step& earlier = game.plan.steps[i];
      bool stands = false;
      for (const Step& step : join.snapshot->recent) {
        stands =
            stands || (step.id == earlier.id && step.direction == earlier.direction && step.content == earlier.content);
      }
      if (!stands) return std::nullopt;
    }
    return cut;
  }
  return std::nullopt;
}

std::optional<Reply> Oracle::disagree(const Game& game, const Join& join) const {
  if (pin_) return std::nullopt;
  if (!join.quorum) return no("QUORUM_MISSING");
  if (game.asked.parties != 0 && *join.quorum != game.asked) return no("QUORUM_MISMATCH");
  return std::nullopt;
}

Oracle::Seat Oracle::new_seat(const Join& join, std::size_t has_from) {
  Seat seat;
  seat.party = join.party;
  seat.who = join.request.incarnation;
  seat.may_apply = join.may_apply;
  seat.has_from = has_from;
  seat.arrival = ++arrivals_;
  seat.term = join.lease.count() > 0 ? join.lease : rules_.lease;
  if (seat.term > rules_.lease_max) seat.term = rules_.lease_max;
  seat.until = now_ + seat.term;
  seat.deadline = now_ + (join.timeout.count() > 0 ? join.timeout : rules_.wait_default);
  return seat;
}

Reply Oracle::sit_down(Game& game, const Join& join, std::size_t has_from) {
  // "An incarnation gathers in one round at a time."
  for (Game& other : games_) {
    if (other.state != State::kGathering || other.id == game.id) continue;
    for (Seat& seat : other.seats) {
      if (seat.who == join.request.incarnation && seat.standing == Standing::kLive) seat.standing = Standing::kLeft;
    }
  }
  Reply reply = say(Verdict::kWait, game.id);
  for (Seat& seat : game.seats) {
    if (seat.who != join.request.incarnation || seat.standing == Standing::kLeft) continue;
    seat.until = now_ + seat.term;
    seat.graced = false;
    if (seat.standing == Standing::kLapsed && seat.deadline <= now_) {
      seat.deadline = now_ + (join.timeout.count() > 0 ? join.timeout : rules_.wait_default);
    }
    seat.standing = Standing::kLive;
    reply.lease_until = seat.until;
    return reply;
  }
  if (game.seats.size() >= rules_.members_max) {  // those who left make room
    std::erase_if(game.seats, [&](const Seat& seat) {
      return seat.standing == Standing::kLeft && (!game.right || game.right->who != seat.who);
    });
  }
  std::set<PartyName> parties{join.party};
  for (const Seat& seat : game.seats) {
    if (seat.standing == Standing::kLive) parties.insert(seat.party);
  }
  if (parties.size() > rules_.parties_max || game.seats.size() >= rules_.members_max) return no("PARTIES_LIMIT");
  const bool was_complete = complete(game);
  std::erase_if(game.seats, [&](const Seat& seat) { return seat.who == join.request.incarnation; });
  game.seats.push_back(new_seat(join, has_from));
  if (game.state == State::kGathering && !was_complete && complete(game)) game.completed_by = join.request.incarnation;
  reply.lease_until = game.seats.back().until;
  return reply;
}

Reply Oracle::visit(const Join& join) {
  std::erase_if(guests_, [&](const Seat& guest) { return guest.who == join.request.incarnation; });
  const Game* held = holder();
  if (held != nullptr && held->state == State::kRecovering && held->run && join.may_apply && join.snapshot &&
      guests_.size() < rules_.parties_max) {
    guests_.push_back(new_seat(join, held->plan.steps.size()));
    Reply reply = say(Verdict::kSettle, held->id);
    reply.lease_until = guests_.back().until;
    return reply;
  }
  Reply reply = say(Verdict::kNothingPending);
  if (held != nullptr && held->state == State::kIndeterminate) reply.round = held->id;
  return reply;
}

Reply Oracle::run(const Join& join) {
  if (!join.plan) return visit(join);
  const bool insists = join.checked || join.again;
  if (join.plan->opaque && !insists && opaque_done_.contains(join.plan->stage) &&
      opaque_done_[join.plan->stage] == *join.plan) {
    Reply reply = say(Verdict::kApplied);
    for (const Game& game : games_) {
      if (!game.retired && game.state == State::kSucceeded && game.plan == *join.plan) reply.round = game.id;
    }
    return reply;
  }
  for (auto game = games_.rbegin(); game != games_.rend(); ++game) {
    if (game->retired || game->state != State::kSucceeded || insists || !fits(*game, join)) continue;
    if (join.snapshot) {
      const Token looked = !game->outcome_in_target       ? join.snapshot->token
                           : !join.snapshot->last_outcome ? Token{}
                                                          : join.snapshot->last_outcome->token;
      const bool before = looked < game->outcome_token || (game->outcome_in_target && !join.snapshot->last_outcome);
      if (!before) continue;
    }
    return say(Verdict::kApplied, game->id);
  }
  for (auto game = games_.rbegin(); game != games_.rend(); ++game) {
    if (game->retired || game->state != State::kFailed || game->heard.contains(join.party)) continue;
    if (fits(*game, join)) return say(Verdict::kFailed, game->id);
  }
  if (Game* held = holder()) {
    if (held->state == State::kIndeterminate) return say(Verdict::kIndeterminate, held->id);
    if (const auto from = fits(*held, join)) {
      if (auto refusal = disagree(*held, join)) return *refusal;
      return sit_down(*held, join, *from);
    }
  }
  std::size_t gathering = 0;
  for (Game& game : games_) {
    if (game.state != State::kGathering) continue;
    ++gathering;
    if (game.plan != *join.plan) continue;
    if (auto refusal = disagree(game, join)) return *refusal;
    return sit_down(game, join, 0);
  }
  if (gathering >= rules_.gathering_max) return no("GATHERING_LIMIT");
  if (!pin_ && !join.quorum) return no("QUORUM_MISSING");
  if (!pin_ && !join.quorum->roster.empty() && effective(*join.quorum).parties == 0) return no("ROSTER_EMPTY");
  Game game;
  game.id = join.fresh_round;
  game.generation = games_.size() + 1;
  game.plan = *join.plan;
  game.asked = join.quorum.value_or(Quorum{});
  game.effective = effective(game.asked);
  games_.push_back(game);
  return sit_down(games_.back(), join, 0);
}

Reply Oracle::run(const Renew& renew) {
  Reply reply = say(Verdict::kDone);
  bool known = false;
  for (Game& game : games_) {
    if (game.retired) continue;
    for (Seat& seat : game.seats) {
      if (seat.who != renew.incarnation) continue;
      known = true;
      if (over(game) || seat.standing == Standing::kLeft) continue;
      if (game.state == State::kGathering && seat.deadline <= now_) continue;
      seat.standing = Standing::kLive;
      seat.until = now_ + seat.term;
      seat.graced = false;
      reply.lease_until = seat.until;
      reply.round = game.id;
    }
  }
  for (Seat& guest : guests_) {
    if (guest.who != renew.incarnation) continue;
    known = true;
    guest.until = now_ + guest.term;
    guest.graced = false;
    reply.lease_until = guest.until;
  }
  for (Game& game : games_) {
    // "A lease that has ended may revive the member, never the applier."
    if (!game.right || game.right->who != renew.incarnation || game.right->token != renew.token) continue;
    if (game.right->until <= now_) continue;
    game.right->until = now_ + game.right->term;
    game.right->graced = false;
    reply.lease_until = game.right->until;
    reply.token = game.right->token;
    reply.round = game.id;
  }
  return known ? reply : no("MEMBER_UNKNOWN");
}

// --- Applying --------------------------------------------------------------------------------------------------------

Reply Oracle::run(const Confirm& confirm) {
  Game* game = find(confirm.round);
  if (game == nullptr) return no("ROUND_UNKNOWN");
  const bool mine = game->state == State::kElected && game->right->who == confirm.request.incarnation &&
                    game->right->token == confirm.token;
  if (!mine) return say(Verdict::kStop, game->id);
  const Right right = *game->right;
  if (confirm.claim == Claim::kRefused) {
    if (confirm.row_token.value >= kImplausible) return no("TOKEN_IMPLAUSIBLE");
    const Token known = token_;
    see_token(confirm.row_token);
    lose_applier(*game);
    see_row(confirm.row_token, known);
    return say(Verdict::kStop, game->id);
  }
  if (confirm.claim == Claim::kDeclined) {
    stand_back(right.who);
    lose_applier(*game);
    return say(Verdict::kStop, game->id);
  }
  const Finding& found = confirm.finding;
  if (found.kind == Finding::Kind::kSuffix && found.from_step >= game->plan.steps.size()) return no("FINDING_INVALID");
  if (found.kind == Finding::Kind::kOutcome && found.outcome && found.outcome->round == game->id) {
    tell(*game, found.outcome->state, found.outcome->token, true);
    return say(Verdict::kStop, game->id);
  }
  if (game->run) return compare(*game, confirm);
  // Nothing of it ever ran: the whole plan is pending, or nothing, or it is obsolete.
  if (found.kind == Finding::Kind::kWhole) return start(*game, confirm, 0);
  if (found.kind == Finding::Kind::kUnknown && game->plan.opaque) return start(*game, confirm, 0);
  if (found.kind == Finding::Kind::kNothing) {
    tell(*game, State::kSucceeded, right.token, false);
  } else if (found.kind == Finding::Kind::kBegun) {
    tell(*game, State::kIndeterminate, right.token, false);
  } else {
    finish(*game, State::kSuperseded);
  }
  return say(Verdict::kStop, game->id);
}

// The table "Applier lost", from the top.
Reply Oracle::compare(Game& game, const Confirm& confirm) {
  const Finding& found = confirm.finding;
  const Token token = game.right->token;
  const bool run_is_known_over = game.run->fenced || game.run->ended;
  const bool sessions_over = run_is_known_over || found.sessions_gone;
  const auto end = [&](State state) {
    tell(game, state, token, false);
    return say(Verdict::kStop, game.id);
  };
  if (found.kind == Finding::Kind::kNothing) return end(State::kSucceeded);
  if (found.kind == Finding::Kind::kBegun) return end(State::kIndeterminate);
  const bool compared = found.kind != Finding::Kind::kUnknown || game.plan.opaque;
  if (game.severed_until) return end(sessions_over && compared ? State::kFailed : State::kIndeterminate);
  const bool steps_left = found.kind == Finding::Kind::kWhole || found.kind == Finding::Kind::kSuffix;
  if (steps_left && run_is_known_over) {
    return take_up(game, confirm, found.kind == Finding::Kind::kWhole ? 0 : found.from_step);
  }
  if (found.kind == Finding::Kind::kUnknown) {
    const bool retry = game.plan.opaque && game.plan.on_applier_lost == OnApplierLost::kRetry;
    return retry && sessions_over ? take_up(game, confirm, 0) : end(State::kIndeterminate);
  }
  return end(sessions_over ? State::kFailed : State::kIndeterminate);
}

// A decline, and the same for who looked and lacks a step that somebody else has.
void Oracle::stand_back(const IncarnationId& who) {
  for (Game& other : games_) {
    for (Seat& seat : other.seats) {
      if (seat.who == who && !over(other)) seat.declined_until = now_ + rules_.decline;
    }
  }
  for (Seat& guest : guests_) {
    if (guest.who == who) guest.declined_until = now_ + rules_.decline;
  }
}

Reply Oracle::take_up(Game& game, const Confirm& confirm, std::size_t from) {
  const Right right = *game.right;
  bool he_has_it = false;
  bool somebody_has_it = false;
  for (const Seat& seat : game.seats) {
    if (seat.has_from > from) continue;
    he_has_it = he_has_it || seat.who == right.who;
    somebody_has_it = somebody_has_it || (seat.standing == Standing::kLive && seat.may_apply);
  }
  if (he_has_it && !right.to_settle) return start(game, confirm, from);
  if (somebody_has_it) {
    game.left_from = from;
    stand_back(right.who);
    lose_applier(game);
  } else {
    tell(game, State::kFailed, right.token, false);
  }
  return say(Verdict::kStop, game.id);
}

Reply Oracle::start(Game& game, const Confirm& confirm, std::size_t from) {
  Right& right = *game.right;
  right.claimed = true;
  right.fenced = confirm.fenced && !game.plan.opaque;
  right.unsure = false;
  right.graced = false;
  if (!right.fenced && right.term < rules_.lease_unfenced) right.term = rules_.lease_unfenced;
  right.until = now_ + right.term;
  game.left_from.reset();
  game.run = Lost{right.who, right.token, right.fenced, false};
  game.state = State::kApplying;
  Reply reply = say(Verdict::kProceed, game.id);
  reply.from_step = from;
  reply.token = right.token;
  reply.lease_until = right.until;
  return reply;
}

Reply Oracle::run(const Progressed& progressed) {
  const Game* game = find(progressed.round);
  if (game == nullptr || !game->right || game->right->who != progressed.incarnation ||
      game->right->token != progressed.token) {
    return say(Verdict::kStop);
  }
  return say(game->severed_until ? Verdict::kStop : Verdict::kDone, game->id);
}

Reply Oracle::run(const Report& report) {
  Game* game = find(report.round);
  if (game == nullptr) return no("ROUND_UNKNOWN");
  const bool his_run = game->run && game->run->who == report.request.incarnation && game->run->token == report.token;
  const bool runs = his_run && game->state == State::kApplying;
  const bool just_lost = his_run && game->state == State::kRecovering && token_ == report.token;
  if (!runs && !just_lost) return say(Verdict::kEvidence, game->id);
  const Reply done = say(Verdict::kDone, game->id);
  if (report.result == RunResult::kSucceeded) {
    tell(*game, State::kSucceeded, report.token, report.in_target);
  } else if (report.result == RunResult::kFailed) {
    tell(*game, State::kFailed, report.token, report.in_target);
  } else if (report.result == RunResult::kIndeterminate) {
    tell(*game, State::kIndeterminate, report.token, report.in_target);
  } else {
    const Token known = token_;
    if (report.result == RunResult::kFencedOut) {
      if (report.row_token.value >= kImplausible) return no("TOKEN_IMPLAUSIBLE");
      see_token(report.row_token);
    }
    if (report.session_ended) game->run->ended = true;
    if (runs) lose_applier(*game);
    if (report.result == RunResult::kFencedOut) see_row(report.row_token, known);
  }
  return done;
}

Reply Oracle::run(const Leave& leave) {
  if (leave.acknowledge.value > 0) {
    for (Game& game : games_) {
      if (game.retired || game.state != State::kFailed || game.outcome_revision != leave.acknowledge) continue;
      PartyName party = leave.party;
      for (const Seat& seat : game.seats) {
        if (seat.who == leave.request.incarnation) party = seat.party;
      }
      if (party.empty()) return no("PARTY_MISSING");
      game.heard.insert(party);
      return say(Verdict::kDone, game.id);
    }
    return say(Verdict::kDone);
  }
  const IncarnationId& who = leave.request.incarnation;
  Reply reply = say(Verdict::kDone);
  for (Game& game : games_) {
    if (over(game)) continue;
    const bool his = game.right && game.right->who == who;
    const bool his_run = game.run && game.run->who == who && game.run->token == leave.token && leave.session_ended;
    if (his && game.state == State::kApplying && !his_run) return no("APPLIER_RUNNING");
    for (Seat& seat : game.seats) {
      if (seat.who == who) seat.standing = Standing::kLeft;
    }
    reply.round = game.id;
    if (his && game.state == State::kElected) {
      if (game.right->unsure) suppose_a_run(game);
      lose_applier(game);
    } else if (his_run && (his || (game.state == State::kRecovering && token_ == leave.token))) {
      game.run->ended = true;
      const auto& found = leave.finding;
      if (found && found->kind == Finding::Kind::kOutcome && found->outcome && found->outcome->round == game.id) {
        tell(game, found->outcome->state, leave.token, true);
      } else if (found && found->kind == Finding::Kind::kBegun) {
        tell(game, State::kIndeterminate, leave.token, false);
      } else if (game.severed_until) {
        tell(game, State::kFailed, leave.token, false);
      } else if (game.state == State::kApplying) {
        lose_applier(game);
      }
    }
  }
  std::erase_if(guests_, [&](const Seat& guest) { return guest.who == who; });
  return reply;
}

// --- Operators -------------------------------------------------------------------------------------------------------

Reply Oracle::run(const SeverRound& sever) {
  std::vector<Game*> chosen;
  if (!sever.round.empty()) {
    Game* game = find(sever.round);
    if (game == nullptr) return no("ROUND_UNKNOWN");
    if (over(*game)) return no("ROUND_ENDED");
    chosen.push_back(game);
  } else if (Game* held = holder()) {
    chosen.push_back(held);
  } else {
    for (Game& game : games_) {
      if (game.state == State::kGathering) chosen.push_back(&game);
    }
  }
  if (chosen.empty()) return no("NOTHING_TO_SEVER");
  if (chosen.front()->state == State::kIndeterminate) return no("ROUND_INDETERMINATE");
  Reply reply = say(Verdict::kDone, chosen.front()->id);
  for (Game* game : chosen) {
    reply.rounds.push_back(game->id);
    if (game->state == State::kGathering) {
      finish(*game, State::kDissolved);
      continue;
    }
    if (game->severed_until) continue;
    if (game->right && game->right->unsure) suppose_a_run(*game);
    Duration wait = game->right ? game->right->term : rules_.lease;
    if (game->run && !game->run->fenced) wait += rules_.lock_delay_unfenced;
    game->severed_until = now_ + wait;
    if (!game->run || game->run->ended) tell(*game, State::kFailed, Token{}, false);
  }
  return reply;
}

Reply Oracle::run(const ResolveBegin& begin) {
  Game* game = find(begin.round);
  if (game == nullptr) return no("ROUND_UNKNOWN");
  if (game->state != State::kIndeterminate) return no("NOT_INDETERMINATE");
  if (quiet()) return no("RESYNCHRONISING");
  if (begin.seen < game->outcome_revision || begin.seen > revision_) return no("REVISION_STALE");
  token_ = token_.next();
  game->resolving = {begin.request.incarnation, token_};
  Reply reply = say(Verdict::kDone, game->id);
  reply.token = token_;
  return reply;
}

Reply Oracle::run(const ResolveFinish& finish) {
  Game* game = find(finish.round);
  if (game == nullptr) return no("ROUND_UNKNOWN");
  if (game->state != State::kIndeterminate || game->resolving != std::pair(finish.request.incarnation, finish.token)) {
    return no("RESOLUTION_STALE");
  }
  const Reply done = say(Verdict::kDone, game->id);
  if (finish.claimed && finish.found && finish.found->round == game->id) {
    tell(*game, finish.found->state, finish.found->token, true);
    return done;
  }
  if (finish.verdict != State::kSucceeded && finish.verdict != State::kFailed) return no("VERDICT_INVALID");
  if (binding_ && !finish.claimed && !finish.attest_database_gone) return no("CLAIM_REQUIRED");
  if (!finish.attest_stopped && !finish.attest_database_gone) return no("ATTESTATION_REQUIRED");
  tell(*game, finish.verdict, finish.token, false);
  return done;
}

Reply Oracle::run(const SetTarget& set) {
  const bool known = set.excuse && excused_.contains(*set.excuse);
  if (set.change_pin) pin_ = set.pin;
  if (set.excuse && set.excuse_for.count() > 0) excused_[*set.excuse] = now_ + set.excuse_for;
  if (set.excuse && set.excuse_for.count() <= 0) excused_.erase(*set.excuse);
  // A pinned roster that is excused to the last party could be completed by nobody.
  const bool excuses = set.excuse && set.excuse_for.count() > 0;
  if (pin_ && !pin_->roster.empty() && effective({}).parties == 0 && (excuses || set.change_pin)) {
    return no("ROSTER_EMPTY");
  }
  if (excuses && !known && excused_.size() > rules_.parties_max) return no("EXCUSES_LIMIT");
  if (set.rebind && holder() != nullptr) return no("TARGET_BUSY");
  if (set.rebind) binding_ = set.rebind;
  requorum();
  return say(Verdict::kDone);
}

// --- What must be equal ----------------------------------------------------------------------------------------------

std::string picture(const Reply& reply) {
  std::ostringstream out;
  out << "verdict " << static_cast<int>(reply.verdict);
  if (reply.error) out << ' ' << reply.error->reason;
  if (reply.round) out << " round " << reply.round->value;
  for (const RoundId& id : reply.rounds) out << " severed " << id.value;
  out << " from " << reply.from_step << " token " << reply.token.value;
  if (reply.lease_until) out << " lease until " << reply.lease_until->ms;
  return out.str();
}

std::string Oracle::picture() const {
  std::ostringstream out;
  out << "now " << now_.ms << " token " << token_.value << " rounds " << games_.size() << " arrivals " << arrivals_
      << "\npin " << (pin_ ? plain(*pin_) : "none") << " bound " << (binding_ ? binding_->database : "no")
      << " excused";
  for (const auto& [party, until] : excused_) out << ' ' << party.value << '@' << until.ms;
  if (quiet_since_) out << "\nlooking back since " << quiet_since_->ms;
  out << "\nopaque";
  for (const auto& [stage, plan] : opaque_done_) out << ' ' << to_string(stage) << '=' << plan_hash(plan).value;
  const auto seat_line = [&](const Seat& seat) {
    static const char* const kStandings[] = {"live", "lapsed", "left"};
    out << "\n    " << seat.who.value << " of " << seat.party.value << ' '
        << kStandings[static_cast<std::size_t>(seat.standing)] << " until " << seat.until.ms << " deadline "
        << seat.deadline.ms << " from " << seat.has_from << " arrival " << seat.arrival << " declined "
        << seat.declined_until.ms;
  };
  for (const Game& game : games_) {
    if (game.retired) continue;
    out << "\nround " << game.id.value << " generation " << game.generation << ' ' << to_string(game.state) << " of "
        << plain(game.effective) << " counts";
    for (const PartyName& party : counted(game)) out << ' ' << party.value;
    if (game.right) {
      out << "\n  granted " << game.right->who.value << " token " << game.right->token.value
          << (game.right->to_settle ? " settle" : "") << (game.right->claimed ? " claimed" : "")
          << (game.right->fenced ? " fenced" : "") << (game.right->unsure ? " unsure" : "") << " until "
          << game.right->until.ms;
    }
    if (game.run) {
      out << "\n  ran " << game.run->who.value << " token " << game.run->token.value
          << (game.run->fenced ? " fenced" : "") << (game.run->ended ? " ended" : "");
    }
    if (game.left_from) out << "\n  left from " << *game.left_from;
    if (game.severed_until) out << "\n  severed until " << game.severed_until->ms;
    if (game.resolving) out << "\n  resolving " << game.resolving->second.value;
    if (game.state == State::kSucceeded || game.state == State::kFailed || game.state == State::kIndeterminate) {
      out << "\n  outcome of " << game.outcome_token.value << (game.outcome_in_target ? " in target" : "") << " heard";
      for (const PartyName& party : game.heard) out << ' ' << party.value;
    }
    if (over(game)) out << "\n  lingers until " << game.lingers_until.ms;
    for (const RoundId& id : at_odds(game)) out << "\n  at odds with " << id.value;
    for (const Seat& seat : game.seats) seat_line(seat);
  }
  out << "\nguests";
  for (const Seat& guest : guests_) seat_line(guest);
  return out.str();
}

}  // namespace syzygy::round
