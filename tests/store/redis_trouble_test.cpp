// A Redis that is killed, stopped, cut off, full, a replica, locked, or set up so that it loses what it acknowledged.
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <sstream>
#include <thread>

#include "tests/client/ports.h"
#include "tests/store/random.h"
#include "tests/store/redis_backend.h"
#include "tests/store/temporary_directory.h"
#include "tests/support/redis.h"
#include "tests/support/tcp_proxy.h"

namespace syzygy::store_tests {
namespace {

using std::chrono::steady_clock;
using test::RedisServer;
using test::TcpProxy;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// ---- killed, stopped, cut off ----

bool eventually(const std::function<bool()>& holds) {
  const auto until = steady_clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

TEST(RedisTrouble, NothingAcknowledgedIsLostWhenTheServerIsKilled) {
  RedisServer server;
  std::mt19937 random(seed());
  std::map<std::string, std::uint64_t> acknowledged;
  std::uint64_t counter = 0;
  for (int life = 0; life < rounds(4); ++life) {
    std::mutex mutex;
    std::atomic<std::size_t> count = 0;
    {
      std::vector<std::jthread> writers;
      for (const std::string key : {"a", "b", "c"}) {
        writers.emplace_back([&, key] {
          const auto store = open_redis(server.url("timeout=2s"));
          while (const auto number = increment(*store, key)) {
            const std::lock_guard lock(mutex);
            acknowledged[key] = *number;
            ++count;
          }
        });
      }
      const auto enough = std::uniform_int_distribution<std::size_t>(20, 300)(random);
      while (count < enough) std::this_thread::yield();
      server.kill();
    }
    server.start();
    const auto store = open_redis(server.url());
    ASSERT_TRUE(store);
    for (const auto& [key, number] : acknowledged) {
      const auto record = load(*store, key);
      ASSERT_TRUE(record) << key;
      const std::uint64_t stored = std::stoull(record->bytes);
      EXPECT_GE(stored, number) << key;
      EXPECT_EQ(history_of(*store, key).size(), stored) << key;
    }
    const Version version = commit_one(*store, {.key = "life" + std::to_string(life)});
    EXPECT_GT(version.counter, counter);
    counter = version.counter;
  }
}

TEST(RedisTrouble, AStoppedServerIsUnavailableInBoundedTime) {
  RedisServer server;
  const auto store = open_redis(server.url("timeout=2s"));
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  const auto stopped = [&](const auto& call) {
    const auto began = steady_clock::now();
    const auto result = call();
    EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(20));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kUnavailable);
    EXPECT_EQ(result.error().reason, "STORE_UNAVAILABLE");
    EXPECT_THAT(result.error().message, HasSubstr(server.address()));
  };
  server.pause();
  const auto began = steady_clock::now();
  EXPECT_EQ(outcome_of(*store, {.key = "a", .expected = version, .bytes = "2"}), CommitOutcome::kUnknown);
  EXPECT_LT(steady_clock::now() - began, std::chrono::seconds(20));
  stopped([&] { return store->load("a"); });
  stopped([&] { return store->scan("", "", 10); });
  stopped([&] { return store->history("a", 0, 10); });
  stopped([&] { return store->commit(std::vector<Change>{{.key = "b"}}); });
  server.resume();
  // What was sent before the silence lands now, or never; never half.
  const std::string bytes = bytes_of(*store, "a");
  EXPECT_TRUE(bytes == "1" || bytes == "2") << bytes;
  EXPECT_FALSE(load(*store, "b"));
}

TEST(RedisTrouble, AServerThatIsGoneIsUnavailableAndFoundAgain) {
  RedisServer server;
  const auto store = open_redis(server.url());
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  server.kill();
  EXPECT_EQ(store->load("a").error().code, ErrorCode::kUnavailable);
  const auto refused = store->commit(std::vector<Change>{{.key = "a", .expected = version, .bytes = "2"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  server.start();
  EXPECT_EQ(bytes_of(*store, "a"), "1");
  commit_one(*store, {.key = "a", .expected = version, .bytes = "2"});
}

// The connection breaks after each byte of a commit, on its way there and on the answer's way back. What the store says
// must be what the server has. A commit that reached it whole before the break is done when the server comes to it,
// which may be after a question on another connection: what it has is asked once it has seen the end of the broken one.
class RedisCut : public ::testing::TestWithParam<bool> {};

TEST_P(RedisCut, AtEveryByteOfACommitTheAnswerIsTrue) {
  const std::string prefix = new_prefix();
  const auto truth = open_redis(RedisServer::shared().url("prefix=" + prefix));
  TcpProxy proxy(RedisServer::shared().port());
  const auto store = open_redis("redis://127.0.0.1:" + std::to_string(proxy.port()) + "/?prefix=" + prefix);
  std::optional<Version> version = commit_one(*store, {.key = "a", .bytes = "0", .history = {{1, "0"}}});
  std::map<CommitOutcome, int> seen;
  int done = 0;
  for (std::size_t bytes = 0;; ++bytes) {
    ASSERT_TRUE(store->load("a")) << "a connection that is ready, so that only the commit is cut";
    const int cuts = proxy.cuts();
    if (GetParam()) {
      proxy.cut_requests_after(bytes);
    } else {
      proxy.cut_answers_after(bytes);
    }
    const std::uint64_t revision = history_of(*truth, "a").back().revision + 1;
    const std::string value = std::to_string(bytes + 1);
    const std::vector<Change> changes = {
        {.key = "a", .expected = version, .bytes = value, .history = {{revision, value}}}};
    const auto results = store->commit(changes);
    if (proxy.cuts() != cuts) ASSERT_TRUE(is_left_alone(*truth));
    const auto now = load(*truth, "a");
    ASSERT_TRUE(now);
    const bool happened = now->version != *version;
    EXPECT_EQ(now->bytes == value, happened);
    EXPECT_EQ(history_of(*truth, "a").back().revision == revision, happened);
    if (!results) {
      EXPECT_EQ(results.error().code, ErrorCode::kUnavailable) << results.error().message;
      EXPECT_FALSE(happened) << "an error says that nothing happened, at byte " << bytes;
    } else {
      const CommitOutcome outcome = results->front().outcome;
      ++seen[outcome];
      ASSERT_NE(outcome, CommitOutcome::kConflict);
      if (outcome == CommitOutcome::kCommitted) {
        EXPECT_TRUE(happened);
        EXPECT_EQ(results->front().version, now->version);
      }
    }
    version = now->version;
    done += happened ? 1 : 0;
    if (proxy.cuts() == cuts) break;  // the whole commit went through before the cut
    ASSERT_LT(bytes, 5'000u);
  }
  EXPECT_GT(seen[CommitOutcome::kUnknown], 10);
  EXPECT_GT(done, 0);
}

INSTANTIATE_TEST_SUITE_P(Way, RedisCut, ::testing::Bool(),
                         [](const auto& way) { return std::string(way.param ? "There" : "Back"); });

// ---- what it refuses, and says ----

TEST(RedisTrouble, AnEvictingServerIsRefusedUnlessThatIsAccepted) {
  RedisServer server({"maxmemory 100mb", "maxmemory-policy allkeys-lru"});
  const Error error = refusal_of(server.url());
  EXPECT_EQ(error.code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(error.reason, "STORE_EVICTS");
  EXPECT_THAT(error.message, HasSubstr("noeviction"));
  EXPECT_THAT(error.message, HasSubstr("allow-eviction=true"));
  const auto store = open_redis(server.url("allow-eviction=true"));
  ASSERT_TRUE(store);
  EXPECT_THAT(store->warnings(), Contains(HasSubstr("may evict rounds")));
  // Our keys have no time to live: these policies leave them alone.
  server.ask({"CONFIG", "SET", "maxmemory-policy", "volatile-lru"});
  EXPECT_TRUE(open_redis(server.url()));
  // Who may not see the configuration: INFO has the policy too.
  server.ask({"CONFIG", "SET", "maxmemory-policy", "allkeys-random"});
  server.ask({"ACL", "SETUSER", "default", "-config"});
  EXPECT_EQ(refusal_of(server.url()).reason, "STORE_EVICTS");
}

TEST(RedisTrouble, WarnsOfWhatMayBeLost) {
  EXPECT_THAT(open_redis(RedisServer::shared().url("prefix=" + new_prefix()))->warnings(), IsEmpty());
  RedisServer server({"appendfsync everysec"});
  EXPECT_THAT(open_redis(server.url())->warnings(), Contains(HasSubstr("appendfsync everysec")));
  server.ask({"ACL", "SETUSER", "default", "-config"});
  EXPECT_THAT(open_redis(server.url())->warnings(), Contains(HasSubstr("does not tell its appendfsync")));
  RedisServer forgetful({"appendonly no"});
  EXPECT_THAT(open_redis(forgetful.url())->warnings(), Contains(HasSubstr("no append-only file")));
  RedisServer replica({"replicaof 127.0.0.1 " + std::to_string(forgetful.port())});
  ASSERT_TRUE(forgetful.becomes({"INFO", "replication"}, "connected_slaves:1"));
  EXPECT_THAT(open_redis(forgetful.url())->warnings(), Contains(HasSubstr("a failover may lose")));
}

TEST(RedisTrouble, PasswordsAndUsers) {
  const TemporaryDirectory directory;
  RedisServer server({"requirepass hunter2"});
  Error error = refusal_of(server.url());
  EXPECT_EQ(error.code, ErrorCode::kUnauthenticated);
  EXPECT_EQ(error.reason, "STORE_UNAUTHENTICATED");
  EXPECT_THAT(error.message, HasSubstr("password-file"));
  error = refusal_of("redis://:hunter3@" + server.address());
  EXPECT_EQ(error.code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(error.message, Not(HasSubstr("hunter")));
  error = refusal_of("redis://nobody:hunter2@" + server.address());
  EXPECT_EQ(error.code, ErrorCode::kUnauthenticated);
  EXPECT_THAT(error.message, Not(HasSubstr("hunter")));
  EXPECT_TRUE(open_redis("redis://:hunter2@" + server.address()));

  const auto file = directory.path() / "password";
  EXPECT_EQ(refusal_of(server.url("password-file=" + file.string())).reason, "STORE_PASSWORD_FILE");
  std::ofstream(file) << "\n";
  EXPECT_EQ(refusal_of(server.url("password-file=" + file.string())).reason, "STORE_PASSWORD_FILE");
  std::ofstream(file) << "hunter2\nnot this\n";
  EXPECT_TRUE(open_redis(server.url("password-file=" + file.string())));
}

// The line in docs/operating.md is enough, and one word less is a clear refusal.
TEST(RedisTrouble, TheUserThatTheDocumentationSetsUpMayDoAllThatIsNeeded) {
  std::ifstream file(std::string(SYZYGY_SOURCE_DIR) + "/docs/operating.md");
  RedisServer::Words words;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("ACL SETUSER syzygy") && words.empty()) continue;
    if (line.starts_with("```")) break;
    if (line.ends_with('\\')) line.pop_back();
    std::istringstream text(line);
    for (std::string word; text >> word;) words.push_back(word == ">PASSWORD" ? ">hunter2" : word);
  }
  ASSERT_GT(words.size(), 10u) << "docs/operating.md has no ACL SETUSER line";
  RedisServer server;
  ASSERT_EQ(server.ask(words), "OK");
  const std::string url = "redis://syzygy:hunter2@" + server.address();
  {
    const auto store = open_redis(url);
    ASSERT_TRUE(store);
    EXPECT_THAT(store->warnings(), IsEmpty());
    const Version version = commit_one(*store, {.key = "a", .bytes = "1", .history = {{1, "one"}, {2, "two"}}});
    commit_one(*store, {.key = "a", .expected = version, .bytes = "1", .history = {{3, "three"}}, .history_floor = 2});
    EXPECT_EQ(history_of(*store, "a").size(), 2u);
    EXPECT_EQ(keys_of(*store, "", 10).size(), 1u);
    EXPECT_TRUE(store->now());
    store->watch([](const std::string&, const Version&) {});
    EXPECT_TRUE(server.becomes({"PUBSUB", "NUMSUB", "{syzygy}:hints"}, "\n1\n"));
  }
  for (const char* less : {"-xadd", "-hset", "-publish", "-incr", "-xtrim", "-zrangebylex", "-evalsha", "-info", "-get",
                           "resetchannels", "resetkeys"}) {
    ASSERT_EQ(server.ask({"ACL", "SETUSER", "syzygy", less}), "OK") << less;
    const Error error = refusal_of(url);
    EXPECT_EQ(error.code, ErrorCode::kPermissionDenied) << less << ": " << error.message;
    EXPECT_EQ(error.reason, "STORE_PERMISSION") << less;
    EXPECT_THAT(error.message, HasSubstr("ACL SETUSER")) << less;
    RedisServer::Words again = words;
    again.insert(again.begin() + 3, "reset");
    ASSERT_EQ(server.ask(again), "OK");
  }
}

TEST(RedisTrouble, AUserThatIsTakenAwayMakesTheStoreUnavailable) {
  RedisServer server;
  server.ask({"ACL", "SETUSER", "me", "on", ">pw", "allkeys", "allchannels", "+@all"});
  const auto store = open_redis("redis://me:pw@" + server.address());
  ASSERT_TRUE(store);
  server.ask({"ACL", "SETUSER", "me", "-evalsha"});
  const auto denied = store->commit(std::vector<Change>{{.key = "a"}});
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(denied.error().reason, "STORE_PERMISSION");
  server.ask({"ACL", "DELUSER", "me"});
  const auto gone = store->load("a");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(gone.error().reason, "STORE_UNAUTHENTICATED");
  EXPECT_THAT(gone.error().message, Not(HasSubstr("pw")));
}

TEST(RedisTrouble, AFullServerTakesNothingAndGoesOnWhenThereIsRoom) {
  RedisServer server;
  const auto store = open_redis(server.url());
  const Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  server.ask({"CONFIG", "SET", "maxmemory", "1"});
  const std::vector<Change> changes = {{.key = "a", .expected = version, .bytes = "2", .history = {{1, "one"}}}};
  const auto full = store->commit(changes);
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(full.error().reason, "STORE_FULL");
  EXPECT_EQ(bytes_of(*store, "a"), "1");
  EXPECT_THAT(history_of(*store, "a"), IsEmpty());
  server.ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(outcome_of(*store, changes[0]), CommitOutcome::kCommitted);
}

TEST(RedisTrouble, ThatItTakesNoWritesIsSaidForAsLongAsItIsTrue) {
  RedisServer server;
  const auto store = open_redis(server.url());
  server.ask({"CONFIG", "SET", "min-replicas-to-write", "1"});
  EXPECT_EQ(store->refuses_writes(), "") << "nobody wrote";
  const auto refused = store->commit(std::vector<Change>{{.key = "a"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "STORE_TOO_FEW_REPLICAS");
  EXPECT_THAT(store->refuses_writes(), HasSubstr("min-replicas-to-write"));
  server.ask({"CONFIG", "SET", "min-replicas-to-write", "0"});
  server.ask({"CONFIG", "SET", "maxmemory", "1"});
  ASSERT_TRUE(eventually([&] {
    return store->now() && store->refuses_writes().find("maxmemory") != std::string::npos;
  })) << store->refuses_writes();
  EXPECT_TRUE(store->load("a"));
  EXPECT_THAT(store->refuses_writes(), HasSubstr("maxmemory")) << "a read shows nothing";
  server.ask({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_TRUE(eventually([&] { return store->now() && store->refuses_writes().empty(); })) << store->refuses_writes();
  server.ask({"CONFIG", "SET", "maxmemory", "1"});
  ASSERT_FALSE(store->commit(std::vector<Change>{{.key = "a"}}));
  server.ask({"CONFIG", "SET", "maxmemory", "0"});
  commit_one(*store, {.key = "a"});
  EXPECT_EQ(store->refuses_writes(), "") << "a write went through";
}

TEST(RedisTrouble, AServerThatCannotWriteItsSnapshotTakesNothing) {
  RedisServer server({"save 3600 1"});
  const auto store = open_redis(server.url());
  std::filesystem::create_directory(server.directory() / "dump.rdb");  // a file cannot take its place
  server.ask({"BGSAVE"});
  ASSERT_TRUE(server.becomes({"INFO", "persistence"}, "rdb_last_bgsave_status:err"));
  const auto refused = store->commit(std::vector<Change>{{.key = "a"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(refused.error().reason, "STORE_CANNOT_PERSIST");
  EXPECT_FALSE(load(*store, "a"));
}

TEST(RedisTrouble, AReplicaIsRefused) {
  RedisServer master;
  RedisServer server;
  const auto store = open_redis(server.url());
  ASSERT_TRUE(store);
  commit_one(*store, {.key = "a"});
  server.ask({"REPLICAOF", "127.0.0.1", std::to_string(master.port())});
  const auto refused = store->commit(std::vector<Change>{{.key = "b"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(refused.error().reason, "STORE_READ_ONLY");
  EXPECT_THAT(refused.error().message, HasSubstr("redis+sentinel://"));
  ASSERT_TRUE(server.becomes({"INFO", "replication"}, "master_link_status:up"));
  EXPECT_EQ(store->load("a").error().reason, "STORE_READ_ONLY");
  EXPECT_EQ(refusal_of(server.url()).reason, "STORE_READ_ONLY");
  // Of several hosts the master is taken, wherever it stands.
  const auto found = open_redis("redis://" + server.address() + "," + master.address());
  ASSERT_TRUE(found);
  commit_one(*found, {.key = "c"});
}

TEST(RedisTrouble, WaitReplicasAnswersNothingThatTooFewHave) {
  RedisServer server;
  const auto store = open_redis(server.url("wait-replicas=1&timeout=2s"));
  ASSERT_TRUE(store);
  EXPECT_EQ(outcome_of(*store, {.key = "a", .bytes = "1"}), CommitOutcome::kUnknown);
  const auto loaded = store->load("a");
  ASSERT_FALSE(loaded);
  EXPECT_EQ(loaded.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(loaded.error().reason, "STORE_TOO_FEW_REPLICAS");
  EXPECT_FALSE(store->commit(std::vector<Change>{{.key = "b"}}));
  RedisServer replica({"replicaof 127.0.0.1 " + std::to_string(server.port())});
  ASSERT_TRUE(replica.becomes({"INFO", "replication"}, "master_link_status:up"));
  ASSERT_TRUE(server.becomes({"WAIT", "1", "100"}, "1"));
  // A replica on a busy machine may need longer than the timeout above.
  const auto patient = open_redis(server.url(kPatient + std::string("&wait-replicas=1")));
  ASSERT_TRUE(patient);
  EXPECT_EQ(bytes_of(*patient, "a"), "1");
  EXPECT_EQ(outcome_of(*patient, {.key = "b"}), CommitOutcome::kCommitted);
  EXPECT_THAT(replica.ask({"HGET", "{syzygy}:record:b", "version"}), HasSubstr(patient->epoch()));
}

// ---- what is no Redis ----

TEST(RedisTrouble, WhateverAnswersAtThePortTheErrorIsClear) {
  std::string deep;
  for (int i = 0; i < 50; ++i) deep += "*1\r\n";
  std::string noise(5'000, '\0');
  std::mt19937 random(3);
  for (char& byte : noise) byte = static_cast<char>(random());
  std::string many;
  for (int i = 0; i < 100; ++i) many += "+OK\r\n";
  const std::vector<std::string> answers = {"",
                                            "HTTP/1.1 400 Bad Request\r\n\r\n",
                                            "+OK\r\n",
                                            "*-5\r\n",
                                            "$-99999999999\r\n",
                                            "*100000000\r\n",
                                            "$1000000000\r\nx",
                                            ":99999999999999999999999999\r\n",
                                            "-\r\n-\r\n-\r\n",
                                            "*0\r\n*0\r\n*0\r\n*0\r\n",
                                            "$-1\r\n$-1\r\n$-1\r\n$-1\r\n",
                                            "-ERR unknown command\r\n-ERR unknown\r\n-ERR unknown\r\n",
                                            "-MOVED 1 127.0.0.1:1\r\n+OK\r\n$0\r\n\r\n",
                                            deep,
                                            noise,
                                            many};
  for (const std::string& answer : answers) {
    const RudePort port(answer);
    const std::string where = "127.0.0.1:" + std::to_string(port.endpoint().port);
    const Error error = refusal_of("redis://" + where + "/?timeout=1s");
    EXPECT_FALSE(error.message.empty()) << answer;
    EXPECT_THAT(error.message, HasSubstr("Redis at " + where)) << answer;
    EXPECT_TRUE(error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kFailedPrecondition) << error.message;
  }
}

TEST(RedisTrouble, NobodyAtThePortIsSaidSo) {
  const Error error = refusal_of("redis://127.0.0.1:1/");
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("127.0.0.1:1 cannot be reached"));
  EXPECT_THAT(refusal_of("redis://no-such-host.invalid/").message, HasSubstr("name that cannot be resolved"));
}

}  // namespace
}  // namespace syzygy::store_tests
