// Applying: what a claim found, how far a run is, how it ended. The table "Applier lost" of PROTOCOL.md is judge().
#include <algorithm>

#include "round/planted.h"
#include "round/rules.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

Reply answer(Verdict verdict, const Round& round) {
  Reply reply;
  reply.verdict = verdict;
  reply.round = round.id;
  return reply;
}

// Invariant 16: only the right incarnation, and only under its present token.
bool holds_grant(const Round& round, const IncarnationId& incarnation, Token token) {
  return round.grant && round.grant->incarnation == incarnation && round.grant->token == token;
}

void decline(Draft& draft, const IncarnationId& incarnation) {
  const Instant until = draft.now + draft.settings.decline;
  for (Round& round : draft.record.rounds) {
    if (is_final(round.state) && !PLANTED(final_round_changes))
      continue;  // it may still be a member of one that lingers
    for (Member& member : round.members) {
      if (member.incarnation == incarnation) member.declined_until = until;
    }
  }
  for (Member& guest : draft.record.guests) {
    if (guest.incarnation == incarnation) guest.declined_until = until;
  }
}

std::string listed(const std::vector<StepId>& steps) {
  if (steps.empty()) return "nothing of it was committed";
  std::string text = "committed and staying:";
  for (std::size_t i = 0; i < steps.size() && i < 20; ++i) text += (i == 0 ? " " : ", ") + steps[i].value;
  if (steps.size() > 20) text += " and " + std::to_string(steps.size() - 20) + " more";
  return text;
}

Outcome found_under(const Grant& grant, std::string message, const Finding& finding) {
  Outcome outcome;
  outcome.message = std::move(message);
  outcome.applier = grant.party;
  outcome.token = grant.token;
  outcome.steps_done = static_cast<std::uint32_t>(finding.committed.size());
  return outcome;
}

std::size_t holds_from(const Round& round, const IncarnationId& incarnation) {
  for (const Member& member : round.members) {
    if (member.incarnation == incarnation) return member.has_from;
  }
  return round.plan.steps.size();
}

Reply proceed(Draft& draft, Round& round, const Confirm& confirm, std::size_t from) {
  Grant& grant = *round.grant;
  grant.claimed = true;
  grant.fenced = confirm.fenced && !round.plan.opaque;
  grant.from_step = from;
  grant.unsure = false;
  if (!grant.fenced) grant.lease_ttl = std::max(grant.lease_ttl, draft.settings.lease_unfenced);
  grant.lease_until = draft.now + grant.lease_ttl;
  grant.graced = false;
  round.remaining_from.reset();
  round.last_run = Run{grant.incarnation, grant.party, grant.token, grant.fenced, false};
  const std::string why =
      std::string(grant.fenced ? "fenced" : "unfenced") + ", from step " + round.plan.steps[from].id.value;
  draft.move(round, State::kApplying, why);
  Reply reply = answer(Verdict::kProceed, round);
  reply.from_step = from;
  reply.token = grant.token;
  reply.lease_until = grant.lease_until;
  return reply;
}

Reply conclude(Draft& draft, Round& round, State to, Outcome outcome) {
  draft.conclude(round, to, std::move(outcome));
  return answer(Verdict::kStop, round);
}

Reply indeterminate(Draft& draft, Round& round, const Grant& grant, const Finding& finding, const std::string& why) {
  return conclude(draft, round, State::kIndeterminate,
                  found_under(grant, why + "; look at the database, then: syzygy resolve", finding));
}

std::string begun_and_not_finished(const Round& round, const Finding& finding) {
  const bool another = !finding.begun_by.empty() && finding.begun_by != round.id;
  return "step " + finding.step.value + " runs outside a transaction; it was begun" +
         (another ? " by round " + finding.begun_by.value : "") + " and not finished";
}

