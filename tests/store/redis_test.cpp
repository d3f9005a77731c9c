// What a Redis store is, on one real server: the conformance suite, its address, its epoch, its hints.
#include "store/redis.h"

#include <gmock/gmock.h>

#include <condition_variable>
#include <thread>

#include "base/name.h"
#include "store/redis_version.h"
#include "tests/store/redis_backend.h"
#include "tests/support/redis.h"

namespace syzygy::store_tests {
namespace {

using test::RedisServer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const MakeBackend kRedis{
    "Redis",
    [] { return std::make_unique<RedisBackend>(RedisServer::shared().url(kPatient + ("&prefix=" + new_prefix()))); }};

INSTANTIATE_TEST_SUITE_P(Backend, StoreConformance, ::testing::Values(kRedis), backend_name);
INSTANTIATE_TEST_SUITE_P(Backend, SharedStoreConformance, ::testing::Values(kRedis), backend_name);
INSTANTIATE_TEST_SUITE_P(Backend, DurableStoreConformance, ::testing::Values(kRedis), backend_name);

// ---- the address ----

TEST(RedisUrl, SaysEverything) {
  const auto url = parse_redis_url(
      "rediss+sentinel://me:p%40ss%2F@one,two:7000,[::1]:7001/3?master=main&ca=/ca.pem&cert=/c&key=/k&tls-name=redis"
      "&timeout=500ms&prefix=a/b&wait-replicas=2&allow-eviction=true&sentinel-user=you&sentinel-password-file=/s");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_TRUE(url->tls);
  EXPECT_TRUE(url->sentinel);
  EXPECT_EQ(url->login.user, "me");
  EXPECT_EQ(url->login.password, "p@ss/");
  EXPECT_THAT(url->hosts,
              ElementsAre(RedisEndpoint{"one", 26379}, RedisEndpoint{"two", 7000}, RedisEndpoint{"::1", 7001}));
  EXPECT_EQ(url->database, 3u);
  EXPECT_EQ(url->master, "main");
  EXPECT_EQ(url->ca_file, "/ca.pem");
  EXPECT_EQ(url->cert_file, "/c");
  EXPECT_EQ(url->key_file, "/k");
  EXPECT_EQ(url->tls_name, "redis");
  EXPECT_EQ(url->timeout, Duration{500});
  EXPECT_EQ(url->prefix, "a/b");
  EXPECT_EQ(url->wait_replicas, 2u);
  EXPECT_TRUE(url->allow_eviction);
  EXPECT_EQ(url->sentinel_login.user, "you");
  EXPECT_EQ(url->sentinel_login.password_file, "/s");
}

TEST(RedisUrl, NeedsOnlyAHost) {
  const auto url = parse_redis_url("redis://cache.example");
  ASSERT_TRUE(url);
  EXPECT_THAT(url->hosts, ElementsAre(RedisEndpoint{"cache.example", 6379}));
  EXPECT_FALSE(url->tls);
  EXPECT_EQ(url->prefix, "syzygy");
}

TEST(RedisUrl, WhatCannotBeMeantIsRefusedWithoutAnyPassword) {
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"redis:/host", "does not begin"},
      {"redis://", "host is empty"},
      {"redis://:hunter2@", "host is empty"},
      {"redis://me:hunter2@host:0", "port of host 'host'"},
      {"redis://me:hunter2@host:70000", "port"},
      {"redis://me:hunter2@ho st", "characters"},
      {"redis://me:hunter2/x@host", "percent-encode"},
      {"redis://me:hunter2%zz@host", "%25"},
      {"redis://me:hunter2@host/x", "number of a database"},
      {"redis://me:hunter2@host?password=hunter2", "option that is not known"},
      {"redis://me:hunter2@host?timeout=1", "50ms to 60s"},
      {"redis://me:hunter2@host?timeout=10h", "50ms to 60s"},
      {"redis://me:hunter2@host?prefix=a}b", "letters"},
      {"redis://me:hunter2@host?allow-eviction=maybe", "true or false"},
      {"redis://me:hunter2@host?password-file=/x", "a password and a password-file"},
      {"redis://me:hunter2@host?master=main", "belongs to redis+sentinel"},
      {"redis+sentinel://me:hunter2@host", "needs ?master="},
      {"redis://me:hunter2@host?ca=/x", "belong to rediss://"},
      {"rediss://me:hunter2@host?cert=/x", "belong together"},
      {"redis://[::1", "bracket"},
      {"redis://host#x", "%23"},
  };
  for (const auto& [address, says] : bad) {
    const auto url = parse_redis_url(address);
    ASSERT_FALSE(url) << address;
    EXPECT_EQ(url.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(url.error().reason, "STORE_ADDRESS_INVALID");
    EXPECT_THAT(url.error().message, HasSubstr(says)) << address;
    EXPECT_THAT(url.error().message, Not(HasSubstr("hunter2"))) << address;
  }
}

TEST(RedisVersion, IsReadAsItIsWritten) {
  const Version version{std::string(32, 'a'), 18'446'744'073'709'551'615ULL, std::string(16, '1')};
  EXPECT_EQ(redis_version_of(redis_text_of(version)), version);
  for (const char* bad : {"", ":", "::", "a:1:b", "1:2", "x:y:z"}) EXPECT_FALSE(redis_version_of(bad)) << bad;
}

TEST(RedisStore, SaysWhereItIsWithoutItsPassword) {
  RedisServer server({"requirepass hunter2"});
  const auto store = open_redis("redis://:hunter2@" + server.address() + "/?prefix=other");
  ASSERT_TRUE(store);
  EXPECT_EQ(store->describe(), "redis://" + server.address() + "/?prefix=other");
  EXPECT_EQ(open_redis("redis://:hunter2@" + server.address() + "/2")->describe(),
            "redis://" + server.address() + "/2");
}

// ---- its life ----

TEST(RedisStore, TheEpochIsFoundAgainAndIsNewAfterFlushall) {
  RedisServer server;
  auto store = open_redis(server.url());
  ASSERT_TRUE(store);
  const std::string epoch = store->epoch();
  const Version version = commit_one(*store, {.key = "a", .bytes = "1", .history = {{1, "one"}}});
  server.kill();
  server.start();
  EXPECT_EQ(open_redis(server.url())->epoch(), epoch);

  server.ask({"FLUSHALL"});
  // Whoever does not know yet: nothing of what he wants to commit happens, whatever he expects.
  EXPECT_EQ(outcome_of(*store, {.key = "a", .expected = version, .bytes = "2"}), CommitOutcome::kConflict);
  EXPECT_NE(store->epoch(), epoch);
  EXPECT_FALSE(load(*store, "a"));
  EXPECT_TRUE(history_of(*store, "a").empty());
  const std::string second = store->epoch();
  const auto other = open_redis(server.url());
  EXPECT_EQ(other->epoch(), second);

  server.ask({"FLUSHALL"});
  EXPECT_EQ(outcome_of(*store, {.key = "new", .bytes = "1"}), CommitOutcome::kConflict);
  EXPECT_FALSE(load(*store, "new"));
  const std::string third = store->epoch();
  EXPECT_NE(third, second);
  EXPECT_FALSE(load(*other, "new"));
  EXPECT_EQ(other->epoch(), third);
  EXPECT_EQ(commit_one(*store, {.key = "new", .bytes = "1"}).epoch, third);
}

TEST(RedisStore, TheLineageTellsOfARestart) {
  RedisServer server;
  const auto store = open_redis(server.url());
  ASSERT_TRUE(store);
  const std::string lineage = store->lineage();
  EXPECT_GT(lineage.size(), 40u);
  EXPECT_FALSE(load(*store, "a"));
  EXPECT_EQ(store->lineage(), lineage);
  server.kill();
  server.start();
  EXPECT_FALSE(load(*store, "a"));
  EXPECT_NE(store->lineage(), lineage);
}

TEST(RedisStore, TwoPrefixesAreTwoStores) {
  const auto one = open_redis(RedisServer::shared().url("prefix=" + new_prefix()));
  const auto two = open_redis(RedisServer::shared().url("prefix=" + new_prefix()));
  commit_one(*one, {.key = "a", .bytes = "1"});
  EXPECT_FALSE(load(*two, "a"));
  EXPECT_THAT(keys_of(*two, "", 10), IsEmpty());
}

TEST(RedisStore, ALostScriptIsSentAgain) {
  const auto store = open_redis(RedisServer::shared().url("prefix=" + new_prefix()));
  const Version version = commit_one(*store, {.key = "a"});
  RedisServer::shared().ask({"SCRIPT", "FLUSH"});
  commit_one(*store, {.key = "a", .expected = version});
  RedisServer::shared().ask({"SCRIPT", "FLUSH"});
  EXPECT_THAT(keys_of(*store, "", 10), ElementsAre("a"));
}

TEST(RedisStore, ACommitOfManyRecordsIsOneCommand) {
  RedisServer server;
  const auto store = open_redis(server.url());
  commit_one(*store, {.key = "first"});
  server.ask({"CONFIG", "RESETSTAT"});
  std::vector<Change> changes;
  for (int i = 0; i < 100; ++i) changes.push_back({.key = std::to_string(i), .bytes = "x", .history = {{1, "one"}}});
  ASSERT_TRUE(store->commit(changes));
  const std::string stats = server.ask({"INFO", "commandstats"});
  EXPECT_THAT(stats, HasSubstr("cmdstat_evalsha:calls=1,"));
  EXPECT_THAT(stats, Not(HasSubstr("cmdstat_eval:")));
}

TEST(RedisStore, NoKeyOfItHasATimeToLive) {
  RedisServer server;
  const auto store = open_redis(server.url());
  commit_one(*store, {.key = "a", .bytes = "1", .history = {{1, "one"}}});
  EXPECT_THAT(server.ask({"INFO", "keyspace"}), HasSubstr("expires=0"));
}

TEST(RedisStore, AnotherFormatIsLeftAlone) {
  RedisServer server;
  server.ask({"SET", "{syzygy}:epoch", "2:abc"});
  Error error = refusal_of(server.url());
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_EQ(error.reason, "STORE_NEWER");
  server.ask({"SET", "{syzygy}:epoch", "hello"});
  error = refusal_of(server.url());
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_EQ(error.reason, "STORE_FOREIGN");
  server.ask({"DEL", "{syzygy}:epoch"});
  server.ask({"LPUSH", "{syzygy}:epoch", "hello"});
  error = refusal_of(server.url());
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_THAT(error.message, HasSubstr("prefix"));
}

// Somebody else's value under one of our keys must not be taken for a record, and must not stop half of a commit.
TEST(RedisStore, AForeignKeyIsDataLossAndNothingHappens) {
  RedisServer server;
  const auto store = open_redis(server.url());
  server.ask({"SET", "{syzygy}:history:a", "hello"});
  const std::vector<Change> changes = {{.key = "b", .bytes = "1"}, {.key = "a", .bytes = "1", .history = {{1, "one"}}}};
  const auto results = store->commit(changes);
  ASSERT_FALSE(results);
  EXPECT_EQ(results.error().code, ErrorCode::kDataLoss);
  EXPECT_FALSE(load(*store, "a"));
  EXPECT_FALSE(load(*store, "b"));
  server.ask({"HSET", "{syzygy}:record:c", "version", "1", "bytes", "x"});
  EXPECT_EQ(store->load("c").error().reason, "STORE_FOREIGN");
}

// ---- hints ----

class Heard {
 public:
  Hint hint() {
    return [this](const std::string& key, const Version&) {
      const std::lock_guard lock(mutex_);
      keys_.push_back(key);
      changed_.notify_all();
    };
  }
  bool wait_for(const std::string& key) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20),
                             [&] { return std::ranges::find(keys_, key) != keys_.end(); });
  }
  std::vector<std::string> keys() {
    const std::lock_guard lock(mutex_);
    return keys_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> keys_;
};

