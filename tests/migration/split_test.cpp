// Texts as statements: exact places, the odd corners of both dialects, refusals, and random bytes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pg_query.h>
#include <sqlite3.h>

#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "base/name.h"
#include "migration/sql/lexer.h"
#include "migration/sql/meaning.h"
#include "migration/sql/postgres_parser.h"
#include "migration/sql/statements.h"

namespace syzygy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string> texts(Dialect dialect, std::string_view sql) {
  const auto split = split_statements(dialect, sql, "f.sql");
  if (!split) return {split.error().reason + " " + split.error().message};
  std::vector<std::string> texts;
  for (const auto& statement : *split) texts.push_back(statement.text);
  return texts;
}
std::vector<std::string> postgres(std::string_view sql) { return texts(Dialect::kPostgres, sql); }
std::vector<std::string> sqlite(std::string_view sql) { return texts(Dialect::kSqlite, sql); }

TEST(Split, GivesExactPlaces) {
  const auto split =
      split_statements(Dialect::kPostgres,
                       "-- first\n/* é */ SELECT 1 -- inside\n ;;\n\n  SELECT 'ü;' ; SELECT\n3 -- last", "f.sql", 10);
  ASSERT_TRUE(split);
  ASSERT_EQ(split->size(), 3u);
  EXPECT_EQ((*split)[0].text, "SELECT 1");
  EXPECT_EQ((*split)[0].place, (Place{11, 9}));
  EXPECT_EQ((*split)[0].offset, 18u);
  EXPECT_THAT((*split)[0].comments,
              ElementsAre(Comment{"-- first", {10, 1}}, Comment{"/* é */", {11, 1}}, Comment{"-- inside", {11, 18}}));
  EXPECT_EQ((*split)[1].place, (Place{14, 3}));
  EXPECT_EQ((*split)[2].place, (Place{14, 17}));
  EXPECT_EQ((*split)[2].text, "SELECT\n3");
  EXPECT_THAT((*split)[2].comments, ElementsAre(Comment{"-- last", {15, 3}}));
}

TEST(Split, NothingIsNothing) {
  for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
    EXPECT_THAT(texts(dialect, ""), IsEmpty());
    EXPECT_THAT(texts(dialect, " ;;\n; -- only comments\n/* ; */"), IsEmpty());
  }
}

