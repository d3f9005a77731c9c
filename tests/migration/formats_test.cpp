// Directories as goose, dbmate, Flyway and Atlas write them.
#include "migration/source/formats.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "migration/sql/statements.h"
#include "tests/migration/temporary_directory.h"

namespace syzygy {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace fs = std::filesystem;

class Formats : public testing::Test {
 protected:
  std::vector<Migration> read(const SourceOptions& options = {}) {
    auto migrations = read_directory(directory_.path(), options);
    EXPECT_TRUE(migrations) << (migrations ? "" : migrations.error().message);
    return migrations ? std::move(*migrations) : std::vector<Migration>{};
  }
  std::string refusal(const SourceOptions& options = {}) {
    auto migrations = read_directory(directory_.path(), options);
    EXPECT_FALSE(migrations);
    return migrations ? "" : migrations.error().message;
  }
  void write(const std::string& name, std::string_view text) {
    if (const auto cut = name.rfind('/'); cut != std::string::npos) {
      fs::create_directories(directory_.path() / name.substr(0, cut));
    }
    directory_.write(name, text);
  }
  // A directory of just this file.
  std::string refusal_of(const std::string& name, std::string_view text) {
    write(name, text);
    std::string message = refusal();
    fs::remove(directory_.path() / name);
    return message;
  }
  static std::vector<std::string> statements(const Script& script) {
    auto cut = split_statements(Dialect::kPostgres, script.text, script.path, script.first_line);
    EXPECT_TRUE(cut) << (cut ? "" : cut.error().message);
    std::vector<std::string> texts;
    if (cut) {
      for (const Statement& statement : *cut) texts.push_back(at("", statement.place) + " " + statement.text);
    }
    return texts;
  }
  std::vector<std::string> ids() {
    std::vector<std::string> ids;
    for (const Migration& migration : read()) ids.push_back(migration.id.value);
    return ids;
  }

  TemporaryDirectory directory_;
};

TEST_F(Formats, Goose) {
  write("00001_users.sql",
        "-- what it is for\n-- +goose Up\nCREATE TABLE users (id int);\n-- +goose StatementBegin\n"
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; RETURN 1; END $$\n-- +goose StatementEnd\n"
        "SELECT 1;\n\n-- +goose Down\nDROP TABLE users;\n");
  write("00002_index.sql", "-- +goose NO TRANSACTION\n-- +goose Up\nCREATE INDEX CONCURRENTLY i ON users (id);\n");
  const auto all = read();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, StepId{"00001"});
  EXPECT_EQ(all[0].name, "users");
  EXPECT_EQ(all[0].script, "00001_users.sql");
  EXPECT_FALSE(all[0].up.no_transaction);
  // goose's own end of a statement counts: the function has no semicolon.
  EXPECT_THAT(statements(all[0].up),
              ElementsAre(":3:1 CREATE TABLE users (id int)",
                          ":5:1 CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; RETURN 1; END $$",
                          ":7:1 SELECT 1"));
  ASSERT_TRUE(all[0].down);
  EXPECT_THAT(statements(*all[0].down), ElementsAre(":10:1 DROP TABLE users"));
  EXPECT_TRUE(all[1].up.no_transaction);
  EXPECT_FALSE(all[1].down);
}

// sqlx's directories are plain ones, or have golang-migrate's names; its marker counts where sqlx looks for it.
TEST_F(Formats, SqlxRunsAFileOutsideATransaction) {
  write("1_a.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);");
  write("2_b.sql", "SELECT 1;\n-- no-transaction\nSELECT 2;");
  const auto plain = read();
  ASSERT_EQ(plain.size(), 2U);
  EXPECT_TRUE(plain[0].up.no_transaction);
  EXPECT_FALSE(plain[1].up.no_transaction);
}

TEST_F(Formats, SqlxRunsAPairOfFilesOutsideATransaction) {
  write("1_a.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);\nSELECT 1;");
  write("1_a.down.sql", "-- no-transaction because of CONCURRENTLY\nDROP INDEX CONCURRENTLY i;\nSELECT 1;");
  const auto pairs = read();
  ASSERT_EQ(pairs.size(), 1U);
  EXPECT_TRUE(pairs[0].up.no_transaction);
  ASSERT_TRUE(pairs[0].down);
  EXPECT_TRUE(pairs[0].down->no_transaction);
}

