// Directories as they are found: formats, markers, numbers, and everything that can be wrong with a file.
#include "migration/source/source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "tests/migration/temporary_directory.h"

namespace syzygy {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

class Source : public testing::Test {
 protected:
  std::vector<Migration> read(SourceOptions options = {}) {
    auto migrations = read_directory(directory_.path(), options);
    EXPECT_TRUE(migrations) << (migrations ? "" : migrations.error().message);
    return migrations ? std::move(*migrations) : std::vector<Migration>{};
  }
  Error refusal(SourceOptions options = {}) { return refusal_of(directory_.path(), options); }
  static Error refusal_of(const fs::path& path, SourceOptions options = {}) {
    auto migrations = read_directory(path, options);
    EXPECT_FALSE(migrations);
    return migrations ? Error{} : migrations.error();
  }
  // What a file with this text is refused with.
  Error refusal_of_text(std::string_view text) {
    write("1_a.sql", text);
    return refusal();
  }
  fs::path write(std::string_view name, std::string_view bytes = "SELECT 1;") { return directory_.write(name, bytes); }
  std::vector<std::string> ids() {
    std::vector<std::string> ids;
    for (const auto& migration : read()) ids.push_back(migration.id.value);
    return ids;
  }

  TemporaryDirectory directory_;
};

TEST_F(Source, OrdersByValueWhateverTheWidth) {
  write("10_j.sql");
  write("2_b.sql");
  write("0001_a.sql");
  write("20240131093000_t.sql");
  write("99999999999999999999999999_far.sql");
  write("003.sql");
  write("README.md", "not SQL");
  write(".4_hidden.sql", "'");
  EXPECT_THAT(ids(), ElementsAre("0001", "2", "003", "10", "20240131093000", "99999999999999999999999999"));
}

TEST_F(Source, PlainWithADownSection) {
  const auto path = write("0004_add_email.sql",
                          "-- syzygy:stage post_deploy\n-- syzygy:no-transaction\nSELECT 1;\n\n-- syzygy:down\n"
                          "-- syzygy:stage pre_deploy\nSELECT 2;\n");
  const auto all = read();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].id, StepId{"0004"});
  EXPECT_EQ(all[0].name, "add_email");
  EXPECT_EQ(all[0].up.text, "-- syzygy:stage post_deploy\n-- syzygy:no-transaction\nSELECT 1;\n\n");
  EXPECT_EQ(all[0].up.content, sha256_hex(all[0].up.text));
  EXPECT_EQ(all[0].up.path, path.string());
  EXPECT_EQ(all[0].up.stage, Stage::kPostDeploy);
  EXPECT_EQ(all[0].up.stage_line, 1u);
  EXPECT_TRUE(all[0].up.no_transaction);
  ASSERT_TRUE(all[0].down);
  EXPECT_EQ(all[0].down->text, "-- syzygy:stage pre_deploy\nSELECT 2;\n");
  EXPECT_EQ(all[0].down->first_line, 6u);
  EXPECT_EQ(all[0].down->stage, Stage::kPreDeploy);
  EXPECT_EQ(all[0].down->stage_line, 6u);
  EXPECT_FALSE(all[0].down->no_transaction);
}

TEST_F(Source, PlainWithADownFile) {
  write("1_a.sql");
  const auto path = write("1_a.down.sql", "SELECT 2;");
  const auto all = read();
  ASSERT_TRUE(all.at(0).down);
  EXPECT_EQ(all[0].down->path, path.string());
  EXPECT_EQ(all[0].down->text, "SELECT 2;");
}

TEST_F(Source, GolangMigrate) {
  write("000001_init.up.sql", "-- syzygy:stage pre_deploy\nSELECT 1;");
  write("000001_init.down.sql", "SELECT 2;");
  write("000002_more.up.sql");
  const auto all = read();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].id, StepId{"000001"});
  EXPECT_EQ(all[0].name, "init");
  EXPECT_EQ(all[0].up.stage, Stage::kPreDeploy);
  EXPECT_EQ(all[0].down->text, "SELECT 2;");
  EXPECT_FALSE(all[1].down);
}

TEST_F(Source, ChecksumIgnoresBomAndLineEnds) {
  write("1_a.sql", "SELECT 1;\nSELECT 2;\n");
  write("2_b.sql", "\xEF\xBB\xBFSELECT 1;\r\nSELECT 2;\r\n");
  write("3_c.sql", "SELECT 1;\nSELECT 3;\n");
  const auto all = read();
  EXPECT_EQ(all[0].up.content, all[1].up.content);
  EXPECT_EQ(all[0].up.content, sha256_hex("SELECT 1;\nSELECT 2;\n"));
  EXPECT_NE(all[0].up.content, all[2].up.content);
}

