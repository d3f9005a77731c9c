// both_test.cpp - what every kind of target database must do, once for all of them.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <thread>
#include <tuple>

#include "migration/target/compare.h"
#include "tests/migration/target/suite.h"

namespace syzygy::migration {
namespace {

class EveryTarget : public testing::TestWithParam<Kind> {
 protected:
  [[nodiscard]] PlannedStep planned(const std::string& id, const std::string& sql,
                                    const StepOptions& options = {}) const {
    return step(GetParam().dialect, id, sql, options);
  }
  std::string value(const std::string& sql) const { return GetParam().value(url_, sql); }
  [[nodiscard]] Snapshot snapshot(Target& target, const std::string& round = "round-1") const {
    auto snap = target.snapshot(RoundId{round});
    EXPECT_TRUE(snap) << snap.error().message;
    return snap ? std::move(*snap) : Snapshot{};
  }

  std::string url_ = GetParam().url();
};

INSTANTIATE_TEST_SUITE_P(Each, EveryTarget, testing::ValuesIn(kinds()), [](const auto& one) { return one.param.name; });

TEST_P(EveryTarget, PeeksWhereNothingWasPreparedAndLeavesNothing) {
  auto target = opened(url_);
  const Snapshot snap = snapshot(*target);
  EXPECT_FALSE(snap.prepared);
  EXPECT_TRUE(snap.applied.empty());
  EXPECT_EQ(target->identity()->id, "");
  EXPECT_TRUE(target->history()->empty());
  if (GetParam().dialect == Dialect::kSqlite) {
    EXPECT_FALSE(std::filesystem::exists(url_.substr(9)));
  } else {
    EXPECT_EQ(value("select count(*) from pg_namespace where nspname = 'syzygy'"), "0");
  }
}

TEST_P(EveryTarget, PreparesOnceHoweverManyDoItAtOnce) {
  std::vector<std::jthread> threads;
  std::vector<std::string> ids_seen(8);
  for (std::size_t i = 0; i < ids_seen.size(); ++i) {
    threads.emplace_back([&, i] { ids_seen[i] = prepared(url_)->identity()->id; });
  }
  threads.clear();
  EXPECT_EQ(ids_seen[0].size(), 32u);
  for (const std::string& id : ids_seen) EXPECT_EQ(id, ids_seen[0]);
}

TEST_P(EveryTarget, ASnapshotSparesTheIdentityTheFenceRow) {
  TargetOptions options = quick();
  options.target = "orders";
  auto target = prepared(url_, options);
  ASSERT_TRUE(target->bind());
  const auto asked = target->identity();
  const auto seen = target->identity(snapshot(*target));
  ASSERT_TRUE(asked);
  ASSERT_TRUE(seen);
  EXPECT_EQ(std::tie(seen->system, seen->database, seen->id, seen->target),
            std::tie(asked->system, asked->database, asked->id, asked->target));
  EXPECT_EQ(seen->target, "orders");
}

TEST_P(EveryTarget, TablesThatWereTakenAwayMeanwhileAreSeenToBeGone) {
  auto target = prepared(url_);
  ASSERT_TRUE(snapshot(*target).prepared);
  const std::string prefix = GetParam().dialect == Dialect::kSqlite ? "syzygy_" : "syzygy.";
  for (const std::string_view table : {"meta", "fence", "outcome", "history", "begun", "audit"}) {
    value("drop table " + prefix + std::string(table));
  }
  EXPECT_FALSE(target->snapshot());  // what was read a moment ago is no longer there
  EXPECT_FALSE(snapshot(*target).prepared);
}

TEST_P(EveryTarget, TwoApplicationsInOneDatabaseAreTwoTargets) {
  TargetOptions other = quick();
  other.application = "billing";
  auto orders = prepared(url_);
  auto billing = prepared(url_, other);
  EXPECT_NE(orders->identity()->id, billing->identity()->id);
  EXPECT_EQ(orders->identity()->database, billing->identity()->database);
  claimed(*orders, run_info(5));
  claimed(*billing, run_info(1));
  EXPECT_EQ(text(apply(*billing, run_info(1), planned("0001", "create table b (id int)"))), "applied");
  EXPECT_TRUE(snapshot(*orders).applied.empty());
  EXPECT_EQ(ids(snapshot(*billing)), std::vector<std::string>{"0001"});
}

TEST_P(EveryTarget, AppliesStepsWithTheirHistoryAndTheOutcomeWithTheLast) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  const Claimed claim = claimed(*target, run);
  EXPECT_EQ(claim.previous.token, Token{0});
  EXPECT_EQ(claim.snapshot.claim, (ClaimRow{Token{1}, run.incarnation, run.round, true, true}));

  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int); insert into a values (1);"))),
            "applied");
  EXPECT_FALSE(snapshot(*target).outcome.has_value());
  const PlannedStep second = planned("0002", "insert into a values (2)", {.stage = Stage::kPostDeploy});
  EXPECT_EQ(text(apply(*target, run, second, true)), "applied, outcome written");

  EXPECT_EQ(value("select count(*) from a"), "2");
  const Snapshot snap = snapshot(*target);
  ASSERT_EQ(ids(snap), (std::vector<std::string>{"0001", "0002"}));
  EXPECT_EQ(snap.applied[1].step.content, second.step.content);
  EXPECT_EQ(snap.applied[1].step.stage, Stage::kPostDeploy);
  EXPECT_EQ(snap.applied[1].who, run.who);
  EXPECT_EQ(snap.applied[1].round, run.round);
  EXPECT_EQ(snap.applied[1].token, run.token);
  EXPECT_GT(snap.applied[1].at.ms, 1'700'000'000'000);
  EXPECT_EQ(snap.outcome, (OutcomeRow{run.round, Token{1}, Outcome::kSucceeded}));
  EXPECT_EQ(snap.last_outcome, snap.outcome);
  EXPECT_FALSE(snapshot(*target, "another round").outcome.has_value());
}