TEST(RedisStore, OthersAreToldOfWhatSomebodyWaitsForAndOfNothingElse) {
  const std::string url = RedisServer::shared().url("prefix=" + new_prefix());
  Heard heard;  // outlives whom it listens to
  const auto one = open_redis(url);
  const auto two = open_redis(url);
  two->watch(heard.hint());
  commit_one(*two, {.key = "own"});
  commit_one(*one, {.key = "renewal", .hint = false});
  commit_one(*one, {.key = "transition"});
  EXPECT_TRUE(heard.wait_for("transition"));
  EXPECT_THAT(heard.keys(), ElementsAre("transition"));
}

TEST(RedisStore, HintsComeAgainAfterTheirConnectionBroke) {
  RedisServer server;
  Heard heard;  // outlives whom it listens to
  const auto one = open_redis(server.url());
  const auto two = open_redis(server.url());
  two->watch(heard.hint());
  ASSERT_TRUE(server.becomes({"PUBSUB", "NUMSUB", "{syzygy}:hints"}, "\n1\n"));
  server.ask({"CLIENT", "KILL", "TYPE", "pubsub"});
  ASSERT_TRUE(server.becomes({"PUBSUB", "NUMSUB", "{syzygy}:hints"}, "\n1\n"));
  commit_one(*one, {.key = "a"});
  EXPECT_TRUE(heard.wait_for("a"));
  server.kill();
  server.start();
  ASSERT_TRUE(server.becomes({"PUBSUB", "NUMSUB", "{syzygy}:hints"}, "\n1\n"));
  commit_one(*one, {.key = "b"});
  EXPECT_TRUE(heard.wait_for("b"));
}

TEST(RedisStore, WhatIsNoHintOnTheChannelIsIgnored) {
  const std::string prefix = new_prefix();
  Heard heard;  // outlives whom it listens to
  const auto one = open_redis(RedisServer::shared().url("prefix=" + prefix));
  const auto two = open_redis(RedisServer::shared().url("prefix=" + prefix));
  two->watch(heard.hint());
  const std::string channel = "{" + prefix + "}:hints";
  for (const std::string text : {"", " ", "x", "x y", "x y z", "x 1:2:3 key"})
    RedisServer::shared().ask({"PUBLISH", channel, text});
  commit_one(*one, {.key = "a"});
  EXPECT_TRUE(heard.wait_for("a"));
  EXPECT_THAT(heard.keys(), ElementsAre("a"));
}

}  // namespace
}  // namespace syzygy::store_tests
