// Splitting without a database: which statements may change places, how files are written together, any bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "migration/rewrite/chunks.h"
#include "migration/rewrite/commute.h"
#include "migration/rewrite/deparse.h"
#include "migration/rewrite/split.h"
#include "migration/rewrite/staged_write.h"
#include "migration/source/formats.h"
#include "tests/migration/temporary_directory.h"

namespace syzygy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

bool may_swap(const std::string& earlier, const std::string& later) {
  const Meaning first = read_meaning(Dialect::kPostgres, earlier);
  const Meaning second = read_meaning(Dialect::kPostgres, later);
  return why_in_order(Dialect::kPostgres, {earlier, first}, {later, second}).empty();
}

TEST(Commute, OnlyWhatIsProvablyHarmless) {
  EXPECT_TRUE(may_swap("ALTER TABLE a DROP COLUMN x", "CREATE TABLE b (id int)"));
  EXPECT_TRUE(may_swap("ALTER TABLE a DROP COLUMN x", "ALTER TABLE a ADD COLUMN y int"));
  EXPECT_TRUE(may_swap("ALTER TABLE a DROP COLUMN x", "CREATE INDEX ON a (y)"));
  EXPECT_TRUE(may_swap("ALTER TABLE a ALTER x SET NOT NULL", "UPDATE a SET x = 1"));
  EXPECT_TRUE(may_swap("ALTER TABLE a ALTER x DROP DEFAULT", "CREATE INDEX ON a (x)"));
  EXPECT_FALSE(may_swap("ALTER TABLE a DROP COLUMN x", "ALTER TABLE a ADD COLUMN x int"));
  EXPECT_FALSE(may_swap("ALTER TABLE a DROP COLUMN x", "CREATE INDEX ON a (lower(y))"));
  EXPECT_FALSE(may_swap("ALTER TABLE a DROP COLUMN x CASCADE", "ALTER TABLE a ADD COLUMN y int"));
  EXPECT_FALSE(may_swap("ALTER TABLE a DROP COLUMN x", "UPDATE a SET y = 1"));
  EXPECT_FALSE(may_swap("DROP TABLE a", "CREATE TABLE a (id int)"));
  EXPECT_FALSE(may_swap("DROP TABLE a", "CREATE TABLE b (id int REFERENCES a)"));
  EXPECT_FALSE(may_swap("ALTER TABLE a RENAME TO b", "CREATE TABLE a (id int)"));
  EXPECT_FALSE(may_swap("ALTER TABLE a RENAME TO b", "ALTER TABLE b ADD COLUMN x int"));
  EXPECT_TRUE(may_swap("DROP INDEX i", "CREATE INDEX j ON a (x)"));
  EXPECT_FALSE(may_swap("DROP INDEX i", "DROP TABLE a"));
  EXPECT_FALSE(may_swap("DROP INDEX i", "ALTER TABLE a DROP COLUMN x"));
  EXPECT_FALSE(may_swap("DROP TABLE a", "DO $$ BEGIN PERFORM f(); END $$"));
  EXPECT_FALSE(may_swap("ALTER TABLE a DROP CONSTRAINT c", "ALTER TABLE a ADD CONSTRAINT c CHECK (x > 0)"));
  EXPECT_FALSE(may_swap("ALTER TABLE a ADD CHECK (x > 0)", "ALTER TABLE a ALTER x TYPE text"));
}

TEST(Chunks, AreTheTextByteForByte) {
  const std::string text =
      "-- top\n\n/* a */ SELECT 1 ; -- one\nSELECT 2;SELECT ';' /* in; */\n  ;\n\n-- last\nSELECT 3 -- no end\n";
  const auto statements = split_statements(Dialect::kPostgres, text, "x.sql");
  ASSERT_TRUE(statements);
  const Chunks chunks = cut_chunks(Dialect::kPostgres, text, *statements);
  std::string together = chunks.header;
  for (const Chunk& chunk : chunks.statements) together += chunk.text();
  std::string wanted = text;
  wanted.insert(wanted.find("SELECT 3") + 8, ";");  // the only byte that a half needs and the file lacks
  EXPECT_EQ(together + chunks.rest, wanted);
  EXPECT_EQ(chunks.header, "-- top\n\n");
  EXPECT_EQ(chunks.statements[0].after, " -- one\n");
}

