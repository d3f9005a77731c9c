// Every rule's own examples: those that fire do, and the near misses stay silent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "base/sha256.h"
#include "migration/rules/linter.h"
#include "migration/rules/page.h"
#include "migration/rules/rule.h"
#include "migration/source/markers.h"

namespace syzygy {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Migration migration(std::string id, std::string_view text, Dialect dialect = Dialect::kPostgres) {
  Migration made;
  made.id = StepId{id};
  const std::string path = id + "_example.sql";
  auto marked = read_markers(dialect, text, path);
  if (!marked) {
    ADD_FAILURE() << marked.error().message << "\n" << text;
    return made;
  }
  made.up = marked->up;
  made.down = marked->down;
  return made;
}

LintOptions all_on() {
  LintOptions options;
  options.quality = true;
  options.server_known = true;
  for (const Rule* rule : all_rules()) {
    if (rule->severity == Severity::kOff) options.severities[std::string(rule->id)] = Severity::kWarning;
  }
  return options;
}

LintReport lint_example(const Example& example, const LintOptions& options = all_on()) {
  const std::vector<Migration> migrations = {migration("0001", kExampleTables), migration("0002", example.before),
                                             migration("0003", example.sql)};
  return lint(migrations, {false, false, true}, options);
}

std::set<std::string> ids(const LintReport& report) {
  std::set<std::string> found;
  for (const Finding& finding : report.findings) {
    if (!finding.ignored_because) found.emplace(finding.rule->id);
  }
  return found;
}

std::set<std::string> lint_text(std::string_view sql, const LintOptions& options = all_on()) {
  return ids(lint_example({.sql = sql}, options));
}

TEST(Rules, FireOnWhatTheySayAndOnNoNearMiss) {
  for (const Rule* rule : all_rules()) {
    const std::string id(rule->id);
    EXPECT_FALSE(rule->fires.empty()) << id;
    EXPECT_FALSE(rule->silent.empty()) << id;
    for (const Example& example : rule->fires) {
      EXPECT_THAT(ids(lint_example(example)), Contains(id)) << example.sql;
    }
    for (const Example& example : rule->silent) {
      EXPECT_THAT(ids(lint_example(example)), Not(Contains(id))) << id << ": " << example.sql;
    }
  }
}

TEST(Rules, AreFoundByIdAndAlias) {
  std::set<std::string> names;
  for (const Rule* rule : all_rules()) {
    EXPECT_TRUE(names.emplace(rule->id).second) << rule->id;
    EXPECT_EQ(find_rule(rule->id), rule);
    EXPECT_FALSE(rule->title.empty() || rule->why.empty() || rule->safe.empty() || rule->triggers.empty()) << rule->id;
  }
  EXPECT_EQ(find_rule("Drop_Column"), find_rule("ban-drop-column"));
  EXPECT_EQ(find_rule("no-such"), nullptr);
  for (const char* code :
       {"NOT_NULL", "DROP_COLUMN", "DROP_TABLE", "RENAME_COLUMN", "RENAME_TABLE", "ALTER_COLUMN", "ADD_UNIQUE",
        "CREATE_INDEX", "CREATE_INDEX_EXCLUSIVE", "DROP_INDEX", "REINDEX", "RUNSQL_REVERSIBLE"}) {
    EXPECT_NE(find_rule(code), nullptr) << code;
  }
}

TEST(Rules, ThatSpeakOfLocksScansOrRewritesClaimSomething) {
  for (const Rule* rule : all_rules()) {
    if (rule->group != HazardGroup::kBlocks && rule->group != HazardGroup::kRewrites) continue;
    for (const Example& example : rule->fires) {
      EXPECT_TRUE(rule->claim || example.claim) << rule->id << ": " << example.sql;
    }
  }
}

TEST(Rules, ThatSayOldCodeBreaksShowHow) {
  for (const Rule* rule : all_rules()) {
    if (rule->group != HazardGroup::kBreaksOldCode) continue;
    for (const Example& example : rule->fires) {
      const bool outside = example.sql.find("DROP DATABASE") != std::string_view::npos;
      EXPECT_TRUE(outside || !example.breaks.empty() || !example.refused_as.empty()) << rule->id << ": " << example.sql;
    }
  }
}

// What the linter says of itself, of bad taste, or of a file's own ways back is nothing that a server could show.
TEST(Rules, ThatSayNewCodeBreaksDataIsLostOrItCannotWorkShowHow) {
  const std::set<std::string_view> of_ours = {"bad-ignore", "not-understood", "stage-ambiguous",
                                              "unreadable", "unused-ignore",  "no-way-back"};
  for (const Rule* rule : all_rules()) {
    const bool shows = rule->group == HazardGroup::kBreaksNewCode || rule->group == HazardGroup::kCannotWork ||
                       rule->group == HazardGroup::kLosesData;
    if (!shows || of_ours.contains(rule->id)) continue;
    EXPECT_TRUE(std::ranges::any_of(rule->fires, [](const Example& example) {
      return !example.seen.empty() || !example.refused_as.empty();
    })) << rule->id;
  }
}

// What is told to be written instead must not lose what the statement says.
TEST(Rules, SafeFormsKeepTheClause) {
  const auto safe_of = [](std::string_view sql, std::string_view rule) {
    for (const Finding& finding : lint_example({.sql = sql}).findings) {
      if (finding.rule->id == rule) return finding.safe;
    }
    return std::string("no finding");
  };
  EXPECT_EQ(safe_of("CREATE UNIQUE INDEX IF NOT EXISTS i ON orders USING btree (lower(note) DESC) INCLUDE (id) "
                    "WHERE note > ''",
                    "create-index"),
            "-- syzygy:no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS i ON orders USING btree "
            "(lower(note) DESC) INCLUDE (id) WHERE note > '';");
  EXPECT_EQ(safe_of("CREATE /* INDEX */ INDEX ON orders (note)", "create-index"),
            "-- syzygy:no-transaction\nCREATE /* INDEX */ INDEX CONCURRENTLY ON orders (note);");
  EXPECT_EQ(safe_of("ALTER TABLE orders ADD COLUMN x int, ADD CONSTRAINT f FOREIGN KEY (customer_id) REFERENCES "
                    "customers (id) ON DELETE CASCADE, ADD y int",
                    "foreign-key-scan"),
            "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY (customer_id) REFERENCES customers (id) ON DELETE CASCADE "
            "NOT VALID;\n-- in a transaction of its own\nALTER TABLE orders VALIDATE CONSTRAINT f;");
  EXPECT_EQ(safe_of("ALTER TABLE orders ADD CHECK (note IN ('a', 'b'))", "check-scan"),
            "ALTER TABLE orders ADD CHECK (note IN ('a', 'b')) NOT VALID;\n-- in a transaction of its own\nALTER TABLE "
            "orders VALIDATE CONSTRAINT orders_note_check;");
  // In a body the statement is another one.
  EXPECT_THAT(safe_of("DO $$ BEGIN CREATE INDEX i ON orders (note); END $$", "create-index"),
              testing::Not(HasSubstr("BEGIN")));
}

// --- stages
// ------------------------------------------------------------------------------------------------------------

TEST(Lint, ADropAfterItsPreludeIsNoError) {
  const std::vector<Migration> history = {
      migration("1", kExampleTables), migration("2", "ALTER TABLE orders ALTER COLUMN number DROP NOT NULL"),
      migration("3", "-- syzygy:stage post_deploy\nALTER TABLE orders DROP COLUMN number")};
  EXPECT_THAT(ids(lint(history, {false, false, true}, {})), testing::ElementsAre("dropped-data"));  // a note
  LintOptions one_phase;
  one_phase.one_phase = true;
  EXPECT_THAT(ids(lint(history, {false, false, true}, one_phase)), Contains("drop-column"));
}

// DROP ... IF EXISTS before the CREATE of what nothing has made hits nothing in a database that the directory made.
TEST(Lint, WhatNothingHasMadeIsNotDropped) {
  const std::string makes_room =
      "-- syzygy:stage pre_deploy\nDROP TABLE IF EXISTS a; CREATE TABLE a (x int); DROP TYPE IF EXISTS e; CREATE TYPE "
      "e "
      "AS ENUM ('a'); DROP INDEX IF EXISTS a_x; CREATE INDEX a_x ON a (x); DROP VIEW IF EXISTS v; CREATE VIEW v AS "
      "SELECT 1; DROP SEQUENCE IF EXISTS s; CREATE SEQUENCE s; DROP FUNCTION IF EXISTS f(); CREATE FUNCTION f() "
      "RETURNS "
      "int LANGUAGE sql AS 'SELECT 1'";
  const auto found = [&](std::string_view before, const std::string& text, const LintOptions& options = {}) {
    return ids(lint({migration("1", before), migration("2", text)}, {options.catalogue == nullptr, true}, options));
  };
  EXPECT_THAT(found("CREATE TABLE b (x int)", makes_room), IsEmpty());
  EXPECT_THAT(found("CREATE TABLE a (x int)", makes_room), Contains("drop-table"));
  EXPECT_THAT(found("CREATE TABLE b (x int); ALTER TABLE b RENAME TO a", makes_room), Contains("drop-table"));
  EXPECT_THAT(found("SELECT make_tables()", makes_room), Contains("drop-table"));
  EXPECT_THAT(found("CREATE TABEL b", makes_room), Contains("drop-table"));
  EXPECT_THAT(found("SELECT 'never ends", makes_room), Contains("drop-table"));
  EXPECT_THAT(found("CREATE TABLE b (x int)", "-- syzygy:stage pre_deploy\nDROP TABLE a; CREATE TABLE a (x int)"),
              Contains("drop-table"));
  EXPECT_THAT(found("CREATE TABLE b (x int)", "-- syzygy:stage pre_deploy\nDROP TABLE IF EXISTS a"),
              Contains("drop-table"));
  LintOptions options;
  options.unseen = true;
  EXPECT_THAT(found("CREATE TABLE b (x int)", makes_room, options), Contains("drop-table"));
  // With a database its catalogue rules, whatever the files say.
  Schema catalogue;
  options.catalogue = &catalogue;
  EXPECT_THAT(found("CREATE TABLE a (x int)", makes_room, options), IsEmpty());
  catalogue.add(KnownTable{.name = {ObjectKind::kTable, "public", "a"},
                           .columns = {},
                           .constraints = {},
                           .partitioned = false,
                           .bytes = 1 << 30});
  EXPECT_THAT(found("SELECT 1", makes_room, options), Contains("drop-table"));
}

// A type that another one takes the name of: the columns are of the old one until they are changed.
TEST(Lint, AColumnKeepsItsTypeWhenThatIsRenamed) {
  const auto found = [](const std::string& text) {
    const std::string_view before =
        "CREATE TYPE mood AS ENUM ('a'); CREATE TABLE t (m mood); CREATE TABLE s.t (n public.mood[]); CREATE TABLE "
        "mood "
        "(x int)";
    return ids(lint({migration("1", before), migration("2", text)}, {false, true}, LintOptions{}));
  };
  const std::string again = "; CREATE TYPE mood AS ENUM ('a', 'b'); ";
  const std::string plain = "ALTER TABLE t ALTER COLUMN m TYPE mood USING m::text::mood";
  const std::string array = "ALTER TABLE s.t ALTER COLUMN n TYPE public.mood[] USING n::text[]::public.mood[]";
  for (const std::string& change : {plain, array}) {
    EXPECT_THAT(found("ALTER TYPE mood RENAME TO mood_old" + again + change), Contains("rewrite-type")) << change;
    EXPECT_THAT(found("ALTER TYPE moods RENAME TO mood_old" + again + change), Not(Contains("rewrite-type"))) << change;
  }
  EXPECT_THAT(found("ALTER TYPE mood RENAME TO mood_old" + again + plain), Not(Contains("rename-routine-or-type")));
}

TEST(Lint, NewerSyntaxComesWithItsWayOut) {
  const std::string text = "CREATE TABLE t2 (a text STORAGE EXTERNAL)";
  const auto report = lint_example({.sql = text});
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_EQ(report.findings.front().rule->id, "not-understood");
  EXPECT_THAT(report.findings.front().message, HasSubstr("came with PostgreSQL 16"));
  const std::string& safe = report.findings.front().safe;
  EXPECT_THAT(safe, HasSubstr("-- syzygy:ignore not-understood because PostgreSQL 16 reads it"));
  EXPECT_THAT(lint_text(safe + "\n" + text), IsEmpty());
}

TEST(Lint, WhatTheSamePlanAndStageCreatesIsNew) {
  const std::vector<Migration> history = {migration("1", "CREATE TABLE t (a int)"),
                                          migration("2", "CREATE INDEX t_a ON t (a)"),
                                          migration("3", "-- syzygy:stage post_deploy\nCREATE INDEX t_b ON t (a)")};
  const auto lines = [&](bool one_plan) {
    LintOptions options;
    options.one_plan = one_plan;
    std::string found;
    for (const Finding& finding : lint(history, {true, true, true}, options).findings) found += finding.id.value;
    return found;
  };
  EXPECT_EQ(lines(true), "3");    // by then new code uses it
  EXPECT_EQ(lines(false), "23");  // nothing says that they are applied together
}

TEST(Lint, ACatalogueKeepsItQuietOnSmallTables) {
  Schema catalogue;
  catalogue.add(KnownTable{.name = {ObjectKind::kTable, "public", "small"},
                           .columns = {},
                           .constraints = {},
                           .partitioned = false,
                           .bytes = 8192});
  catalogue.add(KnownTable{.name = {ObjectKind::kTable, "public", "large"},
                           .columns = {},
                           .constraints = {},
                           .partitioned = false,
                           .bytes = 1 << 30});
  LintOptions options;
  options.catalogue = &catalogue;
  const auto found = [&](std::string_view sql) { return ids(lint({migration("1", sql)}, {true}, options)); };
  EXPECT_THAT(found("CREATE INDEX i ON small (a)"), IsEmpty());
  EXPECT_THAT(found("CREATE INDEX i ON large (a)"), Contains("create-index"));
  EXPECT_THAT(found("CREATE INDEX i ON unheard (a)"), Contains("create-index"));
}

TEST(Lint, AnAmbiguityNamesBothSides) {
  const auto report = lint_example({.sql = "ALTER TABLE orders ADD a int;\nALTER TABLE orders DROP note"});
  ASSERT_THAT(ids(report), Contains("stage-ambiguous"));
  for (const Finding& finding : report.findings) {
    if (finding.rule->id != "stage-ambiguous") continue;
    EXPECT_THAT(finding.message, HasSubstr("0003_example.sql:1:1"));
    EXPECT_THAT(finding.message, HasSubstr("0003_example.sql:2:1"));
  }
}

// --- places, ignores
// ---------------------------------------------------------------------------------------------------

TEST(Lint, PointsAtTheClause) {
  const auto report = lint_example({.sql = "-- first\nALTER TABLE orders\n  ADD a int,\n  RENAME_ME int"});
  ASSERT_FALSE(report.findings.empty());
  EXPECT_EQ(report.findings.front().rule->id, "not-understood");
  const auto second = lint_example({.sql = "ALTER TABLE orders\n  ADD a int,\n  ALTER note SET NOT NULL"});
  for (const Finding& finding : second.findings) {
    if (finding.rule->id != "set-not-null-scan") continue;
    EXPECT_EQ(finding.place, (Place{3, 3}));
    EXPECT_EQ(finding.line, "  ALTER note SET NOT NULL");
    EXPECT_EQ(finding.length, 23U);
  }
}

TEST(Lint, ALookIntoDoBlocksAndCalledFunctions) {
  EXPECT_THAT(lint_text("DO $$ BEGIN CREATE INDEX i ON orders (total); END $$"), Contains("create-index"));
  EXPECT_THAT(lint_text("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'TRUNCATE orders'; SELECT f()"),
              Contains("truncate"));
  EXPECT_THAT(lint_text("CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'TRUNCATE orders'"),
              Not(Contains("truncate")));
}

TEST(Lint, WhatARoleOwnsIsNotDroppedUnseen) {
  EXPECT_THAT(lint_text("DROP OWNED BY clerk"), Contains("drop-schema"));
  EXPECT_THAT(lint_text("REASSIGN OWNED BY clerk TO boss"), Not(Contains("drop-schema")));
}

TEST(Lint, WhatEndsADetachKeepsNobodyOut) {
  EXPECT_THAT(lint_text("ALTER TABLE events DETACH PARTITION events_2025"), Contains("detach-partition"));
  EXPECT_THAT(lint_text("ALTER TABLE events DETACH PARTITION events_2025 FINALIZE"), Not(Contains("detach-partition")));
}

TEST(Lint, ANameIsMeasuredInBytesAsTheServerKeepsIt) {
  std::string umlauts;
  for (int i = 0; i < 31; ++i) umlauts += "\xC3\xB6";
  const std::string a(63, 'a');
  EXPECT_THAT(lint_text("ALTER TABLE orders ADD COLUMN " + umlauts + " text"), Not(Contains("identifier-too-long")));
  EXPECT_THAT(lint_text("ALTER TABLE orders ADD COLUMN \"" + umlauts + "\xC3\xB6\" text"),
              Contains("identifier-too-long"));
  EXPECT_THAT(lint_text("ALTER TABLE orders ADD CONSTRAINT " + a + "b CHECK (total >= 0) NOT VALID"),
              Contains("identifier-too-long"));
  EXPECT_THAT(lint_text("ALTER TABLE orders RENAME COLUMN note TO " + a + "B"), Contains("identifier-too-long"));
  EXPECT_THAT(lint_text("CREATE TABLE parcels (id bigint, \"" + a + " \" text)"), Contains("identifier-too-long"));
  EXPECT_THAT(lint_text("ALTER TABLE orders DROP COLUMN " + a + "b"), Not(Contains("identifier-too-long")));
  EXPECT_THAT(lint_text("ALTER TABLE orders ADD " + a + " text DEFAULT '" + a + "b' -- " + a + "b"),
              Not(Contains("identifier-too-long")));
}

TEST(Lint, AnIgnoreHoldsForItsStatementOrItsFile) {
  const auto lint_text = [](const std::string& sql) { return ids(lint_example({.sql = sql}, {})); };
  const std::string drop = "CREATE INDEX a ON orders (total);\n";
  EXPECT_THAT(lint_text("-- syzygy:ignore create-index because it is small\n" + drop), IsEmpty());
  EXPECT_THAT(lint_text("-- syzygy:ignore CREATE_INDEX because it is small\n" + drop), IsEmpty());
  EXPECT_THAT(lint_text("-- syzygy:ignore drop-index because it is small\n" + drop), Contains("create-index"));
  EXPECT_THAT(lint_text("-- syzygy:ignore create-index because it is small\n" + drop + drop), Contains("create-index"));
  EXPECT_THAT(lint_text("-- syzygy:ignore-file create-index because all are small\n" + drop + drop), IsEmpty());
}

TEST(Lint, FingerprintsOutliveMovesAndTellTwinsApart) {
  const auto prints = [](std::string_view sql) {
    std::vector<std::string> all;
    for (const Finding& finding : lint_example({.sql = sql}, {}).findings) all.push_back(finding.fingerprint);
    return all;
  };
  const auto two = prints("CREATE INDEX a ON orders (total);\nCREATE INDEX a ON orders (total)");
  ASSERT_EQ(two.size(), 2U);
  EXPECT_NE(two[0], two[1]);
  EXPECT_EQ(prints("\n\n-- moved\nCREATE  INDEX a ON orders (total)"), (std::vector<std::string>{two[0]}));
}

// --- SQLite: rebuilds by what they change

std::set<std::string> lint_rebuild(const std::string& columns, const std::string& marker = "") {
  LintOptions options;
  options.dialect = Dialect::kSqlite;
  const std::vector<Migration> migrations = {
      migration("1", "CREATE TABLE t (id integer PRIMARY KEY, name text, note text)", Dialect::kSqlite),
      migration("2",
                marker + "CREATE TABLE new__t (" + columns +
                    "); INSERT INTO new__t SELECT * FROM t; DROP TABLE t; ALTER TABLE new__t RENAME TO t",
                Dialect::kSqlite)};
  return ids(lint(migrations, {false, true}, options));
}

TEST(Lint, ARebuildOfSqliteIsJudgedByItsEffect) {
  EXPECT_THAT(lint_rebuild("id integer PRIMARY KEY, name varchar(9), note text"), IsEmpty());
  EXPECT_THAT(lint_rebuild("id integer PRIMARY KEY, name text, note text, x int DEFAULT 1"), IsEmpty());
  EXPECT_THAT(lint_rebuild("id integer PRIMARY KEY, name text, note text, x int NOT NULL"),
              Contains("add-not-null-column"));
  EXPECT_THAT(lint_rebuild("id integer PRIMARY KEY, name text"), testing::ElementsAre("dropped-data"));
  EXPECT_THAT(lint_rebuild("id integer PRIMARY KEY, name text", "-- syzygy:stage pre_deploy\n"),
              testing::ElementsAre("drop-column"));
  EXPECT_THAT(lint_rebuild("id integer PRIMARY KEY, name text NOT NULL, note text", "-- syzygy:stage pre_deploy\n"),
              testing::ElementsAre("set-not-null"));
}

// --- safety
// ------------------------------------------------------------------------------------------------------------

TEST(Lint, AnswersWhateverItIsGiven) {
  const auto only_not_understood = [](const std::string& sql) {
    Migration made;
    made.id = StepId{"0003"};
    made.up.path = "x.sql";
    made.up.text = sql;
    return ids(lint({made}, {true}, {}));
  };
  EXPECT_THAT(only_not_understood("SELECT " + std::string(10'000, '(') + "1" + std::string(10'000, ')')),
              Contains("not-understood"));
  EXPECT_THAT(only_not_understood("ALTER TABLE t ADD a text DEFAULT '\xC3('"), Contains("not-understood"));
  EXPECT_THAT(only_not_understood(std::string("SELECT 1\0 2", 11)), Contains("not-understood"));
  EXPECT_THAT(only_not_understood("SELECT '" + std::string(2 << 20, 'x') + "'"), Contains("not-understood"));
  EXPECT_THAT(only_not_understood("DO $$ " + std::string(100'000, '(')), Contains("unreadable"));
  EXPECT_THAT(only_not_understood("SELECT 'x"), Contains("unreadable"));
  EXPECT_THAT(only_not_understood(""), IsEmpty());
}

// --- documentation
// ----------------------------------------------------------------------------------------------------

// SYZYGY_REWRITE=1 writes the page anew; read it as a diff.
TEST(RulesPage, IsCurrent) {
  const std::string path = std::string(SYZYGY_SOURCE_DIR) + "/docs/rules.md";
  if (std::getenv("SYZYGY_REWRITE") != nullptr) std::ofstream(path) << rules_page();
  std::ostringstream there;
  there << std::ifstream(path).rdbuf();
  EXPECT_EQ(there.str(), rules_page()) << "run this test with SYZYGY_REWRITE=1";
}

TEST(RulesPage, AndExplainSayWhatARuleHolds) {
  const std::string text = explain(*find_rule("create-index"));
  for (const char* part : {"create-index", "CREATE_INDEX", "SHARE on orders; reads all of orders", "CONCURRENTLY"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  for (const Rule* rule : all_rules()) EXPECT_THAT(list_of_rules(), HasSubstr(std::string(rule->id)));
}

}  // namespace
}  // namespace syzygy