// The first claim of a round: nothing of it has ever run.
Reply judge_first(Draft& draft, Round& round, const Confirm& confirm) {
  const Finding& finding = confirm.finding;
  const Grant grant = *round.grant;
  using Kind = Finding::Kind;
  if (finding.kind == Kind::kWhole || (finding.kind == Kind::kUnknown && round.plan.opaque)) {
    return proceed(draft, round, confirm, 0);
  }
  if (finding.kind == Kind::kSuffix && PLANTED(partial_plan_applied))
    return proceed(draft, round, confirm, finding.from_step);
  if (finding.kind == Kind::kNothing) {
    return conclude(draft, round, State::kSucceeded,
                    found_under(grant, "nothing of this plan was pending any more", finding));
  }
  if (PLANTED(anything_succeeds)) {
    return conclude(draft, round, State::kSucceeded, found_under(grant, "something else was pending", finding));
  }
  // A round that this record knows nothing of any more died in the middle of that step.
  if (finding.kind == Kind::kBegun && !PLANTED(lost_rounds_step_run_again)) {
    return indeterminate(draft, round, grant, finding, begun_and_not_finished(round, finding));
  }
  draft.end(round, State::kSuperseded, "something else is pending in the target than this plan; compute it again");
  return answer(Verdict::kStop, round);
}

// Resumes, where the claimant holds what is left; else leaves it to somebody who does; else it failed.
Reply resume(Draft& draft, Round& round, const Confirm& confirm, std::size_t from) {
  const Grant grant = *round.grant;
  if ((!grant.settle || PLANTED(settler_applies)) && holds_from(round, grant.incarnation) <= from)
    return proceed(draft, round, confirm, from);
  const bool somebody_holds = std::ranges::any_of(round.members, [&](const Member& member) {
    return member.standing == Standing::kLive && member.may_apply && member.has_from <= from;
  });
  if (somebody_holds) {
    round.remaining_from = from;
    decline(draft,
            grant.incarnation);  // or it would be sent to look again, at once and for as long as the other declines
    draft.recover(round,
                  grant.party.value + " lacks the step " + round.plan.steps[from].id.value + "; somebody here has it");
    return answer(Verdict::kStop, round);
  }
  return conclude(draft, round, State::kFailed,
                  found_under(grant,
                              lost_applier(round) + " was lost before step " + round.plan.steps[from].id.value +
                                  ", and nobody who has that step is here; " + listed(confirm.finding.committed),
                              confirm.finding));
}

// "Applier lost": a run reached APPLYING before this claim.
Reply judge(Draft& draft, Round& round, const Confirm& confirm) {
  const Finding& finding = confirm.finding;
  const Grant grant = *round.grant;
  const bool over = round.last_run->fenced || round.last_run->ended || finding.sessions_gone;
  using Kind = Finding::Kind;
  if (finding.kind == Kind::kNothing) {
    return conclude(draft, round, State::kSucceeded,
                    found_under(grant, "every step of the plan stands in the history", finding));
  }
  // Before the sever: whatever was decided, nobody knows what that step has done, and the next round would run it
  // again.
  if (finding.kind == Kind::kBegun && !(round.sever && PLANTED(sever_beats_begun))) {
    if (PLANTED(begun_step_resumed)) return resume(draft, round, confirm, 0);
    return indeterminate(draft, round, grant, finding, begun_and_not_finished(round, finding));
  }
  if (round.sever) {
    if (!over)
      return indeterminate(draft, round, grant, finding, "severed, but the stopped run cannot be seen to have ended");
    // Who could not look at the target's history did not see a begun step either, and has put nothing into the fence
    // that would hold back a run which only stood still.
    if (finding.kind == Kind::kUnknown && !round.plan.opaque && !PLANTED(sever_beats_unknown)) {
      return indeterminate(draft, round, grant, finding,
                           "severed, and whoever looked could not compare its steps with the target's history");
    }
    return conclude(
        draft, round, State::kFailed,
        found_under(grant,
                    "severed by " + round.sever->actor + " (" + round.sever->reason + "); " + listed(finding.committed),
                    finding));
  }
  switch (finding.kind) {
    case Kind::kUnknown:
      if (round.plan.opaque && round.plan.on_applier_lost == OnApplierLost::kRetry && over)
        return resume(draft, round, confirm, 0);
      return indeterminate(draft, round, grant, finding,
                           lost_applier(round) + " was lost, and what it ran cannot be judged");
    case Kind::kWhole:
    case Kind::kSuffix:
      if (round.last_run->fenced || round.last_run->ended || PLANTED(unfenced_resumed)) {
        return resume(draft, round, confirm, finding.kind == Kind::kWhole ? 0 : finding.from_step);
      }
      [[fallthrough]];
    default:
      if (!over) {
        return indeterminate(
            draft, round, grant, finding,
            lost_applier(round) +
                " was lost during a run that no fence guards, and its sessions are not seen to be gone");
      }
      return conclude(draft, round, State::kFailed,
                      found_under(grant, lost_applier(round) + " was lost; " + listed(finding.committed), finding));
  }
}

}  // namespace