TEST_P(EveryTarget, AStepWithoutStatementsIsApplied) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  EXPECT_EQ(text(apply(*target, run_info(1), planned("0001", "-- nothing\n"))), "applied");
  EXPECT_EQ(ids(snapshot(*target)), std::vector<std::string>{"0001"});
}

TEST_P(EveryTarget, NothingIsAppliedTwice) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  // The same migration under another spelling of its number.
  EXPECT_EQ(text(apply(*target, run, planned("1", "insert into a values (1)"))),
            "changed: step 1 is in the history already");
  EXPECT_EQ(value("select count(*) from a"), "0");
}

TEST_P(EveryTarget, RevertsAndAppliesAgain) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const PlannedStep up = planned("0001", "create table a (id int)");
  const PlannedStep down = planned("0001", "drop table a", {.direction = Direction::kDown});
  EXPECT_EQ(text(apply(*target, run, down)), "changed: step 0001 is not in the history: there is nothing to revert");
  EXPECT_EQ(text(apply(*target, run, up)), "applied");
  EXPECT_EQ(text(apply(*target, run, down)), "applied");
  EXPECT_TRUE(snapshot(*target).applied.empty());
  EXPECT_EQ(snapshot(*target).recent, std::vector<Step>{down.step});
  EXPECT_EQ(text(apply(*target, run, up)), "applied");
  EXPECT_EQ(ids(snapshot(*target)), std::vector<std::string>{"0001"});
  ASSERT_EQ(snapshot(*target).recent.size(), 1u);
  EXPECT_EQ(snapshot(*target).recent[0], up.step);
  const auto history = target->history();
  ASSERT_EQ(history->size(), 3u);
  EXPECT_TRUE((*history)[0].reverted);
  EXPECT_EQ((*history)[1].direction, Direction::kDown);
  EXPECT_FALSE((*history)[2].reverted);
}

TEST_P(EveryTarget, SqlThatFailsHalfWayLeavesNothingAndNamesThePlace) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const auto result =
      apply(*target, run,
            planned("0001",
                    "create table a (id int);\n\ninsert into a\n  values (1);\ninsert into\n  nowhere values "
                    "(2);\ninsert into a values (3);\n"),
            true);
  const auto* failed = std::get_if<StepFailed>(&result);
  ASSERT_NE(failed, nullptr) << text(result);
  EXPECT_EQ(failed->file, "migrations/0001.sql");
  // PostgreSQL says where in the statement, SQLite does not.
  const std::string line = GetParam().dialect == Dialect::kPostgres ? "6" : "5";
  EXPECT_EQ(std::to_string(failed->line), line);
  EXPECT_EQ(failed->statement, "insert into\n  nowhere values (2)");
  EXPECT_TRUE(failed->words.contains("nowhere")) << failed->words;
  EXPECT_TRUE(failed->nothing_left);
  EXPECT_TRUE(failed->message.contains("migrations/0001.sql:" + line + ": ")) << failed->message;
  EXPECT_TRUE(failed->message.contains("Nothing of this step is left")) << failed->message;
  EXPECT_TRUE(snapshot(*target).applied.empty());
  EXPECT_FALSE(snapshot(*target).outcome.has_value());
  // The table is gone too, and the same target goes on.
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
}

TEST_P(EveryTarget, TransactionControlInsideAnAtomicStepIsRefused) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  for (const std::string control : {"commit", "COMMIT WORK", "end", "rollback", "Begin", "begin immediate"}) {
    PlannedStep sneaky = planned("0001", "create table a (id int)");
    sneaky.statements.push_back(Statement{control, 0, {3, 1}, {}});
    sneaky.statements.push_back(Statement{"create table b (id int)", 0, {4, 1}, {}});
    const auto result = apply(*target, run, sneaky);
    const auto* failed = std::get_if<StepFailed>(&result);
    ASSERT_NE(failed, nullptr) << control << ": " << text(result);
    EXPECT_EQ(failed->line, 3u);
    EXPECT_TRUE(failed->words.contains("transaction control")) << failed->words;
  }
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  // Going back to a savepoint ends nothing.
  EXPECT_EQ(text(apply(*target, run,
                       planned("0002",
                               "savepoint s; create table b (id int); rollback to savepoint s; create table b (id "
                               "int)"))),
            "applied");
}

TEST_P(EveryTarget, ATransactionThatEndedAllTheSameIsNoticed) {
  auto target = prepared(url_);
  claimed(*target, run_info(1));
  PlannedStep sneaky = planned("0001", "create table a (id int)");
  sneaky.statements.push_back(Statement{"/* no splitter leaves this here */ commit", 0, {3, 1}, {}});
  const auto result = text(apply(*target, run_info(1), sneaky));
  EXPECT_TRUE(result.contains("ended the transaction that guards them")) << result;
  EXPECT_TRUE(result.contains("stays in the database")) << result;
  EXPECT_TRUE(snapshot(*target).applied.empty());
}

