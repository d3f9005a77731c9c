#include "store/postgres.h"

#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <pqxx/pqxx>
#include <thread>

#include "store/open.h"
#include "store/postgres_schema.h"
#include "tests/store/conformance.h"
#include "tests/support/postgres.h"
#include "tests/support/tcp_proxy.h"

namespace syzygy::store_tests {
namespace {

using test::PostgresServer;
using ::testing::HasSubstr;
using ::testing::Not;

PostgresServer& server() { return PostgresServer::shared(); }

const std::string& database() {
  static const std::string name = server().create_database("store");
  return name;
}

// A schema of its own in the server that all tests share.
class Postgres final : public BackendUnderTest {
 public:
  Postgres() { database(); }  // started here and not by a thread that ends: it would take the server with it
  ~Postgres() override { server().sql(database(), "drop schema if exists " + schema_ + " cascade"); }
  std::unique_ptr<Store> open() override {
    auto store = PostgresStore::open(url());
    if (store) return std::move(*store);
    ADD_FAILURE() << store.error().message;
    return nullptr;
  }
  std::string url() override { return server().url(database()) + "?schema=" + schema_; }
  [[nodiscard]] const std::string& schema() const { return schema_; }

 private:
  static inline int made_ = 0;
  const std::string schema_ = "s" + std::to_string(++made_);
};

const MakeBackend kPostgres{"Postgres", [] { return std::make_unique<Postgres>(); }};

INSTANTIATE_TEST_SUITE_P(Backend, StoreConformance, ::testing::Values(kPostgres), backend_name);
INSTANTIATE_TEST_SUITE_P(Backend, SharedStoreConformance, ::testing::Values(kPostgres), backend_name);
INSTANTIATE_TEST_SUITE_P(Backend, DurableStoreConformance, ::testing::Values(kPostgres), backend_name);

// ---- words ----

Result<std::unique_ptr<PostgresStore>> open(const std::string& url) { return PostgresStore::open(url); }

std::unique_ptr<PostgresStore> opened(const std::string& url) {
  auto store = PostgresStore::open(url);
  if (store) return std::move(*store);
  ADD_FAILURE() << store.error().message;
  return nullptr;
}

bool eventually(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

// Which keys were hinted, in order.
class Heard {
 public:
  explicit Heard(Store& store) : store_(store) {
    store.watch([this](const std::string& key, const Version&) {
      const std::lock_guard lock(mutex_);
      keys_.push_back(key);
    });
  }
  ~Heard() { store_.watch({}); }
  Heard(const Heard&) = delete;
  Heard& operator=(const Heard&) = delete;

  std::vector<std::string> keys() {
    const std::lock_guard lock(mutex_);
    return keys_;
  }
  bool has(const std::string& key) {
    return eventually([&] {
      const auto heard = keys();
      return std::ranges::find(heard, key) != heard.end();
    });
  }

 private:
  Store& store_;
  std::mutex mutex_;
  std::vector<std::string> keys_;
};

// A store in the shared server, and what a test says to that server.
class PostgresStoreTest : public ::testing::Test {
 protected:
  std::string url(const std::string& more = {}) { return backend_.url() + more; }
  std::string table(const std::string& name) { return backend_.schema() + "." + name; }
  static std::string ask(const std::string& sql) { return server().value(database(), sql); }
  static void say(const std::string& sql) { server().sql(database(), sql); }
  std::string ours() { return "application_name like 'syzygyd " + backend_.schema() + " %'"; }

  Postgres backend_;
};

// ---- the schema ----

TEST_F(PostgresStoreTest, ManyMakeTheSchemaAtOnceAndOneDoes) {
  std::mutex mutex;
  std::vector<std::string> epochs;
  {
    std::vector<std::jthread> daemons;
    for (int i = 0; i < 8; ++i) {
      daemons.emplace_back([&] {
        const auto store = open(url());
        ASSERT_TRUE(store) << store.error().message;
        const std::lock_guard lock(mutex);
        epochs.push_back((*store)->epoch());
      });
    }
  }
  ASSERT_EQ(epochs.size(), 8u);
  EXPECT_EQ(std::ranges::count(epochs, epochs[0]), 8);
  EXPECT_EQ(ask("select count(*) from " + table("meta")), "1");
}

TEST_F(PostgresStoreTest, ANewerSchemaIsRefusedByTheDaemonThatRunsAndByTheOneThatStarts) {
  const auto store = opened(url());
  commit_one(*store, {.key = "a"});
  say("update " + table("meta") + " set version = 2");
  const auto again = open(url());
  ASSERT_FALSE(again);
  const Change change{.key = "b"};
  for (const Error& error : {again.error(), store->load("a").error(), store->commit({&change, 1}).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kDataLoss);
    EXPECT_EQ(error.reason, "STORE_NEWER");
    EXPECT_THAT(error.message, HasSubstr("of version 2, made by a newer syzygyd; this one knows 1"));
  }
  EXPECT_EQ(ask("select count(*) from " + table("record")), "1");
}

TEST_F(PostgresStoreTest, AnotherProgramsSchemaIsLeftAlone) {
  say("create schema " + backend_.schema());
  say("create table " + table("meta") + " (what text)");
  const auto store = open(url());
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().reason, "STORE_FOREIGN");
  EXPECT_THAT(store.error().message, HasSubstr("?schema=NAME"));
}

TEST_F(PostgresStoreTest, ASchemaThatIsThereAlreadyIsUsed) {
  say("create schema " + backend_.schema());
  EXPECT_TRUE(opened(url()));
}

TEST_F(PostgresStoreTest, ASchemaMayBearAWordOfSqlsOwn) {
  const auto store = opened(server().url(database()) + "?schema=user");
  ASSERT_TRUE(store);
  const auto other = opened(server().url(database()) + "?schema=user");
  Heard heard(*other);
  commit_one(*store, {.key = "a"});
  EXPECT_TRUE(heard.has("a"));
}

TEST_F(PostgresStoreTest, ASchemaThatWasDroppedAndMadeAnewIsAnotherLife) {
  const auto store = opened(url());
  const std::string epoch = store->epoch();
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  say("drop schema " + backend_.schema() + " cascade");
  const auto gone = store->load("a");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(gone.error().reason, "STORE_LOST");
  const Change lost{.key = "a", .expected = version, .bytes = "2"};
  EXPECT_FALSE(store->commit({&lost, 1}));

  const auto anew = opened(url());
  EXPECT_NE(anew->epoch(), epoch);
  // Without having looked, the first commit finds out.
  EXPECT_EQ(outcome_of(*store, {.key = "b"}), CommitOutcome::kConflict);
  EXPECT_EQ(store->epoch(), anew->epoch());
  EXPECT_FALSE(load(*store, "a"));
  EXPECT_EQ(commit_one(*store, {.key = "b"}).epoch, anew->epoch());
}

// ---- hints ----

TEST_F(PostgresStoreTest, OnlyTransitionsAreNotified) {
  const auto one = opened(url());
  const auto two = opened(url());
  EXPECT_TRUE(two->hears());
  Heard heard(*two);
  Version version = commit_one(*one, {.key = "a"});
  for (int i = 0; i < 20; ++i) version = commit_one(*one, {.key = "a", .expected = version, .hint = false});
  commit_one(*one, {.key = "b"});
  ASSERT_TRUE(heard.has("b"));
  EXPECT_EQ(heard.keys(), (std::vector<std::string>{"a", "b"}));
}

TEST_F(PostgresStoreTest, AForeignNotificationIsNobodysHint) {
  const auto one = opened(url());
  const auto two = opened(url());
  Heard heard(*two);
  for (const char* text : {"", "x", "a b c d e f", "a b c d", "a b c d zz"})
    say("select pg_notify('syzygy_" + backend_.schema() + "', '" + text + "')");
  commit_one(*one, {.key = "a"});
  ASSERT_TRUE(heard.has("a"));
}

TEST_F(PostgresStoreTest, WhatMovedWhileNobodyListenedIsTold) {
  const auto one = opened(url());
  const auto two = opened(url());
  Heard heard(*two);
  // Each round ends every session, so that some commit falls into the gap; whichever way, it is heard of in the end.
  for (int i = 0; i < 3; ++i) {
    say("select pg_terminate_backend(pid) from pg_stat_activity where " + ours());
    const std::string key = "key" + std::to_string(i);
    while (!increment(*one, key)) {
    }
    EXPECT_TRUE(heard.has(key));
  }
}

// ---- nothing is held ----

TEST_F(PostgresStoreTest, WhoBuildsAnIndexConcurrentlyNeverWaitsForACommit) {
  const auto store = opened(url());
  const Version version = commit_one(*store, {.key = "held", .bytes = "1"});
  say("create table wide as select i from generate_series(1, 1000) i");
  // Somebody's commit of this record does not end: its lock stays taken, by a session that holds no snapshot.
  pqxx::connection connection(server().url(database()));
  auto holder = std::make_unique<pqxx::work>(connection);
  holder->exec("select pg_advisory_xact_lock(" + std::to_string(pg::lock_of(backend_.schema(), "held")) + ")");

  std::atomic<bool> done = false;
  std::atomic<int> conflicts = 0;
  std::vector<std::jthread> committers;
  for (int i = 0; i < 3; ++i) {
    committers.emplace_back([&, i] {
      const auto mine = opened(url());
      while (!done) {
        const Change change{.key = "held", .expected = version, .bytes = "2"};
        conflicts += outcome_of(*mine, change) == CommitOutcome::kConflict ? 1 : 0;
        ASSERT_TRUE(increment(*mine, "other" + std::to_string(i)));
      }
    });
  }
  EXPECT_TRUE(eventually([&] { return conflicts > 0; }));
  // A committer that waited for the lock would hold a snapshot until the holder ends, and this would fail by its limit.
  {
    pqxx::connection builder(server().url(database()));
    pqxx::nontransaction session(builder);
    session.exec("set statement_timeout = '20s'");
    EXPECT_NO_THROW(session.exec("create index concurrently wide_i on wide (i)"));
  }
  // And between statements nothing is open.
  EXPECT_EQ(ask("select count(*) from pg_stat_activity where " + ours() + " and state like 'idle in transaction%'"),
            "0");
  EXPECT_EQ(
      ask("select count(*) from pg_locks l join pg_stat_activity a using (pid) where locktype = 'advisory' and not "
          "granted and a." +
          ours()),
      "0");
  done = true;
  committers.clear();
  EXPECT_EQ(bytes_of(*store, "held"), "1");
  holder.reset();
  commit_one(*store, {.key = "held", .expected = version, .bytes = "2"});
}

TEST_F(PostgresStoreTest, ItWorksThroughATransactionPooler) {
  const test::Pooler pooler(server());
  const std::string pooled = pooler.url(database()) + "?schema=" + backend_.schema();
  const auto direct = opened(url());
  Heard heard(*direct);
  {
    std::vector<std::jthread> daemons;
    for (int i = 0; i < 4; ++i) {
      daemons.emplace_back([&] {
        const auto store = opened(pooled);
        ASSERT_TRUE(store);
        EXPECT_FALSE(store->hears());
        for (int n = 0; n < 50; ++n) ASSERT_TRUE(increment(*store, "counter"));
      });
    }
  }
  EXPECT_EQ(bytes_of(*direct, "counter"), "200");
  EXPECT_TRUE(heard.has("counter"));
  // Nothing of ours stays on the pooler's sessions, which are somebody else's next.
  EXPECT_EQ(ask("select count(*) from pg_locks where locktype = 'advisory'"), "0");
}

// ---- trouble ----

TEST_F(PostgresStoreTest, EndedSessionsAreReplacedWithoutAWord) {
  const auto store = opened(url());
  const auto other = opened(url());
  Heard heard(*store);
  commit_one(*store, {.key = "a", .bytes = "1"});
  for (int i = 0; i < 5; ++i) {
    ask("select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where " + ours());
    EXPECT_EQ(bytes_of(*store, "a"), "1");
  }
  ASSERT_TRUE(eventually([&] { return store->hears(); }));
  commit_one(*other, {.key = "b"});
  EXPECT_TRUE(heard.has("b"));
}

TEST_F(PostgresStoreTest, AConnectionThatDiesWhileCommittingIsNeitherDoneNorFailed) {
  test::TcpProxy proxy(server().port());
  const auto store = opened("postgresql://postgres@127.0.0.1:" + std::to_string(proxy.port()) + "/" + database() +
                            "?schema=" + backend_.schema());
  ASSERT_TRUE(store);
  const Version first = commit_one(*store, {.key = "a", .bytes = "1"});
  proxy.cut_after("the second");
  const std::vector<Change> changes = {{.key = "a", .expected = first, .bytes = "the second"}, {.key = "b"}};
  const auto results = store->commit(changes);
  ASSERT_TRUE(results) << results.error().message;
  for (const CommitResult& result : *results) EXPECT_EQ(result.outcome, CommitOutcome::kUnknown);
  EXPECT_EQ(proxy.cuts(), 1);
  // It had arrived: who looks sees it.
  ASSERT_TRUE(eventually([&] { return bytes_of(*store, "a") == "the second"; }));
  EXPECT_TRUE(load(*store, "b"));
}

TEST_F(PostgresStoreTest, NoPasswordIsEverSaid) {
  std::string secretive = server().url(database(), "secretive:not%20the%20words");
  const auto wrong = open(secretive);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason, "STORE_UNREACHABLE");
  EXPECT_THAT(wrong.error().message, HasSubstr("password authentication failed"));
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("not the words")));
  EXPECT_THAT(wrong.error().message, Not(HasSubstr("not%20the")));
  const auto right = open(server().url(database(), "secretive:hidden%20words") + "?schema=" + backend_.schema());
  ASSERT_TRUE(right) << right.error().message;
  EXPECT_THAT((*right)->describe(), Not(HasSubstr("hidden")));
  EXPECT_THAT((*right)->describe(), HasSubstr(database() + "?schema=" + backend_.schema()));
}

