// kill_test.cpp - an applier is killed before and after each of its commits; its successor finds out what stands.
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>

#include "migration/target/compare.h"
#include "tests/migration/target/suite.h"

#ifndef SYZYGY_KILL_POINTS
#error "these tests need SYZYGY_KILL_POINTS"
#endif

namespace syzygy::migration {
namespace {

class Killed : public testing::TestWithParam<Kind> {
 protected:
  std::string value(const std::string& sql) const { return GetParam().value(url_, sql); }
  [[nodiscard]] PlannedStep planned(bool atomic) const {
    return step(GetParam().dialect, "0001", "create table a (id int)", {.atomic = atomic});
  }
  // Runs kill_client until it dies at that point.
  void kill_at(const std::string& point, const std::string& action) const {
    Forked client([&] {
      ::setenv("SYZYGY_KILL_AT", point.c_str(), 1);
      ::execl(KILL_CLIENT, "kill_client", url_.c_str(), action.c_str(), nullptr);
      ::_exit(127);
    });
    EXPECT_EQ(client.wait(), -1) << "it was never at " << point;
  }
  // What the successor finds, and then what comes of going on.
  [[nodiscard]] std::string found(Target& successor, bool atomic) const {
    const RunInfo run = run_info(2, "successor");
    auto result = successor.claim(claim_request(run), {}, {});
    auto* claim = std::get_if<Claimed>(&result);
    if (claim == nullptr) return text(result);
    const PlannedStep one = planned(atomic);
    const Plan plan{TargetName{"t"}, PlanStage::kAll, false, OnApplierLost::kStop, {one.step}};
    const Comparison comparison = compare(plan, run.round, claim->snapshot, claim->previous);
    const std::string before = "token " + std::to_string(claim->previous.token.value) + ", ";
    if (std::holds_alternative<OutcomeInTarget>(comparison)) return before + "succeeded";
    if (std::holds_alternative<BegunUnfinished>(comparison)) return before + "begun";
    if (std::holds_alternative<OtherLeft>(comparison)) return before + "failed";
    if (!std::holds_alternative<SuffixLeft>(comparison)) return before + "something else";
    return before + "left, " + text(apply(successor, run, one, true));
  }
  [[nodiscard]] int tables() const {
    return std::stoi(value(GetParam().dialect == Dialect::kPostgres
                               ? "select count(*) from pg_tables where schemaname = 'public' and tablename = 'a'"
                               : "select count(*) from sqlite_master where name = 'a'"));
  }