Migration migration_of(const std::string& text) {
  Migration migration;
  migration.id = StepId{"1"};
  migration.up.text = text;
  migration.up.path = "1.sql";
  return migration;
}

// As PostgreSQL 15 names them.
TEST(Deparse, AnIndexWithoutANameGetsTheServersOne) {
  const auto name = [](const std::string& rest) {
    const auto apart = concurrently("CREATE INDEX ON s.t " + rest, 0);
    return apart ? apart->name : "";
  };
  EXPECT_EQ(name("(a, b)"), "t_a_b_idx");
  EXPECT_EQ(name("(coalesce(a, 0))"), "t_coalesce_idx");
  EXPECT_EQ(name("(lower(b), (a + 1), (a + 2))"), "t_lower_expr_expr1_idx");
  EXPECT_EQ(name("((CASE WHEN a > 1 THEN 1 ELSE 2 END), (nullif(a, 1)), greatest(a, 1))"),
            "t_case_nullif_greatest_idx");
  EXPECT_EQ(name("(a) INCLUDE (b)"), "t_a_b_idx");
}

// As PostgreSQL 15 gave them.
TEST(Deparse, TheServersNamesAreCutAsItCutsThem) {
  EXPECT_EQ(
      servers_name({"referral_desired_outcome", "referral_id", "service_category_id", "desired_outcome_id", "key"}),
      "referral_desired_outcome_referral_id_service_category_id_de_key");
  EXPECT_EQ(servers_name({"users", "email", "key"}), "users_email_key");
  EXPECT_EQ(servers_name({std::string(70, 'a'), "b", "fkey"}), std::string(56, 'a') + "_b_fkey");
  EXPECT_EQ(servers_name({std::string(70, 'a'), "check"}), std::string(57, 'a') + "_check");
}

TEST(Deparse, NamesThatNeedQuotesGetThem) {
  EXPECT_EQ(as_sql_name("users"), "users");
  EXPECT_EQ(as_sql_name("user"), "\"user\"");
  EXPECT_EQ(as_sql_name("Users"), "\"Users\"");
  EXPECT_EQ(as_sql_name("a\"b"), "\"a\"\"b\"");
  EXPECT_EQ(as_sql_name("s", "order"), "s.\"order\"");
  EXPECT_EQ(as_sql_text("it's"), "'it''s'");
}

