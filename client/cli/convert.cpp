#include "client/cli/convert.h"

namespace syzygy::cli {
namespace {

v1::Stage stage_to_proto(Stage stage) {
  return stage == Stage::kPreDeploy ? v1::STAGE_PRE_DEPLOY : v1::STAGE_POST_DEPLOY;
}

v1::TargetOutcome outcome_to_proto(const migration::OutcomeRow& row) {
  v1::TargetOutcome out;
  out.set_round_id(row.round.value);
  out.set_token(row.token.value);
  out.set_state(row.outcome == migration::Outcome::kSucceeded ? v1::ROUND_STATE_SUCCEEDED : v1::ROUND_STATE_FAILED);
  return out;
}

}  // namespace

v1::Plan to_proto(const Plan& plan) {
  v1::Plan out;
  out.set_stage(plan.stage == PlanStage::kPreDeploy    ? v1::STAGE_PRE_DEPLOY
                : plan.stage == PlanStage::kPostDeploy ? v1::STAGE_POST_DEPLOY
                                                       : v1::STAGE_ALL);
  out.set_opaque(plan.opaque);
  out.set_retry_when_applier_lost(plan.on_applier_lost == OnApplierLost::kRetry);
  for (const Step& step : plan.steps) {
    auto& to = *out.add_steps();
    to.set_id(step.id.value);
    to.set_direction(step.direction == Direction::kUp ? v1::DIRECTION_UP : v1::DIRECTION_DOWN);
    to.set_stage(stage_to_proto(step.stage));
    to.set_content(step.content);
    to.set_atomic(step.atomic);
  }
  return out;
}

Plan from_proto(const TargetName& target, const v1::Plan& plan) {
  Plan out;
  out.target = target;
  out.stage = plan.stage() == v1::STAGE_PRE_DEPLOY    ? PlanStage::kPreDeploy
              : plan.stage() == v1::STAGE_POST_DEPLOY ? PlanStage::kPostDeploy
                                                      : PlanStage::kAll;
  out.opaque = plan.opaque();
  out.on_applier_lost = plan.retry_when_applier_lost() ? OnApplierLost::kRetry : OnApplierLost::kStop;
  for (const auto& step : plan.steps()) {
    Step to;
    to.id = StepId{step.id()};
    to.direction = step.direction() == v1::DIRECTION_DOWN ? Direction::kDown : Direction::kUp;
    to.stage = step.stage() == v1::STAGE_PRE_DEPLOY ? Stage::kPreDeploy : Stage::kPostDeploy;
    to.content = step.content();
    to.atomic = step.atomic();
    out.steps.push_back(std::move(to));
  }
  return out;
}

std::optional<v1::Quorum> quorum_of(const Settings& settings) {
  if (!settings.quorum && settings.expect.empty()) return std::nullopt;
  v1::Quorum quorum;
  if (settings.quorum) quorum.set_parties(*settings.quorum);
  for (const auto& party : settings.expect) quorum.add_roster(party);
  return quorum;
}

v1::Binding binding_of(const migration::Identity& identity, const std::string& application) {
  v1::Binding binding;
  binding.set_minted_id(identity.id);
  binding.set_system_id(identity.system);
  binding.set_database(identity.database);
  binding.set_application(application);
  return binding;
}

v1::Snapshot snapshot_of(const migration::Snapshot& snapshot, const std::vector<Step>& recent,
                         const std::optional<StepId>& last_known) {
  v1::Snapshot out;
  out.set_token(snapshot.claim.token.value);
  if (snapshot.last_outcome) *out.mutable_last_outcome() = outcome_to_proto(*snapshot.last_outcome);
  for (const Step& was : recent) {
    auto& step = *out.add_recent();
    step.set_id(was.id.value);
    step.set_direction(was.direction == Direction::kUp ? v1::DIRECTION_UP : v1::DIRECTION_DOWN);
    step.set_stage(stage_to_proto(was.stage));
    step.set_content(was.content);
    step.set_atomic(true);
  }
  if (last_known) out.set_last_step(last_known->value);
  return out;
}

v1::Finding finding_of(const migration::Comparison& comparison, const RoundId& round,
                       const migration::Snapshot& snapshot) {
  v1::Finding finding;
  for (const auto& row : snapshot.applied) {
    if (row.round == round) finding.add_committed(row.step.id.value);
  }
  struct Visitor {
    v1::Finding& finding;
    const migration::Snapshot& snapshot;
    void operator()(const migration::OutcomeInTarget&) const {
      finding.set_kind(v1::Finding::KIND_OUTCOME);
      if (snapshot.outcome) *finding.mutable_outcome() = outcome_to_proto(*snapshot.outcome);
    }
    void operator()(const migration::NothingLeft&) const { finding.set_kind(v1::Finding::KIND_NOTHING); }
    void operator()(const migration::SuffixLeft& left) const {
      finding.set_kind(left.from == 0 ? v1::Finding::KIND_WHOLE : v1::Finding::KIND_SUFFIX);
      finding.set_from_step(static_cast<std::uint32_t>(left.from));
    }
    void operator()(const migration::BegunUnfinished& begun) const {
      finding.set_kind(v1::Finding::KIND_BEGUN);
      finding.set_step_id(begun.step.value);
      finding.set_begun_by(begun.by.value);
    }
    void operator()(const migration::CannotJudge&) const { finding.set_kind(v1::Finding::KIND_UNKNOWN); }
    void operator()(const migration::OtherLeft&) const { finding.set_kind(v1::Finding::KIND_OTHER); }
  };
  std::visit(Visitor{finding, snapshot}, comparison);
  return finding;
}

}  // namespace syzygy::cli
