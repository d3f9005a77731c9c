// compare_test.cpp - the table "Applier lost" of the protocol, row by row.
#include "migration/target/compare.h"

#include <gtest/gtest.h>

#include <functional>

namespace syzygy::migration {
namespace {

const RoundId kRound{"this round"};
const RoundId kOther{"another round"};

Step a_step(const std::string& id, bool atomic = true, Direction direction = Direction::kUp) {
  return {StepId{id}, direction, Stage::kPreDeploy, "text of " + id, atomic};
}

Plan a_plan(std::vector<Step> steps) {
  return {TargetName{"orders"}, PlanStage::kAll, false, OnApplierLost::kStop, std::move(steps)};
}

Snapshot holding(const std::vector<std::string>& ids, const RoundId& round = kRound) {
  Snapshot snap;
  snap.prepared = true;
  for (const std::string& id : ids) {
    snap.applied.push_back({{StepId{id}, "text of " + id, Stage::kPreDeploy}, "", {}, {}, round, Token{1}});
  }
  return snap;
}

ClaimRow ran(bool fenced, bool ended, const RoundId& round = kRound) {
  return {Token{1}, IncarnationId{"a"}, round, fenced, ended};
}

std::string say(const Comparison& comparison) {
  struct Say {
    std::string operator()(const OutcomeInTarget& c) const {
      return c.outcome == Outcome::kSucceeded ? "outcome succeeded" : "outcome failed";
    }
    std::string operator()(const NothingLeft&) const { return "nothing left"; }
    std::string operator()(const SuffixLeft& c) const { return "left from " + std::to_string(c.from); }
    std::string operator()(const BegunUnfinished& c) const { return "begun " + c.step.value + " by " + c.by.value; }
    std::string operator()(const CannotJudge&) const { return "cannot judge"; }
    std::string operator()(const OtherLeft& c) const {
      std::string text = "other";
      for (const StepId& id : c.committed) text += " " + id.value;
      return text;
    }
  };
  return std::visit(Say{}, comparison);
}

struct Case {
  std::string name;
  std::string expected;
  Plan plan;
  Snapshot snapshot;
  ClaimRow last_run;
};

Snapshot changed(Snapshot snapshot, const std::function<void(Snapshot&)>& change) {
  change(snapshot);
  return snapshot;
}

Snapshot with_begun(Snapshot snapshot, const std::string& id, const RoundId& round, const std::string& ended = "") {
  snapshot.begun.push_back({StepId{id}, Direction::kUp, round, Token{1}, {}, ended});
  return snapshot;
}

std::vector<Case> cases() {
  const Plan three = a_plan({a_step("1"), a_step("2"), a_step("3")});
  const Plan outside = a_plan({a_step("1"), a_step("2", false), a_step("3")});
  const Plan down = a_plan({a_step("3", true, Direction::kDown), a_step("2", true, Direction::kDown)});
  Plan opaque = a_plan({a_step("deploy 7", false)});
  opaque.opaque = true;
  Plan retried = opaque;
  retried.on_applier_lost = OnApplierLost::kRetry;
  const ClaimRow nobody;
  const auto outcome = [](Outcome one) {
    return [one](Snapshot& snap) { snap.outcome = OutcomeRow{kRound, Token{1}, one}; };
  };
  return {
      {"the outcome wins", "outcome succeeded", three, changed(holding({"1"}), outcome(Outcome::kSucceeded)),
       ran(true, true)},
      {"a failed one too", "outcome failed", three, changed(holding({}), outcome(Outcome::kFailed)), ran(true, true)},
      {"also over a begun step", "outcome succeeded", outside,
       with_begun(changed(holding({"1"}), outcome(Outcome::kSucceeded)), "2", kRound), ran(true, true)},
      {"the last outcome of another round says nothing", "left from 0", three,
       changed(holding({}), [](Snapshot& s) { s.last_outcome = OutcomeRow{kOther, Token{9}, Outcome::kSucceeded}; }),
       nobody},

      {"nothing left", "nothing left", three, holding({"1", "2", "3"}), ran(true, true)},
      {"by whomever", "nothing left", three, holding({"1", "2", "3"}, kOther), nobody},
      {"under other spellings", "nothing left", a_plan({a_step("0001")}),
       changed(holding({"1"}), [](Snapshot& s) { s.applied[0].step.content = "text of 0001"; }), nobody},
      {"nothing left after an unfenced run", "nothing left", three, holding({"1", "2", "3"}), ran(false, false)},
      {"other steps stand besides", "nothing left", three, holding({"0", "1", "2", "3", "9"}), nobody},

      {"the whole plan is left", "left from 0", three, holding({}), nobody},
      {"the whole plan is left after a run", "left from 0", three, holding({}), ran(true, true)},
      {"a suffix is left", "left from 1", three, holding({"1"}), ran(true, true)},
      {"the last is left", "left from 2", three, holding({"1", "2"}), ran(true, true)},
      {"a suffix begins outside a transaction, not begun", "left from 1", outside, holding({"1"}), ran(true, true)},
      {"... or begun by another round, and known to have ended", "left from 1", outside,
       with_begun(holding({"1"}), "2", kOther, "settled by ada: looked"), ran(true, true)},
      {"begun by another round, which is lost", "begun 2 by " + kOther.value, outside,
       with_begun(holding({"1"}), "2", kOther), nobody},
      {"... also where the file has become atomic", "begun 2 by " + kOther.value, three,
       with_begun(holding({"1"}), "2", kOther), nobody},
      {"... also before its turn", "begun 2 by " + kOther.value, outside, with_begun(holding({}), "2", kOther), nobody},
      {"a mark of another plan's step", "left from 1", three, with_begun(holding({"1"}), "9", kOther), nobody},
      {"a suffix is left, an unfenced run of another round before", "left from 1", three, holding({"1"}, kOther),
       ran(false, false, kOther)},
      {"a suffix is left, the unfenced run ended", "left from 1", three, holding({"1"}), ran(false, true)},
      {"a suffix is left, the unfenced run may go on", "cannot judge", three, holding({"1"}), ran(false, false)},

      {"begun and not finished", "begun 2 by " + kRound.value, outside, with_begun(holding({"1"}), "2", kRound),
       ran(true, true)},
      {"begun and not finished, later ones stand", "begun 2 by " + kRound.value, outside,
       with_begun(holding({"1", "3"}), "2", kRound), ran(true, true)},
      {"begun and finished", "left from 2", outside, holding({"1", "2"}), ran(true, true)},
      {"begun and failed", "other 1", outside, with_begun(holding({"1"}), "2", kRound, "ERROR: no"), ran(true, true)},

      {"a hole", "other 1 3", three, holding({"1", "3"}), ran(true, true)},
      {"the front is left", "other", three, holding({"3"}, kOther), nobody},
      {"another text stands", "other", three,
       changed(holding({"1", "2"}),
               [](Snapshot& s) {
                 s.applied[0].step.content = "another";
                 s.applied[0].round = kOther;
               }),
       nobody},
      {"an adopted text is not known", "left from 1", three,
       changed(holding({"1"}), [](Snapshot& s) { s.applied[0].step.content = ""; }), nobody},

      {"reverts: all left", "left from 0", down, holding({"1", "2", "3"}), nobody},
      {"reverts: one done", "left from 1", down, holding({"1", "2"}), ran(true, true)},
      {"reverts: nothing left", "nothing left", down, holding({"1"}), ran(true, true)},
      {"reverts: out of order", "other 2", down, holding({"1", "3"}), ran(true, true)},

      {"opaque, never run", "left from 0", opaque, holding({}), nobody},
      {"opaque, run by another round", "left from 0", opaque, holding({}), ran(false, false, kOther)},
      {"opaque, run", "cannot judge", opaque, holding({}), ran(false, true)},
      {"opaque, to be run again, ended", "left from 0", retried, holding({}), ran(false, true)},
      {"opaque, to be run again, perhaps running", "cannot judge", retried, holding({}), ran(false, false)},
  };
}

TEST(Compare, IsTheTableOfTheProtocol) {
  for (const Case& one : cases()) {
    EXPECT_EQ(say(compare(one.plan, kRound, one.snapshot, one.last_run)), one.expected) << one.name;
  }
}

TEST(Compare, SaysWhatStays) {
  const auto other =
      std::get<OtherLeft>(compare(a_plan({a_step("1"), a_step("2"), a_step("3")}), kRound, holding({"1", "3"}), {}));
  EXPECT_TRUE(other.why.contains("1, 3 is done and stays")) << other.why;
  EXPECT_TRUE(other.why.contains("2 is not")) << other.why;
}

}  // namespace
}  // namespace syzygy::migration