TEST_F(Formats, OurMarkersHoldInEachDirectionOfGoose) {
  write("1_a.sql", "-- +goose Up\nSELECT 1;");
  write("2_b.sql",
        "-- syzygy:stage post_deploy\n-- syzygy:depends 1\n-- +goose Up\nSELECT 1;\n-- +goose Down\n"
        "-- syzygy:stage post_deploy\n-- syzygy:no-transaction\nSELECT 2;");
  const auto all = read();
  EXPECT_EQ(all.at(1).up.stage, Stage::kPostDeploy);
  EXPECT_EQ(all[1].depends, std::vector<StepId>{StepId{"1"}});
  EXPECT_FALSE(all[1].up.no_transaction);
  ASSERT_TRUE(all[1].down);
  EXPECT_EQ(all[1].down->stage, Stage::kPostDeploy);
  EXPECT_EQ(all[1].down->stage_line, 6u);
  EXPECT_TRUE(all[1].down->no_transaction);
}

TEST_F(Formats, GooseThatCannotBeRead) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"SELECT 1;\n-- +goose Up\n", "1_a.sql:1: a statement stands before -- +goose Up"},
      {"-- +goose Down\nSELECT 1;", "1_a.sql:1: -- +goose down stands before -- +goose Up"},
      {"-- +goose Up\n-- +goose Up\n", "1_a.sql:2: a second -- +goose Up (the first is in line 1)"},
      {"-- +goose Up\n-- +goose Down\n-- +goose Down\n", "1_a.sql:3: a second -- +goose Down"},
      {"-- +goose Up\n-- +goose StatementBegin\nSELECT 1;\n", "1_a.sql:2: -- +goose StatementBegin is never followed"},
      {"-- +goose Up\n-- +goose StatementEnd\n", "1_a.sql:2: -- +goose StatementEnd without"},
      {"-- +goose Up\n-- +goose StatementBegin\n-- +goose Down\n",
       "1_a.sql:2: -- +goose StatementBegin is not followed"},
      {"-- +goose Up\n-- +goose ENVSUB ON\nSELECT '${USER}';", "1_a.sql:2: -- +goose ENVSUB ON fills environment"},
      {"-- +goose Up\n-- +goose Sideways\n", "1_a.sql:2: \"+goose sideways\" is no directive"},
      {"-- +goose Up\n-- syzygy:down\nSELECT 1;", "1_a.sql:2: -- syzygy:down has no place in goose's format"},
      {"-- +goose Up\n-- +goose Down\n-- syzygy:depends none", "1_a.sql:3: -- syzygy:depends belongs to the whole"},
      {"-- +goose Up\n-- migrate:down\nSELECT 1;", "is a directive of dbmate"},
  };
  for (const auto& c : cases) EXPECT_THAT(refusal_of("1_a.sql", c.text), HasSubstr(c.says)) << c.text;
  write("1_a.sql", "-- +goose Up\nSELECT 1;");
  EXPECT_THAT(refusal_of("2_b.sql", "SELECT 1;"), AllOf(HasSubstr("2_b.sql:1"), HasSubstr("no -- +goose Up")));
  EXPECT_THAT(refusal_of("x.sql", "-- +goose Up\n"), HasSubstr("begins with no number"));
  EXPECT_THAT(refusal_of("2_b.go", "package x"), AllOf(HasSubstr("2_b.go"), HasSubstr("written in Go")));
  EXPECT_THAT(refusal({.dialect = Dialect::kPostgres, .format = "plain"}), HasSubstr("--format goose"));
}

TEST_F(Formats, Dbmate) {
  write("20240101_users.sql",
        "-- a comment\n-- migrate:up\nCREATE TABLE users (id int);\n-- migrate:down\nDROP TABLE users;\n");
  write("20240102_index.sql",
        "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY i ON users (id);\n-- migrate:down "
        "transaction:false\nDROP INDEX CONCURRENTLY i;\n");
  write("20240103_none.sql", "--migrate:up\nSELECT 1\n");
  const auto all = read();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_THAT(statements(all[0].up), ElementsAre(":3:1 CREATE TABLE users (id int)"));
  EXPECT_THAT(statements(*all[0].down), ElementsAre(":5:1 DROP TABLE users"));
  EXPECT_FALSE(all[0].up.no_transaction);
  EXPECT_TRUE(all[1].up.no_transaction);
  EXPECT_TRUE(all[1].down->no_transaction);
  EXPECT_FALSE(all[2].down);
}