TEST_F(Source, MarkersCountOnlyAsComments) {
  write("1_a.sql",
        "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$\n-- syzygy:down\nSELECT 1 $$;\n--syzygy:stage pre-deploy\n"
        "SELECT '\n-- syzygy:nonsense\n';\n-- see syzygy:stage for more\n");
  const auto all = read();
  EXPECT_FALSE(all.at(0).down);
  EXPECT_EQ(all[0].up.stage, Stage::kPreDeploy);
  EXPECT_EQ(all[0].up.stage_line, 4u);
}

TEST_F(Source, DependsNamesEarlierOnes) {
  write("0001_a.sql");
  write("0002_b.sql");
  write("0003_c.sql", "-- syzygy:depends 1, 0002\nSELECT 1;");
  write("0004_d.sql", "-- syzygy:depends none");
  const auto all = read();
  EXPECT_EQ(all[0].depends, std::nullopt);
  EXPECT_THAT(*all[2].depends, ElementsAre(StepId{"0001"}, StepId{"0002"}));
  EXPECT_THAT(*all[3].depends, testing::IsEmpty());
  write("0002_b.sql", "-- syzygy:depends 0003");
  EXPECT_THAT(refusal().message, HasSubstr("does not come before it"));
  write("0002_b.sql", "-- syzygy:depends 7");
  EXPECT_THAT(refusal().message,
              AllOf(HasSubstr("0002_b.sql"), HasSubstr("names 7, which this directory does not hold")));
}

TEST_F(Source, BadMarkersNameFileAndLine) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"\n-- syzygy:stge pre_deploy", "1_a.sql:2: unknown marker \"syzygy:stge\"; known are"},
      {"-- syzygy:stage later", "\"later\" is no stage"},
      {"-- syzygy:stage", "is no stage"},
      {"-- syzygy:stage pre_deploy\n-- syzygy:stage post_deploy", "1_a.sql:2: a second -- syzygy:stage"},
      {"-- syzygy:no-transaction please", "takes no value"},
      {"-- syzygy:depends", "needs the ids"},
      {"-- syzygy:depends 1 none", "either"},
      {"-- syzygy:down\n-- syzygy:depends none", "above -- syzygy:down"},
      {"-- syzygy:down\n-- syzygy:down", "1_a.sql:2: a second -- syzygy:down"},
      {"SELECT 1; -- syzygy:down", "a line of its own"},
      {"/* syzygy:stage pre_deploy */", "not in /* */"},
      {"-- atlas:txmode none\nSELECT 1;", "Atlas"},
  };
  for (const auto& c : cases) {
    const Error error = refusal_of_text(c.text);
    EXPECT_THAT(error.message, AllOf(HasSubstr("1_a.sql:"), HasSubstr(c.says))) << c.text;
    EXPECT_TRUE(error.reason == "MIGRATIONS_BAD_MARKER" || error.reason == "MIGRATIONS_FORMAT") << c.text;
  }
  for (const char* ignore : {"-- syzygy:ignore NOT_NULL because nobody writes here", "-- syzygy:ignore"}) {
    write("1_a.sql", ignore);
    EXPECT_EQ(read().size(), 1u);
  }
}

TEST_F(Source, BadTextNamesFileAndLine) {
  const struct {
    std::string text;
    const char* says;
  } cases[] = {
      {std::string("SELECT\n1\0", 9), "1_a.sql:2: the file contains a NUL byte"},
      {"a\nb\n\xff", "1_a.sql:3: the file is not valid UTF-8"},
      {std::string("\xFF\xFE S\0", 5), "UTF-16"},
      {"a\nb\rc", "1_a.sql:2: a carriage return"},
  };
  for (const auto& c : cases) {
    const Error error = refusal_of_text(c.text);
    EXPECT_EQ(error.reason, "MIGRATIONS_BAD_TEXT");
    EXPECT_THAT(error.message, HasSubstr(c.says));
  }
}

TEST_F(Source, MissingEmptyAndNoDirectory) {
  EXPECT_EQ(refusal_of(directory_.path() / "none").reason, "MIGRATIONS_MISSING");
  EXPECT_THAT(refusal_of(directory_.path() / "none").message, AllOf(HasSubstr("/none"), HasSubstr("--dir")));
  EXPECT_EQ(refusal().reason, "MIGRATIONS_EMPTY");
  const auto file = write("1_a.sql");
  EXPECT_EQ(refusal_of(file).reason, "MIGRATIONS_MISSING");
  EXPECT_THAT(refusal_of(file).message, HasSubstr("this is a file"));
}