// A name that loses its quotes is another one, or none.
TEST(Deparse, WhatIsWrittenMeansTheSame) {
  for (const std::string q : {"\"My Name\"", "\"MyName\"", "\"select\"", "\"a\"\"b\"", "\"\xC3\xA9\"", "plain"}) {
    for (std::string command : {"DROP CONSTRAINT @",
                                "VALIDATE CONSTRAINT @",
                                "ALTER @ SET NOT NULL",
                                "ALTER @ TYPE @",
                                "ADD @ @",
                                "DROP @",
                                "ADD @ int CONSTRAINT @ CHECK (@ > 0)",
                                "ADD @ int CONSTRAINT @ REFERENCES @ (@)",
                                "OWNER TO @",
                                "CLUSTER ON @",
                                "REPLICA IDENTITY USING INDEX @",
                                "SET TABLESPACE @",
                                "DISABLE TRIGGER @",
                                "INHERIT @",
                                "ALTER CONSTRAINT @ DEFERRABLE",
                                "ALTER @ SET DEFAULT 'x'",
                                "ALTER @ SET STATISTICS 5",
                                "ADD CONSTRAINT @ UNIQUE (@)",
                                "ADD CONSTRAINT @ PRIMARY KEY (@)",
                                "ADD CONSTRAINT @ UNIQUE USING INDEX @",
                                "ADD CONSTRAINT @ EXCLUDE USING gist (@ WITH =)",
                                "ADD CONSTRAINT @ CHECK (@ IN ('a', 'b') OR @ BETWEEN 1 AND 2)",
                                "ADD CONSTRAINT @ FOREIGN KEY (@) REFERENCES @.@ (@) ON DELETE CASCADE NOT VALID"}) {
      for (auto at = command.find('@'); at != std::string::npos; at = command.find('@')) command.replace(at, 1, q);
      const std::string statement = "ALTER TABLE " + q + " ADD other int, " + command;
      const auto alone = only_command(statement, 1);
      ASSERT_TRUE(alone) << statement;
      Meaning meant = read_meaning(Dialect::kPostgres, statement);
      Meaning written = read_meaning(Dialect::kPostgres, *alone);
      ASSERT_EQ(meant.actions.size(), 2U) << statement;
      meant.actions[1].position = 0;
      EXPECT_EQ(written.actions.front(), meant.actions[1]) << statement << "\n" << *alone;
      EXPECT_EQ(written.names, read_meaning(Dialect::kPostgres, "ALTER TABLE " + q + " " + command).names) << *alone;
    }
    EXPECT_EQ(concurrently("CREATE INDEX " + q + " ON " + q + " (" + q + ")", 0)->sql,
              "CREATE INDEX CONCURRENTLY " + q + " ON " + q + " (" + q + ")");
    EXPECT_EQ(not_valid("ALTER TABLE " + q + " ADD CONSTRAINT " + q + " CHECK (" + q + " > 0)", 0, "x")->sql,
              "ALTER TABLE " + q + " ADD CONSTRAINT " + q + " CHECK (" + q + " > 0) NOT VALID");
    EXPECT_EQ(unique_apart("ALTER TABLE t ADD CONSTRAINT " + q + " UNIQUE (a)", 0, "t", "x")->constraint,
              "ALTER TABLE t ADD CONSTRAINT " + q + " UNIQUE USING INDEX " + q);
  }
  EXPECT_EQ(unique_apart("ALTER TABLE t ADD UNIQUE NULLS NOT DISTINCT (a) INCLUDE (b) USING INDEX TABLESPACE \"Fast\"",
                         0, "t", "k")
                ->index,
            "CREATE UNIQUE INDEX CONCURRENTLY k ON t (a) INCLUDE (b) NULLS NOT DISTINCT TABLESPACE \"Fast\"");
  EXPECT_EQ(concurrently("CREATE INDEX ON \"My\" (a)", 0)->sql, "CREATE INDEX CONCURRENTLY \"My_a_idx\" ON \"My\" (a)");
}

// The deparser writes some of these so that they do not parse again.
TEST(Deparse, AnIndexKeepsItsOwnText) {
  for (const std::string rest :
       {"ON t ((id::text))", "ON t (((a->>'b')::bigint) DESC)", "ON t (CAST(id AS text), (n IS NULL))",
        "ON t ((n COLLATE \"C\"))  -- why\n  WHERE (a->>'x')::int > 3",
        "ON ONLY t USING gin ((a->'c') jsonb_path_ops)"}) {
    const auto named = concurrently("create unique  INDEX i " + rest, 0);
    ASSERT_TRUE(named) << rest;
    EXPECT_EQ(named->sql, "create unique  INDEX CONCURRENTLY i " + rest);
    const auto unnamed = concurrently("CREATE /* INDEX */ INDEX " + rest, 0);
    ASSERT_TRUE(unnamed) << rest;
    EXPECT_EQ(unnamed->sql, "CREATE /* INDEX */ INDEX CONCURRENTLY " + unnamed->name + " " + rest);
  }
  EXPECT_EQ(concurrently("CREATE INDEX \"INDEX\" ON t (a)", 0)->sql, "CREATE INDEX CONCURRENTLY \"INDEX\" ON t (a)");
  EXPECT_FALSE(concurrently("CREATE TABLE index (a int)", 0));
}