TEST_P(EveryTarget, AStaleTokenAppliesNothing) {
  auto old_applier = prepared(url_);
  auto successor = opened(url_);
  const RunInfo old_run = run_info(1, "old");
  const RunInfo new_run = run_info(2, "new");
  claimed(*old_applier, old_run);
  EXPECT_EQ(text(apply(*old_applier, old_run, planned("0001", "create table a (id int)"))), "applied");
  const Claimed claim = claimed(*successor, new_run);
  EXPECT_EQ(claim.previous.token, Token{1});
  EXPECT_EQ(claim.previous.round, old_run.round);
  EXPECT_EQ(ids(claim.snapshot), std::vector<std::string>{"0001"});
  EXPECT_EQ(text(apply(*old_applier, old_run, planned("0002", "insert into a values (1)"))), "fenced out by 2");
  EXPECT_EQ(text(apply(*old_applier, old_run, planned("0003", "insert into a values (1)", {.atomic = false}))),
            "fenced out by 2");
  EXPECT_EQ(value("select count(*) from a"), "0");
  EXPECT_EQ(text(apply(*successor, new_run, planned("0002", "insert into a values (2)"))), "applied");
}

TEST_P(EveryTarget, TheSameTokenInOtherHandsAppliesNothing) {
  auto target = prepared(url_);
  claimed(*target, run_info(3, "mine"));
  EXPECT_EQ(text(apply(*target, run_info(3, "theirs"), planned("0001", "create table a (id int)"))), "fenced out by 3");
  EXPECT_EQ(text(target->claim(claim_request(run_info(3, "theirs")), {}, {})), "refused: row has 3");
}

TEST_P(EveryTarget, AClaimIsRefusedBelowTheRowsTokenAndMayBeRepeated) {
  auto target = prepared(url_);
  claimed(*target, run_info(7, "a", "round-1"));
  EXPECT_EQ(text(target->claim(claim_request(run_info(6, "b")), {}, {})), "refused: row has 7");
  claimed(*target, run_info(9, "b", "round-2"));
  const Claimed again = claimed(*target, run_info(9, "b", "round-2"));
  EXPECT_EQ(again.previous.token, Token{7});
  EXPECT_EQ(again.previous.round, RoundId{"round-1"});
}

TEST_P(EveryTarget, OfManyClaimersTheHighestTokenWinsAndOnlyItApplies) {
  prepared(url_);
  std::vector<std::string> results(6);
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < results.size(); ++i) {
      threads.emplace_back([&, i] {
        auto target = opened(url_);
        const RunInfo run = run_info(i + 1, "incarnation-" + std::to_string(i));
        const auto result = target->claim(claim_request(run), {}, {});
        results[i] = text(result);
        if (!std::holds_alternative<Claimed>(result)) return;
        results[i] = text(apply(*target, run, planned("0001", "create table a (id int)"), true));
      });
    }
  }
  const std::string winner = results.back();
  EXPECT_TRUE(winner == "applied, outcome written" || winner == "changed: step 0001 is in the history already")
      << winner;
  EXPECT_EQ(std::ranges::count(results, "applied, outcome written"), 1);
  EXPECT_EQ(opened(url_)->snapshot({})->claim.token, Token{6});
}

// Four appliers overtake each other all the time; whatever the order, each step takes effect once, and the tokens in
// the history never fall.
TEST_P(EveryTarget, AppliersThatOvertakeEachOtherApplyEachStepOnce) {
  constexpr int kSteps = 12;
  prepared(url_);
  value("create table log (step text, token bigint)");
  std::atomic<std::uint64_t> tokens{0};
  std::atomic<int> fenced_out{0};
  const auto applier = [&](int number) {
    auto target = opened(url_);
    for (;;) {
      const RunInfo run = run_info(++tokens, "applier-" + std::to_string(number));
      auto result = target->claim(claim_request(run), {}, {});
      if (std::holds_alternative<ClaimRefused>(result)) continue;
      auto* claim = std::get_if<Claimed>(&result);
      ASSERT_NE(claim, nullptr) << text(result);
      std::size_t done = claim->snapshot.applied.size();
      if (done == kSteps) return;
      const std::size_t overtaken_at = done + 3;
      for (; done < kSteps; ++done) {
        // Goes on only when another has claimed above it: now it must not get through.
        if (done == overtaken_at) eventually([&] { return snapshot(*target).claim.token > run.token; });
        const std::string id = std::to_string(done + 1);
        const auto applied =
            apply(*target, run,
                  planned(id, "insert into log values ('" + id + "', " + std::to_string(run.token.value) + ")"));
        if (std::holds_alternative<FencedOut>(applied)) {
          ++fenced_out;
          break;
        }
        ASSERT_EQ(text(applied), "applied");
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(applier, i);
  }
  EXPECT_EQ(value("select count(*) from log"), std::to_string(kSteps));
  EXPECT_EQ(value("select count(distinct step) from log"), std::to_string(kSteps));
  auto target = opened(url_);
  const Snapshot snap = snapshot(*target);
  ASSERT_EQ(snap.applied.size(), std::size_t{kSteps});
  EXPECT_TRUE(std::ranges::is_sorted(snap.applied, {}, &AppliedRow::token));
  EXPECT_GE(fenced_out.load(), kSteps / 3 - 1);
}

TEST_P(EveryTarget, AnUnfencedClaimHasEndedWhenSaidSoByItsHolderOnly) {
  auto target = prepared(url_);
  ClaimRequest request = claim_request(run_info(1, "a"));
  request.fenced = false;
  ASSERT_EQ(text(target->claim(request, {}, {})), "claimed");
  EXPECT_FALSE(snapshot(*target).claim.ended);
  EXPECT_FALSE(*target->mark_ended(Token{1}, IncarnationId{"b"}));
  EXPECT_FALSE(snapshot(*target).claim.ended);
  EXPECT_TRUE(*target->mark_ended(Token{1}, IncarnationId{"a"}));
  EXPECT_TRUE(snapshot(*target).claim.ended);
  EXPECT_EQ(claimed(*target, run_info(2)).previous,
            (ClaimRow{Token{1}, IncarnationId{"a"}, RoundId{"round-1"}, false, true}));
}

TEST_P(EveryTarget, AnUnpreparedTargetCannotBeClaimed) {
  auto target = opened(url_);
  const auto result = target->claim(claim_request(run_info(1)), {}, {});
  EXPECT_TRUE(std::holds_alternative<Error>(result)) << text(result);
}

TEST_P(EveryTarget, AnOutcomeIsNeverOverwritten) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"), true)), "applied, outcome written");
  const RunInfo later = run_info(2, "b", "round-1");
  claimed(*target, later);
  EXPECT_EQ(text(apply(*target, later, planned("0002", "create table b (id int)"), true)), "applied, outcome written");
  EXPECT_EQ(snapshot(*target).outcome->token, Token{1});
}

TEST_P(EveryTarget, AStepOutsideATransactionIsBegunAndThenInTheHistory) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  EXPECT_EQ(text(apply(*target, run, planned("0002", "insert into a values (1); vacuum;", {.atomic = false}), true)),
            "applied, outcome written");
  const Snapshot snap = snapshot(*target);
  EXPECT_EQ(ids(snap), (std::vector<std::string>{"0001", "0002"}));
  EXPECT_TRUE(snap.begun.empty());
  EXPECT_TRUE(snap.outcome.has_value());
  EXPECT_EQ(text(apply(*target, run, planned("0002", "vacuum", {.atomic = false}))),
            "changed: step 0002 is in the history already");
  EXPECT_EQ(text(apply(*target, run, planned("0003", "insert into a values (2)"))), "applied");
}

