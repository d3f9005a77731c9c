#include "base/plan.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/name.h"
#include "base/sha256.h"

namespace syzygy {

std::string canonical(const Plan& plan) {
  Writer out;
  out.string("syzygy.plan");
  out.number(1);  // version of this encoding: a change of anything below needs the next number and new golden vectors
  out.string(plan.target.value);
  out.number(static_cast<std::uint64_t>(plan.stage));
  out.boolean(plan.opaque);
  out.number(static_cast<std::uint64_t>(plan.on_applier_lost));
  out.number(plan.steps.size());
  for (const Step& step : plan.steps) {
    out.string(step.id.value);
    out.number(static_cast<std::uint64_t>(step.direction));
    out.number(static_cast<std::uint64_t>(step.stage));
    out.string(step.content);
    out.boolean(step.atomic);
  }
  return std::move(out).bytes();
}

PlanHash plan_hash(const Plan& plan) { return PlanHash{sha256_hex(canonical(plan))}; }

Plan opaque_plan(TargetName target, PlanStage stage, std::string given, OnApplierLost on_applier_lost) {
  Step step;
  step.id = StepId{given};
  step.stage = stage == PlanStage::kPreDeploy ? Stage::kPreDeploy : Stage::kPostDeploy;
  step.content = std::move(given);
  step.atomic = false;
  Plan plan;
  plan.target = std::move(target);
  plan.stage = stage;
  plan.opaque = true;
  plan.on_applier_lost = on_applier_lost;
  plan.steps.push_back(std::move(step));
  return plan;
}

std::optional<std::size_t> proper_suffix_at(const Plan& whole, const Plan& tail) {
  if (whole.target != tail.target || whole.stage != tail.stage || whole.on_applier_lost != tail.on_applier_lost ||
      whole.opaque || tail.opaque || tail.steps.empty() || tail.steps.size() >= whole.steps.size()) {
    return std::nullopt;
  }
  const std::size_t at = whole.steps.size() - tail.steps.size();
  if (!std::equal(tail.steps.begin(), tail.steps.end(), whole.steps.begin() + static_cast<std::ptrdiff_t>(at))) {
    return std::nullopt;
  }
  return at;
}

bool shares_a_step(const Plan& a, const Plan& b) {
  return std::ranges::any_of(a.steps,
                             [&](const Step& step) { return std::ranges::find(b.steps, step) != b.steps.end(); });
}

Result<void> check_plan(const Plan& plan) {
  const auto refuse = [](std::string why) {
    return failure(ErrorCode::kInvalidArgument, "PLAN_INVALID", std::move(why));
  };
  if (plan.steps.empty()) return refuse("the plan has no steps; a caller with nothing pending sends no plan");
  if (plan.steps.size() > kPlanStepsMax) {
    return refuse("the plan has " + std::to_string(plan.steps.size()) + " steps; the limit is " +
                  std::to_string(kPlanStepsMax) + ", apply it in parts with --to");
  }
  if (plan.opaque && (plan.steps.size() != 1 || plan.steps.front().atomic)) {
    return refuse("an opaque plan has exactly one step, which is not atomic");
  }
  std::set<std::pair<StepId, Direction>> seen;
  for (const Step& step : plan.steps) {
    if (auto named = check_name("step", step.id.value); !named) return std::unexpected(named.error());
    if (!seen.emplace(step.id, step.direction).second) {
      return refuse("the plan names the step " + printable(step.id.value) + " twice");
    }
    const bool hex =
        step.content.size() == 64 && step.content.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!plan.opaque && !hex) {
      return refuse("the content of step " + printable(step.id.value) +
                    " is not a SHA-256 in 64 lower-case hexadecimal digits");
    }
    if (plan.opaque && (step.content.empty() || step.content.size() > kNameBytesMax || !is_utf8(step.content))) {
      return refuse("the plan hash of an opaque plan is 1 to 200 bytes of UTF-8");
    }
    if ((plan.stage == PlanStage::kPreDeploy && step.stage != Stage::kPreDeploy) ||
        (plan.stage == PlanStage::kPostDeploy && step.stage != Stage::kPostDeploy)) {
      return refuse("step " + printable(step.id.value) + " is " + std::string(to_string(step.stage)) +
                    " in a plan of stage " + std::string(to_string(plan.stage)));
    }
  }
  return {};
}

std::string_view to_string(Direction direction) { return direction == Direction::kUp ? "up" : "down"; }
std::string_view to_string(Stage stage) { return stage == Stage::kPreDeploy ? "pre_deploy" : "post_deploy"; }
std::string_view to_string(PlanStage stage) {
  switch (stage) {
    case PlanStage::kPreDeploy:
      return "pre_deploy";
    case PlanStage::kPostDeploy:
      return "post_deploy";
    case PlanStage::kAll:
      return "all";
  }
  return "all";
}

}  // namespace syzygy