TEST_F(Formats, DbmateThatCannotBeRead) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"SELECT 1;\n-- migrate:up\n", "1_a.sql:1: a statement stands before -- migrate:up"},
      {"-- migrate:down\nSELECT 1;", "1_a.sql:1: -- migrate:down stands before -- migrate:up"},
      {"-- migrate:up\n-- migrate:up\n", "1_a.sql:2: a second -- migrate:up (the first is in line 1)"},
      {"-- migrate:up\n-- migrate:down\n-- migrate:down\n", "1_a.sql:3: a second -- migrate:down"},
      {"-- migrate:up transaction:off\n", "1_a.sql:1: \"transaction:off\" is no option of dbmate"},
      {"-- migrate:up\n-- syzygy:down\n", "write -- migrate:down"},
  };
  for (const auto& c : cases) EXPECT_THAT(refusal_of("1_a.sql", c.text), HasSubstr(c.says)) << c.text;
}

TEST_F(Formats, Flyway) {
  write("V1__users.sql", "CREATE TABLE a (x int);\nSELECT 1;\n");
  write("V1_10__late.sql", "CREATE TABLE b (x int);");
  write("V1.9__early.sql", "SELECT 1;");
  write("2024/V2__deep.sql", "SELECT 1;");
  write("U1__users.sql", "DROP TABLE a;");
  write("R__views.sql", "CREATE OR REPLACE VIEW v AS SELECT 1;");
  EXPECT_THAT(ids(), ElementsAre("1", "1.9", "1.10", "2", "R__views@" + read().back().up.content.substr(0, 12)));
  const auto all = read();
  EXPECT_EQ(all[0].name, "users");
  EXPECT_EQ(all[0].checksum, "-1557044044");  // by Python's zlib
  EXPECT_EQ(all[2].checksum, "674032387");
  EXPECT_EQ(all[3].script, "2024/V2__deep.sql");
  ASSERT_TRUE(all[0].down);
  EXPECT_EQ(all[0].down->text, "DROP TABLE a;");
  EXPECT_TRUE(all[4].repeatable);
  // A changed text is another migration.
  write("R__views.sql", "CREATE OR REPLACE VIEW v AS SELECT 2;");
  EXPECT_NE(read().back().id, all[4].id);
}

TEST_F(Formats, FlywaysTransactions) {
  write("V1__a.sql", "CREATE INDEX CONCURRENTLY i ON t (x);");  // Flyway finds that out itself
  write("V2__b.sql", "SELECT 1;");
  write("V2__b.sql.conf", "# a comment\nexecuteInTransaction=false\n");
  write("V3__c.sql", "SELECT 'CONCURRENTLY', 'VACUUM';");
  write("V4__d.sql",
        "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (x);");  // mixed: Flyway refuses it, and so do we, later
  const auto all = read();
  EXPECT_TRUE(all.at(0).up.no_transaction);
  EXPECT_TRUE(all.at(1).up.no_transaction);
  EXPECT_FALSE(all.at(2).up.no_transaction);
  EXPECT_FALSE(all.at(3).up.no_transaction);
}

TEST_F(Formats, FlywaysPlaceholdersAreNotGuessed) {
  EXPECT_THAT(refusal_of("V1__a.sql", "SELECT 1;\nCREATE TABLE ${prefix}a (x int);"),
              AllOf(HasSubstr("V1__a.sql:2"), HasSubstr("\"${prefix}\" is a placeholder")));
  EXPECT_THAT(refusal_of("V1__a.sql", "SELECT '${x'"), HasSubstr("placeholder"));
  write("V1__a.sql", "-- ${comments} are not filled in\nSELECT 1;");
  EXPECT_EQ(read().size(), 1u);
  write("V1__a.sql", "SELECT '${x}';");
  write("V1__a.sql.conf", "placeholderReplacement = false");
  EXPECT_EQ(read().size(), 1u);
  write("V1__a.sql.conf", "shouldExecute=${x}");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("V1__a.sql.conf:1"), HasSubstr("no setting that syzygy can follow")));
}