TEST(Split, AnIndexKeepsItsCommentsOnce) {
  const auto split = split_migration(
      migration_of(
          "-- above\nCREATE INDEX ON t (  -- inside\n  (id::text)\n) -- last\n;  -- behind\nCREATE TABLE u (a int);\n"),
      Schema(), {});
  ASSERT_TRUE(split) << split.error().message;
  ASSERT_EQ(split->parts.size(), 2U);
  EXPECT_EQ(split->parts.front().up, "CREATE TABLE u (a int);\n");
  EXPECT_EQ(split->parts.back().up,
            "-- above\n-- last\nCREATE INDEX CONCURRENTLY t_id_idx ON t (  -- inside\n  (id::text)\n);  -- behind\n");
}

TEST(Deparse, MadeNamesFitAndStayApart) {
  const std::string long_one(70, 'a');
  const std::string name = made_name({long_one, "x", "key"});
  EXPECT_LE(name.size(), 63U);
  EXPECT_TRUE(name.ends_with("_key"));
  EXPECT_NE(name, made_name({long_one, "y", "key"}));
}

TEST(Deparse, AnExpressionIsOneAndNothingElse) {
  EXPECT_TRUE(is_expression("now() + interval '1 day'"));
  for (const char* text : {"", "1, 2", "1; DROP TABLE t", "1 FROM t", "1 AS x", "'", "1 -- x\n, 2", "1 LIMIT 1"}) {
    EXPECT_FALSE(is_expression(text)) << text;
  }
}

