#include "client/cpp/next_move.h"

#include <algorithm>
#include <set>
#include <utility>

namespace syzygy {

namespace {

bool in_hand(v1::RoundState state) {  // somebody is elected, or has to be
  return state == v1::ROUND_STATE_ELECTED || state == v1::ROUND_STATE_APPLYING || state == v1::ROUND_STATE_RECOVERING;
}

bool holds_target(v1::RoundState state) { return in_hand(state) || state == v1::ROUND_STATE_INDETERMINATE; }

// Nullopt: go on running.
std::optional<moves::Stop> end_of_run(const v1::Target& view, const Self& self) {
  const v1::Round* round = find_round(view, self.running_round);
  // A daemon that lost its memory knows nothing of the round: the fence, or the lease by the own clock, decides then.
  if (round == nullptr) return std::nullopt;
  if (!in_hand(round->state()) || round->applier().token() > self.running.value) {
    return moves::Stop{moves::Stop::Why::kTokenLost,
                       "the right to apply under token " + std::to_string(self.running.value) + " is gone"};
  }
  if (!round->sever_reason().empty()) return moves::Stop{moves::Stop::Why::kSevered, round->sever_reason()};
  // A fenced run goes on: its report is still good as long as nobody was granted a higher token.
  if (round->state() == v1::ROUND_STATE_RECOVERING && !self.fenced) {
    return moves::Stop{moves::Stop::Why::kTokenLost, "the lease of token " + std::to_string(self.running.value) +
                                                         " is over, and the round is being recovered"};
  }
  return std::nullopt;
}

std::optional<moves::Claim> election(const v1::Target& view, const Self& self) {
  for (const auto& round : view.rounds()) {
    if (round.state() != v1::ROUND_STATE_ELECTED || round.applier().incarnation() != self.incarnation.value) continue;
    if (round.applier().token() <= self.dealt.value) continue;
    return moves::Claim{RoundId(round.id()), Token(round.applier().token()), round.applier().settling()};
  }
  return std::nullopt;
}

bool is_member(const v1::Round& round, const IncarnationId& incarnation) {
  return std::ranges::any_of(round.members(), [&](const v1::Member& m) {
    return m.incarnation() == incarnation.value && m.standing() != v1::Member::STANDING_LEFT;
  });
}

std::set<std::string> step_ids(const v1::Plan& plan) {
  std::set<std::string> ids;
  for (const auto& step : plan.steps()) ids.insert(step.id());
  return ids;
}

bool shares_a_step(const v1::Plan& a, const v1::Plan& b) {
  const auto ids = step_ids(a);
  return std::ranges::any_of(b.steps(), [&](const v1::Step& step) { return ids.contains(step.id()); });
}

v1::Direction direction_of(const v1::Step& step) {
  return step.direction() == v1::DIRECTION_UNSPECIFIED ? v1::DIRECTION_UP : step.direction();
}

v1::Stage stage_of(const v1::Plan& plan) {
  return plan.stage() == v1::STAGE_UNSPECIFIED ? v1::STAGE_ALL : plan.stage();
}

bool same_step(const v1::Step& a, const v1::Step& b) {
  return a.id() == b.id() && direction_of(a) == direction_of(b) && a.stage() == b.stage() &&
         a.content() == b.content() && a.atomic() == b.atomic();
}

}  // namespace

Move next_move(const v1::Target& view, const Self& self) {
  if (self.running != Token{}) {
    if (auto stop = end_of_run(view, self)) return *std::move(stop);
    return moves::Wait{};
  }
  if (auto claim = election(view, self)) return *std::move(claim);
  if (self.round.empty()) return moves::Wait{};

  const v1::Round* round = find_round(view, self.round);
  if (round == nullptr)
    return moves::Rejoin{self.settling ? moves::Rejoin::Why::kSettled : moves::Rejoin::Why::kRetired};
  switch (round->state()) {
    case v1::ROUND_STATE_SUCCEEDED:
    case v1::ROUND_STATE_FAILED:
      // What became of somebody else's round is not the outcome of one who had nothing pending.
      if (self.settling) return moves::Rejoin{moves::Rejoin::Why::kSettled};
      return moves::Finish{self.round, round->state()};
    case v1::ROUND_STATE_INDETERMINATE:
      return moves::Finish{self.round, round->state()};
    case v1::ROUND_STATE_DISSOLVED:
      if (self.settling) return moves::Rejoin{moves::Rejoin::Why::kSettled};
      return moves::Finish{self.round, round->state()};
    case v1::ROUND_STATE_EXPIRED:
      return moves::Rejoin{moves::Rejoin::Why::kExpired};
    case v1::ROUND_STATE_SUPERSEDED:
      return moves::Rejoin{moves::Rejoin::Why::kSuperseded};
    case v1::ROUND_STATE_GATHERING:
      // It would wait for an operator. Who joins now is told so at once, and so is who joined before.
      for (const auto& other : view.rounds()) {
        if (other.state() == v1::ROUND_STATE_INDETERMINATE) return moves::Finish{RoundId(other.id()), other.state()};
      }
      [[fallthrough]];
    case v1::ROUND_STATE_ELECTED:
    case v1::ROUND_STATE_APPLYING:
    case v1::ROUND_STATE_RECOVERING:
      // Who only came to look is kept beside the rounds, not in them.
      if (self.settling || is_member(*round, self.incarnation)) return moves::Wait{};
      return moves::Rejoin{moves::Rejoin::Why::kNotAMember};
    default:
      return moves::Wait{};  // a state of a newer daemon: wait for one that is known
  }
}

WaitsFor waits_for(const v1::Target* view, const RoundId& id) {
  if (view == nullptr) return WaitsFor::kDaemon;
  const v1::Round* round = find_round(*view, id);
  if (round == nullptr) return WaitsFor::kParties;
  if (round->state() != v1::ROUND_STATE_GATHERING) return WaitsFor::kOutcome;

  const auto& quorum = round->quorum();
  const auto needed = quorum.roster_size() > 0 ? static_cast<std::uint32_t>(quorum.roster_size()) : quorum.parties();
  if (round->present() < needed || round->missing_size() > 0) {
    return round->diverged_size() > 0 ? WaitsFor::kAgreement : WaitsFor::kParties;
  }
  const bool held = std::ranges::any_of(view->rounds(), [](const v1::Round& r) { return holds_target(r.state()); });
  if (held) return WaitsFor::kTarget;
  const bool able = std::ranges::any_of(round->members(), [](const v1::Member& m) {
    return m.may_apply() && m.standing() == v1::Member::STANDING_COUNTED;
  });
  return able ? WaitsFor::kGate : WaitsFor::kApplier;
}

WaitsFor waits_for_joining(const v1::Target* view, bool reached) {
  if (view == nullptr) return WaitsFor::kDaemon;
  const auto in = [&](auto&& states) {
    return std::ranges::any_of(view->rounds(), [&](const v1::Round& r) { return states(r.state()); });
  };
  // What was heard last of the target, before what may have become of it.
  if (in([](v1::RoundState state) { return state == v1::ROUND_STATE_INDETERMINATE; })) return WaitsFor::kOperator;
  if (in(in_hand)) return WaitsFor::kTarget;
  return reached ? WaitsFor::kParties : WaitsFor::kDaemon;
}

bool hints_at_change(const v1::Target* before, const v1::Target& view, const RoundId& id) {
  if (before == nullptr) return false;
  const v1::Round* own = find_round(view, id);
  if (own == nullptr) return false;

  const auto ids = step_ids(own->plan());
  for (const auto& visit : view.visits()) {
    if (!ids.contains(visit.last_step())) continue;
    const bool known = std::ranges::any_of(before->visits(), [&](const v1::Visit& old) {
      return old.party() == visit.party() && old.last_step() == visit.last_step() &&
             old.at().seconds() == visit.at().seconds() && old.at().nanos() == visit.at().nanos();
    });
    if (!known) return true;
  }
  if (const auto now = divergences(view, id); !now.empty() && now != divergences(*before, id)) return true;
  for (const auto& round : view.rounds()) {
    const bool superseded = round.state() == v1::ROUND_STATE_SUPERSEDED;
    const bool applied = round.state() == v1::ROUND_STATE_SUCCEEDED && shares_a_step(round.plan(), own->plan());
    if (round.id() == own->id() || !(superseded || applied)) continue;
    const v1::Round* old = find_round(*before, RoundId(round.id()));
    if (old == nullptr || old->state() != round.state()) return true;
  }
  return false;
}

std::vector<std::string> divergences(const v1::Target& view, const RoundId& id) {
  std::vector<std::string> others;
  if (const v1::Round* round = find_round(view, id)) {
    for (const auto& divergence : round->diverged()) others.push_back(divergence.other_round_id());
  }
  std::ranges::sort(others);
  return others;
}

bool is_newer(const v1::Target* present, const v1::Target& candidate) {
  return present == nullptr || present->epoch() != candidate.epoch() || candidate.revision() > present->revision();
}

const v1::Round* find_round(const v1::Target& view, const RoundId& id) {
  for (const auto& round : view.rounds()) {
    if (round.id() == id.value) return &round;
  }
  return nullptr;
}

bool same_plan(const std::optional<v1::Plan>& a, const std::optional<v1::Plan>& b) {
  if (!a || !b) return !a && !b;
  return stage_of(*a) == stage_of(*b) && a->opaque() == b->opaque() &&
         a->retry_when_applier_lost() == b->retry_when_applier_lost() &&
         std::ranges::equal(a->steps(), b->steps(), same_step);
}

}  // namespace syzygy
