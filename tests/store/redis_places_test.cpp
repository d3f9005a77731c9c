// Where a Redis store may be: in a cluster, behind sentinels, behind TLS.
#include <gmock/gmock.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "tests/client/certificates.h"
#include "tests/store/redis_backend.h"
#include "tests/store/temporary_directory.h"
#include "tests/support/redis.h"

namespace syzygy::store_tests {
namespace {

using std::chrono::steady_clock;
using test::RedisCluster;
using test::RedisSentinels;
using test::RedisServer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// ---- a cluster of three nodes ----

RedisCluster& cluster() {
  static RedisCluster one;
  return one;
}

std::string cluster_url(const std::string& prefix, std::size_t node = 0) {
  return "redis://" + cluster().node(node).address() + "/?" + kPatient + "&prefix=" + prefix;
}

const MakeBackend kCluster{"RedisCluster", [] { return std::make_unique<RedisBackend>(cluster_url(new_prefix())); }};

INSTANTIATE_TEST_SUITE_P(Cluster, StoreConformance, ::testing::Values(kCluster), backend_name);
INSTANTIATE_TEST_SUITE_P(Cluster, SharedStoreConformance, ::testing::Values(kCluster), backend_name);
INSTANTIATE_TEST_SUITE_P(Cluster, DurableStoreConformance, ::testing::Values(kCluster), backend_name);

TEST(RedisCluster, AStoreIsOnOneNodeWhicheverIsNamed) {
  const std::string prefix = new_prefix();
  std::optional<Version> version;
  std::string epoch;
  for (std::size_t node = 0; node < 3; ++node) {
    const auto store = open_redis(cluster_url(prefix, node));
    ASSERT_TRUE(store);
    if (node == 0) epoch = store->epoch();
    EXPECT_EQ(store->epoch(), epoch);
    version = commit_one(*store, {.key = "a", .expected = version});
    EXPECT_THAT(store->warnings(), Contains(HasSubstr("a failover may lose")));
  }
  const int slot = RedisCluster::slot_of(cluster().node(0), "{" + prefix + "}:epoch");
  for (const char* kind : {":counter", ":index", ":record:a", ":history:{}{b}"})
    EXPECT_EQ(RedisCluster::slot_of(cluster().node(0), "{" + prefix + "}" + kind), slot);
  EXPECT_THAT(refusal_of("redis://" + cluster().node(0).address() + "/3").message, HasSubstr("only database 0"));
}

// An operator moves the slot to another node while the store is in use: MOVED, ASK and TRYAGAIN as the cluster says
// them.
TEST(RedisCluster, TheStoreIsFoundAgainWhenItsSlotMoves) {
  const std::string prefix = new_prefix();
  std::atomic<bool> heard = false;
  const auto store = open_redis(cluster_url(prefix));
  const auto listener = open_redis(cluster_url(prefix, 1));
  listener->watch([&](const std::string& key, const Version&) { heard = heard || key == "after"; });
  const std::string epoch = store->epoch();
  Version version = commit_one(*store, {.key = "a", .bytes = "1", .history = {{1, "one"}}});
  commit_one(*store, {.key = "b", .bytes = "1"});
  const int slot = RedisCluster::slot_of(cluster().node(0), "{" + prefix + "}:epoch");
  RedisServer& from = cluster().owner_of(slot);
  RedisServer& to = &from == &cluster().node(0) ? cluster().node(2) : cluster().node(0);

  RedisCluster::begin_move(slot, from, to);
  EXPECT_EQ(bytes_of(*store, "a"), "1");
  version = commit_one(*store, {.key = "a", .expected = version, .bytes = "2", .history = {{2, "two"}}});

  // Half of it is there: one record and the epoch, as it happens.
  for (const char* kind : {":record:a", ":epoch"})
    ASSERT_EQ(from.ask({"MIGRATE", "127.0.0.1", std::to_string(to.port()), "{" + prefix + "}" + kind, "0", "5000"}),
              "OK");
  EXPECT_EQ(bytes_of(*store, "a"), "2");
  EXPECT_EQ(bytes_of(*store, "b"), "1");
  EXPECT_EQ(store->epoch(), epoch) << "a key that is on its way is not a store that was emptied";
  EXPECT_EQ(history_of(*store, "a").size(), 2u);
  const Change change{.key = "a", .expected = version, .bytes = "3", .history = {{3, "three"}}};
  const auto waits = store->commit({&change, 1});
  ASSERT_FALSE(waits);
  EXPECT_EQ(waits.error().code, ErrorCode::kUnavailable);
  EXPECT_THAT(waits.error().message, HasSubstr("moving the slot"));
  const auto scanned = store->scan("", "", 10);
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().code, ErrorCode::kUnavailable);

