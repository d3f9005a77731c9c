#include "transport/wire/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "api/service.h"
#include "base/name.h"

namespace syzygy::wire {
namespace {

using std::unexpected;

std::unexpected<Error> missing(const std::string& field, std::string_view what) {
  return failure(ErrorCode::kInvalidArgument, "FIELD_MISSING", fmt::format("{} is missing: {}.", field, what),
                 {{"field", field}});
}

std::unexpected<Error> invalid(const std::string& field, std::string_view why) {
  return failure(ErrorCode::kInvalidArgument, "FIELD_INVALID", fmt::format("{} is not valid: {}.", field, why),
                 {{"field", field}});
}

std::unexpected<Error> unknown_enum(const std::string& field, int value, std::string_view known) {
  return failure(
      ErrorCode::kInvalidArgument, "ENUM_UNKNOWN",
      fmt::format("{} has the value {}, which this daemon does not know here. It takes: {}.", field, value, known),
      {{"field", field}, {"value", std::to_string(value)}});
}

Result<round::RequestId> request_id(bool present, const v1::RequestId& id) {
  if (!present) {
    return missing("request",
                   "every change names itself by {incarnation, sequence}, so that a retry has the effect "
                   "of one");
  }
  return round::RequestId{IncarnationId(id.incarnation()), id.sequence()};
}

Result<Step> step_of(const v1::Step& message, const std::string& field) {
  Step step;
  step.id = StepId(message.id());
  switch (message.direction()) {
    case v1::DIRECTION_UNSPECIFIED:
    case v1::DIRECTION_UP:
      step.direction = Direction::kUp;
      break;
    case v1::DIRECTION_DOWN:
      step.direction = Direction::kDown;
      break;
    default:
      return unknown_enum(field + ".direction", message.direction(), "DIRECTION_UP, DIRECTION_DOWN");
  }
  switch (message.stage()) {
    case v1::STAGE_PRE_DEPLOY:
      step.stage = Stage::kPreDeploy;
      break;
    case v1::STAGE_POST_DEPLOY:
      step.stage = Stage::kPostDeploy;
      break;
    default:
      return unknown_enum(field + ".stage", message.stage(), "STAGE_PRE_DEPLOY, STAGE_POST_DEPLOY");
  }
  step.content = message.content();
  step.atomic = message.atomic();
  return step;
}

Result<std::vector<Step>> steps_of(const google::protobuf::RepeatedPtrField<v1::Step>& messages,
                                   const std::string& field) {
  // Before anything is copied: a request of 8 MiB holds millions of empty steps.
  if (std::cmp_greater(messages.size(), kPlanStepsMax)) {
    return invalid(field, fmt::format("{} steps; at most {} are taken", messages.size(), kPlanStepsMax));
  }
  std::vector<Step> steps;
  steps.reserve(static_cast<std::size_t>(messages.size()));
  for (const v1::Step& message : messages) {
    auto step = step_of(message, fmt::format("{}[{}]", field, steps.size()));
    if (!step) return unexpected(std::move(step.error()));
    steps.push_back(*std::move(step));
  }
  return steps;
}

Result<Plan> plan_of(const std::string& target, const v1::Plan& message) {
  Plan plan;
  plan.target = TargetName(target);
  switch (message.stage()) {
    case v1::STAGE_UNSPECIFIED:
    case v1::STAGE_ALL:
      plan.stage = PlanStage::kAll;
      break;
    case v1::STAGE_PRE_DEPLOY:
      plan.stage = PlanStage::kPreDeploy;
      break;
    case v1::STAGE_POST_DEPLOY:
      plan.stage = PlanStage::kPostDeploy;
      break;
    default:
      return unknown_enum("plan.stage", message.stage(), "STAGE_PRE_DEPLOY, STAGE_POST_DEPLOY, STAGE_ALL");
  }
  plan.opaque = message.opaque();
  plan.on_applier_lost = message.retry_when_applier_lost() ? OnApplierLost::kRetry : OnApplierLost::kStop;
  auto steps = steps_of(message.steps(), "plan.steps");
  if (!steps) return unexpected(std::move(steps.error()));
  plan.steps = *std::move(steps);
  return plan;
}

Result<round::Quorum> quorum_of(const v1::Quorum& message, const std::string& field) {
  round::Quorum quorum;
  for (const std::string& party : message.roster()) {
    if (!quorum.roster.insert(PartyName(party)).second) {
      return invalid(field + ".roster", fmt::format("it names a party twice (\"{}\")", printable(party)));
    }
  }
  quorum.parties = message.parties();
  if (quorum.roster.empty()) {
    if (quorum.parties == 0) return invalid(field, "it must say how many parties (at least 1), or name them");
    return quorum;
  }
  const auto named = static_cast<std::uint32_t>(quorum.roster.size());
  if (quorum.parties != 0 && quorum.parties != named) {
    return invalid(field,
                   fmt::format("it asks for {} parties and names {}; give one of the two", quorum.parties, named));
  }
  quorum.parties = named;
  return quorum;
}

// All empty: the caller has no database.
std::optional<round::Binding> binding_of(const v1::Binding& message) {
  if (message.minted_id().empty() && message.system_id().empty() && message.database().empty()) return std::nullopt;
  round::Binding binding{
      .minted_id = message.minted_id(), .system_id = message.system_id(), .database = message.database()};
  if (!message.application().empty()) binding.application = message.application();
  return binding;
}

Result<round::TargetOutcome> target_outcome_of(const v1::TargetOutcome& message, const std::string& field) {
  round::TargetOutcome outcome;
  outcome.round = RoundId(message.round_id());
  outcome.token = Token(message.token());
  switch (message.state()) {
    case v1::ROUND_STATE_SUCCEEDED:
      outcome.state = round::State::kSucceeded;
      break;
    case v1::ROUND_STATE_FAILED:
      outcome.state = round::State::kFailed;
      break;
    default:
      return unknown_enum(field + ".state", message.state(), "ROUND_STATE_SUCCEEDED, ROUND_STATE_FAILED");
  }
  return outcome;
}

Result<round::Snapshot> snapshot_of(const v1::Snapshot& message) {
  round::Snapshot snapshot;
  snapshot.token = Token(message.token());
  snapshot.last_step = message.last_step();
  if (message.has_last_outcome()) {
    auto outcome = target_outcome_of(message.last_outcome(), "snapshot.last_outcome");
    if (!outcome) return unexpected(std::move(outcome.error()));
    snapshot.last_outcome = *std::move(outcome);
  }
  auto recent = steps_of(message.recent(), "snapshot.recent");
  if (!recent) return unexpected(std::move(recent.error()));
  snapshot.recent = *std::move(recent);
  return snapshot;
}

Result<round::Memory> memory_of(const std::string& target, const v1::Memory& message) {
  round::Memory memory;
  memory.epoch = message.epoch();
  memory.revision = Revision(message.revision());
  memory.token = Token(message.token());
  if (!message.has_round()) return memory;
  const v1::RememberedRound& was = message.round();
  round::RememberedRound& round = memory.round.emplace();
  round.id = RoundId(was.id());
  auto plan = plan_of(target, was.plan());
  if (!plan) return unexpected(std::move(plan.error()));
  round.plan = *std::move(plan);
  auto quorum = quorum_of(was.quorum(), "memory.round.quorum");
  if (!quorum) return unexpected(std::move(quorum.error()));
  round.quorum = *std::move(quorum);
  if (was.state() <= v1::ROUND_STATE_UNSPECIFIED || was.state() > v1::ROUND_STATE_SUPERSEDED) {
    return unknown_enum("memory.round.state", was.state(), "the states of a round");
  }
  round.state = static_cast<round::State>(was.state() - v1::ROUND_STATE_GATHERING);
  round.applier = IncarnationId(was.applier());
  round.applier_party = PartyName(was.applier_party());
  round.token = Token(was.token());
  round.fenced = was.fenced();
  return memory;
}
static_assert(v1::ROUND_STATE_SUPERSEDED - v1::ROUND_STATE_GATHERING == static_cast<int>(round::State::kSuperseded));
static_assert(v1::ROUND_STATE_APPLYING - v1::ROUND_STATE_GATHERING == static_cast<int>(round::State::kApplying));

Result<round::Finding> finding_of(const v1::Finding& message) {
  using Kind = round::Finding::Kind;
  round::Finding finding;
  switch (message.kind()) {
    case v1::Finding::KIND_WHOLE:
      finding.kind = Kind::kWhole;
      break;
    case v1::Finding::KIND_NOTHING:
      finding.kind = Kind::kNothing;
      break;
    case v1::Finding::KIND_SUFFIX:
      finding.kind = Kind::kSuffix;
      break;
    case v1::Finding::KIND_OUTCOME:
      finding.kind = Kind::kOutcome;
      if (!message.has_outcome()) return missing("finding.outcome", "KIND_OUTCOME says what stands in the target");
      break;
    case v1::Finding::KIND_BEGUN:
      finding.kind = Kind::kBegun;
      break;
    case v1::Finding::KIND_OTHER:
      finding.kind = Kind::kOther;
      break;
    case v1::Finding::KIND_UNKNOWN:
      finding.kind = Kind::kUnknown;
      break;
    default:
      return unknown_enum("finding.kind", message.kind(),
                          "KIND_WHOLE, KIND_NOTHING, KIND_SUFFIX, KIND_OUTCOME, KIND_BEGUN, KIND_OTHER, KIND_UNKNOWN");
  }
  finding.from_step = message.from_step();
  finding.step = StepId(message.step_id());
  if (message.has_outcome()) {
    auto outcome = target_outcome_of(message.outcome(), "finding.outcome");
    if (!outcome) return unexpected(std::move(outcome.error()));
    finding.outcome = *std::move(outcome);
  }
  if (std::cmp_greater(message.committed_size(), kPlanStepsMax)) {
    return invalid("finding.committed",
                   fmt::format("{} steps; at most {} are taken", message.committed_size(), kPlanStepsMax));
  }
  for (const std::string& step : message.committed()) finding.committed.emplace_back(step);
  finding.sessions_gone = message.sessions_gone();
  finding.begun_by = RoundId(message.begun_by());
  return finding;
}

}  // namespace

// Reads `expression` into `name`, or returns its error: the same three lines for every field that can be refused.
#define SYZYGY_READ(name, expression)                           \
  auto name##_result = (expression);                            \
  if (!name##_result) return unexpected(name##_result.error()); \
  auto& name = *name##_result  // NOLINT(bugprone-macro-parentheses): g++ wants none around what is declared

Result<Duration> to_duration(const google::protobuf::Duration& duration, const std::string& field) {
  constexpr std::int64_t kSecondsMax = 315'576'000'000;  // 10,000 years: Protobuf's own limit
  if (duration.seconds() < 0 || duration.nanos() < 0) {
    return failure(ErrorCode::kInvalidArgument, "DURATION_INVALID",
                   fmt::format("{} is negative; give a duration of 0 or more.", field), {{"field", field}});
  }
  if (duration.seconds() > kSecondsMax || duration.nanos() > 999'999'999) {
    return failure(ErrorCode::kInvalidArgument, "DURATION_INVALID",
                   fmt::format("{} is not a duration: at most {} s and 999999999 ns.", field, kSecondsMax),
                   {{"field", field}});
  }
  return Duration{duration.seconds() * 1'000 + (duration.nanos() + 999'999) / 1'000'000};
}

Result<TargetCommand> to_command(const v1::JoinRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  SYZYGY_READ(timeout, to_duration(request.timeout(), "timeout"));
  SYZYGY_READ(lease, to_duration(request.lease(), "lease"));
  round::Join join;
  join.request = std::move(id);
  join.party = PartyName(request.party());
  if (request.has_plan()) {
    SYZYGY_READ(plan, plan_of(request.target(), request.plan()));
    join.plan = std::move(plan);
  }
  if (request.has_quorum()) {
    SYZYGY_READ(quorum, quorum_of(request.quorum(), "quorum"));
    join.quorum = std::move(quorum);
  }
  join.timeout = timeout;
  join.lease = lease;
  join.may_apply = !request.voter_only();
  join.fail_on_divergence = request.fail_on_divergence();
  join.again = request.again();
  join.checked = request.checked();
  join.binding = binding_of(request.binding());
  if (request.has_snapshot()) {
    SYZYGY_READ(snapshot, snapshot_of(request.snapshot()));
    join.snapshot = std::move(snapshot);
  }
  join.host = request.host();
  join.client_version = request.client_version();
  join.release = ReleaseName(request.release());
  if (request.has_memory()) {
    SYZYGY_READ(memory, memory_of(request.target(), request.memory()));
    join.memory = std::move(memory);
  }
  return TargetCommand{request.target(), std::move(join)};
}

Result<TargetCommand> to_command(const v1::RenewRequest& request) {
  round::Renew renew{IncarnationId(request.incarnation()), Token(request.token())};
  if (request.has_memory()) {
    SYZYGY_READ(memory, memory_of(request.target(), request.memory()));
    renew.memory = std::move(memory);
  }
  return TargetCommand{request.target(), std::move(renew)};
}

Result<TargetCommand> to_command(const v1::ConfirmRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  round::Confirm confirm;
  confirm.request = std::move(id);
  confirm.round = RoundId(request.round_id());
  confirm.token = Token(request.token());
  switch (request.claim()) {
    case v1::ConfirmRequest::CLAIM_COMPLETE:
      confirm.claim = round::Claim::kComplete;
      if (!request.has_finding()) return missing("finding", "a complete claim says what it found in the target");
      break;
    case v1::ConfirmRequest::CLAIM_REFUSED:
      confirm.claim = round::Claim::kRefused;
      break;
    case v1::ConfirmRequest::CLAIM_DECLINED:
      confirm.claim = round::Claim::kDeclined;
      break;
    default:
      return unknown_enum("claim", request.claim(), "CLAIM_COMPLETE, CLAIM_REFUSED, CLAIM_DECLINED");
  }
  confirm.fenced = request.fenced();
  if (request.has_finding()) {
    SYZYGY_READ(finding, finding_of(request.finding()));
    confirm.finding = std::move(finding);
  }
  confirm.row_token = Token(request.row_token());
  confirm.reason = request.reason();
  return TargetCommand{request.target(), std::move(confirm)};
}

Result<TargetCommand> to_command(const v1::ProgressRequest& request) {
  if (!request.has_progress()) return missing("progress", "it says which step the applier is at");
  return TargetCommand{request.target(), round::Progressed{.round = RoundId(request.round_id()),
                                                           .incarnation = IncarnationId(request.incarnation()),
                                                           .token = Token(request.token()),
                                                           .step_index = request.progress().step_index(),
                                                           .step = StepId(request.progress().step_id()),
                                                           .note = request.progress().note()}};
}

Result<TargetCommand> to_command(const v1::ReportRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  round::Report report;
  report.request = std::move(id);
  report.round = RoundId(request.round_id());
  report.token = Token(request.token());
  switch (request.result()) {
    case v1::ReportRequest::RESULT_SUCCEEDED:
      report.result = round::RunResult::kSucceeded;
      break;
    case v1::ReportRequest::RESULT_FAILED:
      report.result = round::RunResult::kFailed;
      break;
    case v1::ReportRequest::RESULT_INDETERMINATE:
      report.result = round::RunResult::kIndeterminate;
      break;
    case v1::ReportRequest::RESULT_CHANGED:
      report.result = round::RunResult::kChanged;
      break;
    case v1::ReportRequest::RESULT_FENCED_OUT:
      report.result = round::RunResult::kFencedOut;
      break;
    default:
      return unknown_enum("result", request.result(),
                          "RESULT_SUCCEEDED, RESULT_FAILED, RESULT_INDETERMINATE, RESULT_CHANGED, RESULT_FENCED_OUT");
  }
  report.message = request.message();
  report.failed_step = StepId(request.failed_step());
  report.exit_code = request.exit_code();
  report.steps_done = request.steps_done();
  report.in_target = request.in_target();
  report.session_ended = request.session_ended();
  report.row_token = Token(request.row_token());
  if (request.has_memory()) {
    SYZYGY_READ(memory, memory_of(request.target(), request.memory()));
    report.memory = std::move(memory);
  }
  return TargetCommand{request.target(), std::move(report)};
}

Result<TargetCommand> to_command(const v1::LeaveRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  round::Leave leave;
  leave.request = std::move(id);
  leave.reason = request.reason();
  leave.token = Token(request.token());
  leave.session_ended = request.session_ended();
  if (request.has_finding()) {
    SYZYGY_READ(finding, finding_of(request.finding()));
    leave.finding = std::move(finding);
  }
  leave.acknowledge = Revision(request.acknowledge());
  leave.party = PartyName(request.party());
  return TargetCommand{request.target(), std::move(leave)};
}

Result<TargetCommand> to_command(const v1::SeverRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  return TargetCommand{request.target(), round::SeverRound{.request = std::move(id),
                                                           .round = RoundId(request.round_id()),
                                                           .actor = request.actor(),
                                                           .reason = request.reason()}};
}

Result<TargetCommand> to_command(const v1::ResolveRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  switch (request.phase()) {
    case v1::ResolveRequest::PHASE_BEGIN:
      return TargetCommand{request.target(), round::ResolveBegin{.request = std::move(id),
                                                                 .round = RoundId(request.round_id()),
                                                                 .seen = Revision(request.revision()),
                                                                 .actor = request.actor(),
                                                                 .reason = request.reason()}};
    case v1::ResolveRequest::PHASE_FINISH:
      break;
    default:
      return unknown_enum("phase", request.phase(), "PHASE_BEGIN, PHASE_FINISH");
  }
  round::ResolveFinish finish;
  finish.request = std::move(id);
  finish.round = RoundId(request.round_id());
  finish.token = Token(request.token());
  finish.attest_stopped = request.attest_stopped();
  finish.attest_database_gone = request.attest_database_gone();
  finish.claimed = request.claimed();
  finish.actor = request.actor();
  finish.reason = request.reason();
  if (request.has_found()) {
    SYZYGY_READ(found, target_outcome_of(request.found(), "found"));
    finish.found = std::move(found);
  }
  switch (request.verdict()) {
    case v1::ROUND_STATE_SUCCEEDED:
      finish.verdict = round::State::kSucceeded;
      break;
    case v1::ROUND_STATE_FAILED:
      finish.verdict = round::State::kFailed;
      break;
    case v1::ROUND_STATE_UNSPECIFIED:
      // The target's own outcome decides, where there is one; the operator's word only where there is none.
      if (!finish.found) {
        return missing("verdict",
                       "where the target has no outcome of its own, the operator says which it was, "
                       "ROUND_STATE_SUCCEEDED or ROUND_STATE_FAILED");
      }
      finish.verdict = finish.found->state;
      break;
    default:
      return unknown_enum("verdict", request.verdict(), "ROUND_STATE_SUCCEEDED, ROUND_STATE_FAILED");
  }
  return TargetCommand{request.target(), std::move(finish)};
}

Result<TargetCommand> to_command(const v1::SetTargetRequest& request) {
  SYZYGY_READ(id, request_id(request.has_request(), request.request()));
  SYZYGY_READ(excuse_for, to_duration(request.excuse_for(), "excuse_for"));
  round::SetTarget set;
  set.request = std::move(id);
  set.actor = request.actor();
  set.reason = request.reason();
  if (request.has_pin()) {
    set.change_pin = true;
    if (request.pin().has_quorum()) {
      SYZYGY_READ(quorum, quorum_of(request.pin().quorum(), "pin.quorum"));
      set.pin = std::move(quorum);
    }
  }
  if (request.has_excuse()) {
    set.excuse = PartyName(request.excuse().party());
    set.excuse_for = excuse_for;
    if (set.reason.empty()) set.reason = request.excuse().reason();
  } else if (request.has_excuse_for()) {
    return missing("excuse.party", "excuse_for says for how long, excuse.party says whom");
  }
  if (request.has_rebind()) {
    set.rebind = binding_of(request.rebind());
    if (!set.rebind) return missing("rebind", "it says which database the target is from now on");
  }
  if (!set.change_pin && !set.excuse && !set.rebind) {
    return missing("pin", "nothing is asked for; give pin, excuse or rebind");
  }
  return TargetCommand{request.target(), std::move(set)};
}

Result<BarrierCommand> to_command(const v1::EnterRequest& request) {
  SYZYGY_READ(lease, to_duration(request.lease(), "lease"));
  SYZYGY_READ(wait, to_duration(request.wait(), "wait"));
  return BarrierCommand{request.namespace_(),
                        barrier::Enter{.quorum = request.quorum(),
                                       .party = PartyName(request.party()),
                                       .incarnation = IncarnationId(request.incarnation()),
                                       .lease = lease},
                        wait};
}

Result<BarrierCommand> to_command(const v1::AwaitRequest& request) {
  SYZYGY_READ(wait, to_duration(request.wait(), "wait"));
  return BarrierCommand{request.namespace_(),
                        barrier::Await{.generation = Generation(request.generation()),
                                       .incarnation = IncarnationId(request.incarnation())},
                        wait};
}

Result<BarrierCommand> to_command(const v1::SeverBarrierRequest& request) {
  return BarrierCommand{request.namespace_(),
                        barrier::Sever{.quorum = request.quorum(),
                                       .party = PartyName(request.party()),
                                       .incarnation = IncarnationId(request.incarnation()),
                                       .reason = request.reason()},
                        Duration{0}};
}

std::size_t page_size(std::uint32_t asked) {
  return asked == 0 ? api::kPageSize : std::min<std::size_t>(asked, api::kPageSizeMax);
}

}  // namespace syzygy::wire