Reply on_confirm(Draft& draft, const Confirm& confirm) {
  Round* round = draft.find(confirm.round);
  if (round == nullptr) {
    return refused(ErrorCode::kNotFound, "ROUND_UNKNOWN",
                   "target " + draft.record.target.value + " has no round " + confirm.round.value + " any more");
  }
  const Token claimed = PLANTED(stale_claim_counts) && round->grant ? round->grant->token : confirm.token;
  if (round->state != State::kElected || !holds_grant(*round, confirm.request.incarnation, claimed)) {
    return answer(Verdict::kStop, *round);
  }
  const Grant grant = *round->grant;
  if (confirm.claim == Claim::kRefused) {
    if (confirm.row_token >= kTokenMax) {
      return refused(ErrorCode::kInvalidArgument, "TOKEN_IMPLAUSIBLE", "the fence row's token is out of range");
    }
    const Token known = draft.record.token;
    draft.raise_token(confirm.row_token, round);
    draft.recover(*round,
                  "the target refused the claim: its row holds token " + std::to_string(confirm.row_token.value));
    look_at_row(draft, confirm.row_token, known, grant.party);
    return answer(Verdict::kStop, *round);
  }
  if (confirm.claim == Claim::kDeclined) {
    decline(draft, grant.incarnation);
    Event& event = draft.note(EventKind::kApplierDeclined, round);
    event.party = grant.party;
    event.incarnation = grant.incarnation;
    event.token = grant.token;
    event.text = confirm.reason;
    draft.recover(*round, grant.party.value + " declined: " + confirm.reason);
    return answer(Verdict::kStop, *round);
  }
  const Finding& finding = confirm.finding;
  if (finding.kind == Finding::Kind::kSuffix && finding.from_step >= round->plan.steps.size() &&
      !PLANTED(finding_unchecked)) {
    return refused(ErrorCode::kInvalidArgument, "FINDING_INVALID",
                   "from_step " + std::to_string(finding.from_step) + " is beyond the plan's " +
                       std::to_string(round->plan.steps.size()) + " steps");
  }
  Event& event = draft.note(EventKind::kApplierClaimed, round);
  event.party = grant.party;
  event.incarnation = grant.incarnation;
  event.token = grant.token;
  if (!PLANTED(outcome_ignored) && finding.kind == Finding::Kind::kOutcome && finding.outcome &&
      finding.outcome->round == round->id && !(round->sever && PLANTED(sever_beats_outcome))) {
    Outcome outcome = found_under(grant, "this round's outcome stands in the target", finding);
    outcome.in_target = true;
    outcome.token = finding.outcome->token;
    if (round->last_run) outcome.applier = round->last_run->party;
    return conclude(draft, *round, finding.outcome->state, std::move(outcome));
  }
  return round->last_run ? judge(draft, *round, confirm) : judge_first(draft, *round, confirm);
}

