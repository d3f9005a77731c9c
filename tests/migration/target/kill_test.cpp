// kill_test.cpp - an applier is killed before and after each of its commits; its successor finds out what stands.
#include <stdlib.h>
#include <unistd.h>

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
    kill_at("target_ended" + at, "ended");
    target = opened(url_);
    EXPECT_EQ(target->snapshot()->claim.ended, after);
  }
}

}  // namespace
}  // namespace syzygy::migration
