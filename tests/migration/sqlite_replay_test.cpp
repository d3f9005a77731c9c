// Rebuilds of SQLite's tables, told by what they change.
#include "migration/sql/sqlite_replay.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace syzygy {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr const char* kBefore = R"sql(CREATE TABLE people (id integer PRIMARY KEY);
CREATE TABLE t (id integer PRIMARY KEY, name varchar(20) NOT NULL, note text, kind text DEFAULT 'a', boss integer);
CREATE INDEX t_note ON t (note))sql";

std::vector<Meaning> replay(SqliteReplay& replay, const std::string& sql) {
  const auto statements = split_statements(Dialect::kSqlite, sql, "x.sql");
  EXPECT_TRUE(statements.has_value());
  std::vector<Meaning> meanings;
  for (const Statement& statement : *statements) meanings.push_back(read_meaning(Dialect::kSqlite, statement.text));
  return replay.effect(*statements, std::move(meanings));
}

std::string word_of(ActionKind kind) {
  switch (kind) {
    case ActionKind::kDropColumn:
      return "drops";
    case ActionKind::kAddColumn:
      return "adds";
    case ActionKind::kAlterColumnType:
      return "retypes";
    case ActionKind::kSetNotNull:
      return "not null";
    case ActionKind::kDropNotNull:
      return "null";
    case ActionKind::kSetDefault:
      return "default";
    case ActionKind::kDropDefault:
      return "no default";
    case ActionKind::kAddConstraint:
      return "constrains";
    case ActionKind::kDropConstraint:
      return "frees";
    case ActionKind::kDrop:
      return "drop";
    case ActionKind::kRename:
      return "rename";
    default:
      return "";
  }
}

// What is not neutral, in words.
std::vector<std::string> effect_of(const std::string& sql) {
  SqliteReplay all;
  replay(all, kBefore);
  std::vector<std::string> words;
  for (const Meaning& meaning : replay(all, sql)) {
    for (const Action& action : meaning.actions) {
      if (const std::string word = word_of(action.kind); !word.empty()) {
        words.push_back(word + (action.part.empty() ? "" : " " + action.part));
      }
    }
  }
  return words;
}

std::string rebuilt_as(const std::string& columns) {
  return "CREATE TABLE new__t (" + columns +
         ");\nINSERT INTO new__t SELECT * FROM t;\nDROP TABLE t;\n"
         "ALTER TABLE new__t RENAME TO t;\nCREATE INDEX t_note ON t (note)";
}

constexpr const char* kSame =
    "id integer PRIMARY KEY, name varchar(20) NOT NULL, note text, kind text DEFAULT 'a', boss integer";

TEST(SqliteReplay, ARebuildIsWhatItChanges) {
  const struct {
    const char* columns;
    std::vector<std::string> says;
  } cases[] = {
      {kSame, {}},
      {"id integer PRIMARY KEY, name varchar(99) NOT NULL, note text, kind text DEFAULT 'a', boss integer", {}},
      {"id integer PRIMARY KEY, name varchar(20) NOT NULL, note text, boss integer", {"drops kind"}},
      {"id integer PRIMARY KEY, name text NOT NULL, note text, kind text DEFAULT 'a', boss integer, x int NOT NULL",
       {"adds x"}},
      {"id integer PRIMARY KEY, name text NOT NULL, note integer, kind text DEFAULT 'a', boss integer",
       {"retypes note"}},
      {"id integer PRIMARY KEY, name text, note text NOT NULL, kind text DEFAULT 'a', boss integer",
       {"null name", "not null note"}},
      {"id integer PRIMARY KEY, name text NOT NULL, note text DEFAULT 'n', kind text, boss integer",
       {"default note", "no default kind"}},
      {"id integer PRIMARY KEY, name text NOT NULL UNIQUE, note text, kind text DEFAULT 'a', boss integer",
       {"constrains"}},
      {"id integer PRIMARY KEY, name text NOT NULL, note text, kind text DEFAULT 'a', boss integer REFERENCES people "
       "(id)",
       {"constrains"}},
      {"id integer PRIMARY KEY, name text NOT NULL CHECK (name <> ''), note text, kind text DEFAULT 'a', boss integer",
       {"constrains"}},
  };
  for (const auto& c : cases) EXPECT_EQ(effect_of(rebuilt_as(c.columns)), c.says) << c.columns;
}

TEST(SqliteReplay, TheOtherWayRoundAsWell) {
  EXPECT_THAT(effect_of("ALTER TABLE t RENAME TO old_t; CREATE TABLE t (" + std::string(kSame) +
                        ", x text); INSERT INTO t SELECT *, '' FROM old_t; DROP TABLE old_t"),
              ElementsAre("adds x"));
}

TEST(SqliteReplay, WhatIsNoRebuildStaysAsItIsWritten) {
  EXPECT_THAT(effect_of("DROP TABLE t"), ElementsAre("drop"));
  EXPECT_THAT(effect_of("ALTER TABLE t RENAME TO u"), ElementsAre("rename"));
  EXPECT_THAT(effect_of("ALTER TABLE t ADD COLUMN x text"), ElementsAre("adds x"));
  EXPECT_THAT(effect_of("CREATE TABLE u (a); DROP TABLE u"), ElementsAre("drop"));
}

TEST(SqliteReplay, WhatCannotBeReplayedIsJudgedByItsText) {
  EXPECT_THAT(effect_of("CREATE TABLE new__t (a nonsense REFERENCES, DROP TABLE t)"), IsEmpty());
  EXPECT_THAT(effect_of("CREATE VIRTUAL TABLE v USING no_such_module(a); DROP TABLE t; CREATE TABLE t (id integer)"),
              ElementsAre("drop"));
}

TEST(SqliteReplay, ReachesNothingOutsideAndEnds) {
  const std::string path = testing::TempDir() + "syzygy_replay_reaches.db";
  EXPECT_THAT(effect_of("ATTACH '" + path + "' AS other; CREATE TABLE other.x (a)"), IsEmpty());
  EXPECT_EQ(::fopen(path.c_str(), "rb"), nullptr);
  effect_of("CREATE TABLE n AS WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i FROM c");
}

}  // namespace
}  // namespace syzygy