TEST_P(EveryTarget, AStepOutsideATransactionThatFailsSaysWhatStays) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const PlannedStep bad =
      planned("0001", "create table a (id int);\ninsert into nowhere values (1);\n", {.atomic = false});
  const auto result = apply(*target, run, bad);
  const auto* failed = std::get_if<StepFailed>(&result);
  ASSERT_NE(failed, nullptr) << text(result);
  EXPECT_FALSE(failed->nothing_left);
  EXPECT_EQ(failed->line, 2u);
  EXPECT_TRUE(failed->message.contains("stays in the database")) << failed->message;
  EXPECT_EQ(value("select count(*) from a"), "0");
  const Snapshot snap = snapshot(*target);
  ASSERT_EQ(snap.begun.size(), 1u);
  EXPECT_EQ(snap.begun[0].id, StepId{"0001"});
  EXPECT_EQ(snap.begun[0].round, run.round);
  EXPECT_TRUE(snap.begun[0].ended.contains("nowhere"));
  EXPECT_TRUE(std::holds_alternative<OtherLeft>(
      compare(Plan{TargetName{"t"}, PlanStage::kAll, false, OnApplierLost::kStop, {bad.step}}, run.round, snap, {})));
  // The next round begins it anew.
  const RunInfo next = run_info(2, "b", "round-2");
  claimed(*target, next);
  EXPECT_EQ(text(apply(*target, next, planned("0001", "insert into a values (1)", {.atomic = false}))), "applied");
  EXPECT_TRUE(snapshot(*target).begun.empty());
}

TEST_P(EveryTarget, AStopBeforeAStepAppliesNothing) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  std::stop_source stop;
  stop.request_stop();
  for (const bool atomic : {true, false}) {
    EXPECT_EQ(text(target->apply_step(run, planned("0001", "create table a (id int)", {.atomic = atomic}), {}, {},
                                      stop.get_token())),
              "cancelled");
  }
  EXPECT_EQ(text(target->claim(claim_request(run_info(2)), {}, stop.get_token())), "cancelled");
  EXPECT_TRUE(snapshot(*target).begun.empty());
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
}

TEST_P(EveryTarget, AStopInTheMiddleOfAnAtomicStepLeavesNothing) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const std::string endless =
      GetParam().dialect == Dialect::kPostgres
          ? "select pg_sleep(60)"
          : "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
  std::stop_source stop;
  std::jthread stopper;  // may still be at it when the step has ended
  const auto at_second = [&](const Progress& said) {
    if (said.kind == Progress::Kind::kStatement && said.index == 2) {
      stopper = std::jthread([&stop] { stop.request_stop(); });
    }
  };
  EXPECT_EQ(text(target->apply_step(run, planned("0001", "create table a (id int); " + endless), {}, at_second,
                                    stop.get_token())),
            "cancelled");
  EXPECT_TRUE(snapshot(*target).applied.empty());
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
}

TEST_P(EveryTarget, AcceptsAChangedFileWithAReason) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const PlannedStep first = planned("0003", "create table a (id int)");
  EXPECT_EQ(text(apply(*target, run, first)), "applied");
  const auto was = target->accept(StepId{"3"}, "new checksum", "anna", "only a comment changed");
  ASSERT_TRUE(was) << was.error().message;
  EXPECT_EQ(*was, first.step.content);
  EXPECT_EQ(snapshot(*target).applied[0].step.content, "new checksum");
  const auto audit = target->audit();
  ASSERT_EQ(audit->size(), 1u);
  EXPECT_EQ((*audit)[0].what, "accept");
  EXPECT_EQ((*audit)[0].who, "anna");
  EXPECT_EQ((*audit)[0].reason, "only a comment changed");
  EXPECT_EQ(target->accept(StepId{"0004"}, "x", "anna", "why").error().reason, "STEP_UNKNOWN");
}

std::vector<KnownStep> directory_of_four() {
  return {{StepId{"0001"}, "c1"}, {StepId{"0002"}, "c2"}, {StepId{"0003"}, "c3"}, {StepId{"0004"}, "c4"}};
}