Reply on_progress(Draft& draft, const Progressed& progressed) {
  Round* round = draft.find(progressed.round);
  const bool stale_too = PLANTED(stale_progress_counts) && round != nullptr && round->grant.has_value();
  if (round == nullptr || (!holds_grant(*round, progressed.incarnation, progressed.token) && !stale_too)) {
    Reply reply;
    reply.verdict = Verdict::kStop;
    return reply;
  }
  round->progress = Progress{progressed.step_index, progressed.step, progressed.note, draft.now};
  Event& event = draft.note(EventKind::kStepProgress, round);
  event.party = round->grant->party;
  event.token = progressed.token;
  event.text = progressed.note;
  event.data = progressed.step.value;
  return answer(round->sever ? Verdict::kStop : Verdict::kDone, *round);
}

Reply on_report(Draft& draft, const Report& report) {
  Round* round = draft.find(report.round);
  const auto evidence = [&] {
    Event& event = draft.note(EventKind::kEvidence, round);
    event.incarnation = report.request.incarnation;
    event.token = report.token;
    event.text = "a late report: " + report.message;
    Reply reply;
    reply.verdict = Verdict::kEvidence;
    if (round != nullptr) reply.round = round->id;
    return reply;
  };
  if (round == nullptr) {
    return refused(ErrorCode::kNotFound, "ROUND_UNKNOWN",
                   "target " + draft.record.target.value + " has no round " + report.round.value + " any more");
  }
  const Token reported = PLANTED(stale_report_counts) && round->grant ? round->grant->token : report.token;
  const bool current = round->state == State::kApplying && holds_grant(*round, report.request.incarnation, reported);
  // The old applier may still say how it ended while nobody was given a higher token.
  const bool last = round->state == State::kRecovering && round->last_run && round->last_run->token == report.token &&
                    round->last_run->incarnation == report.request.incarnation &&
                    (draft.record.token == report.token || PLANTED(late_report_counts));
  if (!current && !last) return evidence();

  Outcome outcome;
  outcome.message = report.message;
  outcome.failed_step = report.failed_step;
  outcome.exit_code = report.exit_code;
  outcome.steps_done = report.steps_done;
  outcome.applier = round->last_run->party;
  outcome.token = report.token;
  outcome.in_target = report.in_target;
  switch (report.result) {
    case RunResult::kSucceeded:
      draft.conclude(*round, State::kSucceeded, std::move(outcome));
      break;
    case RunResult::kFailed:
      if (round->sever)
        outcome.message = "severed by " + round->sever->actor + " (" + round->sever->reason + "); " + outcome.message;
      draft.conclude(*round, State::kFailed, std::move(outcome));
      break;
    case RunResult::kIndeterminate:
      draft.conclude(*round, State::kIndeterminate, std::move(outcome));
      break;
    case RunResult::kChanged:
      round->last_run->ended = round->last_run->ended || report.session_ended;
      if (current) draft.recover(*round, "the history already holds a step of this plan: it is compared anew");
      break;
    case RunResult::kFencedOut: {
      if (PLANTED(fenced_out_fails)) {
        draft.conclude(*round, State::kFailed, std::move(outcome));
        break;
      }
      if (report.row_token >= kTokenMax) {
        return refused(ErrorCode::kInvalidArgument, "TOKEN_IMPLAUSIBLE", "the fence row's token is out of range");
      }
      round->last_run->ended = round->last_run->ended || report.session_ended;
      const Token known = draft.record.token;
      draft.raise_token(report.row_token, round);
      if (current)
        draft.recover(*round, "the applier was fenced out by token " + std::to_string(report.row_token.value));
      look_at_row(draft, report.row_token, known, round->last_run->party);
      break;
    }
  }
  return answer(Verdict::kDone, *round);
}

}  // namespace syzygy::round
