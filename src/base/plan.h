// plan.h - what one invocation would apply now, and its hash: values that clients, daemon and tests must agree on to
// the byte.
//
// The hash is SHA-256 over a versioned canonical encoding (plan.cpp, golden vectors in tests/base). The daemon computes
// it again from the plan that a join carries. Everything here is plain data; nothing validates beyond what check_plan()
// says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace syzygy {

enum class Direction : std::uint8_t { kUp = 0, kDown = 1 };
enum class Stage : std::uint8_t { kPreDeploy = 0, kPostDeploy = 1 };
enum class PlanStage : std::uint8_t { kPreDeploy = 0, kPostDeploy = 1, kAll = 2 };

// What becomes of an opaque plan whose applier was lost (protocol: "Applier lost"). Part of the plan hash.
enum class OnApplierLost : std::uint8_t { kStop = 0, kRetry = 1 };

// One migration in one direction. `content` is the hexadecimal SHA-256 over that direction's text without BOM and CR.
// `atomic`: its text runs inside one transaction, and the parser found no transaction control in it.
struct Step {
  StepId id;
  Direction direction = Direction::kUp;
  Stage stage = Stage::kPreDeploy;
  std::string content;
  bool atomic = true;

  friend bool operator==(const Step&, const Step&) = default;
};

// The ordered pending steps. An opaque plan has one step, whose content and pending state cannot be checked; its id and
// content are what the caller gave as --plan-hash, and it is never atomic.
struct Plan {
  TargetName target;
  PlanStage stage = PlanStage::kAll;
  bool opaque = false;
  OnApplierLost on_applier_lost = OnApplierLost::kStop;
  std::vector<Step> steps;

  friend bool operator==(const Plan&, const Plan&) = default;
};

inline constexpr std::size_t kPlanStepsMax = 10'000;

std::string canonical(const Plan& plan);
PlanHash plan_hash(const Plan& plan);

// The opaque plan for `exec --plan-hash`: `given` is any non-empty text up to 200 bytes that names what would be run.
Plan opaque_plan(TargetName target, PlanStage stage, std::string given, OnApplierLost on_applier_lost);

// Where `tail` begins in `whole` if its steps are a proper suffix (same target, stage, policy, kind; shorter; not
// empty).
std::optional<std::size_t> proper_suffix_at(const Plan& whole, const Plan& tail);

bool shares_a_step(const Plan& a, const Plan& b);

// Refuses a plan without steps, with more than kPlanStepsMax, with a step twice (same id and direction), with an empty
// or overlong step id, with content that is not a hexadecimal SHA-256 (non-opaque), or an opaque one that has not
// exactly one, non-atomic step. Errors: kInvalidArgument, reason PLAN_INVALID.
Result<void> check_plan(const Plan& plan);

std::string_view to_string(Direction direction);  // "up", "down"
std::string_view to_string(Stage stage);          // "pre_deploy", "post_deploy"
std::string_view to_string(PlanStage stage);      // "pre_deploy", "post_deploy", "all"

}  // namespace syzygy