TEST_F(PostgresStoreTest, ARoleWithoutTheRightsIsToldWhich) {
  const auto store = opened(url());
  const std::string role = "poor_" + backend_.schema();
  say("create role " + role + " login");
  const std::string poor = server().url(database(), role) + "?schema=";
  for (const std::string& schema : {backend_.schema(), backend_.schema() + "_new"}) {
    const auto refused = open(poor + schema);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "STORE_PERMISSION") << refused.error().message;
    EXPECT_THAT(refused.error().message, HasSubstr("GRANT USAGE ON SCHEMA " + schema));
  }
  // What the message says is enough.
  say("grant usage on schema " + backend_.schema() + " to " + role);
  say("grant all on all tables in schema " + backend_.schema() + " to " + role);
  say("grant all on all sequences in schema " + backend_.schema() + " to " + role);
  const auto granted = opened(poor + backend_.schema());
  ASSERT_TRUE(granted);
  commit_one(*granted, {.key = "a", .history = {{1, "x"}}});
  say("drop owned by " + role);
  say("drop role " + role);
}

TEST_F(PostgresStoreTest, AFullDiskStoresNothingAndSaysSo) {
  const auto store = opened(url());
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  say("create function " + table("full") +
      "() returns trigger language plpgsql as $$ begin raise exception 'could not "
      "extend file: No space left on device' using errcode = 'disk_full'; end $$");
  say("create trigger full_disk before insert on " + table("history") + " execute function " + table("full") + "()");
  const std::vector<Change> changes = {{.key = "b", .bytes = "2"},
                                       {.key = "a", .expected = version, .bytes = "2", .history = {{1, "x"}}}};
  const auto results = store->commit(changes);
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(results.error().reason, "STORE_FULL");
  EXPECT_EQ(bytes_of(*store, "a"), "1");
  EXPECT_FALSE(load(*store, "b"));
  say("drop trigger full_disk on " + table("history"));
  commit_one(*store, {.key = "a", .expected = version, .bytes = "2", .history = {{1, "x"}}});
}