TEST(Split, AnyBytesGiveAnAnswer) {
  std::string deep = "ALTER TABLE t ADD COLUMN c int NOT NULL DEFAULT ";
  for (int i = 0; i < 20'000; ++i) deep += "1+";
  for (const std::string& text :
       {std::string("ALTER TABLE t ADD COLUMN"), std::string("\xFF\xFE;"), std::string("SELECT '"), deep + "1",
        std::string("ALTER TABLE t ADD CHECK (") + std::string(5'000, '(') + "1" + std::string(5'000, ')') + ")",
        std::string("ALTER TABLE t ALTER c TYPE int USING ") + std::string(100'000, '-') + "1"}) {
    Migration migration;
    migration.id = StepId{"1"};
    migration.up.text = text;
    migration.up.path = "1.sql";
    const auto split = split_migration(migration, Schema(), {});
    EXPECT_TRUE(split || !split.error().message.empty());
  }
}

// Nothing says whose index it is, and nothing drops one that went with its table.
TEST(Split, AnIndexIsDroppedBeforeWhatWouldTakeItAway) {
  for (const std::string later : {"DROP TABLE a;", "ALTER TABLE a DROP COLUMN x;"}) {
    const auto split = split_migration(migration_of("DROP INDEX i;\n" + later + "\n"), Schema(), {});
    ASSERT_TRUE(split) << split.error().message;
    const auto& parts = split->parts;
    ASSERT_GE(parts.size(), 2U) << later;
    EXPECT_THAT(parts[parts.size() - 2].up, HasSubstr("DROP INDEX CONCURRENTLY i"));
    EXPECT_THAT(parts.back().up, HasSubstr(later));
  }
}

// Advice and behaviour agree: what is replaced stays together, in the stage that is said.
TEST(Split, WhatIsDroppedAndCreatedAnewStaysTogether) {
  const std::string text =
      "CREATE TABLE w (a int);\nDROP VIEW v;\nCREATE VIEW v AS SELECT a FROM t;\nGRANT SELECT ON v TO clerk;\n";
  SplitOptions options;
  const auto unsaid = split_migration(migration_of(text), Schema(), options);
  ASSERT_FALSE(unsaid);
  EXPECT_EQ(unsaid.error().reason, "SPLIT_STAGE_NEEDED");
  EXPECT_THAT(unsaid.error().message, HasSubstr("drops view v and creates it anew"));
  options.unclear = Stage::kPreDeploy;
  const auto before = split_migration(migration_of(text), Schema(), options);
  ASSERT_TRUE(before) << before.error().message;
  EXPECT_TRUE(before->parts.empty()) << before->why_not;
  options.unclear = Stage::kPostDeploy;
  const auto after = split_migration(migration_of(text), Schema(), options);
  ASSERT_TRUE(after) << after.error().message;
  ASSERT_EQ(after->parts.size(), 2U);
  EXPECT_EQ(after->parts.front().up, "CREATE TABLE w (a int);\n");
  EXPECT_EQ(after->parts.back().up, text.substr(text.find("DROP")));
}

// A copy that is gone afterwards is made where it is used: made before the deployment, it would lack what old code
// wrote meanwhile.
TEST(Split, WhatIsGoneAfterwardsGoesWithWhatUsesIt) {
  const std::string rebuild =
      "CREATE TABLE kept AS SELECT * FROM t;\nDROP TABLE t;\nCREATE TABLE t (a int);\nINSERT INTO t SELECT a FROM "
      "kept;\nDROP TABLE kept;\n";
  SplitOptions options;
  options.unclear = Stage::kPostDeploy;
  const auto split = split_migration(migration_of("CREATE TABLE u (a int);\n" + rebuild), Schema(), options);
  ASSERT_TRUE(split) << split.error().message;
  ASSERT_EQ(split->parts.size(), 2U);
  EXPECT_EQ(split->parts.front().up, "CREATE TABLE u (a int);\n");
  EXPECT_EQ(split->parts.back().up, rebuild);
}

TEST(Split, AnIndexThatIsBuiltAnewUnderItsNameIsRefused) {
  SplitOptions options;
  options.unclear = Stage::kPreDeploy;
  const auto same = split_migration(migration_of("DROP INDEX i;\nCREATE INDEX i ON t (a);\n"), Schema(), options);
  ASSERT_FALSE(same);
  EXPECT_THAT(same.error().message, HasSubstr("Recipe: give the new index another name"));
  const auto other = split_migration(migration_of("DROP INDEX i;\nCREATE INDEX k ON t (a);\n"), Schema(), options);
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(other->parts.size(), 2U);
}

// A view keeps the server from changing what it reads.
TEST(Split, ADroppedViewIsDroppedBeforeWhatItRead) {
  SplitOptions options;
  options.organize = true;
  const auto split =
      split_migration(migration_of("DROP VIEW v;\nALTER TABLE t ALTER a TYPE text;\n"), Schema(), options);
  ASSERT_FALSE(split);
  EXPECT_EQ(split.error().reason, "SPLIT_ORDER");
  EXPECT_THAT(split.error().message, HasSubstr("may need that the view is gone"));
  const auto other = split_migration(migration_of("DROP VIEW v;\nALTER TABLE t ADD b text;\n"), Schema(), {});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(other->parts.size(), 2U);
}

// A trigger is created behind the function that it calls, in whichever transaction that comes to stand.
TEST(Split, ATriggerComesBehindItsFunction) {
  const auto split = split_migration(
      migration_of(
          "CREATE INDEX t_a ON t (a);\nCREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE t "
          "SET a = 1; RETURN NEW; END $$;\nCREATE TRIGGER g AFTER INSERT ON u EXECUTE FUNCTION f();\n"),
      Schema(), {});
  ASSERT_TRUE(split) << split.error().message;
  std::string all;
  for (const SplitPart& part : split->parts) all += part.up;
  EXPECT_LT(all.find("CREATE FUNCTION f"), all.find("CREATE TRIGGER g")) << all;
  EXPECT_THAT(read_meaning(Dialect::kPostgres, "CREATE TRIGGER g AFTER INSERT ON u EXECUTE FUNCTION s.f()").names,
              testing::Contains(ObjectName{ObjectKind::kFunction, "s", "f"}));
}

TEST(Split, AColumnThatIsDroppedAndAddedAnewIsRefused) {
  const auto split = split_migration(migration_of("ALTER TABLE a DROP COLUMN x, ADD COLUMN x text[];\n"), Schema(), {});
  ASSERT_FALSE(split);
  EXPECT_EQ(split.error().reason, "SPLIT_REFUSED");
  EXPECT_THAT(split.error().message, HasSubstr("give the new column another name"));
  EXPECT_TRUE(split_migration(migration_of("ALTER TABLE a DROP COLUMN x, ADD COLUMN y text[];\n"), Schema(), {}));
}

TEST(StagedWrite, AllFilesOrNone) {
  const TemporaryDirectory directory;
  directory.write("0001_a.sql", "old");
  ASSERT_TRUE(commit_staged_write(directory.path(), {{"0001_a.sql", "new", true}, {"0002_b.sql", "half", false}}));
  // As after a crash between the commit and the moving: nobody reads a directory that is not whole.
  const auto read = read_directory(directory.path(), {});
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().reason, "MIGRATIONS_INTERRUPTED");
  EXPECT_THAT(read.error().message, HasSubstr("syzygy split --finish"));
  EXPECT_EQ(bytes_of(directory.path() / "0001_a.sql"), "old");
  // Another one must not be lost under it.
  EXPECT_FALSE(write_staged(directory.path(), {{"0003_c.sql", "x", false}}));
  // Half of it was moved already.
  std::filesystem::rename(directory.path() / kInterruptedSplit / "0001_a.sql", directory.path() / "0001_a.sql");
  const auto moved = finish_staged_write(directory.path());
  ASSERT_TRUE(moved);
  EXPECT_THAT(*moved, ElementsAre("0002_b.sql"));
  EXPECT_EQ(bytes_of(directory.path() / "0001_a.sql"), "new");
  EXPECT_EQ(bytes_of(directory.path() / "0002_b.sql"), "half");
  EXPECT_TRUE(read_directory(directory.path(), {}));
}

TEST(StagedWrite, NothingBeforeTheCommitCounts) {
  const TemporaryDirectory directory;
  directory.write("0001_a.sql", "SELECT 1;");
  std::filesystem::create_directory(directory.path() / ".syzygy-split.tmp");
  directory.write(".syzygy-split.tmp/0002_b.sql", "SELECT");
  const auto read = read_directory(directory.path(), {});
  ASSERT_TRUE(read);
  EXPECT_EQ(read->size(), 1U);
  const auto finished = finish_staged_write(directory.path());
  ASSERT_TRUE(finished);
  EXPECT_TRUE(finished->empty());
  ASSERT_TRUE(write_staged(directory.path(), {{"0003_c.sql", "SELECT 3;", false}}));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "0002_b.sql"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / ".syzygy-split.tmp"));
}

TEST(StagedWrite, OverwritesNothingThatItWasNotTold) {
  const TemporaryDirectory directory;
  directory.write("0002_b.sql", "mine");
  const auto written = write_staged(directory.path(), {{"0001_a.sql", "x", false}, {"0002_b.sql", "y", false}});
  ASSERT_FALSE(written);
  EXPECT_THAT(written.error().message, HasSubstr("0002_b.sql exists already"));
  EXPECT_EQ(bytes_of(directory.path() / "0002_b.sql"), "mine");
  EXPECT_FALSE(std::filesystem::exists(directory.path() / "0001_a.sql"));
  EXPECT_FALSE(std::filesystem::exists(directory.path() / kInterruptedSplit));
}

}  // namespace
}  // namespace syzygy
