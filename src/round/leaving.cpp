// Leaving, and acknowledging a failure.
#include "round/planted.h"
#include "round/rules.h"

namespace syzygy::round {
namespace {

Reply done(const Round* round = nullptr) {
  Reply reply;
  reply.verdict = Verdict::kDone;
  if (round != nullptr) reply.round = round->id;
  return reply;
}

Reply acknowledge(Draft& draft, const Leave& leave) {
  for (Round& round : draft.record.rounds) {
    if (round.state != State::kFailed || round.outcome->revision != leave.acknowledge) continue;
    PartyName party = leave.party;
    for (const Member& member : round.members) {
      if (member.incarnation == leave.request.incarnation) party = member.party;
    }
    if (party.empty() && !PLANTED(nobody_acknowledges)) {
      return refused(ErrorCode::kInvalidArgument, "PARTY_MISSING",
                     "an acknowledgement by a process that never joined names its party");
    }
    if (round.acknowledged.insert(party).second) {
      Event& event = draft.note(EventKind::kAcknowledged, &round);
      event.party = party;
      event.incarnation = leave.request.incarnation;
    }
    return done(&round);
  }
  return done();  // it has retired: nobody will be told of it again
}

void depart(Draft& draft, Round& round, const IncarnationId& incarnation, const std::string& reason) {
  for (Member& member : round.members) {
    if (member.incarnation != incarnation || member.standing == Standing::kLeft) continue;
    const bool was_live = member.standing == Standing::kLive;
    member.standing = Standing::kLeft;
    if (was_live && !PLANTED(event_forgotten)) draft.note(EventKind::kPartyLeft, &round, member).text = reason;
  }
}

// The applier's run has ended with its session: what stands in the target is known, and somebody else may go on.
void end_run(Draft& draft, Round& round, const Leave& leave) {
  round.last_run->ended = true;
  Outcome outcome;
  outcome.applier = round.last_run->party;
  outcome.token = round.last_run->token;
  if (leave.finding) outcome.steps_done = static_cast<std::uint32_t>(leave.finding->committed.size());
  if (leave.finding && leave.finding->kind == Finding::Kind::kOutcome && leave.finding->outcome &&
      leave.finding->outcome->round == round.id) {
    outcome.message = "the outcome stood in the target when the applier left";
    outcome.in_target = true;
    return draft.conclude(round, leave.finding->outcome->state, std::move(outcome));
  }
  if (leave.finding && leave.finding->kind == Finding::Kind::kBegun && !(round.sever && PLANTED(sever_beats_begun))) {
    outcome.message = "the applier left, and step " + leave.finding->step.value +
                      " runs outside a transaction; it was begun and not finished; look at the database, then: syzygy "
                      "resolve";
    return draft.conclude(round, State::kIndeterminate, std::move(outcome));
  }
  if (round.sever) {
    outcome.message =
        "severed by " + round.sever->actor + " (" + round.sever->reason + "); the applier confirmed that its run ended";
    return draft.conclude(round, State::kFailed, std::move(outcome));
  }
  if (round.state == State::kApplying) draft.recover(round, "the applier left with its session ended: " + leave.reason);
}

}  // namespace

Reply on_leave(Draft& draft, const Leave& leave) {
  if (leave.acknowledge.value > 0) return acknowledge(draft, leave);
  const IncarnationId& incarnation = leave.request.incarnation;
  const std::string reason = leave.reason.empty() ? "left" : leave.reason;
  for (const Round& round : draft.record.rounds) {
    if (!PLANTED(leaves_while_running) && round.state == State::kApplying && round.grant->incarnation == incarnation &&
        !(leave.session_ended && leave.token == round.grant->token)) {
      return refused(ErrorCode::kFailedPrecondition, "APPLIER_RUNNING",
                     "this process applies round " + round.id.value +
                         "; it can leave once its transaction is rolled back and its session ended");
    }
  }
  Reply reply = done();
  for (Round& round : draft.record.rounds) {
    if (is_final(round.state)) continue;
    const bool granted = round.grant && round.grant->incarnation == incarnation;
    depart(draft, round, incarnation, reason);
    if (granted && round.state == State::kElected) {
      if (round.grant->unsure) assume_run(draft, round);
      draft.recover(round, "the elected applier " + round.grant->party.value + " left before it claimed");
    } else if (leave.session_ended && round.last_run && round.last_run->incarnation == incarnation &&
               round.last_run->token == leave.token &&
               (granted || (round.state == State::kRecovering && draft.record.token == leave.token))) {
      end_run(draft, round, leave);
    }
    reply.round = round.id;
  }
  std::erase_if(draft.record.guests, [&](const Member& guest) {
    if (guest.incarnation != incarnation) return false;
    draft.note(EventKind::kPartyLeft, nullptr, guest).text = reason;
    return true;
  });
  return reply;
}

}  // namespace syzygy::round