  RedisCluster::move_keys(slot, from, to);
  EXPECT_EQ(bytes_of(*store, "a"), "2");
  RedisCluster::finish_move(slot, from, to);
  version = commit_one(*store, change);
  EXPECT_EQ(store->epoch(), epoch);
  EXPECT_THAT(keys_of(*store, "", 10), ElementsAre("a", "b"));
  EXPECT_EQ(history_of(*store, "a").size(), 3u);
  EXPECT_EQ(bytes_of(*listener, "a"), "3");
  commit_one(*store, {.key = "after"});
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (!heard && steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(heard);
}

// ---- sentinels ----

class RedisSentinel : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = open_redis(sentinels_.url(kPatient + std::string("&wait-replicas=1")));
    ASSERT_TRUE(store_);
    commit_one(*store_, {.key = "a", .bytes = "1", .history = {{1, "one"}}});
    epoch_ = store_->epoch();
    lineage_ = store_->lineage();
  }

  bool until_committed(const std::string& bytes, std::uint64_t revision) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(60);
    while (steady_clock::now() < deadline) {
      const auto loaded = store_->load("a");
      if (!loaded || !*loaded) continue;
      if ((*loaded)->bytes == bytes) return true;
      const std::vector<Change> changes = {
          {.key = "a", .expected = (*loaded)->version, .bytes = bytes, .history = {{revision, bytes}}}};
      static_cast<void>(store_->commit(changes));
    }
    return false;
  }

  // wait-replicas=1 promises one of the two, and a sentinel may choose the other: what must be there after a failover
  // has to be at both.
  bool all_have(const std::string& bytes) {
    for (std::size_t i = 0; i < 3; ++i) {
      if (!sentinels_.server(i).becomes({"HGET", "{syzygy}:record:a", "bytes"}, bytes)) return false;
    }
    return true;
  }

  RedisSentinels sentinels_;
  std::unique_ptr<Store> store_;
  std::string epoch_;
  std::string lineage_;
};

TEST_F(RedisSentinel, TheMasterIsFoundAndFollowedWhenItDies) {
  EXPECT_EQ(store_->describe(), sentinels_.url());
  EXPECT_THAT(store_->warnings(), Contains(HasSubstr("a failover may lose")));
  EXPECT_EQ(refusal_of(sentinels_.url().replace(sentinels_.url().find("main"), 4, "nope")).reason, "STORE_NO_MASTER");

  ASSERT_TRUE(all_have("1"));
  sentinels_.master().kill();
  EXPECT_TRUE(until_committed("2", 2));
  EXPECT_NE(store_->lineage(), lineage_);
  EXPECT_EQ(store_->epoch(), epoch_);
  EXPECT_EQ(history_of(*store_, "a").size(), 2u);

  // A sentinel less, or a dead one first in the list, stops nobody.
  sentinels_.sentinel(0).kill();
  EXPECT_TRUE(open_redis(sentinels_.url()));
}

// Long (./dev check): sentinels look at replicas every 10 s only while nothing is wrong.
TEST_F(RedisSentinel, LongAMasterThatStepsDownIsLeftForTheNext) {
  RedisServer& first = sentinels_.master();
  sentinels_.sentinel(0).ask({"SENTINEL", "FAILOVER", "main"});
  ASSERT_TRUE(first.becomes({"ROLE"}, "slave"));
  EXPECT_TRUE(until_committed("2", 2));
  EXPECT_NE(&sentinels_.master(), &first);
  EXPECT_NE(store_->lineage(), lineage_);
  EXPECT_EQ(store_->epoch(), epoch_);

  // And the next one dies.
  ASSERT_TRUE(sentinels_.master().becomes({"INFO", "replication"}, "connected_slaves:2"));
  ASSERT_TRUE(all_have("2"));
  lineage_ = store_->lineage();
  sentinels_.master().kill();
  EXPECT_TRUE(until_committed("3", 3));
  EXPECT_NE(store_->lineage(), lineage_);
  EXPECT_EQ(store_->epoch(), epoch_);
  EXPECT_EQ(history_of(*store_, "a").size(), 3u);
}