TEST_P(EveryTarget, AdoptsGolangMigratesHistoryAndKeepsItInTheSameTransaction) {
  value(
      "create table schema_migrations (version bigint not null primary key, dirty boolean not null); "
      "insert into schema_migrations values (2, false)");
  auto target = prepared(url_);
  const auto refused = refuses_unadopted(snapshot(*target));
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->reason, "HISTORY_NOT_ADOPTED");
  EXPECT_TRUE(refused->message.contains("golang-migrate")) << refused->message;
  EXPECT_TRUE(refused->message.contains("syzygy history adopt")) << refused->message;

  const auto adoption = target->adopt(directory_of_four(), std::nullopt, "anna");
  ASSERT_TRUE(adoption) << adoption.error().message;
  EXPECT_EQ(adoption->adopted, (std::vector<StepId>{StepId{"0001"}, StepId{"0002"}}));
  EXPECT_TRUE(adoption->kept);
  Snapshot snap = snapshot(*target);
  EXPECT_FALSE(refuses_unadopted(snap).has_value());
  EXPECT_EQ(ids(snap), (std::vector<std::string>{"0001", "0002"}));
  EXPECT_EQ(snap.applied[0].step.content, "c1");
  EXPECT_FALSE(snap.applied[0].step.stage.has_value());
  EXPECT_TRUE(snap.recent.empty());  // nobody here ran them
  ASSERT_EQ(snap.foreign.size(), 1u);
  EXPECT_TRUE(snap.foreign[0].kept);
  EXPECT_EQ(target->adopt(directory_of_four(), std::nullopt, "anna").error().reason, "HISTORY_NOT_EMPTY");

  RunInfo run = run_info(1);
  run.directory = directory_of_four();
  claimed(*target, run);
  const std::string version = "select version from schema_migrations where not dirty";
  // Out of order: what is applied is no prefix any more, and their row stays.
  EXPECT_EQ(text(apply(*target, run, planned("0004", "create table d (id int)"))), "applied");
  EXPECT_EQ(value(version), "2");
  // The gap is closed: it says what is so.
  EXPECT_EQ(text(apply(*target, run, planned("0003", "create table c (id int)"))), "applied");
  EXPECT_EQ(value(version), "4");
  EXPECT_EQ(text(apply(*target, run, planned("0004", "drop table d", {.direction = Direction::kDown}))), "applied");
  EXPECT_EQ(value(version), "3");
  // A step that fails takes their row back as well.
  EXPECT_EQ(apply(*target, run, planned("0004", "create table d (id int); insert into nowhere values (1)")).index(),
            3u);
  EXPECT_EQ(value(version), "3");
  for (const std::string id : {"0003", "0002", "0001"}) {
    EXPECT_EQ(text(apply(*target, run, planned(id, "", {.direction = Direction::kDown}))), "applied");
  }
  EXPECT_EQ(value("select count(*) from schema_migrations"), "0");
}

// Each tool that keeps a row per migration: its table, how it says what is applied, and that it is kept in gaps, too.
struct Keeping {
  std::string create;
  std::string says;
};

TEST_P(EveryTarget, KeepsATableOfRowsAlsoInGaps) {
  std::vector<KnownStep> steps;
  for (const std::string id : {"1", "2", "3", "4"}) {
    steps.push_back({StepId{id}, "c" + id, "the_" + id, "V" + id + "__the_" + id + ".sql", "-" + id, 2});
  }
  const std::vector<Keeping> tools = {
      {"create table goose_db_version (id integer primary key generated by default as identity, version_id bigint not "
       "null, is_applied boolean not null, tstamp timestamp default current_timestamp); insert into goose_db_version "
       "(version_id, is_applied) values (0, true), (1, true), (2, true)",
       "select version_id from goose_db_version where is_applied and version_id > 0 order by 1"},
      {"create table schema_migrations (version varchar(128) primary key); insert into schema_migrations values ('1'), "
       "('2')",
       "select version from schema_migrations order by 1"},
      {"create table flyway_schema_history (installed_rank integer not null primary key, version varchar(50), "
       "description varchar(200) not null, type varchar(20) not null, script varchar(1000) not null, checksum integer, "
       "installed_by varchar(100) not null, installed_on timestamp not null default current_timestamp, execution_time "
       "integer not null, success boolean not null); insert into flyway_schema_history (installed_rank, version, "
       "description, type, script, checksum, installed_by, execution_time, success) values (1, '1', 'the 1', 'SQL', "
       "'V1__the_1.sql', -1, 'x', 1, true), (2, '2', 'the 2', 'SQL', 'V2__the_2.sql', -2, 'x', 1, true)",
       "select version from flyway_schema_history where success and description = 'the ' || version and script = 'V' "
       "|| version || '__the_' || version || '.sql' and cast(checksum as text) = '-' || version order by version"},
      {"create table atlas_schema_revisions (version varchar(99) not null primary key, description varchar(99) not "
       "null, type bigint not null default 2, applied bigint not null, total bigint not null, executed_at timestamp "
       "not null, execution_time bigint not null, error text, error_stmt text, hash varchar(99) not null, "
       "partial_hashes text, operator_version varchar(99) not null); insert into atlas_schema_revisions (version, "
       "description, applied, total, executed_at, execution_time, hash, operator_version) values ('1', 'the_1', 2, 2, "
       "current_timestamp, 0, '-1', 'x'), ('2', 'the_2', 2, 2, current_timestamp, 0, '-2', 'x')",
       "select version from atlas_schema_revisions where applied = 2 and total = 2 and hash = '-' || version order by "
       "version"},
  };
  for (const Keeping& tool : tools) {
    const std::string url = GetParam().url();
    std::string create = tool.create;
    if (GetParam().dialect == Dialect::kSqlite) {
      const std::string identity = " generated by default as identity";
      if (const auto at = create.find(identity); at != std::string::npos) create.erase(at, identity.size());
    }
    GetParam().value(url, create);
    const auto says = [&] {
      std::string sql = "select coalesce(group_concat(v, ' '), '') from (" + tool.says + ") as t(v)";
      if (GetParam().dialect == Dialect::kPostgres) {
        sql = "select coalesce(string_agg(v::text, ' '), '') from (" + tool.says + ") as t(v)";
      } else {
        sql = "with t(v) as (" + tool.says + ") select coalesce(group_concat(v, ' '), '') from t";
      }
      return GetParam().value(url, sql);
    };
    auto target = prepared(url);
    ASSERT_EQ(says(), "1 2") << tool.create;
    const auto adoption = target->adopt(steps, std::nullopt, "anna");
    ASSERT_TRUE(adoption) << adoption.error().message;
    EXPECT_TRUE(adoption->kept);
    EXPECT_EQ(adoption->adopted.size(), 2u);
    RunInfo run = run_info(1);
    run.directory = steps;
    claimed(*target, run);
    EXPECT_EQ(text(apply(*target, run, planned("4", "create table d (id int)"))), "applied");
    EXPECT_EQ(says(), "1 2 4");
    EXPECT_FALSE(refuses_unadopted(snapshot(*target), steps).has_value());
    EXPECT_EQ(text(apply(*target, run, planned("2", "", {.direction = Direction::kDown}))), "applied");
    EXPECT_EQ(says(), "1 4");
    EXPECT_EQ(text(apply(*target, run, planned("2", "create table b (id int)"))), "applied");
    EXPECT_EQ(says(), "1 2 4");
    // A step that fails leaves no row.
    EXPECT_EQ(apply(*target, run, planned("3", "insert into nowhere values (1)")).index(), 3u);
    EXPECT_EQ(says(), "1 2 4");
    EXPECT_FALSE(refuses_unadopted(snapshot(*target), steps).has_value());
  }
}