  std::string url_ = GetParam().url();
};

INSTANTIATE_TEST_SUITE_P(Each, Killed, testing::ValuesIn(kinds()), [](const auto& one) { return one.param.name; });

struct Moment {
  std::string point;
  std::string action;
  std::string found;
  int tables;  // after the successor has gone on, where it may
};

TEST_P(Killed, InAStepTheSuccessorFindsTheTruth) {
  const std::vector<Moment> moments = {
      {"target_claim_before_commit", "atomic", "token 0, left, applied, outcome written", 1},
      {"target_claim_after_commit", "atomic", "token 1, left, applied, outcome written", 1},
      {"target_step_before_commit", "atomic", "token 1, left, applied, outcome written", 1},
      {"target_step_after_commit", "atomic", "token 1, succeeded", 1},
      {"target_begun_before_commit", "outside", "token 1, left, applied, outcome written", 1},
      {"target_begun_after_commit", "outside", "token 1, begun", 0},
      {"target_outside_statements_done", "outside", "token 1, begun", 1},
      {"target_history_before_commit", "outside", "token 1, begun", 1},
      {"target_history_after_commit", "outside", "token 1, succeeded", 1},
      {"target_mark_before_commit", "fail", "token 1, begun", 1},
      {"target_mark_after_commit", "fail", "token 1, failed", 1},
  };
  for (const Moment& moment : moments) {
    SCOPED_TRACE(moment.point);
    url_ = GetParam().url();
    kill_at(moment.point, moment.action);
    auto successor = prepared(url_);
    EXPECT_EQ(found(*successor, moment.action == "atomic"), moment.found);
    EXPECT_EQ(tables(), moment.tables);
  }
}

TEST_P(Killed, WhatIsDoneByHandIsDoneWhollyOrNotAtAll) {
  for (const bool after : {false, true}) {
    const std::string at = after ? "_after_commit" : "_before_commit";
    const std::size_t entries = after ? 1 : 0;
    SCOPED_TRACE(at);

    url_ = GetParam().url();
    kill_at("target_adopt" + at, "adopt");
    auto target = opened(url_);
    EXPECT_EQ(target->snapshot()->applied.size(), entries);
    EXPECT_EQ(target->snapshot()->adopted, after);
    EXPECT_EQ(target->audit()->size(), entries);

    if (!after) {
      ASSERT_TRUE(target->adopt({{StepId{"0001"}, "old"}}, StepId{"1"}, "anna"));
    }
    kill_at("target_accept" + at, "accept");
    EXPECT_EQ(target->snapshot()->applied[0].step.content, after ? "new" : "old");
    EXPECT_EQ(target->audit()->size(), entries + 1);

    url_ = GetParam().url();
    kill_at("target_break_glass" + at, "break-glass");
    target = opened(url_);
    EXPECT_EQ(target->snapshot()->claim.token.value, after ? kBreakGlassLeap : 0u);
    EXPECT_EQ(target->audit()->size(), entries);
    // Its lock died with it.
    EXPECT_EQ(text(target->claim(claim_request(run_info(kBreakGlassLeap + 1)), {}, {})), "claimed");

    url_ = GetParam().url();
    kill_at("target_begun_after_commit", "outside");
    kill_at("target_settle" + at, "settle");
    target = opened(url_);
    EXPECT_EQ(target->snapshot()->begun.at(0).ended.empty(), !after);
    EXPECT_EQ(target->audit()->size(), entries);

    url_ = GetParam().url();
    kill_at("target_ended" + at, "ended");
    target = opened(url_);
    EXPECT_EQ(target->snapshot()->claim.ended, after);
  }
}

// Its round is gone, too: the daemon's store was lost, or there is no daemon.
TEST_P(Killed, WhatALostRoundLeftHalfWayIsNotBegunAgainBeforeAnOperatorHasLooked) {
  kill_at("target_outside_statements_done", "outside");
  auto target = prepared(url_);
  const RunInfo lost = run_info(1, "killed");
  const RunInfo next = run_info(2, "b", "round-2");
  const PlannedStep same = planned(false);
  const Plan plan{TargetName{"t"}, PlanStage::kAll, false, OnApplierLost::kStop, {same.step}};
  const Claimed claim = claimed(*target, next);
  EXPECT_EQ(compare(plan, next.round, claim.snapshot, claim.previous),
            (Comparison{BegunUnfinished{StepId{"0001"}, lost.round}}));
  const std::string refused = text(apply(*target, next, same));
  EXPECT_TRUE(refused.starts_with("changed: step 0001 runs outside a transaction; round round-1 began it")) << refused;
  EXPECT_EQ(text(apply(*target, next, planned(true))), refused) << "the file has become atomic since";
  const auto findings = target->diagnose();
  EXPECT_TRUE(std::ranges::any_of(findings, [](const Finding& one) { return one.name == "unfinished step"; }));

  // Only under the newest claim, only what was asked for, only once.
  const auto late = target->settle_begun(lost, {same.step.id}, "looked");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().reason, "CLAIM_LOST");
  EXPECT_TRUE(target->settle_begun(next, {StepId{"0002"}}, "looked")->empty());
  const auto settled = target->settle_begun(next, {StepId{"1"}}, "looked");
  ASSERT_TRUE(settled) << settled.error().message;
  ASSERT_EQ(settled->size(), 1u);
  EXPECT_EQ(settled->at(0).round, lost.round);
  EXPECT_TRUE(target->settle_begun(next, {same.step.id}, "again")->empty());
  ASSERT_EQ(target->audit()->size(), 1u);
  EXPECT_EQ(target->audit()->at(0).what, "settle");
  EXPECT_EQ(target->audit()->at(0).reason, "looked");
  EXPECT_EQ(compare(plan, next.round, *target->snapshot(), {}), Comparison{SuffixLeft{0}});
  value("drop table a");
  EXPECT_EQ(text(apply(*target, next, same)), "applied");
  EXPECT_TRUE(target->snapshot()->begun.empty());
}

TEST_P(Killed, AStepOfTheClaimedRoundIsSettledWithItWhateverThePlanSaysNow) {
  kill_at("target_begun_after_commit", "outside");
  auto target = prepared(url_);
  const RunInfo by = run_info(2, "operator");
  claimed(*target, by);
  EXPECT_EQ(target->settle_begun(by, {}, "looked")->size(), 1u);
  EXPECT_TRUE(target->snapshot()->begun.at(0).ended.contains("looked"));
}

TEST_P(Killed, ARepairNeedsNoDaemon) {
  kill_at("target_begun_after_commit", "outside");
  auto target = prepared(url_);
  EXPECT_EQ(target->repair(StepId{"0002"}, "ada", "looked").error().reason, "STEP_NOT_BEGUN");
  const auto repaired = target->repair(StepId{"1"}, "ada", "looked");
  ASSERT_TRUE(repaired) << repaired.error().message;
  EXPECT_EQ(repaired->round, RoundId{"round-1"});
  EXPECT_EQ(target->audit()->at(0).who, "ada");
  EXPECT_EQ(target->repair(StepId{"1"}, "ada", "looked").error().reason, "STEP_NOT_BEGUN");
  const RunInfo next = run_info(2, "b", "round-2");
  claimed(*target, next);
  EXPECT_EQ(text(apply(*target, next, planned(false))), "applied");
  EXPECT_EQ(tables(), 1);
}

// What stands in the history is no riddle any more.
TEST_P(Killed, AdoptingAStepEndsItsMark) {
  kill_at("target_outside_statements_done", "outside");
  auto target = prepared(url_);
  ASSERT_TRUE(target->adopt({{StepId{"0001"}, "text"}}, StepId{"0001"}, "ada"));
  EXPECT_EQ(ids(*target->snapshot()), std::vector<std::string>{"0001"});
  EXPECT_TRUE(target->snapshot()->begun.empty());

  url_ = GetParam().url();
  kill_at("target_outside_statements_done", "down");
  target = prepared(url_);
  EXPECT_EQ(ids(*target->snapshot()), std::vector<std::string>{"0001"});
  const auto reverted = target->adopt({{StepId{"0001"}, "text"}}, StepId{"0001"}, "ada");
  ASSERT_TRUE(reverted) << reverted.error().message;
  EXPECT_EQ(reverted->reverted, std::vector{StepId{"0001"}});
  EXPECT_TRUE(ids(*target->snapshot()).empty());
  EXPECT_TRUE(target->snapshot()->begun.empty());
}

}  // namespace
}  // namespace syzygy::migration
