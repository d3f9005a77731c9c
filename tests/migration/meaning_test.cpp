// What statements mean: each line of the tables is a statement and what is said of it. A wrong name or kind shows here.
#include "migration/sql/meaning.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>

#include "migration/stage/stage.h"
#include "tests/migration/temporary_directory.h"

namespace syzygy {
namespace {

// "post: drops table t | pre: creates table u"
std::string say(Dialect dialect, const char* sql) {
  static constexpr const char* kVerdicts[] = {"pre", "post", "ambiguous", "neutral"};
  std::string said;
  for (const Action& action : read_meaning(dialect, sql).actions) {
    const Judgement judgement = judge(action, Created{}, StageRules{});
    said += (said.empty() ? "" : " | ") + std::string(kVerdicts[static_cast<int>(judgement.verdict)]) + ": " +
            judgement.why + (action.on.name.empty() ? "" : " [on " + describe(action.on) + "]") +
            (action.type.empty() ? "" : " [" + action.type + "]");
  }
  return said;
}

struct Said {
  const char* sql;
  const char* says;
};

// The grammar is PostgreSQL 15's; what later versions brought is called by its name, and a mistake is not.
TEST(Meaning, NewerSyntaxIsNamed) {
  const auto note = [](std::string_view sql) { return read_meaning(Dialect::kPostgres, sql).actions.front().note; };
  const std::pair<const char*, const char*> newer[] = {
      {"MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELETE RETURNING t.id",
       "MERGE ... RETURNING, which came "
       "with PostgreSQL 17"},
      {"MERGE INTO t USING u ON t.id = u.id WHEN NOT MATCHED BY SOURCE THEN DELETE", "BY SOURCE, which came"},
      {"CREATE VIEW v AS SELECT JSON_OBJECT('a' VALUE 1 ABSENT ON NULL)", "JSON_OBJECT, which came with PostgreSQL 16"},
      {"SELECT JSON_VALUE(a, '$.x' RETURNING int) FROM t", "JSON_VALUE, which came with PostgreSQL 17"},
      {"SELECT n IS JSON OBJECT FROM t", "IS JSON, which came with PostgreSQL 16"},
      {"CREATE TABLE t (a text STORAGE EXTERNAL)", "PostgreSQL 16"},
      {"CREATE TABLE t (a int DEFAULT 0x1F)", "a number such as 0x1F or 1_000, which came with PostgreSQL 16"},
      {"CREATE TABLE t (a int DEFAULT 1_000)", "a number such as 0x1F or 1_000"},
      {"ALTER TABLE t ALTER COLUMN n SET EXPRESSION AS (1)", "SET EXPRESSION, which came with PostgreSQL 17"},
      {"ALTER TABLE t ADD v int GENERATED ALWAYS AS (id + 1) VIRTUAL", "PostgreSQL 18"},
      {"ALTER TABLE t ADD CONSTRAINT c CHECK (id > 0) NOT ENFORCED", "PostgreSQL 18"},
      {"ALTER TABLE t ADD CONSTRAINT c NOT NULL n", "PostgreSQL 18"},
      {"SELECT a FROM (SELECT 1 AS a)", "without an alias, which came with PostgreSQL 16"}};
  for (const auto& [sql, says] : newer) {
    EXPECT_THAT(note(sql), testing::HasSubstr(says)) << sql;
    EXPECT_THAT(note(sql), testing::HasSubstr("is judged by PostgreSQL 15's grammar")) << sql;
  }
  for (const char* mistake :
       {"MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN DELET", "CREATE TABLE t (a text STORGE EXTERNAL)",
        "SELECT JSON_OBJECT('a', 1) FORM t WHERE", "CREATE TABLE t (a int DEFAULT 12x)", "SELECT 1 IS JASON",
        "ALTER TABLE t ALTER COLUMN n SET EXPRESION AS (1)", "ALTER TABEL t ADD a int"}) {
    EXPECT_THAT(note(mistake), testing::HasSubstr("is not understood by PostgreSQL 15's grammar")) << mistake;
  }
}

TEST(PostgresMeaning, NamesWhatItActsOn) {
  constexpr const char* kNeutral = "neutral: changes nothing that code could notice";
  const Said cases[] = {
      {"ALTER INDEX s.i RENAME TO j", "post: renames index s.i to j"},
      {"ALTER VIEW v RENAME COLUMN a TO b", "post: renames column a of view v to b"},
      {"ALTER MATERIALIZED VIEW v RENAME TO w", "post: renames materialized view v to w"},
      {"ALTER SEQUENCE s RENAME TO t", "post: renames sequence s to t"},
      {"ALTER SCHEMA s RENAME TO r", "post: renames schema s to r"},
      {"ALTER ROLE a RENAME TO b", "post: renames role a to b"},
      {"ALTER DATABASE a RENAME TO b", "post: renames database a to b"},
      {"ALTER TYPE s.e RENAME TO f", "post: renames type s.e to f"},
      {"ALTER TYPE e RENAME VALUE 'a' TO 'b'", "post: renames value a of type e to b"},
      {"ALTER TYPE c RENAME ATTRIBUTE a TO b", "post: renames attribute a of type c to b"},
      {"ALTER DOMAIN d RENAME TO e", "post: renames domain d to e"},
      {"ALTER DOMAIN d RENAME CONSTRAINT a TO b", "post: renames constraint a of domain d to b"},
      {"ALTER FUNCTION s.f(int) RENAME TO g", "post: renames function s.f to g"},
      {"ALTER TRIGGER a ON s.t RENAME TO b", "post: renames trigger s.a to b [on table s.t]"},
      {"ALTER POLICY a ON t RENAME TO b", "post: renames policy a to b [on table t]"},
      {"ALTER TABLE s.t RENAME CONSTRAINT a TO b", "post: renames constraint a of table s.t to b"},
      {"ALTER FOREIGN TABLE t RENAME TO u", "post: renames table t to u"},
      {"ALTER TABLE \"Big\".\"T\" RENAME Col TO c", "post: renames column col of table Big.T to c"},
      {"ALTER TYPE e SET SCHEMA s", "post: moves type e to schema s"},
      {"ALTER FUNCTION f(int) SET SCHEMA s", "post: moves function f to schema s"},
      {"ALTER EXTENSION x SET SCHEMA s", "post: moves extension x to schema s"},
      {"DROP TABLE IF EXISTS s.a, b", "post: drops table s.a | post: drops table b"},
      {"DROP TRIGGER IF EXISTS a ON s.t", "post: drops trigger s.a [on table s.t]"},
      {"DROP RULE a ON t", "post: drops rule a [on table t]"},
      {"DROP FUNCTION s.f(int), g", "post: drops function s.f [(int4)] | post: drops function g"},
      {"DROP AGGREGATE a(int)", "post: drops function a [(int4)]"},
      {"DROP TYPE s.e, f", "post: drops type s.e | post: drops type f"},
      {"DROP DOMAIN d", "post: drops domain d"},
      {"DROP SCHEMA a, b CASCADE", "post: drops schema a | post: drops schema b"},
      {"DROP EXTENSION x", "post: drops extension x"},
      {"DROP INDEX s.i", "post: drops index s.i"},
      {"DROP ROLE a, b", "post: drops role a | post: drops role b"},
      {"DROP EVENT TRIGGER e", "post: drops event trigger e"},
      {"DROP OPERATOR + (int, int)", "post: drops operator +"},
      {"DROP DATABASE d", "post: drops database d"},
      {"CREATE TYPE c AS (a int)", "pre: creates type c"},
      {"CREATE TYPE r AS RANGE (subtype = float8)", "pre: creates type r"},
      {"CREATE DOMAIN s.d AS int CHECK (VALUE > 0)", "pre: creates domain s.d"},
      {"CREATE SEQUENCE s.q", "pre: creates sequence s.q"},
      {"CREATE FOREIGN TABLE s.t (a int) SERVER x", "pre: creates table s.t"},
      {"CREATE TEMP TABLE t (a int)", "neutral: creates a temporary table"},
      {"CREATE EXTENSION IF NOT EXISTS \"uuid-ossp\"", "pre: creates extension uuid-ossp"},
      {"CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (lower(a))",
       "post: creates index s.i, a new UNIQUE constraint on table s.t, which is in use [on table s.t]"},
      {"CREATE SCHEMA s CREATE TABLE t (a int) CREATE VIEW v AS SELECT 1",
       "pre: creates schema s | pre: creates table t | pre: creates view v"},
      {"CREATE OR REPLACE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()",
       "pre: creates or replaces trigger g [on table t]"},
      {"ALTER TABLE t ADD c varchar(20)[], ADD d numeric(10,2), ADD e s.mood DEFAULT 'ok'::s.mood",
       "pre: adds column c of table t [varchar(20)[]] | pre: adds column d of table t [numeric(10,2)] | pre: adds "
       "column "
       "e of table t [s.mood]"},
      {"ALTER TABLE t ALTER c TYPE timestamptz USING c AT TIME ZONE 'UTC'",
       "ambiguous: changes the type of column c of table t to timestamptz with USING, and what that does to the values "
       "cannot be told [timestamptz]"},
      {"ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY (a)", "post: adds a primary key to table t, which is in use"},
      {"ALTER TABLE t DROP CONSTRAINT p", "post: drops constraint p of table t"},
      {"ALTER VIEW v ALTER COLUMN c SET DEFAULT 1", "pre: sets a default of column c of view v"},
      {"WITH a AS (INSERT INTO t VALUES (1) RETURNING *) UPDATE u SET a = 1",
       "ambiguous: updates rows of table u, a backfill, and which code needs it cannot be told | ambiguous: inserts "
       "rows "
       "into table t, and which code needs them cannot be told"},
      {"EXPLAIN ANALYZE DELETE FROM t", "ambiguous: deletes rows of table t, and which code needs them cannot be told"},
      {"SELECT public.now()", "ambiguous: calls the function now, and what it does cannot be told"},
      {"CALL s.p(1)", "ambiguous: calls p, and what it does cannot be told"},
      {"REVOKE a FROM b", "post: revokes rights"},
      {"EXPLAIN DELETE FROM t", kNeutral},
      {"COPY (SELECT 1) TO '/x'", kNeutral},
      {"SELECT count(*), pg_catalog.now() FROM t", kNeutral},
      {"ALTER SEQUENCE s OWNED BY t.id", kNeutral},
      {"ALTER TABLE t ALTER CONSTRAINT c DEFERRABLE", kNeutral},
      {"LOCK TABLE t", kNeutral},
  };
  for (const auto& c : cases) EXPECT_EQ(say(Dialect::kPostgres, c.sql), c.says) << c.sql;
}

TEST(SqliteMeaning, NamesWhatItActsOn) {
  constexpr const char* kUnknown = "ambiguous: is not understood as a statement of SQLite";
  constexpr const char* kNeutral = "neutral: changes nothing that code could notice";
  const Said cases[] = {
      {"CREATE TABLE IF NOT EXISTS \"Main\".\"T\" (a)", "pre: creates table main.t"},
      {"CREATE TEMP TABLE x AS SELECT 1", "neutral: creates a temporary table"},
      {"CREATE UNIQUE INDEX IF NOT EXISTS main.i ON t (a)",
       "post: creates index main.i, a new UNIQUE constraint on table t, which is in use [on table t]"},
      {"CREATE TRIGGER g INSTEAD OF UPDATE OF a, b ON v BEGIN SELECT 1; END", "pre: creates trigger g [on table v]"},
      {"ALTER TABLE main.[my t] RENAME COLUMN `a b` TO \"c\"", "post: renames column a b of table main.my t to c"},
      {"ALTER TABLE t RENAME TO u", "post: renames table t to u"},
      {"ALTER TABLE t ADD c VARCHAR(10) NOT NULL DEFAULT (datetime('now')) CHECK (c > '')",
       "pre: adds column c of table t [VARCHAR(10)]"},
      {"ALTER TABLE t ADD COLUMN c UNSIGNED BIG INT DEFAULT -1 NOT NULL",
       "pre: adds column c of table t [UNSIGNED BIG INT]"},
      {"ALTER TABLE t ADD COLUMN c", "pre: adds column c of table t"},
      {"DROP VIEW IF EXISTS main.v", "post: drops view main.v"},
      {"WITH RECURSIVE x(n) AS (VALUES(1) UNION SELECT n+1 FROM x) INSERT INTO t SELECT n FROM x",
       "ambiguous: inserts rows into table t, and which code needs them cannot be told"},
      {"DELETE FROM t WHERE a IN (SELECT 1)",
       "ambiguous: deletes rows of table t, and which code needs them cannot be told"},
      {"EXPLAIN QUERY PLAN DELETE FROM t", kNeutral},
      {"PRAGMA user_version = 3", kNeutral},
      {"DROP", kUnknown},
      {"ALTER TABLE", kUnknown},
      {"CREATE OR REPLACE TABLE t (a)", kUnknown},
  };
  for (const auto& c : cases) EXPECT_EQ(say(Dialect::kSqlite, c.sql), c.says) << c.sql;
}

TEST(Created, TakesNoNameForAnother) {
  const auto after = [](Dialect dialect, const char* first, const char* second) {
    Created created;
    created.note(read_meaning(dialect, first));
    return judge(read_meaning(dialect, second), created, StageRules{}).verdict;
  };
  const auto postgres = [&](const char* first, const char* second) { return after(Dialect::kPostgres, first, second); };
  EXPECT_EQ(postgres("CREATE TABLE t ()", "ALTER TABLE t DROP c"), Verdict::kPreDeploy);
  EXPECT_EQ(postgres("CREATE FUNCTION t() RETURNS int LANGUAGE sql AS ''", "ALTER TABLE t DROP c"),
            Verdict::kPostDeploy);
  EXPECT_EQ(postgres("CREATE TYPE t AS ENUM ()", "DROP TABLE t"), Verdict::kPostDeploy);
  EXPECT_EQ(postgres("CREATE TYPE t AS ENUM ()", "DROP TYPE t"), Verdict::kPreDeploy);
  EXPECT_EQ(postgres("CREATE TABLE t ()", "DROP INDEX i"), Verdict::kPostDeploy);
  EXPECT_EQ(postgres("CREATE TEMP TABLE t ()", "DROP TABLE t"), Verdict::kNeutral);
  EXPECT_EQ(postgres("CREATE TEMP TABLE t ()", "DROP TABLE public.t"), Verdict::kPostDeploy);
  EXPECT_EQ(postgres("CREATE TABLE a.t ()", "DROP TABLE b.t"), Verdict::kPostDeploy);
  EXPECT_EQ(
      postgres("CREATE TABLE t ()", "CREATE CONSTRAINT TRIGGER g AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()"),
      Verdict::kPreDeploy);
  EXPECT_EQ(after(Dialect::kSqlite, "CREATE TABLE T (a)", "DROP TABLE \"t\""), Verdict::kPreDeploy);
}

TEST(Created, ForgetsWhatIsDroppedOrRenamedAway) {
  Created created;
  created.note(read_meaning(Dialect::kPostgres, "CREATE TABLE t ()"));
  created.note(read_meaning(Dialect::kPostgres, "ALTER TABLE t RENAME TO u"));
  EXPECT_EQ(created.find({ObjectKind::kTable, "", "t"}), Created::Answer::kNo);
  EXPECT_EQ(created.find({ObjectKind::kTable, "", "u"}), Created::Answer::kNew);
  created.note(read_meaning(Dialect::kPostgres, "DROP TABLE u"));
  EXPECT_EQ(created.find({ObjectKind::kTable, "", "u"}), Created::Answer::kNo);
}

// What is said of SQLite's transactions, asked of SQLite.
TEST(SqliteMeaning, IsRightAboutTransactions) {
  for (const char* sql : {"VACUUM", "DETACH x", "ATTACH ':memory:' AS y", "PRAGMA foreign_keys = ON",
                          "PRAGMA foreign_keys(1)", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = OFF",
                          "PRAGMA defer_foreign_keys = ON", "PRAGMA user_version = 3", "ANALYZE", "REINDEX",
                          "SAVEPOINT s", "CREATE TABLE t (a)", "PRAGMA foreign_keys", "PRAGMA auto_vacuum = 1"}) {
    const TemporaryDirectory directory;
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((directory.path() / "db").c_str(), &database), SQLITE_OK);
    ASSERT_EQ(sqlite3_exec(database, "ATTACH ':memory:' AS x; BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
    const auto value = [&] {  // of the pragma that the statement sets
      const std::string text = sql;
      std::string read;
      sqlite3_exec(
          database, text.substr(0, text.find_first_of(" (", 7)).c_str(),
          [](void* into, int, char** columns, char**) {
            *static_cast<std::string*>(into) = columns[0];
            return 0;
          },
          &read, nullptr);
      return read;
    };
    const InTransaction claimed = read_meaning(Dialect::kSqlite, sql).in_transaction;
    const std::string before = claimed == InTransaction::kIgnored ? value() : "";
    const bool refused = sqlite3_exec(database, sql, nullptr, nullptr, nullptr) != SQLITE_OK;
    EXPECT_EQ(refused, claimed == InTransaction::kRefused) << sql << ": " << sqlite3_errmsg(database);
    if (claimed == InTransaction::kIgnored) {
      EXPECT_EQ(value(), before) << sql;
      EXPECT_NE(before, "") << sql;
    }
    sqlite3_close(database);
  }
}

// --- what the rules and the dependencies need ------------------------------------------------------------------------

Action only(std::string_view sql) {
  const Meaning meaning = read_meaning(Dialect::kPostgres, sql);
  EXPECT_EQ(meaning.actions.size(), 1U) << sql;
  return meaning.actions.front();
}

TEST(PostgresDetail, DefaultsByWhatTheyDependOn) {
  const auto kind = [](std::string_view value) {
    return only("ALTER TABLE t ADD c text DEFAULT " + std::string(value)).default_kind;
  };
  EXPECT_EQ(kind("'x'::text"), DefaultKind::kConstant);
  EXPECT_EQ(kind("lower('X')"), DefaultKind::kConstant);
  EXPECT_EQ(kind("now()"), DefaultKind::kStable);
  EXPECT_EQ(kind("CURRENT_TIMESTAMP"), DefaultKind::kStable);
  EXPECT_EQ(kind("gen_random_uuid()"), DefaultKind::kVolatile);
  EXPECT_EQ(kind("md5(random()::text)"), DefaultKind::kVolatile);
  EXPECT_EQ(kind("my_own()"), DefaultKind::kFunction);
  EXPECT_EQ(only("ALTER TABLE t ADD c text").default_kind, DefaultKind::kNone);
}

TEST(PostgresDetail, Constraints) {
  const Action foreign = only("ALTER TABLE t ADD CONSTRAINT f FOREIGN KEY (a, b) REFERENCES s.u NOT VALID");
  EXPECT_EQ(foreign.columns, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(foreign.other, (ObjectName{ObjectKind::kTable, "s", "u"}));
  EXPECT_TRUE(foreign.not_valid);
  EXPECT_EQ(only("ALTER TABLE t ADD CHECK (a IS NOT NULL)").only_not_null, "a");
  EXPECT_EQ(only("ALTER TABLE t ADD CHECK (a IS NOT NULL OR b > 1)").only_not_null, "");
  EXPECT_EQ(only("ALTER TABLE t ADD PRIMARY KEY USING INDEX i").using_index, "i");
  EXPECT_EQ(only("CREATE INDEX i ON t (a, lower(b))").columns, (std::vector<std::string>{"a", ""}));
}

TEST(PostgresDetail, WhatANewTableIsMadeOf) {
  const Action table = only("CREATE TABLE t (a int CHECK (a > 0), b json, UNIQUE (b))");
  ASSERT_EQ(table.parts.size(), 4U);
  EXPECT_EQ(table.parts[1].constraint, ConstraintKind::kCheck);
  EXPECT_EQ(table.parts[2].type, "json");
  EXPECT_EQ(table.parts[2].position, 1U);
  EXPECT_EQ(table.parts[3].kind, ActionKind::kAddConstraint);
}

TEST(PostgresDetail, NamesOfAllThatItTouches) {
  const auto names = [](std::string_view sql) {
    std::string all;
    auto found = read_meaning(Dialect::kPostgres, sql).names;
    std::ranges::sort(found, {}, &ObjectName::name);
    for (const auto& name : found) all += (all.empty() ? "" : " ") + name.name;
    return all;
  };
  EXPECT_EQ(names("WITH w AS (SELECT * FROM a) INSERT INTO b SELECT f(x) FROM w"), "a b f");
  EXPECT_EQ(names("ALTER TABLE a ADD c s.mood REFERENCES b"), "a b mood");
  EXPECT_EQ(names("DROP TABLE a, s.b"), "a b");
  EXPECT_EQ(names("DO $$ BEGIN DELETE FROM a; UPDATE b SET x = 1; END $$"), "a b");
  EXPECT_EQ(names("CREATE TABLE p PARTITION OF q FOR VALUES IN (1)"), "p q");
  EXPECT_EQ(names("COMMENT ON TABLE s.t IS 'x'"), "t");
  EXPECT_EQ(names("COMMENT ON COLUMN s.t.c IS 'x'"), "t");
  EXPECT_EQ(names("COMMENT ON CONSTRAINT c ON t IS 'x'"), "t");
  EXPECT_EQ(names("COMMENT ON FUNCTION f(int) IS 'x'"), "f");
}

TEST(PostgresDetail, WhereAnActionStands) {
  const auto at = [](std::string_view sql, std::size_t n) {
    const Meaning meaning = read_meaning(Dialect::kPostgres, sql);
    const std::size_t offset = offset_of(Dialect::kPostgres, sql, meaning.actions.at(n));
    return std::string(sql.substr(offset, 8));
  };
  const auto alter = "ALTER TABLE IF EXISTS ONLY s.t DROP a, ADD b numeric(3,2) DEFAULT f(1, 2), ALTER c TYPE text";
  EXPECT_EQ(at(alter, 0), "DROP a, ");
  EXPECT_EQ(at(alter, 1), "ADD b nu");
  EXPECT_EQ(at(alter, 2), "ALTER c ");
  EXPECT_EQ(at("DROP TABLE a, b_second", 0), "DROP TAB");
  EXPECT_EQ(at("DROP TABLE a, b_second", 1), "b_second");
  EXPECT_EQ(at("DO $$\nBEGIN\n  DELETE FROM t;\n  UPDATE t SET a = 1;\nEND $$", 1), "UPDATE t");
  const std::string_view create = "CREATE TABLE t (a int, b numeric(3,2))";
  const Meaning meaning = read_meaning(Dialect::kPostgres, create);
  EXPECT_EQ(create.substr(offset_of(Dialect::kPostgres, create, meaning.actions[0].parts[1]), 6), "b nume");
  EXPECT_EQ(create.substr(offset_of(Dialect::kPostgres, create, meaning.actions[0].parts[0]), 6), "a int,");
}

TEST(PostgresDetail, BodiesWithinBodiesEnd) {
  std::string sql = "DELETE FROM t";
  for (int depth = 0; depth < 40; ++depth) {
    const std::string tag = "$b" + std::to_string(depth) + "$";
    sql = "DO " + tag + " BEGIN EXECUTE " + (depth % 2 == 0 ? "$q" : "$r") + std::to_string(depth) + "$" + sql +
          (depth % 2 == 0 ? "$q" : "$r") + std::to_string(depth) + "$; END " + tag;
  }
  const Meaning meaning = read_meaning(Dialect::kPostgres, sql);
  EXPECT_EQ(meaning.actions.back().kind, ActionKind::kOpaque);
}

}  // namespace
}  // namespace syzygy