TEST_P(EveryTarget, WhatTheOtherToolDidSinceIsRefusedAndThenAdopted) {
  value(
      "create table schema_migrations (version varchar(128) primary key); insert into schema_migrations values "
      "('0001'), ('0002')");
  auto target = prepared(url_);
  ASSERT_TRUE(target->adopt(directory_of_four(), std::nullopt, "anna"));
  value("insert into schema_migrations values ('0003')");
  value("delete from schema_migrations where version = '0002'");
  const auto refused = refuses_unadopted(snapshot(*target), directory_of_four());
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->reason, "HISTORY_NOT_ADOPTED");
  EXPECT_TRUE(refused->message.contains("dbmate has applied 0003 and has reverted 0002 by itself")) << refused->message;
  const auto adoption = target->adopt(directory_of_four(), std::nullopt, "anna");
  ASSERT_TRUE(adoption) << adoption.error().message;
  EXPECT_EQ(adoption->adopted, std::vector<StepId>{StepId{"0003"}});
  EXPECT_EQ(adoption->reverted, std::vector<StepId>{StepId{"0002"}});
  EXPECT_EQ(ids(snapshot(*target)), (std::vector<std::string>{"0001", "0003"}));
  EXPECT_FALSE(refuses_unadopted(snapshot(*target), directory_of_four()).has_value());
}

TEST_P(EveryTarget, ATableThatIsAnotherApplicationsIsLeftAlone) {
  value(
      "create table schema_migrations (version bigint not null primary key, dirty boolean not null); "
      "insert into schema_migrations values (2, false)");
  auto target = prepared(url_);
  const auto adoption = target->adopt(directory_of_four(), StepId{"zero"}, "anna");
  ASSERT_TRUE(adoption) << adoption.error().message;
  EXPECT_FALSE(adoption->kept);
  RunInfo run = run_info(1);
  run.directory = directory_of_four();
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("0001", "create table a (id int)"))), "applied");
  EXPECT_EQ(value("select version from schema_migrations"), "2");
}

TEST_P(EveryTarget, TheNextTextOfARepeatableReplacesTheOneBefore) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  EXPECT_EQ(text(apply(*target, run, planned("R__a@111", "create table a (id int)"))), "applied");
  EXPECT_EQ(text(apply(*target, run, planned("R__ab@111", "create table ab (id int)"))), "applied");
  EXPECT_EQ(text(apply(*target, run, planned("R__a@222", "drop table a"))), "applied");
  EXPECT_EQ(ids(snapshot(*target)), (std::vector<std::string>{"R__ab@111", "R__a@222"}));
  // The first text again is pending again.
  EXPECT_EQ(text(apply(*target, run, planned("R__a@111", "create table a (id int)"))), "applied");
  EXPECT_EQ(ids(snapshot(*target)), (std::vector<std::string>{"R__ab@111", "R__a@111"}));
}

TEST_P(EveryTarget, AdoptsUpToAnIdOrNothing) {
  value(
      "create table schema_migrations (version bigint not null primary key, dirty boolean not null); "
      "insert into schema_migrations values (2, true)");
  auto target = prepared(url_);
  EXPECT_EQ(target->adopt(directory_of_four(), std::nullopt, "anna").error().reason, "FOREIGN_DIRTY");
  EXPECT_EQ(target->adopt(directory_of_four(), StepId{"0009"}, "anna").error().reason, "STEP_UNKNOWN");
  EXPECT_EQ(target->adopt(directory_of_four(), StepId{"zero"}, "anna")->adopted.size(), 0u);
  EXPECT_FALSE(refuses_unadopted(snapshot(*target)).has_value());
  EXPECT_EQ(target->adopt(directory_of_four(), StepId{"3"}, "anna")->adopted.size(), 3u);
}