// ---- TLS ----

class RedisTlsTest : public ::testing::Test {
 protected:
  std::string file(const std::string& called, const std::string& text) {
    const auto path = directory_ / called;
    std::ofstream(path) << text;
    return path.string();
  }
  std::vector<std::string> settings(const std::string& names, const std::string& clients) {
    const auto issued = ca_.issue(names);
    return {"tls-cert-file " + file("server.crt", issued.certificate), "tls-key-file " + file("server.key", issued.key),
            "tls-ca-cert-file " + file("ca.crt", ca_.pem()), "tls-auth-clients " + clients};
  }
  std::string url(const RedisServer& server, const std::string& options) const {
    return "rediss://" + server.address() + "/?" + kPatient + "&ca=" + (directory_ / "ca.crt").string() + options;
  }

  const TestCa ca_;
  const TemporaryDirectory directory_;
};

TEST_F(RedisTlsTest, WhoeverTheCaSignedForThisHostIsTrusted) {
  RedisServer server(settings("IP:127.0.0.1,DNS:localhost", "no"), false, true);
  std::atomic<bool> heard = false;
  const auto store = open_redis(url(server, ""));
  ASSERT_TRUE(store);
  EXPECT_EQ(store->describe(), "rediss://" + server.address() + "/");
  const Version version = commit_one(*store, {.key = "a", .bytes = std::string(1 << 20, 'x'), .history = {{1, "one"}}});
  EXPECT_EQ(bytes_of(*store, "a").size(), 1UZ << 20);
  store->watch([&](const std::string&, const Version&) { heard = true; });
  commit_one(
      *open_redis("rediss://localhost:" + std::to_string(server.port()) + "/?ca=" + (directory_ / "ca.crt").string()),
      {.key = "a", .expected = version});
  const auto deadline = steady_clock::now() + std::chrono::seconds(20);
  while (!heard && steady_clock::now() < deadline) std::this_thread::yield();
  EXPECT_TRUE(heard);

  // Another CA, another name, no TLS.
  Error error = refusal_of("rediss://" + server.address() + "/?ca=" + file("other.crt", TestCa().pem()));
  EXPECT_EQ(error.code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(error.reason, "STORE_TLS");
  EXPECT_THAT(error.message, HasSubstr("?ca=FILE"));
  EXPECT_EQ(refusal_of("rediss://" + server.address() + "/").reason, "STORE_TLS") << "the system's CAs did not sign it";
  error = refusal_of(url(server, "&tls-name=redis.example"));
  EXPECT_EQ(error.reason, "STORE_TLS");
  EXPECT_THAT(error.message, HasSubstr("redis.example"));
  EXPECT_THAT(refusal_of("redis://" + server.address() + "/").message, HasSubstr("rediss://"));
  // A server without TLS takes the handshake for the beginning of a command, and waits for more.
  EXPECT_THAT(refusal_of(RedisServer::shared().url("timeout=300ms").replace(0, 5, "rediss")).message,
              HasSubstr("speak no TLS"));
  error = refusal_of("rediss://" + server.address() + "/?ca=/no/such/file");
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("/no/such/file"));
}

TEST_F(RedisTlsTest, AServerThatAsksForACertificateGetsOurs) {
  RedisServer server(settings("DNS:redis.example", "yes"), false, true);
  const auto own = ca_.issue("DNS:syzygyd");
  const std::string cert = "&cert=" + file("own.crt", own.certificate) + "&key=" + file("own.key", own.key);
  const auto store = open_redis(url(server, "&tls-name=redis.example" + cert));
  ASSERT_TRUE(store);
  commit_one(*store, {.key = "a"});
  EXPECT_EQ(refusal_of(url(server, "&tls-name=redis.example")).code, ErrorCode::kUnavailable);
  EXPECT_EQ(refusal_of(url(server, "&cert=/none&key=/none")).reason, "STORE_TLS_INVALID");
}

}  // namespace
}  // namespace syzygy::store_tests