TEST_F(PostgresStoreTest, ItKnowsWhoElseIsThere) {
  const auto store = opened(url());
  EXPECT_EQ(store->others()->size(), 0u);
  auto other = opened(url());
  const auto elsewhere = opened(server().url(database()) + "?schema=" + backend_.schema() + "_2");
  ASSERT_EQ(store->others()->size(), 1u);
  EXPECT_EQ(store->others()->front(), "a syzygyd on 127.0.0.1");
  other.reset();
  EXPECT_TRUE(eventually([&] { return store->others()->empty(); }));
  say("drop schema " + backend_.schema() + "_2 cascade");
}

TEST_F(PostgresStoreTest, ItSaysWhatAnOperatorShouldKnow) {
  const auto store = opened(url());
  const auto found = store->examine();
  ASSERT_TRUE(found) << found.error().message;
  std::map<std::string, StoreFinding> about;
  for (const StoreFinding& finding : *found) about[finding.about] = finding;
  EXPECT_THAT(about["version"].text, HasSubstr("schema " + backend_.schema() + " of version 1"));
  EXPECT_EQ(about["durability"].verdict, StoreFinding::Verdict::kBad);  // the test's server does not fsync
  EXPECT_EQ(about["hints"].text, "pushed by LISTEN");
  const test::Pooler pooler(server());
  const auto pooled = opened(pooler.url(database()) + "?schema=" + backend_.schema());
  const auto findings = pooled->examine();
  ASSERT_TRUE(findings.has_value());
  for (const StoreFinding& finding : *findings) {
    if (finding.about != "hints") continue;
    EXPECT_EQ(finding.verdict, StoreFinding::Verdict::kWarning);
    EXPECT_THAT(finding.text, HasSubstr("polled"));
  }
}

