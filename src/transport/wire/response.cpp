#include "transport/wire/response.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "api/service.h"
#include "round/view.h"

namespace syzygy::wire {
namespace {

v1::Direction value_of(Direction direction) {
  return direction == Direction::kUp ? v1::DIRECTION_UP : v1::DIRECTION_DOWN;
}

v1::Stage value_of(Stage stage) { return stage == Stage::kPreDeploy ? v1::STAGE_PRE_DEPLOY : v1::STAGE_POST_DEPLOY; }

v1::Stage value_of(PlanStage stage) {
  switch (stage) {
    case PlanStage::kPreDeploy:
      return v1::STAGE_PRE_DEPLOY;
    case PlanStage::kPostDeploy:
      return v1::STAGE_POST_DEPLOY;
    case PlanStage::kAll:
      return v1::STAGE_ALL;
  }
  return v1::STAGE_UNSPECIFIED;
}

v1::Verdict value_of(round::Verdict verdict) {
  switch (verdict) {
    case round::Verdict::kWait:
      return v1::VERDICT_WAIT;
    case round::Verdict::kNothingPending:
      return v1::VERDICT_NOTHING_PENDING;
    case round::Verdict::kApplied:
      return v1::VERDICT_APPLIED;
    case round::Verdict::kFailed:
      return v1::VERDICT_FAILED;
    case round::Verdict::kIndeterminate:
      return v1::VERDICT_INDETERMINATE;
    case round::Verdict::kSettle:
      return v1::VERDICT_SETTLE;
    case round::Verdict::kProceed:
      return v1::VERDICT_PROCEED;
    case round::Verdict::kStop:
      return v1::VERDICT_STOP;
    case round::Verdict::kDone:
      return v1::VERDICT_DONE;
    case round::Verdict::kEvidence:
      return v1::VERDICT_EVIDENCE;
    case round::Verdict::kRefused:  // an error, never a message
      break;
  }
  return v1::VERDICT_UNSPECIFIED;
}

v1::Member::Standing value_of(round::MemberStanding standing) {
  switch (standing) {
    case round::MemberStanding::kCounted:
      return v1::Member::STANDING_COUNTED;
    case round::MemberStanding::kReplaced:
      return v1::Member::STANDING_REPLACED;
    case round::MemberStanding::kSurplus:
      return v1::Member::STANDING_SURPLUS;
    case round::MemberStanding::kExcused:
      return v1::Member::STANDING_EXCUSED;
    case round::MemberStanding::kLapsed:
      return v1::Member::STANDING_LAPSED;
    case round::MemberStanding::kLeft:
      return v1::Member::STANDING_LEFT;
  }
  return v1::Member::STANDING_UNSPECIFIED;
}

v1::BarrierState value_of(barrier::State state) {
  switch (state) {
    case barrier::State::kWaiting:
      return v1::BARRIER_STATE_WAITING;
    case barrier::State::kOpen:
      return v1::BARRIER_STATE_OPEN;
    case barrier::State::kSevered:
      return v1::BARRIER_STATE_SEVERED;
  }
  return v1::BARRIER_STATE_UNSPECIFIED;
}

Duration left(Instant until, Instant now) { return std::max(until - now, Duration{0}); }

void write(const round::Quorum& quorum, v1::Quorum* message) {
  message->set_parties(quorum.parties);
  for (const PartyName& party : quorum.roster) message->add_roster(party.value);
}

void write(const round::Binding& binding, v1::Binding* message) {
  message->set_minted_id(binding.minted_id);
  message->set_system_id(binding.system_id);
  message->set_database(binding.database);
  message->set_application(binding.application);
}

void write(const round::Record& record, const round::Round& r, const round::Member& member, Instant now,
           v1::Member* message) {
  message->set_party(member.party.value);
  message->set_incarnation(member.incarnation.value);
  message->set_host(member.host);
  message->set_client_version(member.client_version);
  message->set_release(member.release.value);
  message->set_standing(value_of(round::standing_of(record, r, member)));
  message->set_may_apply(member.may_apply);
  *message->mutable_joined_at() = to_proto(member.joined_at);
  if (member.standing == round::Standing::kLive) {
    *message->mutable_lease_left() = to_proto(left(member.lease_until, now));
  }
}

void write(const round::Round& r, const round::Grant& grant, Instant now, v1::Applier* message) {
  message->set_party(grant.party.value);
  message->set_incarnation(grant.incarnation.value);
  const auto member = std::ranges::find(r.members, grant.incarnation, &round::Member::incarnation);
  if (member != r.members.end()) message->set_host(member->host);
  message->set_token(grant.token.value);
  message->set_fenced(grant.fenced);
  message->set_settling(grant.settle);
  message->set_claimed(grant.claimed);
  message->set_from_step(static_cast<std::uint32_t>(grant.from_step));
  *message->mutable_lease_left() = to_proto(left(grant.lease_until, now));
}

void write(const round::Round& r, const round::Outcome& outcome, v1::Outcome* message) {
  message->set_state(to_proto(r.state));
  message->set_message(outcome.message);
  message->set_failed_step(outcome.failed_step.value);
  message->set_exit_code(outcome.exit_code);
  message->set_steps_done(outcome.steps_done);
  message->set_applier_party(outcome.applier.value);
  message->set_token(outcome.token.value);
  message->set_in_target(outcome.in_target);
  *message->mutable_at() = to_proto(outcome.at);
  message->set_revision(outcome.revision.value);
  if (r.elected_at) *message->mutable_took() = to_proto(left(outcome.at, *r.elected_at));
}

void write(const round::Record& record, const round::Round& r, Instant now, v1::Round* message) {
  message->set_id(r.id.value);
  message->set_generation(r.generation.value);
  message->set_plan_hash(r.hash.value);
  *message->mutable_plan() = to_proto(r.plan);
  message->set_state(to_proto(r.state));
  write(r.effective, message->mutable_quorum());
  for (const round::Member& member : r.members) write(record, r, member, now, message->add_members());
  message->set_present(static_cast<std::uint32_t>(round::counted(record, r).size()));
  for (const PartyName& party : round::missing(record, r)) message->add_missing(party.value);
  if (r.grant) write(r, *r.grant, now, message->mutable_applier());
  if (r.progress) {
    v1::StepProgress* progress = message->mutable_progress();
    progress->set_step_index(r.progress->step_index);
    progress->set_step_count(static_cast<std::uint32_t>(r.plan.steps.size()));
    progress->set_step_id(r.progress->step.value);
    progress->set_note(r.progress->note);
    *progress->mutable_at() = to_proto(r.progress->at);
  }
  if (r.outcome) write(r, *r.outcome, message->mutable_outcome());
  if (r.sever) message->set_sever_reason(r.sever->reason);
  for (const RoundId& id : r.diverged) {
    v1::Divergence* divergence = message->add_diverged();
    divergence->set_other_round_id(id.value);
    const auto other = std::ranges::find(record.rounds, id, &round::Round::id);
    if (other == record.rounds.end()) continue;
    for (const PartyName& party : round::counted(record, *other)) divergence->add_other_parties(party.value);
    divergence->set_first_difference(round::first_difference(r.plan, other->plan));
  }
  *message->mutable_opened_at() = to_proto(r.opened_at);
  if (r.elected_at) *message->mutable_elected_at() = to_proto(*r.elected_at);
  if (round::is_final(r.state)) *message->mutable_ended_at() = to_proto(r.ended_at);
  message->set_waits_for(round::waits_for(record, r, now));
  message->set_recovery(r.last_run.has_value());
}

// Of the round that holds the target, else of the newest; nullptr: none.
const round::Round* foremost(const round::Record& record) {
  if (const round::Round* holder = round::holder(record)) return holder;
  const auto newest = std::ranges::max_element(record.rounds, {}, &round::Round::generation);
  return newest == record.rounds.end() ? nullptr : &*newest;
}

Result<void> accepted(const engine::TargetAnswer& answer) {
  if (answer.reply.error) return std::unexpected(*answer.reply.error);
  if (answer.reply.verdict == round::Verdict::kRefused) {
    return failure(ErrorCode::kInternal, "REFUSED_WITHOUT_REASON",
                   "The daemon refused this and did not say why: a defect; please report it with the daemon's log.");
  }
  return {};
}

void write_target(const engine::TargetAnswer& answer, v1::Target* target) {
  if (answer.state) *target = to_proto(*answer.state);
}

}  // namespace

google::protobuf::Duration to_proto(Duration duration) {
  google::protobuf::Duration message;
  message.set_seconds(duration.count() / 1'000);
  message.set_nanos(static_cast<std::int32_t>(duration.count() % 1'000 * 1'000'000));
  return message;
}

google::protobuf::Timestamp to_proto(Instant instant) {
  google::protobuf::Timestamp message;
  message.set_seconds(instant.ms / 1'000);
  message.set_nanos(static_cast<std::int32_t>(instant.ms % 1'000 * 1'000'000));
  return message;
}

v1::RoundState to_proto(round::State state) {
  switch (state) {
    case round::State::kGathering:
      return v1::ROUND_STATE_GATHERING;
    case round::State::kElected:
      return v1::ROUND_STATE_ELECTED;
    case round::State::kApplying:
      return v1::ROUND_STATE_APPLYING;
    case round::State::kRecovering:
      return v1::ROUND_STATE_RECOVERING;
    case round::State::kSucceeded:
      return v1::ROUND_STATE_SUCCEEDED;
    case round::State::kFailed:
      return v1::ROUND_STATE_FAILED;
    case round::State::kIndeterminate:
      return v1::ROUND_STATE_INDETERMINATE;
    case round::State::kExpired:
      return v1::ROUND_STATE_EXPIRED;
    case round::State::kDissolved:
      return v1::ROUND_STATE_DISSOLVED;
    case round::State::kSuperseded:
      return v1::ROUND_STATE_SUPERSEDED;
  }
  return v1::ROUND_STATE_UNSPECIFIED;
}

v1::Plan to_proto(const Plan& plan) {
  v1::Plan message;
  message.set_stage(value_of(plan.stage));
  message.set_opaque(plan.opaque);
  message.set_retry_when_applier_lost(plan.on_applier_lost == OnApplierLost::kRetry);
  for (const Step& step : plan.steps) {
    v1::Step* added = message.add_steps();
    added->set_id(step.id.value);
    added->set_direction(value_of(step.direction));
    added->set_stage(value_of(step.stage));
    added->set_content(step.content);
    added->set_atomic(step.atomic);
  }
  return message;
}

v1::Target to_proto(const engine::TargetState& state) {
  const round::Record& record = state.record;
  v1::Target message;
  message.set_name(record.target.value);
  message.set_epoch(state.epoch);
  message.set_revision(record.revision.value);
  message.set_token(record.token.value);
  if (record.binding) write(*record.binding, message.mutable_binding());
  if (record.pin) {
    write(record.pin->quorum, message.mutable_pin());
    message.set_pin_reason(record.pin->reason);
  }
  for (const auto& [party, excuse] : record.excuses) {
    v1::Excuse* added = message.add_excuses();
    added->set_party(party.value);
    *added->mutable_until() = to_proto(excuse.until);
    added->set_reason(excuse.reason);
  }
  for (const auto& [party, visit] : record.visits) {
    v1::Visit* added = message.add_visits();
    added->set_party(party.value);
    *added->mutable_at() = to_proto(visit.at);
    added->set_last_step(visit.last_step);
    added->set_release(visit.release.value);
    added->set_host(visit.host);
  }
  for (const round::Round& r : record.rounds | std::views::reverse) write(record, r, state.at, message.add_rounds());
  *message.mutable_now() = to_proto(state.at);
  message.set_frozen(state.frozen);
  if (record.resync) {
    v1::Resync& resync = *message.mutable_resync();
    *resync.mutable_since() = to_proto(record.resync->since);
    *resync.mutable_until() = to_proto(record.resync->until);
    *resync.mutable_left() = to_proto(std::max(Duration{0}, record.resync->until - state.at));
    resync.set_why(record.resync->why);
  }
  return message;
}

v1::TargetSummary to_summary(const engine::TargetState& state) {
  v1::TargetSummary message;
  message.set_name(state.record.target.value);
  message.set_revision(state.record.revision.value);
  if (const round::Round* r = foremost(state.record)) {
    message.set_state(to_proto(r->state));
    message.set_present(static_cast<std::uint32_t>(round::counted(state.record, *r).size()));
    message.set_needed(r->effective.parties);
  }
  message.set_text(api::summary(state.record));
  *message.mutable_changed_at() = to_proto(state.at);
  return message;
}

v1::Event to_proto(const round::Event& event) {
  v1::Event message;
  message.set_revision(event.revision.value);
  *message.mutable_at() = to_proto(event.at);
  message.set_kind(static_cast<v1::EventKind>(event.kind));  // the same numbers: the static_asserts below
  message.set_round_id(event.round.value);
  message.set_party(event.party.value);
  message.set_incarnation(event.incarnation.value);
  if (event.kind == round::EventKind::kRoundMoved) {
    message.set_state_from(to_proto(event.from));
    message.set_state_to(to_proto(event.to));
  }
  message.set_token(event.token.value);
  message.set_text(event.text);
  message.set_actor(event.actor);
  return message;
}

static_assert(v1::EVENT_KIND_ROUND_OPENED == static_cast<int>(round::EventKind::kRoundOpened));
static_assert(v1::EVENT_KIND_STEP_PROGRESS == static_cast<int>(round::EventKind::kStepProgress));
static_assert(v1::EVENT_KIND_RESYNC_ENDED == static_cast<int>(round::EventKind::kResyncEnded));

v1::WatchTargetResponse to_proto(const engine::Update& update) {
  v1::WatchTargetResponse message;
  if (update.state) *message.mutable_target() = to_proto(*update.state);
  if (update.events) {
    for (const round::Event& event : *update.events) *message.add_events() = to_proto(event);
  }
  message.set_gap(update.gap);
  return message;
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::JoinResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  response->set_verdict(value_of(answer.reply.verdict));
  if (answer.reply.round) response->set_round_id(answer.reply.round->value);
  write_target(answer, response->mutable_target());
  *response->mutable_lease_left() = to_proto(answer.lease_left);
  *response->mutable_renew_after() = to_proto(answer.renew_after);
  response->set_notice(answer.reply.notice);
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::RenewResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  *response->mutable_lease_left() = to_proto(answer.lease_left);
  *response->mutable_renew_after() = to_proto(answer.renew_after);
  response->set_applier(answer.reply.token != Token{});
  if (answer.state) response->set_revision(answer.state->record.revision.value);
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::ConfirmResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  response->set_verdict(value_of(answer.reply.verdict));
  response->set_from_step(static_cast<std::uint32_t>(answer.reply.from_step));
  write_target(answer, response->mutable_target());
  *response->mutable_lease_left() = to_proto(answer.lease_left);
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::ProgressResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  bool severed = answer.reply.verdict == round::Verdict::kStop;
  if (answer.state && answer.reply.round) {
    const auto& rounds = answer.state->record.rounds;
    const auto r = std::ranges::find(rounds, *answer.reply.round, &round::Round::id);
    severed = severed || (r != rounds.end() && r->sever.has_value());
  }
  response->set_severed(severed);
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::ReportResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  response->set_verdict(value_of(answer.reply.verdict));
  write_target(answer, response->mutable_target());
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::LeaveResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  response->set_verdict(value_of(answer.reply.verdict));
  write_target(answer, response->mutable_target());
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::SeverResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  write_target(answer, response->mutable_target());
  for (const RoundId& id : answer.reply.rounds) response->add_round_ids(id.value);
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::ResolveResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  response->set_token(answer.reply.token.value);
  write_target(answer, response->mutable_target());
  return {};
}

Result<void> to_response(const engine::TargetAnswer& answer, v1::SetTargetResponse* response) {
  if (auto ok = accepted(answer); !ok) return ok;
  write_target(answer, response->mutable_target());
  return {};
}

Result<void> to_response(const std::string& name, const engine::BarrierAnswer& answer, v1::BarrierResponse* response) {
  const barrier::Reply& reply = answer.reply;
  if (reply.error) return std::unexpected(*reply.error);
  response->set_namespace_(name);
  response->set_generation(reply.generation.value);
  response->set_state(value_of(reply.state));
  response->set_present(reply.present);
  response->set_quorum(reply.quorum);
  response->set_completed_by_you(reply.completed_by_you);
  response->set_reason(reply.reason);
  return {};
}

}  // namespace syzygy::wire
