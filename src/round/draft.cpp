#include "round/draft.h"

#include "round/history.h"
#include "round/planted.h"

namespace syzygy::round {

Event& Draft::note(EventKind kind, const Round* round) {
  record.revision = record.revision.next();
  if (kind == EventKind::kApplierGranted && PLANTED(revision_gap)) record.revision = record.revision.next();
  Event event;
  event.revision = record.revision;
  event.at = now;
  event.kind = kind;
  if (round != nullptr) event.round = round->id;
  return events.emplace_back(std::move(event));
}

Event& Draft::note(EventKind kind, const Round* round, const Member& member) {
  Event& event = note(kind, round);
  event.party = member.party;
  event.incarnation = member.incarnation;
  return event;
}

void Draft::move(Round& round, State to, std::string why) {
  if (!may_move(round.state, to) && !PLANTED(moves_unchecked)) {
    if (broken.empty()) {
      broken = "round " + round.id.value + " cannot move from " + std::string(to_string(round.state)) + " to " +
               std::string(to_string(to)) + " (" + why + ")";
    }
    return;
  }
  Event& event = note(EventKind::kRoundMoved, &round);
  event.from = round.state;
  event.to = to;
  event.text = std::move(why);
  if (round.grant) {
    event.party = round.grant->party;
    event.incarnation = round.grant->incarnation;
    event.token = round.grant->token;
  }
  round.state = to;
}

void Draft::settle_time(Round& round) {
  round.grant.reset();
  round.resolution.reset();
  round.diverged.clear();
  round.ended_at = now;
  round.linger_until = now + settings.linger;
}

void Draft::conclude(Round& round, State to, Outcome outcome) {
  move(round, to, outcome.message);
  if (!broken.empty()) return;
  outcome.at = now;
  outcome.revision = record.revision;
  round.outcome = std::move(outcome);
  events.back().data = outcome_data(*round.outcome);
  if (to == State::kIndeterminate) {
    round.grant.reset();
    return;
  }
  settle_time(round);
  if (to != State::kSucceeded) return;
  if (round.plan.opaque) record.opaque_applied[round.plan.stage] = round.hash;
  for (Round& other : record.rounds) {
    if (other.state == State::kGathering && !PLANTED(shared_step_kept) && shares_a_step(other.plan, round.plan)) {
      end(other, State::kSuperseded,
          "round " + round.id.value + " has applied a step of this plan; compute the plan again");
    }
  }
}

void Draft::end(Round& round, State to, std::string why) {
  move(round, to, std::move(why));
  if (broken.empty()) settle_time(round);
}

void Draft::recover(Round& round, std::string why) {
  move(round, State::kRecovering, std::move(why));
  if (broken.empty()) round.grant.reset();
}

void Draft::raise_token(Token seen, const Round* round) {
  if (seen <= record.token || PLANTED(token_not_raised)) return;
  record.token = seen;
  note(EventKind::kTokenRaised, round).token = seen;
}

Round* Draft::find(const RoundId& id) {
  for (Round& round : record.rounds) {
    if (round.id == id) return &round;
  }
  return nullptr;
}

Round* Draft::holder() {
  for (Round& round : record.rounds) {
    if (holds_target(round.state)) return &round;
  }
  return nullptr;
}

}  // namespace syzygy::round
