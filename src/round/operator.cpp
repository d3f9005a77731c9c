// What an operator does: sever, resolve, pin, excuse, rebind. Every one of it is an event that names who and why.
#include "round/history.h"
#include "round/planted.h"
#include "round/rules.h"

namespace syzygy::round {
namespace {

Reply done(const Round& round) {
  Reply reply;
  reply.verdict = Verdict::kDone;
  reply.round = round.id;
  return reply;
}

Reply no_such_round(const Record& record, const RoundId& id) {
  return refused(ErrorCode::kNotFound, "ROUND_UNKNOWN",
                 "target " + record.target.value + " has no round " + id.value + "; see syzygy status --target " +
                     record.target.value);
}

void sever_one(Draft& draft, Round& round, const SeverRound& command) {
  const std::string why = "severed by " + command.actor + ": " + command.reason;
  if (round.state == State::kGathering) {
    round.sever = Sever{command.actor, command.reason, draft.now, {}};  // its members are told why, not only that
    return draft.end(round, State::kDissolved, why);
  }
  if (round.sever) return;  // the first one stands
  if (round.grant && round.grant->unsure) assume_run(draft, round);
  round.sever = Sever{command.actor, command.reason, draft.now, {}};
  const Duration lease = round.grant ? round.grant->lease_ttl : draft.settings.lease;
  const bool unfenced = round.last_run && !round.last_run->fenced;
  round.sever->confirm_by = draft.now + lease + (unfenced ? draft.settings.lock_delay_unfenced : Duration{0});
  Event& event = draft.note(EventKind::kSevered, &round);
  event.text = command.reason;
  event.actor = command.actor;
  // Nothing of it ever ran, or what ran is confirmed to have ended: there is nothing to wait for.
  if (!round.last_run || round.last_run->ended) {
    Outcome outcome;
    outcome.message = why + (round.last_run ? "" : "; nothing was applied");
    draft.conclude(round, State::kFailed, std::move(outcome));
  }
}

// The event of the move names the operator; those of rounds that it made obsolete do not.
Reply resolve(Draft& draft, Round& round, State verdict, Outcome outcome, const std::string& actor) {
  const std::size_t moved = draft.events.size();
  draft.conclude(round, verdict, std::move(outcome));
  if (moved < draft.events.size() && !PLANTED(actor_forgotten)) draft.events[moved].actor = actor;
  return done(round);
}

}  // namespace

Reply on_sever(Draft& draft, const SeverRound& sever) {
  Record& record = draft.record;
  std::vector<RoundId> chosen;
  if (!sever.round.empty()) {
    const Round* round = draft.find(sever.round);
    if (round == nullptr) return no_such_round(record, sever.round);
    if (is_final(round->state) && !PLANTED(severs_ended)) {
      return refused(ErrorCode::kFailedPrecondition, "ROUND_ENDED",
                     "round " + round->id.value + " has ended already: " + std::string(to_string(round->state)));
    }
    chosen.push_back(round->id);
  } else if (const Round* held = draft.holder()) {
    chosen.push_back(held->id);
  } else {
    for (const Round& round : record.rounds) {
      if (round.state == State::kGathering) chosen.push_back(round.id);
    }
  }
  if (chosen.empty()) {
    return refused(ErrorCode::kNotFound, "NOTHING_TO_SEVER",
                   "no round of target " + record.target.value + " gathers or applies");
  }
  if (draft.find(chosen.front())->state == State::kIndeterminate && !PLANTED(severs_unknown)) {
    return refused(ErrorCode::kFailedPrecondition, "ROUND_INDETERMINATE",
                   "round " + chosen.front().value + " is INDETERMINATE: there is nothing to stop; use syzygy resolve");
  }
  Reply reply;
  reply.verdict = Verdict::kDone;
  reply.rounds = chosen;
  reply.round = chosen.front();
  for (const RoundId& id : chosen) sever_one(draft, *draft.find(id), sever);
  return reply;
}

Reply on_resolve_begin(Draft& draft, const ResolveBegin& begin) {
  Record& record = draft.record;
  Round* round = draft.find(begin.round);
  if (round == nullptr) return no_such_round(record, begin.round);
  if (round->state != State::kIndeterminate) {
    return refused(ErrorCode::kFailedPrecondition, "NOT_INDETERMINATE",
                   "round " + round->id.value + " is " + std::string(to_string(round->state)) +
                       "; only INDETERMINATE is resolved");
  }
  if ((record.resync || draft.now < draft.settings.quiet_until) && !PLANTED(resync_resolves)) {
    return refused(ErrorCode::kAborted, "RESYNCHRONISING",
                   "target " + record.target.value + " resynchronises (" +
                       (record.resync ? record.resync->why : "another server answers for the store") +
                       "): nothing is granted meanwhile; begin again when that is over, see syzygy status --target " +
                       record.target.value);
  }
  if ((begin.seen < round->outcome->revision || begin.seen > record.revision) && !PLANTED(resolve_unseen)) {
    return refused(ErrorCode::kAborted, "REVISION_STALE",
                   "you saw revision " + std::to_string(begin.seen.value) + ", but the round became INDETERMINATE at " +
                       std::to_string(round->outcome->revision.value) + " and the target is at " +
                       std::to_string(record.revision.value) + "; look again with syzygy status");
  }
  record.token = record.token.next();
  round->resolution = Resolution{begin.request.incarnation, begin.actor, record.token};
  Event& event = draft.note(EventKind::kResolutionBegun, round);
  event.token = record.token;
  if (!PLANTED(actor_forgotten)) event.actor = begin.actor;
  event.text = begin.reason;
  Reply reply = done(*round);
  reply.token = record.token;
  return reply;
}

Reply on_resolve_finish(Draft& draft, const ResolveFinish& finish) {
  Record& record = draft.record;
  Round* round = draft.find(finish.round);
  if (round == nullptr) return no_such_round(record, finish.round);
  if (round->state != State::kIndeterminate || !round->resolution ||
      (round->resolution->token != finish.token && !PLANTED(resolve_stale)) ||
      round->resolution->incarnation != finish.request.incarnation) {
    return refused(ErrorCode::kAborted, "RESOLUTION_STALE",
                   "round " + round->id.value + " is " + std::string(to_string(round->state)) +
                       ", and this resolution does not hold its token; begin again with syzygy resolve");
  }
  Outcome outcome;
  outcome.applier = round->last_run ? round->last_run->party : PartyName{};
  outcome.token = finish.token;
  outcome.message = "resolved by " + finish.actor + ": " + finish.reason;
  if (finish.claimed && finish.found && finish.found->round == round->id) {
    outcome.message = "this round's outcome stood in the target; " + outcome.message;
    outcome.in_target = true;
    outcome.token = finish.found->token;
    return resolve(draft, *round, finish.found->state, std::move(outcome), finish.actor);
  }
  if (finish.verdict != State::kSucceeded && finish.verdict != State::kFailed && !PLANTED(verdict_unchecked)) {
    return refused(ErrorCode::kInvalidArgument, "VERDICT_INVALID", "a resolution is SUCCEEDED or FAILED");
  }
  if (record.binding && !finish.claimed && !finish.attest_database_gone && !PLANTED(resolve_unclaimed)) {
    return refused(
        ErrorCode::kFailedPrecondition, "CLAIM_REQUIRED",
        "the fence of this target was not claimed; pass --database, or --attest-database-gone if it no longer exists");
  }
  if (!PLANTED(resolve_unattested) && !finish.attest_stopped && !finish.attest_database_gone) {
    return refused(ErrorCode::kFailedPrecondition, "ATTESTATION_REQUIRED",
                   "the target holds no outcome of round " + round->id.value +
                       "; make sure that processes and sessions of the lost run are gone, then pass --attest-stopped");
  }
  return resolve(draft, *round, finish.verdict, std::move(outcome), finish.actor);
}

Reply on_set_target(Draft& draft, const SetTarget& set) {
  Record& record = draft.record;
  const bool excuses = set.excuse && set.excuse_for.count() > 0;
  if (excuses || set.change_pin) {
    // A pinned roster that is excused to the last party could be completed by nobody.
    std::set<PartyName> left;
    if (set.change_pin && set.pin) left = set.pin->roster;
    if (!set.change_pin && record.pin) left = record.pin->quorum.roster;
    const bool rostered = !left.empty();
    for (const auto& [party, excuse] : record.excuses) {
      if (party != set.excuse) left.erase(party);
    }
    if (excuses) left.erase(*set.excuse);
    if (rostered && left.empty() && !PLANTED(roster_emptied)) {
      return refused(ErrorCode::kFailedPrecondition, "ROSTER_EMPTY",
                     "that would leave nobody of the pinned roster who is not excused, so that no quorum could ever be "
                     "complete; pin another roster, or end an excuse first");
    }
  }
  if (excuses) {
    if (!record.excuses.contains(*set.excuse) && record.excuses.size() >= draft.settings.parties_max &&
        !PLANTED(excuses_without_end)) {
      return refused(
          ErrorCode::kResourceExhausted, "EXCUSES_LIMIT",
          "target " + record.target.value + " has " + std::to_string(record.excuses.size()) + " excuses already");
    }
  }
  if (set.rebind && draft.holder() != nullptr && !PLANTED(rebound_while_held)) {
    return refused(ErrorCode::kFailedPrecondition, "TARGET_BUSY",
                   "target " + record.target.value + " is held by round " + draft.holder()->id.value +
                       "; rebind it when that has ended, or sever or resolve it first");
  }
  if (set.change_pin) {
    if (set.pin) {
      record.pin = Pin{*set.pin, set.actor, set.reason};
    } else {
      record.pin.reset();
    }
    Event& event = draft.note(EventKind::kPinSet);
    event.actor = set.actor;
    event.text = (set.pin ? "quorum " + describe(*set.pin) : "no pin") + (set.reason.empty() ? "" : ": " + set.reason);
    event.data = pin_data(set.pin);
  }
  if (set.excuse) {
    const bool was = record.excuses.contains(*set.excuse);
    if (set.excuse_for.count() > 0) {
      record.excuses[*set.excuse] = Excuse{draft.now + set.excuse_for, set.reason, set.actor};
      Event& event = draft.note(EventKind::kExcused);
      event.party = *set.excuse;
      event.actor = set.actor;
      event.text = set.reason;
    } else if (was) {
      record.excuses.erase(*set.excuse);
      Event& event = draft.note(EventKind::kExcuseEnded);
      event.party = *set.excuse;
      event.actor = set.actor;
      event.text = set.reason;
    }
  }
  if (set.rebind) {
    record.binding = set.rebind;
    Event& event = draft.note(EventKind::kBound);
    event.actor = set.actor;
    event.text = "rebound to database " + set.rebind->database + ": " + set.reason;
    event.data = binding_data(*set.rebind);
  }
  supersede_requorumed(draft, "the pin or an excuse changed the effective quorum");
  Reply reply;
  reply.verdict = Verdict::kDone;
  return reply;
}

}  // namespace syzygy::round