TEST_P(EveryTarget, SettleTellsWhatStands) {
  auto target = prepared(url_);
  const RunInfo run = run_info(1);
  claimed(*target, run);
  const PlannedStep one = planned("0001", "create table a (id int)");
  const auto what = [&](const RunInfo& of, const PlannedStep& planned_step) {
    auto result = target->settle(of, planned_step.step, std::chrono::seconds(10), {}, {});
    auto* settled = std::get_if<Settled>(&result);
    EXPECT_NE(settled, nullptr);
    return settled == nullptr ? Settled::What::kBegun : settled->what;
  };
  EXPECT_EQ(what(run, one), Settled::What::kNotApplied);
  EXPECT_EQ(text(apply(*target, run, one)), "applied");
  EXPECT_EQ(what(run, one), Settled::What::kApplied);
  EXPECT_EQ(what(run, planned("0001", "drop table a", {.direction = Direction::kDown})), Settled::What::kNotApplied);
  claimed(*target, run_info(2, "b"));
  EXPECT_EQ(what(run, one), Settled::What::kFencedOut);
}

TEST_P(EveryTarget, ABreakGlassRunLeapsAndKeepsEveryOtherClaimWaiting) {
  auto old_applier = prepared(url_);
  const RunInfo old_run = run_info(5, "old");
  claimed(*old_applier, old_run);

  auto glass = opened(url_);
  BreakGlass request;
  request.incarnation = IncarnationId{"glass"};
  request.round = RoundId{"break-glass-1"};
  request.who = "anna (laptop)";
  request.reason = "daemon is down";
  auto begun = glass->break_glass_begin(request, {}, {});
  auto* started = std::get_if<BreakGlassStarted>(&begun);
  ASSERT_NE(started, nullptr);
  EXPECT_EQ(started->token, Token{5 + kBreakGlassLeap});
  RunInfo run = run_info(started->token.value, "glass", "break-glass-1");

  EXPECT_EQ(text(apply(*old_applier, old_run, planned("0001", "create table a (id int)"))),
            "fenced out by " + std::to_string(run.token.value));
  // A claim above its token waits, and commits nothing meanwhile.
  Heard heard;
  std::string waited;
  std::jthread claimer([&] {
    auto target = opened(url_);
    waited = text(target->claim(claim_request(run_info(run.token.value + 1, "next", "round-2")), heard.listener(), {}));
  });
  EXPECT_TRUE(eventually([&] { return heard.count(Progress::Kind::kBlocked) > 0; }));
  EXPECT_TRUE(heard.last(Progress::Kind::kBlocked).starts_with("blocked by a break-glass run: "))
      << heard.last(Progress::Kind::kBlocked);
  EXPECT_EQ(text(apply(*glass, run, planned("0001", "create table a (id int)"))), "applied");
  EXPECT_EQ(text(apply(*glass, run, planned("0002", "vacuum", {.atomic = false}))), "applied");
  EXPECT_EQ(text(apply(*glass, run, planned("0003", "insert into a values (1)"), true)), "applied, outcome written");
  EXPECT_TRUE(glass->break_glass_end());
  claimer.join();
  EXPECT_EQ(waited, "claimed");
  EXPECT_EQ(text(apply(*glass, run, planned("0004", "insert into a values (1)"))),
            "fenced out by " + std::to_string(run.token.value + 1));
  const auto audit = glass->audit();
  ASSERT_EQ(audit->size(), 1u);
  EXPECT_EQ((*audit)[0].what, "break-glass");
  EXPECT_EQ((*audit)[0].who, "anna (laptop)");
  EXPECT_EQ((*audit)[0].reason, "daemon is down");
  EXPECT_EQ((*audit)[0].token, run.token);
}

TEST_P(EveryTarget, ABreakGlassRunWaitsForAnUnfencedRunOrTheOperatorsWord) {
  auto target = prepared(url_);
  ClaimRequest unfenced = claim_request(run_info(1, "tool"));
  unfenced.fenced = false;
  ASSERT_EQ(text(target->claim(unfenced, {}, {})), "claimed");

  auto glass = opened(url_);
  BreakGlass request;
  request.incarnation = IncarnationId{"glass"};
  request.round = RoundId{"break-glass-1"};
  request.unfenced_wait = std::chrono::hours(1);
  std::stop_source stop;
  const auto stop_when_waiting = [&](const Progress& said) {
    EXPECT_TRUE(said.text.contains("--attest-stopped")) << said.text;
    stop.request_stop();
  };
  EXPECT_TRUE(
      std::holds_alternative<ClaimCancelled>(glass->break_glass_begin(request, stop_when_waiting, stop.get_token())));
  EXPECT_EQ(snapshot(*target).claim.token, Token{1});

  request.unfenced_wait = Duration{30};
  EXPECT_TRUE(std::holds_alternative<BreakGlassStarted>(glass->break_glass_begin(request, {}, {})));
  glass->break_glass_end();

  unfenced.token = Token{2 * kBreakGlassLeap};
  ASSERT_EQ(text(target->claim(unfenced, {}, {})), "claimed");
  request.unfenced_wait = std::chrono::hours(1);
  request.attest_stopped = true;
  EXPECT_TRUE(std::holds_alternative<BreakGlassStarted>(glass->break_glass_begin(request, {}, {})));
}