TEST_F(Formats, FlywaysVersionsThatAreOne) {
  write("V1__a.sql", "SELECT 1;");
  EXPECT_THAT(refusal_of("V1.0__b.sql", "SELECT 1;"), HasSubstr("two migrations have the number"));
  EXPECT_THAT(refusal_of("V01__b.sql", "SELECT 1;"), HasSubstr("two migrations have the number"));
  EXPECT_THAT(refusal_of("beforeMigrate.sql", "SELECT 1;"), HasSubstr("callbacks are not run"));
  EXPECT_THAT(refusal_of("V2__b.java", "class X {}"), HasSubstr("written in Java"));
}

constexpr const char* kAtlasA = "CREATE TABLE a (x int);\n";
constexpr const char* kAtlasB = "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY a_x ON a (x);\n";
constexpr const char* kAtlasSum =  // by Python's hashlib
    "h1:IQAe5m9wA/pE+BmdVcc+W15xxGXmYYH4VJMQec9N/Rg=\n"
    "20240101_a.sql h1:xHXV9i3L7HBp1qsmzG+o6ZbpG6ROyc46W1+RLmCvw8Q=\n"
    "20240102_b.sql h1:4knRKSe/rVWZ83wxGfkARH0bh7CaKw7IhsgE6lsR40s=\n";

TEST_F(Formats, Atlas) {
  write("20240101_a.sql", kAtlasA);
  write("20240102_b.sql", kAtlasB);
  write("atlas.sum", kAtlasSum);
  const auto all = read();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, StepId{"20240101"});
  EXPECT_FALSE(all[0].up.no_transaction);
  EXPECT_TRUE(all[1].up.no_transaction);
  EXPECT_EQ(all[1].checksum, "4knRKSe/rVWZ83wxGfkARH0bh7CaKw7IhsgE6lsR40s=");
}

TEST_F(Formats, AtlasSumIsVerified) {
  write("20240101_a.sql", kAtlasA);
  write("20240102_b.sql", kAtlasB);
  write("atlas.sum", kAtlasSum);
  write("20240101_a.sql", "CREATE TABLE a (x bigint);\n");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("atlas.sum:2"), HasSubstr("20240101_a.sql was changed"),
                               HasSubstr("atlas migrate hash")));
  // The same text with other line ends is another one to Atlas.
  write("20240101_a.sql", "CREATE TABLE a (x int);\r\n");
  EXPECT_THAT(refusal(), HasSubstr("20240101_a.sql was changed"));
  write("20240101_a.sql", kAtlasA);
  EXPECT_THAT(refusal_of("20240103_c.sql", "SELECT 1;"), HasSubstr("20240103_c.sql is not listed here"));
  EXPECT_THAT(refusal_of("20240101_0.sql", "SELECT 1;"), HasSubstr("20240101_0.sql is not listed here"));
  fs::remove(directory_.path() / "20240102_b.sql");
  EXPECT_THAT(refusal(), AllOf(HasSubstr("atlas.sum:3"), HasSubstr("the directory lacks it")));
  write("20240102_b.sql", kAtlasB);
  write("atlas.sum", "nonsense\n");
  EXPECT_THAT(refusal(), HasSubstr("no line of a checksum file"));
  write("atlas.sum", std::string("h1:x=\n") + (std::string(kAtlasSum).substr(std::string(kAtlasSum).find('\n') + 1)));
  EXPECT_THAT(refusal(), HasSubstr("the checksum of the whole directory"));
  fs::remove(directory_.path() / "atlas.sum");
  EXPECT_THAT(refusal({.dialect = Dialect::kPostgres, .format = "atlas"}), HasSubstr("atlas.sum is missing"));
}

TEST_F(Formats, GolangMigrateRunsASingleStatementOutsideATransaction) {
  write("1_a.up.sql", "CREATE INDEX CONCURRENTLY i ON t (x);");
  write("2_b.up.sql", "CREATE INDEX i ON t (x);");
  const auto all = read();
  EXPECT_TRUE(all.at(0).up.no_transaction);
  EXPECT_FALSE(all.at(1).up.no_transaction);
}

}  // namespace
}  // namespace syzygy