TEST_F(Source, TwoOfOneNumberNamesBoth) {
  write("0004_a.sql");
  write("4_b.sql");
  const Error error = refusal();
  EXPECT_EQ(error.reason, "MIGRATIONS_TWO_OF_ONE_NUMBER");
  EXPECT_THAT(error.message, AllOf(HasSubstr("0004_a.sql"), HasSubstr("4_b.sql")));
}

TEST_F(Source, TwoOfOneNumberInGolangMigrate) {
  write("0004_a.up.sql");
  write("4_b.up.sql");
  EXPECT_EQ(refusal().reason, "MIGRATIONS_TWO_OF_ONE_NUMBER");
  fs::remove(directory_.path() / "4_b.up.sql");
  write("0004_a.down.sql");
  write("04_a.down.sql");
  EXPECT_EQ(refusal().reason, "MIGRATIONS_TWO_OF_ONE_NUMBER");
}

TEST_F(Source, NamesThatCannotBeRight) {
  const struct {
    std::vector<const char*> names;
    const char* says;
  } cases[] = {
      {{"seed.sql"}, "begins with no number"},
      {{"V1__a.sql", "seed.sql"}, "seed.sql: the other files of this directory are Flyway's"},
      {{"V1__a.sql", "U2__b.sql"}, "no V2__....sql that it belongs to"},
      {{"B1__a.sql"}, "baseline"},
      {{"1 a.sql"}, "must come _ or -"},
      {{"1_a.SQL"}, "small letters"},
      {{"1_a\n.sql"}, "control characters"},
      {{"1_a.up.sql", "2_b.sql"}, "2_b.sql: the other files of this directory are golang-migrate's"},
      {{"1_a.up.sql", "2_b.down.sql"}, "2_b.down.sql: there is a way back"},
      {{"1_a.sql", "1_b.down.sql"}, "1_b.down.sql: there is a way back, but no 1_b.sql"},
  };
  for (const auto& c : cases) {
    TemporaryDirectory directory;
    for (const char* name : c.names) directory.write(name, "SELECT 1;");
    const Error error = refusal_of(directory.path());
    EXPECT_EQ(error.reason, "MIGRATIONS_BAD_NAME") << c.says;
    EXPECT_THAT(error.message, HasSubstr(c.says));
  }
}

TEST_F(Source, TheWayBackWrittenTwice) {
  write("1_a.sql", "SELECT 1;\n-- syzygy:down\nSELECT 2;");
  write("1_a.down.sql");
  EXPECT_THAT(refusal().message, AllOf(HasSubstr("1_a.sql:2"), HasSubstr("twice"), HasSubstr("1_a.down.sql")));
}

TEST_F(Source, MarkersThatHaveNoPlaceInAFile) {
  write("1_a.up.sql", "SELECT 1;\n-- syzygy:down\n");
  EXPECT_THAT(refusal().message, AllOf(HasSubstr("1_a.up.sql:2"), HasSubstr("1_a.down.sql")));
  write("1_a.up.sql");
  write("1_a.down.sql", "-- syzygy:depends none");
  EXPECT_THAT(refusal().message, AllOf(HasSubstr("1_a.down.sql:1"), HasSubstr(".up.sql")));
}

TEST_F(Source, TheFormatCanBeSaid) {
  write("1_a.sql");
  EXPECT_EQ(read({.dialect = Dialect::kPostgres, .format = "plain"}).size(), 1u);
  EXPECT_EQ(refusal({.dialect = Dialect::kPostgres, .format = "golang-migrate"}).reason, "MIGRATIONS_BAD_NAME");
  const Error error = refusal({.dialect = Dialect::kPostgres, .format = "liquibase"});
  EXPECT_EQ(error.reason, "MIGRATIONS_FORMAT");
  EXPECT_THAT(error.message, HasSubstr("known are golang-migrate, flyway, goose, dbmate, atlas, plain"));
}

TEST_F(Source, FilesThatAreNoFiles) {
  const auto name = directory_.path() / "1_a.sql";
  fs::create_directory(name);
  EXPECT_THAT(refusal().message, HasSubstr("1_a.sql: this is a directory"));
  fs::remove(name);
  ASSERT_EQ(::mkfifo(name.c_str(), 0600), 0);
  EXPECT_THAT(refusal().message, HasSubstr("a pipe or a device"));
  fs::remove(name);
  fs::create_symlink("1_a.sql", name);
  EXPECT_THAT(refusal().message, HasSubstr("in a circle"));
  fs::remove(name);
  fs::create_symlink("gone", name);
  EXPECT_THAT(refusal().message, HasSubstr("leads nowhere"));
  fs::remove(name);
  fs::create_symlink("/dev/zero", name);
  EXPECT_THAT(refusal().message, HasSubstr("a pipe or a device"));
  fs::remove(name);
  fs::create_symlink("loop", directory_.path() / "loop");
  EXPECT_EQ(refusal_of(directory_.path() / "loop").reason, "MIGRATIONS_UNREADABLE");
  EXPECT_THAT(refusal_of(directory_.path() / "loop").message, HasSubstr("in a circle"));
}