TEST_P(EveryTarget, ANewerLayoutIsRefusedNotRead) {
  auto target = prepared(url_);
  value(GetParam().dialect == Dialect::kPostgres ? "update syzygy.meta set version = 99"
                                                 : "update syzygy_meta set version = 99");
  const auto snap = target->snapshot();
  ASSERT_FALSE(snap);
  EXPECT_TRUE(snap.error().message.contains("a newer syzygy has been here")) << snap.error().message;
  EXPECT_FALSE(target->prepare());
}

TEST_P(EveryTarget, AnOlderLayoutIsReadAndBroughtUpToDate) {
  const std::string prefix = GetParam().dialect == Dialect::kPostgres ? "syzygy." : "syzygy_";
  auto target = prepared(url_);
  const RunInfo run = run_info(3);
  claimed(*target, run);
  ASSERT_EQ(text(apply(*target, run, planned("0001", "create table t (a int)"), true)), "applied, outcome written");
  value("alter table " + prefix + "fence drop column target");
  value("alter table " + prefix + "fence add column coordination text not null default ''");
  value("update " + prefix + "meta set version = 1");

  TargetOptions options = quick();
  options.target = "orders";
  auto later = opened(url_, options);
  auto snap = later->snapshot();
  ASSERT_TRUE(snap) << snap.error().message;
  EXPECT_TRUE(snap->prepared);
  EXPECT_EQ(ids(*snap), std::vector<std::string>{"0001"});
  EXPECT_EQ(snap->claim.token.value, 3U);
  EXPECT_EQ(snap->target, "");
  EXPECT_EQ(value("select version from " + prefix + "meta"), "1");  // reading changes nothing

  ASSERT_TRUE(later->prepare());
  EXPECT_EQ(value("select version from " + prefix + "meta"), "2");
  ASSERT_TRUE(later->bind());
  snap = later->snapshot();
  ASSERT_TRUE(snap);
  EXPECT_EQ(ids(*snap), std::vector<std::string>{"0001"});
  EXPECT_EQ(snap->target, "orders");
  EXPECT_EQ(snap->id, target->identity()->id);
}

TEST_P(EveryTarget, TwoNamesForOneDatabaseAreRefused) {
  const auto named = [&](const std::string& name) {
    TargetOptions options = quick();
    options.target = name;
    return prepared(url_, options);
  };
  auto orders = named("orders");
  auto typo = named("oders");
  ASSERT_TRUE(orders->bind());
  ASSERT_TRUE(orders->bind()) << "it may be repeated";
  const auto bound = typo->bind();
  ASSERT_FALSE(bound);
  EXPECT_EQ(bound.error().reason, "TARGET_NAME_DIFFERS");
  for (const std::string word : {"orders", "oders", "--app", "syzygy target rebind oders"}) {
    EXPECT_TRUE(bound.error().message.contains(word)) << bound.error().message;
  }

  const auto claim = typo->claim(claim_request(run_info(7)), {}, {});
  ASSERT_TRUE(std::holds_alternative<Error>(claim));
  EXPECT_EQ(std::get<Error>(claim).reason, "TARGET_NAME_DIFFERS");
  EXPECT_EQ(orders->snapshot()->claim.token.value, 0U);
  BreakGlass glass;
  glass.incarnation = IncarnationId{"a"};
  glass.round = RoundId{"r"};
  const auto broken = typo->break_glass_begin(glass, {}, {});
  ASSERT_TRUE(std::holds_alternative<Error>(broken));
  EXPECT_EQ(std::get<Error>(broken).reason, "TARGET_NAME_DIFFERS");
  const auto findings = typo->diagnose();
  const auto found = std::ranges::find(findings, "target's name", &Finding::name);
  ASSERT_NE(found, findings.end());
  EXPECT_FALSE(found->ok);

  const auto stood = typo->rebind("an operator", "renamed");
  ASSERT_TRUE(stood) << stood.error().message;
  EXPECT_EQ(*stood, "orders");
  EXPECT_TRUE(typo->bind());
  EXPECT_FALSE(orders->bind());
  const auto acts = typo->audit();
  ASSERT_TRUE(acts);
  ASSERT_EQ(acts->size(), 1U);
  EXPECT_EQ(acts->front().what, "rebind");
  EXPECT_EQ(acts->front().reason, "renamed");
}

TEST_P(EveryTarget, AClaimBindsTheNameAndAnotherApplicationHasItsOwn) {
  TargetOptions options = quick();
  options.target = "orders";
  auto orders = prepared(url_, options);
  claimed(*orders, run_info(2));
  EXPECT_EQ(orders->identity()->target, "orders");
  options.target = "billing";
  options.application = "billing";
  auto billing = prepared(url_, options);
  claimed(*billing, run_info(1));
  EXPECT_EQ(billing->identity()->target, "billing");
  auto unnamed = prepared(url_);  // who gives no name is not asked for one
  claimed(*unnamed, run_info(3));
  EXPECT_EQ(unnamed->identity()->target, "orders");
}

TEST_P(EveryTarget, DiagnosisOfAHealthyTargetFindsNothing) {
  auto target = prepared(url_);
  for (const Finding& finding : target->diagnose()) EXPECT_TRUE(finding.ok) << finding.name << ": " << finding.cause;
}

TEST_P(EveryTarget, DiagnosisNamesAnotherToolsHistory) {
  value(
      "create table schema_migrations (version bigint not null primary key, dirty boolean not null); "
      "insert into schema_migrations values (2, false)");
  const auto findings = diagnose_target(url_, quick());
  const auto it = std::ranges::find(findings, "other tools' history", &Finding::name);
  ASSERT_NE(it, findings.end());
  EXPECT_FALSE(it->ok);
  EXPECT_EQ(it->next, "syzygy history adopt");
}

}  // namespace
}  // namespace syzygy::migration