TEST(Split, PostgresKnowsWhereASemicolonIsText) {
  EXPECT_THAT(postgres("a $$ ; $$ b; c"), ElementsAre("a $$ ; $$ b", "c"));
  EXPECT_THAT(postgres("$x$ $$ ; $y$ ; $x$; b"), ElementsAre("$x$ $$ ; $y$ ; $x$", "b"));
  EXPECT_THAT(postgres("a$x$ ; b$x$; c"), ElementsAre("a$x$", "b$x$", "c"));  // $ inside a name opens nothing
  EXPECT_THAT(postgres("select $1 ; b"), ElementsAre("select $1", "b"));
  EXPECT_THAT(postgres("'it''s ;' ; b"), ElementsAre("'it''s ;'", "b"));
  EXPECT_THAT(postgres("'\\' ; b"), ElementsAre("'\\'", "b"));                      // no escape in a plain string
  EXPECT_THAT(postgres("E'\\' ;' ; b"), ElementsAre("E'\\' ;'", "b"));              // but in this one
  EXPECT_THAT(postgres("e'a'\n  '\\';' ; b"), ElementsAre("e'a'\n  '\\';'", "b"));  // and in what continues it
  EXPECT_THAT(postgres("name'\\' ; b"), ElementsAre("name'\\'", "b"));
  EXPECT_THAT(postgres("\"a;\"\"b\" ; c"), ElementsAre("\"a;\"\"b\"", "c"));
  EXPECT_THAT(postgres("U&\"a;\" ; c"), ElementsAre("U&\"a;\"", "c"));
  EXPECT_THAT(postgres("a /* ; /* ; */ ; */ b; c"), ElementsAre("a /* ; /* ; */ ; */ b", "c"));
  EXPECT_THAT(postgres("a -- ;\n ; b"), ElementsAre("a", "b"));
  EXPECT_THAT(postgres("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); b"),
              ElementsAre("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "b"));
  EXPECT_THAT(
      postgres("CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 "
               "END; END; b"),
      ElementsAre("CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN "
                  "1 END; END",
                  "b"));
  EXPECT_THAT(postgres("BEGIN; SELECT 1; END; b"), ElementsAre("BEGIN", "SELECT 1", "END", "b"));
}

TEST(Split, SqliteKnowsItsTriggersAndQuotes) {
  EXPECT_THAT(
      sqlite("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM t; END; b"),
      ElementsAre("CREATE TRIGGER g AFTER INSERT ON t BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM t; END", "b"));
  EXPECT_THAT(sqlite("create temp trigger g delete on t begin select 1; /* x */ end -- y\n ; b"),
              ElementsAre("create temp trigger g delete on t begin select 1; /* x */ end", "b"));
  EXPECT_THAT(sqlite("CREATE TABLE trigger_t (a); b"), ElementsAre("CREATE TABLE trigger_t (a)", "b"));
  EXPECT_THAT(sqlite("`a;` ; [b;] ; \"c;\" ; d"), ElementsAre("`a;`", "[b;]", "\"c;\"", "d"));
  EXPECT_THAT(sqlite("a /* /* ; */ ; b"), ElementsAre("a", "b"));  // comments do not nest
  EXPECT_THAT(sqlite("$$ ; b"), ElementsAre("$$", "b"));
  EXPECT_THAT(sqlite("BEGIN; END; b"), ElementsAre("BEGIN", "END", "b"));
}

struct Refused {
  Dialect dialect;
  const char* sql;
  const char* reason;
  const char* says;
};

TEST(Split, RefusesWithPlaceAndWayOut) {
  constexpr Dialect kP = Dialect::kPostgres;
  constexpr Dialect kS = Dialect::kSqlite;
  const Refused cases[] = {
      {kP, "\n a 'x", "SQL_UNTERMINATED", "f.sql:2:4: a string that starts with '"},
      {kP, "a \"x", "SQL_UNTERMINATED", "quoted name"},
      {kP, "a /* /* */", "SQL_UNTERMINATED", "f.sql:1:3: a comment"},
      {kP, "a $tag$ $$", "SQL_UNTERMINATED", "$tag$ is missing"},
      {kP, "a (b; c", "SQL_UNTERMINATED", "parenthesis"},
      {kP, "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", "SQL_UNTERMINATED", "BEGIN ATOMIC"},
      {kS, "CREATE TRIGGER g BEGIN SELECT 1; ", "SQL_UNTERMINATED", "trigger"},
      {kS, "a [x", "SQL_UNTERMINATED", "quoted name"},
      {kP, "SELECT 1;\n\\connect other", "SQL_SHELL_COMMAND", "f.sql:2:1: \"\\connect\""},
      {kP, "\\i other.sql", "SQL_SHELL_COMMAND", "that file's statements"},
      {kP, "\\copy t from 'x'", "SQL_SHELL_COMMAND", "INSERT"},
      {kP, "SELECT 1;\n\\restrict abc\n", "SQL_SHELL_COMMAND", "pg_dump"},
      {kP, "\\c\x1b[31m other", "SQL_SHELL_COMMAND", "\"\\c [31m\""},
      {kP, "SELECT 1 \\gexec", "SQL_SHELL_COMMAND", "\\gexec"},
      {kS, "SELECT 1;\n.read x", "SQL_SHELL_COMMAND", "f.sql:2:1"},
      {kP, "copy t (a) from stdin;\n1\t'\n\\.\n", "SQL_COPY_STDIN", "f.sql:1:17: COPY FROM STDIN"},
      {kP, "COPY t TO STDOUT", "SQL_COPY_STDIN", "TO STDOUT"},
  };
  for (const auto& c : cases) {
    const auto split = split_statements(c.dialect, c.sql, "f.sql");
    ASSERT_FALSE(split) << c.sql;
    EXPECT_EQ(split.error().reason, c.reason) << c.sql;
    EXPECT_THAT(split.error().message, HasSubstr(c.says)) << c.sql;
    EXPECT_EQ(split.error().metadata.at("file"), "f.sql");
  }
  EXPECT_THAT(postgres("COPY t FROM '/stdin'; b"), ElementsAre("COPY t FROM '/stdin'", "b"));
}

TEST(Split, HasALimitOnStatements) {
  std::string many;
  for (std::size_t i = 0; i < kStatementsMax; ++i) many += "a;";
  EXPECT_EQ(postgres(many).size(), kStatementsMax);
  EXPECT_THAT(postgres(many + "a"), ElementsAre(HasSubstr("SQL_TOO_MANY_STATEMENTS")));
}

TEST(Excerpt, IsOneShortLineWithoutPasswords) {
  EXPECT_EQ(excerpt(Dialect::kPostgres, "SELECT  1, -- x\n\t'a\nb'"), "SELECT 1, 'a b'");
  EXPECT_EQ(excerpt(Dialect::kPostgres, "ALTER ROLE x PASSWORD 'geheim'"), "ALTER ROLE x PASSWORD '...'");
  EXPECT_EQ(excerpt(Dialect::kPostgres, "SELECT ééééé", 10), "SELECT é...");
}

// --- the parser
// --------------------------------------------------------------------------------------------------------

TEST(PostgresParser, SaysWhereItStopped) {
  const auto parsed = parse_postgres("SELECT 'ééé' FRM x y z");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().why, NotParsed::Why::kSyntax);
  EXPECT_EQ(std::string_view("SELECT 'ééé' FRM x y z").substr(parsed.error().position), "x y z");
}

TEST(PostgresParser, AnswersWhateverItIsGiven) {
  const auto why = [](std::string_view text) {
    const auto parsed = parse_postgres(text);
    return parsed ? -1 : static_cast<int>(parsed.error().why);
  };
  const auto repeat = [](std::string_view head, std::string_view part, int times) {
    std::string text(head);
    for (int i = 0; i < times; ++i) text += part;
    return text;
  };
  EXPECT_EQ(why(""), -1);
  EXPECT_EQ(why("SELECT 1"), -1);
  EXPECT_EQ(why("SELECT 1; SELECT 2"), static_cast<int>(NotParsed::Why::kSyntax));
  EXPECT_EQ(why(std::string_view("SELECT 1\0 2", 11)), static_cast<int>(NotParsed::Why::kBytes));
  EXPECT_EQ(why("SELECT '\xff'"), static_cast<int>(NotParsed::Why::kBytes));
  EXPECT_EQ(why(repeat("SELECT 1", "+1", 300)), -1);
  EXPECT_EQ(why(repeat("SELECT 1", "+1", 10'000)), static_cast<int>(NotParsed::Why::kTooDeep));
  EXPECT_EQ(why(repeat("SELECT 1", "+1", 500'000)), static_cast<int>(NotParsed::Why::kTooDeep));
  EXPECT_EQ(why(repeat("SELECT ", "(", 10'000)), static_cast<int>(NotParsed::Why::kTooDeep));
  EXPECT_EQ(why(repeat("SELECT ", "NOT ", 200'000)), static_cast<int>(NotParsed::Why::kTooDeep));
  EXPECT_EQ(why(repeat("SELECT 1", " UNION SELECT 1", 60'000)), static_cast<int>(NotParsed::Why::kTooDeep));
  EXPECT_EQ(why(repeat("SELECT 1", "+1", 1'000'000)), static_cast<int>(NotParsed::Why::kTooLarge));
  EXPECT_EQ(why(repeat("INSERT INTO t VALUES (1)", ",(1)", 100'000)), -1);
}

TEST(PostgresParser, TooDeepIsNoVerdict) {
  std::string deep = "UPDATE t SET a = 1";
  for (int i = 0; i < 10'000; ++i) deep += "+1";
  const Meaning meaning = read_meaning(Dialect::kPostgres, deep);
  EXPECT_EQ(meaning.actions.at(0).kind, ActionKind::kUnknown);
  EXPECT_THAT(meaning.actions.at(0).note, HasSubstr("too deep to judge"));
}

// --- against the databases' own tools, and random bytes
// ----------------------------------------------------------------

// What libpg_query's own splitter says, or nothing where it refuses the text.
std::optional<std::vector<std::string>> split_by_parser(const std::string& sql) {
  PgQuerySplitResult result = pg_query_split_with_parser(sql.c_str());
  std::optional<std::vector<std::string>> texts;
  if (result.error == nullptr) {
    texts.emplace();
    for (int i = 0; i < result.n_stmts; ++i) {
      const std::string text = sql.substr(static_cast<std::size_t>(result.stmts[i]->stmt_location),
                                          static_cast<std::size_t>(result.stmts[i]->stmt_len));
      // It counts the comments around a statement to it; ours begins and ends with its own tokens.
      Lexer lexer(Dialect::kPostgres, text);
      std::size_t start = text.size();
      std::size_t end = 0;
      while (const auto token = lexer.next_visible()) {
        start = std::min(start, token->offset);
        end = token->end();
      }
      texts->push_back(start < end ? text.substr(start, end - start) : "");
    }
  }
  pg_query_free_split_result(result);
  return texts;
}

// Pieces that lead into every corner of the lexers.
std::string random_sql(std::mt19937_64& random) {
  static const char* const kPieces[] = {"SELECT ",
                                        "1",
                                        ";",
                                        "'",
                                        "''",
                                        "\"",
                                        "$$",
                                        "$a$",
                                        "$1",
                                        "a",
                                        "E'",
                                        "\\",
                                        "(",
                                        ")",
                                        "--",
                                        "\n",
                                        "/*",
                                        "*/",
                                        "BEGIN ",
                                        "ATOMIC ",
                                        "END",
                                        "CASE ",
                                        "CREATE ",
                                        "FUNCTION ",
                                        "TRIGGER ",
                                        "TEMP ",
                                        "OR ",
                                        "REPLACE ",
                                        "f() ",
                                        "COPY ",
                                        "FROM ",
                                        "STDIN",
                                        ".",
                                        "U&",
                                        "x",
                                        "é",
                                        "\xff",
                                        "\r",
                                        "`",
                                        "[",
                                        "]",
                                        ",",
                                        " ",
                                        "EXPLAIN ",
                                        "DROP TABLE t",
                                        "SELECT 1;",
                                        "INSERT INTO t VALUES (1)",
                                        "ALTER TABLE ",
                                        "ADD COLUMN ",
                                        "NOT NULL ",
                                        "DEFAULT ",
                                        "RENAME TO ",
                                        "PRAGMA ",
                                        "="};
  std::string text;
  const auto pieces = random() % 24;
  for (std::uint64_t i = 0; i < pieces; ++i) text += kPieces[random() % std::size(kPieces)];
  return text;
}

std::uint64_t seed() {
  const char* given = std::getenv("SYZYGY_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
}

TEST(SplitRandom, AnswersAnyBytesAndAgreesWithPostgres) {
  const auto used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937_64 random(used);
  int compared = 0;
  for (int i = 0; i < 20'000 && !testing::Test::HasFailure(); ++i) {
    const std::string sql = random_sql(random);
    const auto split = split_statements(Dialect::kPostgres, sql, "f.sql");
    if (!split) continue;
    for (const auto& statement : *split) {
      EXPECT_EQ(sql.substr(statement.offset, statement.text.size()), statement.text);
      EXPECT_FALSE(read_meaning(Dialect::kPostgres, statement.text).actions.empty());
    }
    if (!is_utf8(sql)) continue;
    const auto theirs = split_by_parser(sql);
    if (!theirs) continue;
    ++compared;
    std::vector<std::string> ours;
    for (const auto& statement : *split) ours.push_back(statement.text);
    EXPECT_EQ(ours, *theirs) << "in: " << printable(sql, 1000);
  }
  EXPECT_GT(compared, 100);
}

TEST(SplitRandom, AnswersAnyBytesAndAgreesWithSqlite) {
  const auto used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937_64 random(used);
  int compared = 0;
  for (int i = 0; i < 20'000 && !testing::Test::HasFailure(); ++i) {
    const std::string sql = random_sql(random);
    const auto split = split_statements(Dialect::kSqlite, sql, "f.sql");
    if (!split) continue;
    for (const auto& statement : *split) {
      EXPECT_EQ(sql.substr(statement.offset, statement.text.size()), statement.text);
      EXPECT_FALSE(read_meaning(Dialect::kSqlite, statement.text).actions.empty());
      // sqlite3_complete() takes CREATE TRIGGER anywhere after EXPLAIN for one; SQLite's parser does not.
      if (statement.text.starts_with("EXPLAIN")) continue;
      ++compared;
      Lexer lexer(Dialect::kSqlite, statement.text);
      while (const auto token = lexer.next_visible()) {
        if (token->kind != LexemeKind::kSemicolon) continue;
        EXPECT_EQ(sqlite3_complete(statement.text.substr(0, token->end()).c_str()), 0)
            << printable(statement.text, 1000);
      }
      EXPECT_EQ(sqlite3_complete((statement.text + ";").c_str()), 1) << printable(statement.text, 1000);
    }
  }
  EXPECT_GT(compared, 100);
}

TEST(SplitRandom, AnswersPureNoise) {
  const auto used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937_64 random(used);
  for (int i = 0; i < 3'000; ++i) {
    std::string noise(random() % 200, '\0');
    for (char& c : noise) c = static_cast<char>(random());
    for (const Dialect dialect : {Dialect::kPostgres, Dialect::kSqlite}) {
      const auto split = split_statements(dialect, noise, "f.sql");
      if (!split) {
        EXPECT_FALSE(split.error().message.empty());
        continue;
      }
      for (const auto& statement : *split) read_meaning(dialect, statement.text);
    }
    (void)parse_postgres(noise);
  }
}

}  // namespace
}  // namespace syzygy