// A server of its own, for what must not happen to the others.
class PostgresServerTest : public ::testing::Test {
 protected:
  std::string url(const std::string& more = {}) const { return server_.url("postgres") + more; }

  PostgresServer server_;
};

TEST_F(PostgresServerTest, AKilledServerIsUnreachableAndComesBackWithEverything) {
  const auto store = opened(url());
  const auto other = opened(url());
  Heard heard(*other);
  const std::string epoch = store->epoch();
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  server_.kill();
  const auto gone = store->load("a");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(gone.error().reason, "STORE_UNREACHABLE");
  const Change change{.key = "a", .expected = version, .bytes = "2"};
  const auto results = store->commit({&change, 1});
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().code, ErrorCode::kUnavailable);
  EXPECT_TRUE(eventually([&] { return !other->hears(); }));

  server_.start();
  EXPECT_EQ(load(*store, "a")->version, version);
  EXPECT_EQ(store->epoch(), epoch);
  ASSERT_TRUE(eventually([&] { return other->hears(); }));
  const Version second = commit_one(*store, {.key = "a", .expected = version, .bytes = "2"});
  EXPECT_GT(second.counter, version.counter);
  EXPECT_TRUE(heard.has("a"));
}

TEST_F(PostgresServerTest, AServerThatStandsStillIsUnavailableInTime) {
  opened(url());
  const auto store = opened(url("?timeout=1"));
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  server_.freeze();
  const auto began = std::chrono::steady_clock::now();
  const Change change{.key = "a", .expected = version, .bytes = "2"};
  const auto results = store->commit({&change, 1});
  ASSERT_TRUE(results);
  EXPECT_EQ(results->front().outcome, CommitOutcome::kUnknown);
  const auto read = store->load("a");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kUnavailable);
  // One limit for the commit, one for the new connection. A bound on hanging, not on speed.
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(20));
  server_.thaw();
  // Whether the commit took effect is seen now, and either way the record is whole.
  ASSERT_TRUE(eventually([&] { return store->load("a").has_value(); }));
  const std::string bytes = bytes_of(*opened(url()), "a");
  EXPECT_TRUE(bytes == "1" || bytes == "2") << bytes;
  EXPECT_TRUE(eventually([&] { return increment(*store, "counter").has_value(); }));
}