TEST_F(Source, WhatMayNotBeRead) {
  // The rights of root know no bounds: as root the test steps down while it reads.
  const auto refusal_as_nobody = [&] {
    const bool root = ::geteuid() == 0;
    EXPECT_TRUE(!root || ::seteuid(65534) == 0);
    const Error error = refusal();
    EXPECT_TRUE(!root || ::seteuid(0) == 0);
    return error;
  };
  const auto file = write("1_a.sql");
  fs::permissions(directory_.path(), fs::perms::all);
  fs::permissions(file, fs::perms::none);
  const Error of_file = refusal_as_nobody();
  EXPECT_EQ(of_file.code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(of_file.message, AllOf(HasSubstr("1_a.sql"), HasSubstr("chmod")));
  fs::permissions(directory_.path(), fs::perms::none);
  const Error of_directory = refusal_as_nobody();
  EXPECT_EQ(of_directory.code, ErrorCode::kPermissionDenied);
  EXPECT_THAT(of_directory.message, HasSubstr("give this user the right"));
  fs::permissions(directory_.path(), fs::perms::all);
}

TEST_F(Source, AHugeFileIsRefusedByItsSize) {
  const auto file = write("1_a.sql");
  fs::resize_file(file, kMigrationFileBytesMax + 1);  // sparse
  const Error error = refusal();
  EXPECT_EQ(error.reason, "MIGRATIONS_TOO_LARGE");
  EXPECT_THAT(error.message, AllOf(HasSubstr("1_a.sql"), HasSubstr("32 MiB")));
}

TEST_F(Source, AnswersWhateverStandsInTheFiles) {
  const char* given = std::getenv("SYZYGY_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  static const char* const kPieces[] = {"-- syzygy:stage ",
                                        "pre_deploy",
                                        "post_deploy",
                                        "-- syzygy:down",
                                        "-- syzygy:depends ",
                                        "none",
                                        "1",
                                        "0002",
                                        " ",
                                        ",",
                                        "-- syzygy:no-transaction",
                                        "-- syzygy:",
                                        "--syzygy:ignore R because x",
                                        "/*",
                                        "*/",
                                        "'",
                                        "$$",
                                        "\n",
                                        "\r\n",
                                        "\r",
                                        "SELECT 1;",
                                        "CREATE TABLE t ();",
                                        "é",
                                        "\xff",
                                        "-- ",
                                        "\xEF\xBB\xBF",
                                        "BEGIN;",
                                        "COMMIT;"};
  static const char* const kNames[] = {"1_a.sql",    "2_b.sql",      "0002_c.sql", "10_d.sql", "1_a.down.sql",
                                       "2_b.up.sql", "2_b.down.sql", "x.sql",      "3.sql"};
  int read = 0;
  int refused = 0;
  for (int i = 0; i < 1'000; ++i) {
    const TemporaryDirectory directory;
    for (std::uint64_t files = 1 + random() % 3; files > 0; --files) {
      std::string text;
      for (std::uint64_t pieces = random() % 6; pieces > 0; --pieces) text += kPieces[random() % std::size(kPieces)];
      directory.write(kNames[random() % std::size(kNames)], text);
    }
    const auto migrations = read_directory(directory.path(), {});
    if (!migrations) {
      ++refused;
      EXPECT_THAT(migrations.error().message, HasSubstr(directory.path().string()));
      continue;
    }
    ++read;
    for (const auto& migration : *migrations) {
      EXPECT_EQ(find_migration(*migrations, migration.id), &migration);
      EXPECT_EQ(migration.up.text.find('\r'), std::string::npos);
      EXPECT_EQ(migration.up.content, sha256_hex(migration.up.text));
    }
  }
  EXPECT_GT(read, 10);
  EXPECT_GT(refused, 10);
}

TEST(Ids, CompareByValue) {
  EXPECT_TRUE(compare_ids("2", "10") < 0);
  EXPECT_TRUE(compare_ids("0004", "4") == 0);
  EXPECT_TRUE(compare_ids("0", "000") == 0);
  EXPECT_TRUE(compare_ids("99999999999999999999998", "99999999999999999999999") < 0);
  EXPECT_TRUE(compare_ids("1.9", "1.10") < 0);
  EXPECT_TRUE(compare_ids("1", "1a") < 0);
  EXPECT_TRUE(compare_ids("a", "b") < 0);
}

}  // namespace
}  // namespace syzygy
