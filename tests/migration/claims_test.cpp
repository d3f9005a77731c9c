// What the rules claim, held against a real PostgreSQL: locks from pg_locks, scans from pg_stat_xact_user_tables,
// rewrites from relfilenodes, refusals by SQLSTATE, and old code that works before and fails after.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <optional>
#include <pqxx/pqxx>
#include <string>
#include <thread>
#include <vector>

#include "migration/rules/rule.h"
#include "migration/rules/types.h"
#include "migration/sql/meaning.h"
#include "tests/support/postgres.h"

namespace syzygy {
namespace {

using test::PostgresServer;

constexpr std::string_view kRows =
    "INSERT INTO customers SELECT n, 'c' FROM generate_series(1, 100) n;"
    "INSERT INTO orders (id, number, customer_id, note, feeling, placed_at)"
    " SELECT n, n, n % 100 + 1, 'note ' || n, 'ok', now() FROM generate_series(1, 1000) n;"
    "UPDATE orders SET state = 'open' WHERE id <= 10;"
    "INSERT INTO keyless SELECT generate_series(1, 1000);"
    "INSERT INTO events_2025 SELECT '2025-06-01', 'x' FROM generate_series(1, 100);"
    "INSERT INTO events_2026 SELECT '2026-06-01', 'x' FROM generate_series(1, 100);"
    "REFRESH MATERIALIZED VIEW customer_counts; ANALYZE orders;";

PostgresServer& server() {
  static PostgresServer started({"allow_in_place_tablespaces=on"});
  return started;
}

// The tables of the examples, filled, as a template: each example that commits something gets a copy of its own.
const std::string& tables() {
  static const std::string name = [] {
    server().sql("postgres", "CREATE ROLE clerk");
    server().sql("postgres", "CREATE TABLESPACE fast LOCATION ''");
    std::string made = server().create_database("hazards");
    server().sql(made, "CREATE ACCESS METHOD heap2 TYPE TABLE HANDLER heap_tableam_handler");
    server().sql(made, std::string(kExampleTables));
    server().sql(made, std::string(kRows));
    return made;
  }();
  return name;
}

class Copy {
 public:
  Copy() : name_("copy" + std::to_string(++count_)) {
    server().sql("postgres", "CREATE DATABASE " + name_ + " TEMPLATE " + tables());
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() { server().sql("postgres", "DROP DATABASE " + name_ + " WITH (FORCE)"); }
  [[nodiscard]] const std::string& name() const { return name_; }

 private:
  static inline int count_ = 0;
  std::string name_;
};

bool outside_transaction(const Example& example) {
  return example.sql.find("-- syzygy:no-transaction") != std::string_view::npos;
}

// The SQLSTATE of what the server says; "" for nothing.
std::string run(pqxx::nontransaction& session, const std::string& sql) {
  try {
    session.exec(sql);
    return "";
  } catch (const pqxx::sql_error& error) {
    return error.sqlstate().empty() ? error.what() : error.sqlstate();
  }
}

LockMode lock_mode(const std::string& name) {  // "AccessExclusiveLock"
  for (int i = 0; i <= static_cast<int>(LockMode::kAccessExclusive); ++i) {
    std::string spelled;
    bool begins = true;
    for (const char c : to_string(static_cast<LockMode>(i))) {
      if (c != ' ') spelled.push_back(begins ? c : static_cast<char>(c - 'A' + 'a'));
      begins = c == ' ';
    }
    if (spelled + "Lock" == name) return static_cast<LockMode>(i);
  }
  return LockMode::kNone;
}

// The strongest lock on the table that this session, or one that waits, has or wants.
LockMode strongest(pqxx::nontransaction& session, const std::string& oid, const std::string& who) {
  LockMode found = LockMode::kNone;
  for (const auto& row :
       session.exec("SELECT mode FROM pg_locks WHERE locktype = 'relation' AND relation = " + oid + " AND " + who)) {
    found = std::max(found, lock_mode(row[0].c_str()));
  }
  return found;
}

std::string value(pqxx::nontransaction& session, const std::string& sql) {
  const auto rows = session.exec(sql);
  return rows.empty() || rows[0][0].is_null() ? "" : rows[0][0].c_str();
}

std::string files(pqxx::nontransaction& session, const std::string& oid) {
  return value(
      session,
      "SELECT string_agg(oid || ':' || pg_relation_filenode(oid), ' ' ORDER BY oid) FROM pg_class WHERE oid = " + oid +
          " OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = " + oid + ")");
}

// Of those in `before`, whether one has another file now. New indexes are none of them.
bool rewritten(const std::string& before, const std::string& after) {
  std::size_t start = 0;
  while (start < before.size()) {
    const auto end = std::min(before.find(' ', start), before.size());
    const std::string one = before.substr(start, end - start);
    const std::string oid = one.substr(0, one.find(':') + 1);
    const bool there = (" " + after).find(" " + oid) != std::string::npos;
    if (there && (" " + after + " ").find(" " + one + " ") == std::string::npos) return true;
    start = end + 1;
  }
  return false;
}

struct Seen {
  Claim claim;
  std::string refused;
};

Seen watch(const std::string& database, const Example& example, const Claim& tables_of) {
  pqxx::connection connection(server().url(database));
  pqxx::nontransaction session(connection);
  const auto oid = [&](std::string_view table) {
    return value(session, "SELECT '" + std::string(table) + "'::regclass::oid");
  };
  const std::string table = oid(tables_of.table);
  const std::string other = oid(tables_of.other_table);
  const std::string scans_of =
      "SELECT coalesce((SELECT seq_scan FROM pg_stat_xact_user_tables WHERE relid = " + table + "), 0)";
  Seen seen;
  seen.claim.table = tables_of.table;
  seen.claim.other_table = tables_of.other_table;
  session.exec("BEGIN");
  const std::string before = files(session, table);
  seen.refused = run(session, std::string(example.sql));
  if (!seen.refused.empty()) {
    session.exec("ROLLBACK");
    return seen;
  }
  seen.claim.lock = strongest(session, table, "pid = pg_backend_pid()");
  seen.claim.other =
      tables_of.other == LockMode::kNone ? LockMode::kNone : strongest(session, other, "pid = pg_backend_pid()");
  seen.claim.scans = value(session, scans_of) != "0";
  seen.claim.rewrites = rewritten(before, files(session, table));
  session.exec("ROLLBACK");
  return seen;
}

// Of a statement that cannot run in a transaction: what it waits for behind a reader, and the files afterwards.
Seen watch_outside(const std::string& database, const Example& example, const Claim& tables_of) {
  pqxx::connection connection(server().url(database));
  pqxx::nontransaction session(connection);
  const std::string table = value(session, "SELECT '" + std::string(tables_of.table) + "'::regclass::oid");
  const std::string before = files(session, table);
  session.exec("BEGIN; LOCK TABLE " + std::string(tables_of.table) + " IN ACCESS SHARE MODE");
  std::atomic<bool> ended = false;
  std::thread other([&] {
    pqxx::connection its(server().url(database));
    pqxx::nontransaction does(its);
    run(does, std::string(example.sql));
    ended = true;
  });
  Seen seen;
  seen.claim = tables_of;
  seen.claim.lock = LockMode::kNone;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!ended && seen.claim.lock == LockMode::kNone && std::chrono::steady_clock::now() < deadline) {
    seen.claim.lock = strongest(session, table, "NOT granted");
  }
  session.exec("ROLLBACK");
  other.join();
  seen.claim.rewrites = rewritten(before, files(session, table));
  return seen;
}

TEST(Claims, AreWhatTheServerDoes) {
  int proved = 0;
  for (const Rule* rule : all_rules()) {
    for (const Example& example : rule->fires) {
      const auto claim = example.claim ? example.claim : rule->claim;
      if (!claim && example.refused_as.empty()) continue;
      SCOPED_TRACE(std::string(rule->id) + ": " + std::string(example.sql));
      std::optional<Copy> copy;
      if (!example.before.empty() || outside_transaction(example)) copy.emplace();
      const std::string database = copy ? copy->name() : tables();
      if (!example.before.empty()) server().sql(database, std::string(example.before));
      const Claim expected = claim.value_or(Claim{});
      const Seen seen = outside_transaction(example) ? watch_outside(database, example, expected)
                                                     : watch(database, example, expected);
      EXPECT_EQ(seen.refused, example.refused_as);
      if (claim) {
        EXPECT_EQ(describe(seen.claim), describe(expected));
      }
      ++proved;
    }
  }
  EXPECT_GT(proved, 40);
}

TEST(Claims, OldCodeBreaks) {
  for (const Rule* rule : all_rules()) {
    for (const Example& example : rule->fires) {
      if (example.breaks.empty()) continue;
      SCOPED_TRACE(std::string(rule->id) + ": " + std::string(example.sql));
      pqxx::connection connection(server().url(tables()));
      pqxx::nontransaction session(connection);
      session.exec("BEGIN; SAVEPOINT before");
      EXPECT_EQ(run(session, std::string(example.breaks)), "") << "it does not work before";
      session.exec("ROLLBACK TO before");
      EXPECT_EQ(run(session, std::string(example.sql)), "");
      EXPECT_NE(run(session, std::string(example.breaks)), "") << "it works after, too";
      session.exec("ROLLBACK");
    }
  }
}

// A question is not true before the example (and what led to it), and true after it; a statement fails, and works.
TEST(Claims, WhatIsSeenAfterwards) {
  int asked = 0;
  for (const Rule* rule : all_rules()) {
    for (const Example& example : rule->fires) {
      if (example.seen.empty()) continue;
      SCOPED_TRACE(std::string(rule->id) + ": " + std::string(example.sql));
      const bool commits = outside_transaction(example) || example.sql.find("COMMIT") != std::string_view::npos;
      std::optional<Copy> copy;
      if (!example.before.empty() || commits) copy.emplace();
      pqxx::connection connection(server().url(copy ? copy->name() : tables()));
      pqxx::nontransaction session(connection);
      const auto is_seen = [&] {
        const std::string seen(example.seen);
        return seen.starts_with("SELECT") ? value(session, seen) == "t" : run(session, seen).empty();
      };
      if (!outside_transaction(example)) session.exec("BEGIN; SELECT pg_current_xact_id(); SAVEPOINT before");
      EXPECT_FALSE(is_seen());
      if (!outside_transaction(example)) session.exec("ROLLBACK TO before");
      if (!example.before.empty()) session.exec(std::string(example.before));
      EXPECT_EQ(run(session, std::string(example.sql)), "");
      EXPECT_TRUE(is_seen());
      if (!commits) session.exec("ROLLBACK");
      ++asked;
    }
  }
  EXPECT_GE(asked, 15);
}

// A near miss of a rule that claims a scan or a rewrite does neither.
TEST(Claims, NearMissesDoNotScanOrRewrite) {
  for (const Rule* rule : all_rules()) {
    if (!rule->claim || (!rule->claim->scans && !rule->claim->rewrites)) continue;
    // These are about when, how much, or under which lock: their near misses scan as well.
    if (rule->id == "work-under-lock" || rule->id == "update-everything" || rule->id == "validate-at-once" ||
        rule->id == "refresh-materialized-view") {
      continue;
    }
    for (const Example& example : rule->silent) {
      if (outside_transaction(example)) continue;
      SCOPED_TRACE(std::string(rule->id) + ": " + std::string(example.sql));
      std::optional<Copy> copy;
      if (!example.before.empty()) copy.emplace();
      const std::string database = copy ? copy->name() : tables();
      if (copy) server().sql(database, std::string(example.before));
      const Seen seen = watch(database, example, *rule->claim);
      EXPECT_EQ(seen.refused, "");
      // ADD PRIMARY KEY USING INDEX may look at the rows for NOT NULL; the example's column has it already.
      EXPECT_FALSE(seen.claim.scans);
      EXPECT_FALSE(seen.claim.rewrites);
    }
  }
}

TEST(Claims, TheMatrixOfTypes) {
  const std::vector<std::string> types = {
      "int2",          "int4",          "int8",      "numeric",      "numeric(10,2)", "numeric(12,2)",  "numeric(12,4)",
      "float4",        "float8",        "text",      "varchar",      "varchar(10)",   "varchar(20)",    "bpchar(10)",
      "bpchar(20)",    "date",          "timestamp", "timestamp(3)", "timestamptz",   "timestamptz(3)", "time",
      "time(3)",       "interval",      "cidr",      "inet",         "json",          "jsonb",          "uuid",
      "bool",          "varbit(5)",     "varbit(9)", "varbit",       "bit(3)",        "bytea",          "text[]",
      "varchar(20)[]", "varchar(30)[]", "varchar[]", "int4[]"};
  pqxx::connection connection(server().url(tables()));
  pqxx::nontransaction session(connection);
  session.exec("CREATE SCHEMA matrix; SET search_path = matrix");
  const auto rewrites = [&](const std::string& from, const std::string& to, const char* zone) -> std::optional<bool> {
    session.exec("BEGIN; SET LOCAL TimeZone = '" + std::string(zone) + "'; CREATE TABLE m (c " + from + ")");
    const std::string before = value(session, "SELECT pg_relation_filenode('m')");
    const std::string refused = run(session, "ALTER TABLE m ALTER COLUMN c TYPE " + to);
    const bool changed = refused.empty() && value(session, "SELECT pg_relation_filenode('m')") != before;
    session.exec("ROLLBACK");
    return refused.empty() ? std::optional(changed) : std::nullopt;
  };
  int compared = 0;
  for (const auto& from : types) {
    for (const auto& to : types) {
      const TypeChange claimed = type_change(from, to);
      const auto elsewhere = rewrites(from, to, "Europe/Berlin");
      if (!elsewhere) continue;  // needs USING, which always rewrites
      EXPECT_EQ(claimed.rewrites, *elsewhere) << from << " -> " << to;
      if (from.starts_with("time") && to.starts_with("time"))
        EXPECT_EQ(claimed.rewrites && !claimed.unless_utc, *rewrites(from, to, "UTC"))
            << from << " -> " << to << " in UTC";
      ++compared;
    }
  }
  EXPECT_GT(compared, 200);
  session.exec("DROP SCHEMA matrix");
}

}  // namespace
}  // namespace syzygy