TEST_F(PostgresServerTest, AServerThatTakesNoWritesIsSaidToBeReadOnly) {
  const auto store = opened(url());
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  const auto read_only = [&](const char* value) {
    server_.sql("postgres", std::string("alter system set default_transaction_read_only = ") + value);
    server_.sql("postgres", "select pg_reload_conf()");
  };
  EXPECT_EQ(store->refuses_writes(), "");
  read_only("on");
  // The sessions hear of the setting a moment later. Each answer tells of it, also to who only reads.
  EXPECT_TRUE(eventually([&] { return store->load("a") && !store->refuses_writes().empty(); }));
  EXPECT_THAT(store->refuses_writes(), HasSubstr("primary"));
  Change change{.key = "a", .expected = version, .bytes = "2"};
  Error error;
  ASSERT_TRUE(eventually([&] {
    const auto results = store->commit({&change, 1});
    if (!results) {
      error = results.error();
    } else if (results->front().outcome == CommitOutcome::kCommitted) {
      change.expected = results->front().version;
    }
    return !results;
  }));
  EXPECT_TRUE(error.reason == "STORE_READ_ONLY" || error.reason == "STORE_UNREACHABLE") << error.reason;
  EXPECT_THAT(error.message, HasSubstr("primary"));
  const auto starts = open(url());
  ASSERT_FALSE(starts);
  EXPECT_EQ(starts.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(starts.error().message, HasSubstr("must be written to"));
  server_.sql("postgres", "alter system reset default_transaction_read_only");
  server_.sql("postgres", "select pg_reload_conf()");
  EXPECT_TRUE(eventually([&] { return increment(*store, "counter").has_value(); }));
  EXPECT_EQ(store->refuses_writes(), "");
}

TEST_F(PostgresServerTest, AFailoverLosesNothingThatASynchronousStandbyHas) {
  const auto standby = server_.make_standby();
  server_.sql("postgres", "alter system set synchronous_standby_names = '*'");
  server_.sql("postgres", "select pg_reload_conf()");
  ASSERT_TRUE(
      eventually([&] { return server_.value("postgres", "select sync_state from pg_stat_replication") == "sync"; }));
  const auto port = [](const PostgresServer& server) { return std::to_string(server.port()); };
  const std::string both =
      "postgresql://postgres@127.0.0.1:" + port(*standby) + ",127.0.0.1:" + port(server_) + "/postgres?timeout=10";
  // A replica alone cannot hold the store.
  const auto replica = open(standby->url("postgres") + "?timeout=10");
  ASSERT_FALSE(replica);
  EXPECT_THAT(replica.error().message, HasSubstr("must be written to"));

  const auto store = opened(both);
  ASSERT_TRUE(store);
  const auto other = opened(both);
  Heard heard(*other);
  const std::string epoch = store->epoch();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(increment(*store, "counter"));
  server_.kill();
  const auto between = store->load("counter");
  ASSERT_FALSE(between);
  EXPECT_EQ(between.error().code, ErrorCode::kUnavailable);
  standby->sql("postgres", "select pg_promote()");
  standby->sql("postgres", "alter system set synchronous_standby_names = ''");
  standby->sql("postgres", "select pg_reload_conf()");
  ASSERT_TRUE(eventually([&] { return store->load("counter").has_value(); }));
  EXPECT_EQ(bytes_of(*store, "counter"), "20");
  EXPECT_EQ(store->epoch(), epoch);
  EXPECT_TRUE(eventually([&] { return increment(*store, "counter").has_value(); }));
  EXPECT_TRUE(eventually([&] { return other->hears(); }));
  ASSERT_TRUE(increment(*store, "after"));
  EXPECT_TRUE(heard.has("after"));
}

}  // namespace
}  // namespace syzygy::store_tests
