#include "base/plan.h"

#include <gtest/gtest.h>

#include "base/sha256.h"

namespace syzygy {
namespace {

Step step(const std::string& id, Stage stage = Stage::kPreDeploy) {
  Step s;
  s.id = StepId{id};
  s.stage = stage;
  s.content = sha256_hex(id);
  return s;
}

Plan plan(std::vector<Step> steps) {
  Plan p;
  p.target = TargetName{"orders"};
  p.stage = PlanStage::kPreDeploy;
  p.steps = std::move(steps);
  return p;
}

TEST(Sha256, MatchesTheStandardsExamples) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

// Golden: computed once with an independent encoder (tests/base/plan_vectors.py prints them). A change here is a change
// of protocol.
TEST(PlanHash, GoldenVectors) {
  EXPECT_EQ(plan_hash(plan({step("0001_init"), step("0002_email")})).value,
            "1918960c91fc40bc8ee810cb07d25e6bb8c8fbc76c009b1392c578b0c36543ae");
  EXPECT_EQ(plan_hash(opaque_plan(TargetName{"orders"}, PlanStage::kAll, "build-77", OnApplierLost::kRetry)).value,
            "306b13a3d8133bf79f033e8d66c05cd0ef790c6e48fe3477c09f7644e0331134");
}

TEST(PlanHash, EveryFieldCounts) {
  const Plan base = plan({step("a"), step("b")});
  std::vector<Plan> others(8, base);
  others[0].target = TargetName{"other"};
  others[1].stage = PlanStage::kAll;
  others[2].on_applier_lost = OnApplierLost::kRetry;
  others[3].steps[0].id = StepId{"c"};
  others[4].steps[0].direction = Direction::kDown;
  others[5].steps[0].stage = Stage::kPostDeploy;
  others[6].steps[0].atomic = false;
  std::swap(others[7].steps[0], others[7].steps[1]);
  for (const Plan& other : others) EXPECT_NE(plan_hash(base), plan_hash(other));
}

TEST(Plan, AProperSuffixIsShorterAndTheSameOtherwise) {
  const Plan whole = plan({step("a"), step("b"), step("c")});
  EXPECT_EQ(proper_suffix_at(whole, plan({step("b"), step("c")})), 1u);
  EXPECT_EQ(proper_suffix_at(whole, plan({step("c")})), 2u);
  EXPECT_EQ(proper_suffix_at(whole, whole), std::nullopt);
  EXPECT_EQ(proper_suffix_at(whole, plan({step("a"), step("b")})), std::nullopt);
  Plan other_stage = plan({step("c")});
  other_stage.stage = PlanStage::kAll;
  EXPECT_EQ(proper_suffix_at(whole, other_stage), std::nullopt);
}

TEST(Plan, BadPlansAreRefusedWithTheStepsName) {
  EXPECT_FALSE(check_plan(plan({})));
  EXPECT_FALSE(check_plan(plan({step("a"), step("a")})));
  EXPECT_FALSE(check_plan(plan({step("a\n")})));
  EXPECT_FALSE(check_plan(plan({step("a", Stage::kPostDeploy)})));
  Plan bad_content = plan({step("a")});
  bad_content.steps[0].content = "ABC";
  EXPECT_FALSE(check_plan(bad_content));
  Plan two_opaque = opaque_plan(TargetName{"orders"}, PlanStage::kAll, "x", OnApplierLost::kStop);
  EXPECT_TRUE(check_plan(two_opaque));
  two_opaque.steps.push_back(two_opaque.steps[0]);
  EXPECT_FALSE(check_plan(two_opaque));
  EXPECT_TRUE(check_plan(plan({step("a"), step("b")})));
}

}  // namespace
}  // namespace syzygy
