// foreign_test.cpp - other tools' tables, as they create them themselves.
#include "migration/target/foreign.h"

#include "migration/target/ledger.h"
#include "tests/migration/target/suite.h"

namespace syzygy::migration {
namespace {

std::vector<KnownStep> directory(const std::vector<std::string>& ids) {
  std::vector<KnownStep> steps;
  for (const std::string& id : ids) steps.push_back({StepId{id}, "text of " + id});
  return steps;
}

std::vector<StepId> steps(const std::vector<std::string>& ids) { return {ids.begin(), ids.end()}; }

std::string adopted(const Result<std::vector<KnownStep>>& result) {
  if (!result) return result.error().reason;
  std::string text;
  for (const KnownStep& step : *result) text += (text.empty() ? "" : " ") + step.id.value;
  return text;
}

TEST(Foreign, TwoIdsAreOneMigrationExactlyIfTheirKeysAreEqual) {
  const std::vector<std::string> all = {"1",   "01",   "0001", "10",   "0",  "00",  "",     "a",   "1a",
                                        "01a", "1a01", "1a1",  "1a10", "a1", "a01", "1_02", "1_2", "20240131093000"};
  for (const std::string& a : all) {
    for (const std::string& b : all) {
      EXPECT_EQ(step_key(StepId{a}) == step_key(StepId{b}), same_id(StepId{a}, StepId{b})) << a << " " << b;
    }
  }
}

TEST(Foreign, AdoptsWhatTheToolsTableSays) {
  const auto four = directory({"0001", "0002", "0003", "0004"});
  const ForeignHistory one_number{"golang-migrate", "schema_migrations", {"3"}, true};
  const ForeignHistory list{"goose", "goose_db_version", {"1", "3"}};
  EXPECT_EQ(adopted(plan_adoption({one_number}, four, std::nullopt)), "0001 0002 0003");
  EXPECT_EQ(adopted(plan_adoption({list}, four, std::nullopt)), "0001 0003");
  EXPECT_EQ(adopted(plan_adoption({list}, four, StepId{"2"})), "0001 0002");
  EXPECT_EQ(adopted(plan_adoption({}, four, StepId{"0004"})), "0001 0002 0003 0004");
  EXPECT_EQ(adopted(plan_adoption({list}, four, StepId{"zero"})), "");
  EXPECT_EQ(adopted(plan_adoption({list}, four, StepId{"9"})), "STEP_UNKNOWN");
  EXPECT_EQ(adopted(plan_adoption({}, four, std::nullopt)), "NOTHING_TO_ADOPT");
  EXPECT_EQ(adopted(plan_adoption({list, one_number}, four, std::nullopt)), "NOTHING_TO_ADOPT");
  EXPECT_EQ(adopted(plan_adoption({{"goose", "t", {"9"}}}, four, std::nullopt)), "FOREIGN_UNKNOWN_VERSION");
  EXPECT_EQ(adopted(plan_adoption({{"golang-migrate", "t", {"3"}, true, true}}, four, std::nullopt)), "FOREIGN_DIRTY");
  ForeignHistory only_seen{"Atlas", "t", {}};
  only_seen.readable = false;
  EXPECT_EQ(adopted(plan_adoption({only_seen}, four, std::nullopt)), "NOTHING_TO_ADOPT");
}

TEST(Foreign, OneNumberCanSayOnlyAPrefix) {
  const auto three = directory({"0001", "0002", "0010"});
  const auto says = [&](const std::vector<std::string>& applied) -> std::string {
    const ForeignVersion version = foreign_version(three, steps(applied));
    return !version.possible ? "cannot" : version.version.value_or("none");
  };
  EXPECT_EQ(says({}), "none");
  EXPECT_EQ(says({"0001"}), "1");
  EXPECT_EQ(says({"2", "1"}), "2");
  EXPECT_EQ(says({"0001", "0002", "0010"}), "10");
  EXPECT_EQ(says({"0002"}), "cannot");
  EXPECT_EQ(says({"0001", "0010"}), "cannot");
  EXPECT_EQ(says({"0001", "0099"}), "cannot");  // an image that does not know 0099 cannot say where it is
  EXPECT_FALSE(foreign_version(directory({"a"}), steps({"a"})).possible);  // not a number
}

KnownStep repeatable(const std::string& script, const std::string& checksum) {
  return {StepId{script + "@" + checksum}, "", "", script, checksum, 0, true};
}

std::string text(const Drift& drift) {
  std::string text;
  for (const KnownStep& step : drift.applied) text += "+" + step.id.value;
  for (const StepId& id : drift.reverted) text += "-" + id.value;
  return text;
}

TEST(Foreign, ABaselineStandsForEverythingUpToIt) {
  ForeignHistory flyway{"Flyway", "t", {"3"}};
  flyway.baseline = "2";
  EXPECT_EQ(adopted(plan_adoption({flyway}, directory({"1", "2", "3", "4"}), std::nullopt)), "1 2 3");
  EXPECT_EQ(adopted(plan_adoption({flyway}, directory({"3", "4"}), std::nullopt)), "3");
}

TEST(Foreign, ARepeatableCountsWithThisTextOnly) {
  ForeignHistory flyway{"Flyway", "t", {"1"}};
  flyway.repeatables = {{"R__a.sql", "7"}, {"R__b.sql", "8"}};
  std::vector<KnownStep> all = directory({"1"});
  all.push_back(repeatable("R__a.sql", "7"));
  all.push_back(repeatable("R__b.sql", "9"));
  EXPECT_EQ(adopted(plan_adoption({flyway}, all, std::nullopt)), "1 R__a.sql@7");
}

TEST(Foreign, DriftIsWhatTheToolDidByItself) {
  const auto four = directory({"1", "2", "3", "4"});
  const auto list = [&](const std::vector<std::string>& theirs, const std::vector<std::string>& ours) {
    return text(drift_of({"goose", "t", theirs}, four, steps(ours)));
  };
  EXPECT_EQ(list({"1", "3"}, {"1", "3"}), "");
  EXPECT_EQ(list({"1", "2", "3"}, {"1", "3"}), "+2");
  EXPECT_EQ(list({"1"}, {"1", "3"}), "-3");
  EXPECT_EQ(list({"1", "4"}, {"1", "3"}), "+4-3");
  EXPECT_EQ(list({"1", "9"}, {"1"}), "");       // a newer image's
  EXPECT_EQ(list({"1", "9"}, {"1", "9"}), "");  // which ours knows of
  const auto row = [&](const std::string& theirs, const std::vector<std::string>& ours) {
    ForeignHistory golang{"golang-migrate", "t", {}, true};
    if (!theirs.empty()) golang.versions = {theirs};
    return text(drift_of(golang, four, steps(ours)));
  };
  EXPECT_EQ(row("2", {"1", "2"}), "");
  EXPECT_EQ(row("3", {"1", "2"}), "+3");
  EXPECT_EQ(row("1", {"1", "2", "3"}), "-2-3");
  EXPECT_EQ(row("", {"1", "2"}), "-1-2");
  EXPECT_EQ(row("1", {"1", "3"}), "");      // stayed behind at a gap
  EXPECT_EQ(row("4", {"1", "3"}), "+2+4");  // and went on by itself
  EXPECT_EQ(row("9", {"1", "2"}), "");      // a newer image's
}

TEST(Foreign, AKeptTableIsSpelledWithItsTool) {
  EXPECT_EQ(kept_table(to_text({"goose", "public.goose_db_version"}))->tool, "goose");
  EXPECT_EQ(kept_table(to_text({"goose", "public.goose_db_version"}))->table, "public.goose_db_version");
  EXPECT_EQ(kept_table("public.schema_migrations")->tool, "golang-migrate");
  EXPECT_FALSE(kept_table("").has_value());
}

struct Theirs {
  std::string tool;
  std::string sql;
  std::vector<std::string> versions;
  bool refuses;
};

TEST(Foreign, RecognisesTheToolsByTheirTables) {
  const std::vector<Theirs> all = {
      {"golang-migrate",
       "create table schema_migrations (version bigint not null primary key, dirty boolean not null); "
       "insert into schema_migrations values (20240131, false)",
       {"20240131"},
       true},
      {"dbmate",
       "create table schema_migrations (version varchar(128) primary key); insert into schema_migrations values "
       "('0002'), ('0001')",
       {"0001", "0002"},
       true},
      {"goose",
       "create table goose_db_version (id integer not null, version_id bigint not null, is_applied boolean not "
       "null, tstamp timestamp); insert into goose_db_version values (1, 0, true, null), (2, 1, true, null), (3, 2, "
       "true, null), (4, 2, false, null)",
       {"1"},
       true},
      {"Flyway",
       "create table flyway_schema_history (installed_rank integer not null primary key, version varchar(50), "
       "description varchar(200) not null, type varchar(20) not null, script varchar(1000) not null, checksum integer, "
       "installed_by varchar(100) not null, execution_time integer not null, success boolean not null); "
       "insert into flyway_schema_history values (1, '1', 'a', 'SQL', 'V1__a.sql', 7, 'x', 0, true), "
       "(2, '2', 'b', 'SQL', 'V2__b.sql', 7, 'x', 0, false), (3, null, 'view', 'SQL', 'R__view.sql', 7, 'x', 0, true), "
       "(4, '3', 'c', 'SQL', 'V3__c.sql', 7, 'x', 0, true), (5, '3', 'c', 'UNDO_SQL', 'U3__c.sql', 7, 'x', 0, true)",
       {"1"},
       true},
      {"Atlas",
       "create table atlas_schema_revisions (version varchar(99) not null primary key, description varchar(99), type "
       "bigint not null, applied bigint not null, total bigint not null, hash varchar(99) not null); insert into "
       "atlas_schema_revisions values ('.atlas_cloud_identifier', '', 2, 0, 0, ''), ('1', 'a', 2, 3, 3, 'x'), ('2', "
       "'b', 2, 1, 3, 'x')",
       {"1"},
       true},
      {"Django",
       "create table django_migrations (id integer, app varchar(255), name varchar(255), applied timestamp)",
       {},
       false},
      {"Alembic", "create table alembic_version (version_num varchar(32) not null)", {}, false},
  };
  for (const Kind& kind : kinds()) {
    for (const Theirs& theirs : all) {
      const std::string url = kind.url();
      kind.value(url, theirs.sql);
      const auto snap = opened(url)->snapshot();
      ASSERT_TRUE(snap) << snap.error().message;
      ASSERT_EQ(snap->foreign.size(), 1u) << theirs.tool;
      EXPECT_EQ(snap->foreign[0].tool, theirs.tool);
      EXPECT_EQ(snap->foreign[0].versions, theirs.versions) << theirs.tool;
      EXPECT_EQ(refuses_unadopted(*snap).has_value(), theirs.refuses) << theirs.tool;
    }
    const std::string url = kind.url();
    kind.value(url, "create table schema_migrations (something text)");
    EXPECT_TRUE(opened(url)->snapshot()->foreign.empty());
  }
}

}  // namespace
}  // namespace syzygy::migration
