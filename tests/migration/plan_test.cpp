// What becomes of a directory and a history: what is applied, what is held back, what is refused.
#include "migration/plan/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/sha256.h"

namespace syzygy {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kAdd = "CREATE TABLE a (x int);";
constexpr const char* kDrop = "DROP TABLE b;";
constexpr const char* kDropOfA = "ALTER TABLE a DROP COLUMN y;";  // names what kAdd names

Script script(std::string text, std::string path) {
  Script script;
  script.content = sha256_hex(text);
  script.text = std::move(text);
  script.path = std::move(path);
  return script;
}

Migration migration(const std::string& id, std::string up, std::optional<std::string> down = "SELECT 1") {
  Migration migration;
  migration.id = StepId{id};
  migration.name = "x";
  migration.up = script(std::move(up), "m/" + id + "_x.sql");
  if (down) migration.down = script(std::move(*down), "m/" + id + "_x.down.sql");
  return migration;
}

Migration depending(Migration migration, std::vector<std::string> ids) {
  migration.depends.emplace();
  for (auto& id : ids) migration.depends->emplace_back(std::move(id));
  return migration;
}

AppliedStep applied(const Migration& migration, std::optional<Stage> stage = Stage::kPreDeploy) {
  return {migration.id, migration.up.content, stage};
}

PlanRequest request(PlanStage stage = PlanStage::kAll) {
  PlanRequest request;
  request.target = TargetName{"orders"};
  request.stage = stage;
  return request;
}

PlanRequest to(std::string id) {
  PlanRequest made = request();
  made.to = StepId{std::move(id)};
  return made;
}

PlanRequest revert_to(std::string id, PlanStage stage = PlanStage::kAll) {
  PlanRequest made = request(stage);
  made.revert_to = StepId{std::move(id)};
  return made;
}

std::vector<std::string> ids(const MigrationPlan& plan) {
  std::vector<std::string> ids;
  for (const auto& step : plan.steps) ids.push_back(step.step.id.value);
  return ids;
}

std::vector<std::string> held(const MigrationPlan& plan) {
  std::vector<std::string> ids;
  for (const auto& step : plan.held_back) ids.push_back(step.id.value);
  return ids;
}

MigrationPlan plan(const std::vector<Migration>& migrations, const std::vector<AppliedStep>& history,
                   const PlanRequest& asked) {
  auto made = make_plan(migrations, history, asked);
  EXPECT_TRUE(made) << (made ? "" : made.error().message);
  return made ? std::move(*made) : MigrationPlan{};
}

Error refusal(const std::vector<Migration>& migrations, const std::vector<AppliedStep>& history,
              const PlanRequest& asked) {
  auto made = make_plan(migrations, history, asked);
  EXPECT_FALSE(made);
  return made ? Error{} : made.error();
}

TEST(MigrationPlan, AppliesWhatIsPendingInOrderWithAllThatTheApplierNeeds) {
  const std::vector all{migration("1", kAdd), migration("2", "CREATE TABLE b ();\nCREATE TABLE c ();"),
                        migration("10", kDrop)};
  const auto made = plan(all, {applied(all[0])}, request());
  EXPECT_THAT(ids(made), ElementsAre("2", "10"));
  ASSERT_EQ(made.plan.steps.size(), 2u);
  EXPECT_EQ(made.plan.steps[0], made.steps[0].step);
  EXPECT_EQ(made.plan.steps[0], (Step{StepId{"2"}, Direction::kUp, Stage::kPreDeploy, all[1].up.content, true}));
  EXPECT_EQ(made.plan.steps[1].stage, Stage::kPostDeploy);
  EXPECT_EQ(made.plan.target, TargetName{"orders"});
  ASSERT_EQ(made.steps[0].statements.size(), 2u);
  EXPECT_EQ(made.steps[0].statements[1].text, "CREATE TABLE c ()");
  EXPECT_EQ(made.steps[0].statements[1].place.line, 2u);
  EXPECT_EQ(made.steps[0].meanings.size(), 2u);
  EXPECT_EQ(made.steps[0].file, "m/2_x.sql");
  EXPECT_EQ(made.last_known, StepId{"10"});
}

TEST(MigrationPlan, NothingPendingIsAPlanWithoutSteps) {
  const std::vector all{migration("1", kAdd)};
  const auto made = plan(all, {applied(all[0])}, request());
  EXPECT_THAT(made.plan.steps, IsEmpty());
  EXPECT_EQ(made.last_known, StepId{"1"});
}

TEST(MigrationPlan, PreDeployHoldsPostDeployBackAndSaysWhy) {
  const std::vector all{migration("1", kAdd), migration("2", kDrop)};
  const auto made = plan(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_THAT(ids(made), ElementsAre("1"));
  EXPECT_THAT(held(made), ElementsAre("2"));
  EXPECT_THAT(made.held_back[0].why, HasSubstr("drops table b (m/2_x.sql:1:1)"));
  EXPECT_EQ(made.plan.stage, PlanStage::kPreDeploy);
}

TEST(MigrationPlan, PreDeployThatDependsOnOneLeftOutIsAmbiguous) {
  const std::vector all{migration("1", kDropOfA), migration("2", kAdd)};
  const auto error = refusal(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_EQ(error.reason, "PLAN_AMBIGUOUS");
  EXPECT_THAT(
      error.message,
      AllOf(HasSubstr("2 (pre_deploy, inferred: creates table a (m/2_x.sql:1:1))"),
            HasSubstr("1 (post_deploy, inferred: drops column y of table a (m/1_x.sql:1:1)) (both name table a)"),
            HasSubstr("--pre-deploy"), HasSubstr("-- syzygy:depends"), HasSubstr("-- syzygy:stage"),
            HasSubstr("--to 1")));
}

TEST(MigrationPlan, AGivenStageIsNamedAsGiven) {
  std::vector all{migration("1", kDropOfA), migration("2", kAdd)};
  all[0].up.stage = Stage::kPostDeploy;
  all[0].up.stage_line = 1;
  const auto error = refusal(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_THAT(error.message, HasSubstr("1 (post_deploy, given in m/1_x.sql:1)"));
}

TEST(MigrationPlan, DependsSetsAMigrationFree) {
  const std::vector all{migration("1", kDropOfA), depending(migration("2", kAdd), {})};
  const auto made = plan(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_THAT(ids(made), ElementsAre("2"));
  EXPECT_THAT(held(made), ElementsAre("1"));
}

TEST(MigrationPlan, DependenceGoesThroughOthers) {
  // 3 needs 2, which is empty and needs 1, which is left out.
  const std::vector all{migration("1", kDrop), depending(migration("2", "-- nothing"), {"1"}),
                        depending(migration("3", kAdd), {"2"})};
  const auto error = refusal(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_EQ(error.reason, "PLAN_AMBIGUOUS");
  EXPECT_EQ(error.metadata.at("depends_on"), "1");
}

TEST(MigrationPlan, WithoutStatementsAMigrationBlocksNothing) {
  const std::vector all{migration("1", "-- nothing"), migration("2", kAdd), migration("3", kDrop), migration("4", "")};
  const auto made = plan(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_THAT(ids(made), ElementsAre("1", "2", "4"));
  EXPECT_THAT(held(made), ElementsAre("3"));
  EXPECT_THAT(made.steps[0].statements, IsEmpty());
  EXPECT_EQ(made.steps[0].step.stage, Stage::kPreDeploy);
  EXPECT_EQ(plan(all, {applied(all[1])}, request(PlanStage::kPostDeploy)).steps.front().step.stage, Stage::kPostDeploy);
}

TEST(MigrationPlan, PlainAppliesEverythingWhateverDependsOnWhat) {
  const std::vector all{migration("1", kDrop), migration("2", kAdd)};
  EXPECT_THAT(ids(plan(all, {}, request())), ElementsAre("1", "2"));
}

TEST(MigrationPlan, StagesAreTheSameWhateverIsApplied) {
  // A recovery compares what is left with what was gathered.
  const std::vector all{migration("1", "CREATE TABLE t (a int);"),
                        migration("2", "ALTER TABLE t ALTER a SET NOT NULL;")};
  const auto whole = plan(all, {}, request());
  const auto rest = plan(all, {applied(all[0])}, request());
  ASSERT_EQ(whole.plan.steps.size(), 2u);
  EXPECT_EQ(proper_suffix_at(whole.plan, rest.plan), 1u);
}

TEST(MigrationPlan, ToStopsThere) {
  const std::vector all{migration("0001", kAdd), migration("0002", kAdd), migration("0003", "not SQL at all; '")};
  EXPECT_THAT(ids(plan(all, {}, to("2"))), ElementsAre("0001", "0002"));
  const auto error = refusal(all, {}, to("0009"));
  EXPECT_EQ(error.reason, "STEP_UNKNOWN");
  EXPECT_THAT(error.message, HasSubstr("0001 to 0003"));
}

TEST(MigrationPlan, ToAndRevertToExcludeEachOther) {
  PlanRequest both = to("1");
  both.revert_to = StepId{"1"};
  EXPECT_EQ(refusal({migration("1", kAdd)}, {}, both).reason, "PLAN_INVALID");
}

TEST(MigrationPlan, AChangedFileThatWasAppliedIsRefused) {
  const std::vector all{migration("0001", kAdd), migration("0002", kAdd)};
  auto history = std::vector{applied(all[0]), applied(all[1])};
  history[0].content = sha256_hex("before");
  history[1].content = sha256_hex("before");
  const auto error = refusal(all, history, request());
  EXPECT_EQ(error.reason, "STEP_CHANGED");
  EXPECT_THAT(error.message, AllOf(HasSubstr("m/0001_x.sql"), HasSubstr("syzygy history accept 0001 --reason"),
                                   HasSubstr("the same holds for 0002")));
  history[0].content = history[1].content = "";  // adopted: not known
  EXPECT_THAT(ids(plan(all, history, request())), IsEmpty());
}

TEST(MigrationPlan, PendingBelowTheHighestAppliedIsRefused) {
  const std::vector all{migration("1", kAdd), migration("2", kAdd), migration("3", kAdd)};
  const std::vector history{applied(all[0]), applied(all[2])};
  const auto error = refusal(all, history, request());
  EXPECT_EQ(error.reason, "OUT_OF_ORDER");
  EXPECT_THAT(error.message, AllOf(HasSubstr("m/2_x.sql"), HasSubstr("below 3"), HasSubstr("--allow-out-of-order")));
  PlanRequest late = request();
  late.allow_out_of_order = true;
  EXPECT_THAT(ids(plan(all, history, late)), ElementsAre("2"));
}

TEST(MigrationPlan, HeldBackByItsStageIsNotOutOfOrder) {
  const std::vector all{migration("1", kDrop), depending(migration("2", kAdd), {})};
  const std::vector after_pre_deploy{applied(all[1], Stage::kPreDeploy)};
  EXPECT_THAT(ids(plan(all, after_pre_deploy, request())), ElementsAre("1"));
  EXPECT_THAT(held(plan(all, after_pre_deploy, request(PlanStage::kPreDeploy))), ElementsAre("1"));
  // The near misses: what is above was applied after the deployment, or nobody knows when.
  EXPECT_EQ(refusal(all, {applied(all[1], Stage::kPostDeploy)}, request()).reason, "OUT_OF_ORDER");
  EXPECT_EQ(refusal(all, {applied(all[1], std::nullopt)}, request()).reason, "OUT_OF_ORDER");
}

TEST(MigrationPlan, AppliedIdsThatTheDirectoryLacksAreReported) {
  const std::vector all{migration("1", kAdd)};
  const auto made = plan(all, {applied(all[0]), applied(migration("2", kAdd))}, request());
  EXPECT_THAT(made.not_in_directory, ElementsAre(StepId{"2"}));
  EXPECT_THAT(ids(made), IsEmpty());
  // But a pending one below them is as late as below any other.
  EXPECT_EQ(refusal(all, {applied(migration("2", kAdd))}, request()).reason, "OUT_OF_ORDER");
}

TEST(MigrationPlan, OneNumberIsOneMigrationHoweverItIsWritten) {
  const std::vector all{migration("0001", kAdd)};
  EXPECT_THAT(ids(plan(all, {{StepId{"1"}, all[0].up.content, Stage::kPreDeploy}}, request())), IsEmpty());
}

TEST(MigrationPlan, ASingleTransactionAroundTheFileIsOurs) {
  const std::vector all{migration("1", "BEGIN;\nCREATE TABLE a ();\nCOMMIT;")};
  const auto made = plan(all, {}, request());
  ASSERT_EQ(made.steps[0].statements.size(), 1u);
  EXPECT_EQ(made.steps[0].statements[0].text, "CREATE TABLE a ()");
  EXPECT_EQ(made.steps[0].meanings.size(), 1u);
  EXPECT_TRUE(made.steps[0].step.atomic);
}

TEST(MigrationPlan, NoTransactionIsNotAtomic) {
  std::vector all{migration("1", "CREATE INDEX CONCURRENTLY i ON t (a)")};
  EXPECT_EQ(refusal(all, {}, request()).reason, "NOT_IN_TRANSACTION");
  all[0].up.no_transaction = true;
  const auto made = plan(all, {}, request());
  EXPECT_FALSE(made.steps[0].step.atomic);
  EXPECT_TRUE(made.steps[0].no_transaction);
}

TEST(MigrationPlan, TooManySteps) {
  std::vector<Migration> all;
  for (std::size_t i = 0; i <= kPlanStepsMax; ++i) all.push_back(migration(std::to_string(i), "SELECT 1"));
  EXPECT_EQ(refusal(all, {}, request()).reason, "PLAN_INVALID");
}

// --- backwards
// --------------------------------------------------------------------------------------------------------

TEST(RevertPlan, GoesBackInReverseOrderWithTheDownTexts) {
  const std::vector all{migration("1", kAdd), migration("2", kAdd, "DROP TABLE a"), migration("3", kAdd)};
  const auto made = plan(all, {applied(all[0]), applied(all[1]), applied(all[2])}, revert_to("1"));
  EXPECT_THAT(ids(made), ElementsAre("3", "2"));
  EXPECT_EQ(made.steps[1].step.direction, Direction::kDown);
  EXPECT_EQ(made.steps[1].step.content, all[1].down->content);
  EXPECT_EQ(made.steps[1].statements[0].text, "DROP TABLE a");
  EXPECT_EQ(made.steps[1].file, "m/2_x.down.sql");
}

TEST(RevertPlan, ZeroRevertsEverythingAndOnlyWhatIsApplied) {
  const std::vector all{migration("1", kAdd), migration("2", kAdd)};
  EXPECT_THAT(ids(plan(all, {applied(all[0])}, revert_to("zero"))), ElementsAre("1"));
  EXPECT_THAT(ids(plan(all, {}, revert_to("zero"))), IsEmpty());
  EXPECT_THAT(ids(plan(all, {applied(all[0])}, revert_to("0000"))), ElementsAre("1"));
  const std::vector from_zero{migration("0", kAdd), migration("1", kAdd)};
  EXPECT_THAT(ids(plan(from_zero, {applied(from_zero[0]), applied(from_zero[1])}, revert_to("0"))), ElementsAre("1"));
  EXPECT_EQ(refusal(all, {}, revert_to("7")).reason, "STEP_UNKNOWN");
}

TEST(RevertPlan, InvertsTheStage) {
  const std::vector all{migration("1", kAdd), migration("2", kDrop)};
  const std::vector history{applied(all[0], Stage::kPreDeploy), applied(all[1], Stage::kPostDeploy)};
  const auto before = plan(all, history, revert_to("zero", PlanStage::kPreDeploy));
  EXPECT_THAT(ids(before), ElementsAre("2"));
  EXPECT_THAT(held(before), ElementsAre("1"));
  EXPECT_EQ(before.steps[0].step.stage, Stage::kPreDeploy);
  EXPECT_EQ(before.steps[0].decision.source, StageSource::kInverse);
  EXPECT_EQ(plan(all, {history[0]}, revert_to("zero")).steps[0].step.stage, Stage::kPostDeploy);
}

TEST(RevertPlan, AnAdoptedStepIsJudgedNow) {
  const std::vector all{migration("1", kDrop)};
  EXPECT_EQ(plan(all, {applied(all[0], std::nullopt)}, revert_to("zero")).steps[0].step.stage, Stage::kPreDeploy);
}

TEST(RevertPlan, AMarkerInTheDownPartIsTheRevertsOwnStage) {
  std::vector all{migration("1", kAdd)};
  all[0].down->stage = Stage::kPreDeploy;
  EXPECT_EQ(plan(all, {applied(all[0])}, revert_to("zero")).steps[0].step.stage, Stage::kPreDeploy);
}

TEST(RevertPlan, LeavesNoAppliedChildOnAnUnappliedParent) {
  const std::vector all{migration("1", kDropOfA), migration("2", kAdd)};
  const std::vector history{applied(all[0], Stage::kPostDeploy), applied(all[1], Stage::kPreDeploy)};
  const auto error = refusal(all, history, revert_to("zero", PlanStage::kPreDeploy));
  EXPECT_EQ(error.reason, "REVERT_LEAVES_CHILD");
  EXPECT_THAT(error.message, AllOf(HasSubstr("migration 1 (pre_deploy"), HasSubstr("2 (post_deploy"),
                                   HasSubstr("-- syzygy:depends"), HasSubstr("without --pre-deploy")));
  EXPECT_THAT(ids(plan(all, history, revert_to("zero"))), ElementsAre("2", "1"));
  const std::vector free{all[0], depending(all[1], {})};
  EXPECT_THAT(ids(plan(free, history, revert_to("zero", PlanStage::kPreDeploy))), ElementsAre("1"));
}

TEST(RevertPlan, WithoutStatementsItStaysUnderItsChild) {
  // 2, added before the deployment, is reverted after it; 1 has no stage, and goes with it.
  const std::vector all{migration("1", "", ""), depending(migration("2", kAdd), {"1"})};
  const std::vector history{applied(all[0]), applied(all[1], Stage::kPreDeploy)};
  const auto made = plan(all, history, revert_to("zero", PlanStage::kPreDeploy));
  EXPECT_THAT(ids(made), IsEmpty());
  EXPECT_THAT(held(made), ElementsAre("2", "1"));
  EXPECT_THAT(ids(plan(all, {history[0]}, revert_to("zero", PlanStage::kPreDeploy))), ElementsAre("1"));
}

TEST(RevertPlan, NeedsAWayBack) {
  const std::vector all{migration("1", kAdd), migration("2", kAdd, std::nullopt)};
  const auto error = refusal(all, {applied(all[0]), applied(all[1])}, revert_to("zero"));
  EXPECT_EQ(error.reason, "DOWN_MISSING");
  EXPECT_THAT(error.message, AllOf(HasSubstr("m/2_x.sql"), HasSubstr("-- syzygy:down")));
  // What did nothing needs none.
  const std::vector empty{migration("1", "-- nothing", std::nullopt)};
  EXPECT_THAT(ids(plan(empty, {applied(empty[0])}, revert_to("zero"))), ElementsAre("1"));
}

TEST(RevertPlan, WhatTheDirectoryLacksCannotBeReverted) {
  const std::vector all{migration("1", kAdd)};
  const auto error = refusal(all, {applied(all[0]), applied(migration("2", kAdd))}, revert_to("zero"));
  EXPECT_EQ(error.reason, "REVERT_NOT_IN_DIRECTORY");
  EXPECT_THAT(error.message, AllOf(HasSubstr("migration 2"), HasSubstr("release that has it")));
}

TEST(RevertPlan, UsesTheIdThatTheHistoryHolds) {
  const std::vector all{migration("0001", kAdd)};
  const auto made = plan(all, {{StepId{"1"}, all[0].up.content, Stage::kPreDeploy}}, revert_to("zero"));
  EXPECT_THAT(ids(made), ElementsAre("1"));
}

Migration repeatable(const std::string& name, const std::string& text) {
  Migration made = migration("R__" + name, text, std::nullopt);
  made.id = StepId{"R__" + name + "@" + made.up.content.substr(0, 12)};
  made.repeatable = true;
  return made;
}

TEST(Plan, ARepeatableIsPendingWheneverItsTextIsNew) {
  const std::vector<Migration> all = {migration("1", kAdd), migration("2", "CREATE TABLE c (x int)"),
                                      repeatable("views", "CREATE VIEW v AS SELECT 2")};
  const Migration older = repeatable("views", "CREATE VIEW v AS SELECT 1");
  // It was applied before 2 came, which is no reason to refuse 2.
  auto plan = make_plan(all, {applied(all[0]), applied(older)}, request());
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->steps.size(), 2u);
  EXPECT_EQ(plan->steps[0].step.id, StepId{"2"});
  EXPECT_EQ(plan->steps[1].step.id, all[2].id);
  EXPECT_THAT(plan->not_in_directory, IsEmpty());
  EXPECT_EQ(plan->last_known, StepId{"2"});
  plan = make_plan(all, {applied(all[0]), applied(all[1]), applied(all[2])}, request());
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_THAT(plan->steps, IsEmpty());
  // A revert leaves it as it is.
  PlanRequest back = request();
  back.revert_to = StepId{"1"};
  plan = make_plan(all, {applied(all[0]), applied(all[1]), applied(all[2])}, back);
  ASSERT_TRUE(plan) << plan.error().message;
  ASSERT_EQ(plan->steps.size(), 1u);
  EXPECT_EQ(plan->steps[0].step.id, StepId{"2"});
}

// --- what depends on what, where nothing is declared
// --------------------------------------------------------------------------------------------------------

// Is the later one held up by the earlier, which a pre-deploy plan leaves out? "": no; else why.
std::string tie(const std::string& earlier, const std::string& later, Dialect dialect = Dialect::kPostgres) {
  std::vector all{migration("1", earlier), migration("2", later)};
  all[0].up.stage = Stage::kPostDeploy;
  all[1].up.stage = Stage::kPreDeploy;
  PlanRequest asked = request(PlanStage::kPreDeploy);
  asked.dialect = dialect;
  const auto made = make_plan(all, {}, asked);
  if (made) return "";
  EXPECT_EQ(made.error().reason, "PLAN_AMBIGUOUS") << made.error().message;
  const std::string& message = made.error().message;
  const auto end = message.find("), which --pre-deploy");
  const auto begin = message.rfind(" (", end);
  return message.substr(begin + 2, end - begin - 2);
}

TEST(Dependencies, WhoNamesTheSameRelation) {
  EXPECT_EQ(tie("DROP TABLE a", "CREATE TABLE b (x int)"), "");
  EXPECT_EQ(tie("DROP TABLE a", "CREATE TABLE b (x int REFERENCES a)"), "both name table a");
  EXPECT_EQ(tie("DROP TABLE a", "CREATE VIEW v AS SELECT * FROM b, (SELECT 1 FROM a) s"), "both name table a");
  EXPECT_EQ(tie("DROP TABLE a", "INSERT INTO b SELECT * FROM a"), "both name table a");
  EXPECT_EQ(tie("CREATE INDEX i ON a (x)", "DROP INDEX i"), "both name index i");
  EXPECT_EQ(tie("ALTER TABLE a RENAME TO b", "ALTER TABLE b ADD y int"), "both name table b");
  EXPECT_EQ(tie("DROP TABLE s.a", "ALTER TABLE t.a ADD y int"), "");  // in two schemas
  EXPECT_EQ(tie("DROP TABLE s.a", "ALTER TABLE a ADD y int"), "both name table s.a");
  EXPECT_EQ(tie("WITH a AS (SELECT 1) SELECT * FROM a", "CREATE TABLE a (x int)"), "");  // a name of its own
  EXPECT_EQ(tie("CREATE TEMP TABLE a (x int)", "CREATE TABLE b (x int)"), "");
}

TEST(Dependencies, WhoChangesATypeOrFunctionThatTheOtherNames) {
  EXPECT_EQ(tie("ALTER TABLE a ADD x text DEFAULT now()", "ALTER TABLE b ADD x text DEFAULT now()"), "");
  EXPECT_EQ(tie("ALTER TABLE a ADD x mood", "ALTER TABLE b ADD x mood"), "");  // used by both, changed by none
  EXPECT_EQ(tie("ALTER TYPE mood RENAME VALUE 'a' TO 'b'", "ALTER TABLE b ADD x mood"), "both name type mood");
  EXPECT_EQ(tie("ALTER TABLE b ADD x mood", "ALTER TYPE mood ADD VALUE 'c'"), "both name type mood");
  EXPECT_EQ(tie("DROP FUNCTION f()", "ALTER TABLE b ADD x int DEFAULT f()"), "both name function f");
}

TEST(Dependencies, WhatCannotBeToldBelongsToEverything) {
  EXPECT_THAT(tie("SELECT unknown_function()", "CREATE TABLE b (x int)"), HasSubstr("the earlier one calls"));
  EXPECT_THAT(tie("DROP TABLE a", "SELECT unknown_function()"), HasSubstr("the later one calls"));
  EXPECT_THAT(tie("CREATE EXTENSION citext", "CREATE TABLE b (x citext)"), HasSubstr("extension citext"));
}

TEST(Dependencies, OnSqliteAnyWordMayBeATable) {
  EXPECT_EQ(tie("DROP TABLE a", "CREATE TABLE b (x int)", Dialect::kSqlite), "");
  EXPECT_THAT(tie("DROP TABLE a", "CREATE VIEW v AS SELECT * FROM \"A\"", Dialect::kSqlite), HasSubstr("both name"));
  EXPECT_THAT(tie("CREATE VIEW v AS SELECT * FROM a", "ALTER TABLE a ADD x", Dialect::kSqlite), HasSubstr("both name"));
}

TEST(Dependencies, GoThroughOthersAndNameBothEnds) {
  // 3 names what 2 names, which stands behind 1 though it has no statements of its own stage.
  std::vector all{migration("1", "DROP TABLE a"), depending(migration("2", "-- nothing"), {"1"}),
                  depending(migration("3", kAdd), {"2"})};
  const auto error = refusal(all, {}, request(PlanStage::kPreDeploy));
  EXPECT_EQ(error.metadata.at("depends_on"), "1");
  EXPECT_THAT(error.message, HasSubstr("(through 2)"));
}

TEST(Dependencies, MayBeRevertedApart) {
  const std::vector all{migration("1", kDrop, "CREATE TABLE b (x int)"), migration("2", kAdd, "DROP TABLE a")};
  const std::vector history{applied(all[0], Stage::kPostDeploy), applied(all[1], Stage::kPreDeploy)};
  const auto made = plan(all, history, revert_to("zero", PlanStage::kPreDeploy));
  EXPECT_THAT(ids(made), ElementsAre("1"));
  EXPECT_THAT(held(made), ElementsAre("2"));
}

}  // namespace
}  // namespace syzygy
