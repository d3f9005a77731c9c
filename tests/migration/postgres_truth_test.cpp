// What the stage engine claims, held against a real PostgreSQL: that old code survives what is pre_deploy, that what is
// post_deploy does break some of it, and what can run in a transaction.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <vector>

#include "migration/sql/builtins.h"
#include "migration/stage/stage.h"
#include "migration/stage/transaction.h"
#include "tests/support/postgres.h"

namespace syzygy {
namespace {

using test::PostgresServer;
using testing::HasSubstr;

const std::string& database() {
  static const std::string name = PostgresServer::shared().create_database("truth");
  return name;
}

// What the database says against these statements, run in one transaction that is rolled back; "" for nothing.
std::string refusal(const std::string& sql) {
  try {
    PostgresServer::shared().sql(database(), "BEGIN; " + sql + "; ROLLBACK");
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

constexpr const char* kSchema =
    "CREATE SCHEMA s; CREATE TYPE mood AS ENUM ('a', 'b');"
    "CREATE TABLE t (id serial PRIMARY KEY, a int NOT NULL DEFAULT 1, b text DEFAULT 'x', c varchar(10), u int);"
    "CREATE UNIQUE INDEX t_u ON t (u); CREATE TABLE other (id int PRIMARY KEY, m mood);"
    "CREATE VIEW v AS SELECT a, b FROM t; CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql AS 'select n + 1';"
    "CREATE TABLE parted (a int) PARTITION BY LIST (a); CREATE TABLE part PARTITION OF parted FOR VALUES IN (1);"
    "INSERT INTO t (a, u) VALUES (5, 5)";

// The release that runs before the deployment.
constexpr const char* kOldCode[] = {
    "INSERT INTO t (b, c) VALUES ('y', 'z'), ('y', 'z')",
    "INSERT INTO t (a, b) VALUES (100000, NULL)",
    "INSERT INTO t (id, u) VALUES (1, 7) ON CONFLICT (id) DO UPDATE SET a = 2",
    "INSERT INTO t (u) VALUES (5) ON CONFLICT (u) DO NOTHING",
    "INSERT INTO t (u) VALUES (100000)",
    "UPDATE t SET b = 'longer than what it was', c = 'ten chars.'",
    "SELECT id, a, b, c, u FROM t",
    "SELECT a, b FROM v",
    "SELECT f(1)",
    "INSERT INTO other VALUES (2, 'a')",
    "INSERT INTO parted VALUES (1)",
};

// The first of the old release's statements that no longer works after the change, and why; "" for none.
std::string breaks(const std::string& change) {
  const std::string before = kSchema + std::string("; ") + change + "; ";
  std::string all;
  for (const char* old : kOldCode) all += std::string("SAVEPOINT one; ") + old + "; ROLLBACK TO one; ";
  if (refusal(before + all).empty()) return "";
  for (const char* old : kOldCode) {
    if (const std::string why = refusal(before + old); !why.empty()) return std::string(old) + ": " + why;
  }
  return "all together: " + refusal(before + all);
}

Verdict verdict(const char* change) {
  return judge(read_meaning(Dialect::kPostgres, change), Created{}, StageRules{}).verdict;
}

TEST(PostgresTruth, OldCodeWorksBeforeAnyChange) { EXPECT_EQ(breaks("SELECT 1"), ""); }

TEST(PostgresTruth, OldCodeSurvivesWhatIsPreDeploy) {
  for (const char* change : {
           "CREATE TABLE n (a int REFERENCES other)",
           "ALTER TABLE t ADD n int",
           "ALTER TABLE t ADD n int NOT NULL DEFAULT 3",
           "ALTER TABLE t ADD n serial",
           "ALTER TABLE t ADD n int NOT NULL GENERATED ALWAYS AS IDENTITY",
           "ALTER TABLE t ADD n int NOT NULL GENERATED ALWAYS AS (a + 1) STORED",
           "ALTER TABLE t ADD n int UNIQUE",
           "ALTER TABLE t ADD n int CHECK (n > 0)",
           "ALTER TABLE t ADD n int REFERENCES other",
           "ALTER TABLE t ADD n uuid NOT NULL UNIQUE DEFAULT gen_random_uuid()",
           "ALTER TABLE t ADD n int, ADD CONSTRAINT nf FOREIGN KEY (n) REFERENCES other",
           "ALTER TABLE t ADD n int, ADD FOREIGN KEY (n) REFERENCES other NOT VALID",
           "ALTER TABLE t ADD n int, ADD CHECK (n > 0 AND n < 9)",
           "ALTER TABLE t ADD n int, ADD UNIQUE (a, n)",
           "ALTER TABLE t ALTER a DROP NOT NULL",
           "ALTER TABLE t ALTER c SET DEFAULT 'q'",
           "ALTER TABLE t ALTER c TYPE text",
           "ALTER TABLE t ALTER c TYPE varchar",
           "ALTER TABLE other ALTER id TYPE bigint",
           "CREATE INDEX i ON t (a)",
           "CREATE VIEW n AS SELECT 1",
           "CREATE OR REPLACE VIEW v AS SELECT a, b, c FROM t",
           "CREATE OR REPLACE FUNCTION f(n int) RETURNS int LANGUAGE sql AS 'select n + 2'",
           "ALTER TYPE mood ADD VALUE 'c'",
           "CREATE TABLE more PARTITION OF parted FOR VALUES IN (2)",
           "GRANT SELECT ON t TO PUBLIC",
           "CREATE STATISTICS st ON a, b FROM t",
       }) {
    EXPECT_EQ(verdict(change), Verdict::kPreDeploy) << change;
    EXPECT_EQ(breaks(change), "") << change;
  }
}

TEST(PostgresTruth, WhatIsPostDeployWouldBreakOldCode) {
  for (const char* change : {
           "DROP TABLE other",
           "DROP VIEW v",
           "DROP FUNCTION f(int)",
           "DROP INDEX t_u",
           "ALTER TABLE t DROP COLUMN c",
           "ALTER TABLE t RENAME COLUMN c TO d",
           "ALTER TABLE t RENAME TO t2",
           "ALTER VIEW v RENAME COLUMN a TO d",
           "ALTER TABLE t SET SCHEMA s",
           "ALTER TYPE mood RENAME VALUE 'a' TO 'z'",
           "ALTER TABLE t ALTER b SET NOT NULL",
           "ALTER TABLE t ALTER a DROP DEFAULT",
           "ALTER TABLE t ALTER a SET DEFAULT NULL",
           "ALTER TABLE t ALTER u TYPE smallint",
           "ALTER TABLE t ADD CHECK (a < 10)",
           "ALTER TABLE t ADD CHECK (a < 10) NOT VALID",
           "ALTER TABLE t ADD UNIQUE (a)",
           "ALTER TABLE t ADD FOREIGN KEY (u) REFERENCES other NOT VALID",
           "ALTER TABLE t ADD EXCLUDE USING btree (a WITH =)",
           "CREATE UNIQUE INDEX i ON t (a)",
           "ALTER TABLE t DROP CONSTRAINT t_pkey",
           "ALTER TABLE parted DETACH PARTITION part",
       }) {
    EXPECT_EQ(verdict(change), Verdict::kPostDeploy) << change;
    EXPECT_EQ(refusal(kSchema + std::string("; ") + change), "") << change;
    EXPECT_NE(breaks(change), "") << change;
  }
}

TEST(PostgresTruth, NeitherBeforeNorAfter) {
  // Each breaks old code, and yet adds what new code needs: the engine does not choose.
  for (const char* change : {"ALTER TABLE other ADD n int NOT NULL", "ALTER TABLE other ADD n int UNIQUE DEFAULT 3"}) {
    EXPECT_EQ(verdict(change), Verdict::kAmbiguous) << change;
    EXPECT_EQ(refusal(kSchema + std::string("; ") + change), "") << change;
    EXPECT_NE(refusal(kSchema + std::string("; ") + change + "; INSERT INTO other (id) VALUES (1), (2)"), "") << change;
  }
}

TEST(PostgresTruth, WhatCannotRunInATransaction) {
  PostgresServer::shared().sql(database(), "CREATE TABLE k (a int); CREATE INDEX k_a ON k (a)");
  PostgresServer::shared().sql(database(), "CREATE TABLE l (a int) PARTITION BY LIST (a)");
  PostgresServer::shared().sql(database(), "CREATE TABLE l1 PARTITION OF l FOR VALUES IN (1)");
  PostgresServer::shared().sql(database(), "CREATE TYPE e AS ENUM ('a')");
  PostgresServer::shared().sql(database(), "CREATE PUBLICATION p");
  const std::string here = database();
  for (const std::string& sql : std::vector<std::string>{
           "CREATE INDEX ON k (a)",
           "CREATE INDEX CONCURRENTLY ON k (a)",
           "DROP INDEX k_a",
           "DROP INDEX CONCURRENTLY k_a",
           "REINDEX TABLE k",
           "REINDEX INDEX k_a",
           "REINDEX TABLE CONCURRENTLY k",
           "REINDEX (CONCURRENTLY) INDEX k_a",
           "REINDEX SCHEMA public",
           "REINDEX DATABASE " + here,
           "VACUUM k",
           "VACUUM (ANALYZE) k",
           "ANALYZE k",
           "CLUSTER k USING k_a",
           "CLUSTER",
           "CREATE DATABASE other",
           "DROP DATABASE IF EXISTS other",
           "ALTER DATABASE " + here + " SET work_mem = '1MB'",
           "ALTER DATABASE " + here + " SET TABLESPACE pg_default",
           "ALTER DATABASE " + here + " WITH CONNECTION LIMIT 50",
           "CREATE TABLESPACE x LOCATION '/nowhere'",
           "DROP TABLESPACE IF EXISTS x",
           "ALTER SYSTEM SET work_mem = '1MB'",
           "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p",
           "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)",
           "ALTER TABLE l DETACH PARTITION l1",
           "ALTER TABLE l DETACH PARTITION l1 CONCURRENTLY",
           "ALTER TYPE e ADD VALUE 'b'",
           "DISCARD ALL",
           "DISCARD PLANS",
           "CREATE MATERIALIZED VIEW m AS SELECT 1 AS a",
           "LOCK TABLE k",
           "TRUNCATE k",
           "CREATE EXTENSION IF NOT EXISTS plpgsql",
           "COMMENT ON TABLE k IS 'x'",
           "SECURITY LABEL ON TABLE k IS NULL",
       }) {
    const std::string said = refusal(sql);
    const bool refused = said.find("transaction block") != std::string::npos;
    EXPECT_EQ(refused, read_meaning(Dialect::kPostgres, sql).in_transaction == InTransaction::kRefused)
        << sql << ": " << said;
  }
}

// Of each name the least steady of what the server has; a name that it lacks is of an extension, or of a newer one.
TEST(PostgresTruth, ItsFunctionsChangeAsListed) {
  for (const Volatility one : {Volatility::kImmutable, Volatility::kStable, Volatility::kVolatile}) {
    std::string names;
    for (const std::string_view name : functions_of(one)) {
      names += (names.empty() ? "'" : ", '") + std::string(name) + "'";
      EXPECT_EQ(volatility_of(name), one) << name;
    }
    const std::string grade = std::to_string(static_cast<int>(one));
    EXPECT_EQ(PostgresServer::shared().value(
                  database(),
                  "SELECT string_agg(name, ' ') FROM unnest(ARRAY[" + names +
                      "]) name WHERE coalesce((SELECT max(position(provolatile::text IN 'isv') - 1) FROM pg_proc WHERE "
                      "proname = name AND pronamespace = 'pg_catalog'::regnamespace), 2) <> " +
                      grade),
              "")
        << grade;
  }
  EXPECT_EQ(volatility_of("generate_ulid"), std::nullopt);
}

TEST(PostgresTruth, ANewEnumValueIsUsedOnlyAfterItsTransaction) {
  const auto claimed = [](const std::string& sql) {
    Script script;
    script.text = sql;
    const auto statements = split_statements(Dialect::kPostgres, sql, "x.sql");
    std::vector<Meaning> meanings;
    for (const auto& statement : *statements) meanings.push_back(read_meaning(Dialect::kPostgres, statement.text));
    const auto mode = transaction_mode(Dialect::kPostgres, script, *statements, meanings);
    return mode ? "" : mode.error().reason;
  };
  PostgresServer::shared().sql(database(), "CREATE TYPE colour AS ENUM ('red'); CREATE TABLE paint (c colour)");
  for (const char* used :
       {"ALTER TYPE colour ADD VALUE 'blue'; INSERT INTO paint VALUES ('blue')",
        "CREATE TYPE taste AS ENUM ('sweet'); ALTER TYPE taste ADD VALUE 'sour'; SELECT 'sour'::taste"}) {
    EXPECT_EQ(claimed(used), "ENUM_VALUE_IN_USE") << used;
    EXPECT_THAT(refusal(used), HasSubstr("unsafe use of new value")) << used;
  }
  for (const char* fine : {"ALTER TYPE colour ADD VALUE 'blue'; INSERT INTO paint VALUES ('red')",
                           "ALTER TYPE colour ADD VALUE 'blue'; ALTER TYPE colour ADD VALUE 'green' BEFORE 'blue'",
                           "CREATE TYPE taste AS ENUM ('sour'); SELECT 'sour'::taste"}) {
    EXPECT_EQ(claimed(fine), "") << fine;
    EXPECT_EQ(refusal(fine), "") << fine;
  }
}

}  // namespace
}  // namespace syzygy
