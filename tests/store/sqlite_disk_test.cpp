// The embedded store on a disk that fails: every write and every fsync of a commit in turn, and the loss of power.
#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "store/sqlite.h"
#include "tests/store/conformance.h"
#include "tests/store/faulty_disk.h"
#include "tests/store/random.h"
#include "tests/store/temporary_directory.h"

namespace syzygy::store_tests {
namespace {

namespace fs = std::filesystem;

class SqliteDisk : public ::testing::Test {
 protected:
  TemporaryDirectory root_;
  fs::path directory_ = root_ / "state";
  FaultyDisk disk_{directory_};

  static std::unique_ptr<SqliteStore> open(const fs::path& directory) {
    auto store = SqliteStore::open(directory);
    if (store) return std::move(*store);
    ADD_FAILURE() << store.error().message;
    return nullptr;
  }

  // What a process would find that starts after this one has been killed now: the files as they are, no lock.
  std::unique_ptr<SqliteStore> after_a_kill() {
    const fs::path copy = root_ / "copy";
    fs::remove_all(copy);
    fs::create_directory(copy);
    for (const auto& entry : fs::directory_iterator(directory_))
      if (entry.path().filename() != "lock" && !entry.path().native().ends_with("-shm"))
        fs::copy_file(entry.path(), copy / entry.path().filename());
    return open(copy);
  }

  // What a commit does that fills the log.
  void checkpoint() const {
    sqlite3* database = nullptr;
    ASSERT_EQ(sqlite3_open((directory_ / "syzygy.db").c_str(), &database), SQLITE_OK);
    EXPECT_EQ(sqlite3_wal_checkpoint_v2(database, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database);
  }

  std::unique_ptr<SqliteStore> after_power_loss(std::mt19937& random, std::optional<unsigned> kept_of_8 = {}) {
    const fs::path copy = root_ / "copy";
    fs::remove_all(copy);
    fs::create_directory(copy);
    fs::copy_file(directory_ / "epoch", copy / "epoch");
    disk_.power_loss(copy, random, kept_of_8);
    return open(copy);
  }
};

// A commit that takes several pages and a row of history.
Change update(const std::optional<Version>& version, std::uint64_t number) {
  return {.key = "a",
          .expected = version,
          .bytes = std::to_string(number) + std::string(9000, ' '),
          .history = {{number, std::to_string(number)}}};
}

std::uint64_t number_in(Store& store) { return std::stoull(bytes_of(store, "a")); }

// Lets the nth write or fsync of a commit fail, for every n until a commit gets through. The answer is true of the
// store as it is then read, that reading is true of what a process would find that starts after a kill, and the store
// goes on.
void each_fault(FaultyDisk& disk, FaultyDisk::Fails what, bool once, SqliteStore& store,
                const std::function<std::unique_ptr<SqliteStore>()>& after_a_kill, int* full, int* unknown) {
  std::optional<Version> version = commit_one(store, update({}, 1));
  std::uint64_t number = 1;
  bool met = true;
  for (std::uint64_t skip = 0; met && !::testing::Test::HasFailure(); ++skip) {
    SCOPED_TRACE("fault after " + std::to_string(skip));
    const Change change = update(version, number + 1);
    disk.fail(what, skip, once);
    const auto results = store.commit({&change, 1});
    met = disk.failed() > 0;
    // While the disk still fails, an answer may be refused, but none may be wrong.
    if (const auto loaded = store.load("a"); loaded) {
      ASSERT_TRUE(*loaded);
      const bool new_one = (*loaded)->bytes == change.bytes;
      EXPECT_TRUE(new_one || (*loaded)->version == *version);
      if (!results) {
        EXPECT_FALSE(new_one);
      } else if (results->front().outcome == CommitOutcome::kCommitted) {
        EXPECT_TRUE(new_one);
      }
      EXPECT_EQ(number_in(*after_a_kill()), number + (new_one ? 1 : 0));
    }
    disk.mend();
    if (!results) {
      EXPECT_EQ(results.error().code, ErrorCode::kResourceExhausted) << results.error().message;
      EXPECT_EQ(results.error().reason, "STORE_FULL");
      ++*full;
    } else if (results->front().outcome == CommitOutcome::kUnknown) {
      ++*unknown;
    } else {
      ASSERT_EQ(results->front().outcome, CommitOutcome::kCommitted);
    }
    const auto loaded = load(store, "a");
    ASSERT_TRUE(loaded);
    version = loaded->version;
    if (loaded->bytes == change.bytes) ++number;
    EXPECT_EQ(number_in(store), number);
    EXPECT_EQ(history_of(store, "a").size(), number);
    const auto later = after_a_kill();
    EXPECT_EQ(load(*later, "a")->version, *version);
    EXPECT_EQ(history_of(*later, "a").size(), number);
    version = commit_one(store, update(version, ++number));
  }
}

TEST_F(SqliteDisk, AFullDiskAtEveryWrite) {
  const auto store = open(directory_);
  int full = 0;
  int unknown = 0;
  each_fault(disk_, FaultyDisk::Fails::kWriteFull, false, *store, [this] { return after_a_kill(); }, &full, &unknown);
  EXPECT_GT(full, 4);
  EXPECT_EQ(unknown, 0);
}

TEST_F(SqliteDisk, AnErrorAtEveryWrite) {
  const auto store = open(directory_);
  int full = 0;
  int unknown = 0;
  each_fault(disk_, FaultyDisk::Fails::kWriteError, true, *store, [this] { return after_a_kill(); }, &full, &unknown);
  EXPECT_GT(unknown, 4);
  EXPECT_EQ(full, 0);
}

TEST_F(SqliteDisk, AnErrorAtEveryFsync) {
  for (const bool once : {true, false}) {
    SCOPED_TRACE(once ? "once" : "until mended");
    fs::remove_all(directory_);
    const auto store = open(directory_);
    int full = 0;
    int unknown = 0;
    each_fault(disk_, FaultyDisk::Fails::kSyncError, once, *store, [this] { return after_a_kill(); }, &full, &unknown);
    EXPECT_GT(unknown, 0);
    EXPECT_EQ(full, 0);
  }
}

// The commit stands in the log when the log's index cannot take it: SQLite says "no room", a crash would say
// "committed".
TEST_F(SqliteDisk, AnIndexThatCannotGrowLeavesNoGhost) {
  const auto store = open(directory_);
  const Version version = commit_one(*store, update({}, 1));
  const Change big{.key = "a", .expected = version, .bytes = "2" + std::string(kValueBytesMax - 1, ' ')};
  disk_.fail(FaultyDisk::Fails::kIndexGrowth, 0, true);
  const auto results = store->commit({&big, 1});
  ASSERT_EQ(disk_.failed(), 1u);
  ASSERT_TRUE(results) << results.error().message;
  EXPECT_EQ(results->front().outcome, CommitOutcome::kUnknown);
  EXPECT_EQ(number_in(*after_a_kill()), 2u) << "no ghost to lay: this test no longer shows anything";
  EXPECT_EQ(number_in(*store), 1u);
  EXPECT_EQ(number_in(*after_a_kill()), 1u);
  commit_one(*store, {.key = "a", .expected = version, .bytes = "3"});
  EXPECT_EQ(number_in(*after_a_kill()), 3u);
}

TEST_F(SqliteDisk, WhileItCannotBeSettledNobodyIsAnswered) {
  const auto store = open(directory_);
  const Version version = commit_one(*store, update({}, 1));
  const Change change = update(version, 2);
  disk_.fail(FaultyDisk::Fails::kSyncError, 0, false);
  ASSERT_EQ(outcome_of(*store, change), CommitOutcome::kUnknown);
  EXPECT_EQ(store->load("a").error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store->scan("", "", 10).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store->history("a", 0, 10).error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(store->commit({&change, 1}).error().code, ErrorCode::kUnavailable);
  disk_.mend();
  EXPECT_EQ(number_in(*store), 1u);
  EXPECT_EQ(outcome_of(*store, change), CommitOutcome::kCommitted);
}

// A commit that fills the log copies it back into the store file. It stands in the log by then, whatever comes of that.
TEST_F(SqliteDisk, ACheckpointThatFailsCostsNothing) {
  using Fails = FaultyDisk::Fails;
  const auto store = open(directory_);
  Version version = commit_one(*store, {.key = "a", .bytes = "1"});
  for (const auto& [what, skip] :
       {std::pair{Fails::kWriteFull, 0}, {Fails::kWriteError, 100}, {Fails::kSyncError, 0}}) {
    disk_.fail(what, static_cast<std::uint64_t>(skip), false, FaultyDisk::On::kStoreFile);
    version = commit_one(*store, {.key = "a", .expected = version, .bytes = std::string(kValueBytesMax, 'x')});
    EXPECT_GT(disk_.failed(), 0u) << "no checkpoint";
    EXPECT_EQ(load(*store, "a")->version, version);
    EXPECT_EQ(load(*after_a_kill(), "a")->version, version);
    disk_.mend();
    version = commit_one(*store, {.key = "a", .expected = version, .bytes = "small"});
    EXPECT_EQ(load(*after_a_kill(), "a")->version, version);
  }
}

TEST_F(SqliteDisk, OpeningWithoutRoomSaysSo) {
  disk_.fail(FaultyDisk::Fails::kWriteFull, 0, false);
  const auto refused = SqliteStore::open(directory_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "STORE_FULL") << refused.error().message;
  EXPECT_NE(refused.error().message.find(directory_.native()), std::string::npos) << refused.error().message;
  disk_.mend();
  EXPECT_TRUE(open(directory_)) << "what was begun without room is no obstacle";
}

TEST_F(SqliteDisk, CorruptionIsNamedAlsoLater) {
  {
    const auto store = open(directory_);
    std::vector<Change> changes;
    for (int i = 0; i < 200; ++i) changes.push_back({.key = "k" + std::to_string(i), .bytes = std::string(500, 'x')});
    ASSERT_TRUE(store->commit(changes));
  }
  const auto store = open(directory_);
  disk_.damage_reads(true);
  for (const Error& error : {store->load("k7").error(), store->scan("", "", 1000).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kDataLoss) << error.message;
    EXPECT_EQ(error.reason, "STORE_CORRUPT") << error.message;
    EXPECT_NE(error.message.find((directory_ / "syzygy.db").native()), std::string::npos) << error.message;
  }
}

// --- What a commit costs, and whom it keeps waiting
// -------------------------------------------------------------------

TEST_F(SqliteDisk, ChangesGivenTogetherShareOneFsync) {
  const auto store = open(directory_);
  std::vector<Change> changes;
  for (int i = 0; i < 512; ++i)
    changes.push_back({.key = "k" + std::to_string(i), .bytes = "1", .history = {{1, "1"}}});
  auto results = store->commit(changes);
  ASSERT_TRUE(results);
  for (std::size_t i = 0; i < changes.size(); ++i) {
    changes[i].expected = (*results)[i].version;
    changes[i].history = {{2, "2"}};
  }
  const std::uint64_t before = disk_.syncs();
  ASSERT_TRUE(store->commit(changes));
  EXPECT_EQ(disk_.syncs() - before, 1u);
  // A call in which everything conflicts has nothing to make durable.
  results = store->commit(changes);
  ASSERT_TRUE(results);
  EXPECT_EQ(results->front().outcome, CommitOutcome::kConflict);
  EXPECT_EQ(disk_.syncs() - before, 1u);
}

TEST_F(SqliteDisk, ReadsDoNotWaitForACommitsFsync) {
  const auto store = open(directory_);
  const Version version = commit_one(*store, update({}, 1));
  disk_.hold_next_sync();
  std::atomic<bool> committed = false;
  std::jthread committer([&] {
    commit_one(*store, update(version, 2));
    committed = true;
  });
  disk_.wait_for_held_sync();
  // And what is not durable yet is not shown.
  EXPECT_EQ(number_in(*store), 1u);
  EXPECT_EQ(keys_of(*store, "", 10), std::vector<std::string>{"a"});
  EXPECT_EQ(history_of(*store, "a").size(), 1u);
  EXPECT_TRUE(store->now());
  EXPECT_FALSE(committed);
  disk_.release_sync();
  committer.join();
  EXPECT_EQ(number_in(*store), 2u);
}

// --- The loss of power -----------------------------------------------------------------------------------------------

TEST_F(SqliteDisk, NothingAcknowledgedIsLostToALossOfPower) {
  const unsigned used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937 random(used);
  const auto store = open(directory_);
  std::map<std::string, std::uint64_t> numbers;
  std::map<std::string, Version> versions;
  for (int i = 0; i < rounds(60); ++i) {
    std::vector<Change> changes;
    const std::size_t size = random() % 6000;
    for (const char* key : {"a", "b", "c"}) {
      if (random() % 3 == 0) continue;
      const std::uint64_t number = ++numbers[key];
      changes.push_back({.key = key,
                         .bytes = std::to_string(number) + std::string(size, ' '),
                         .history = {{number, "row"}},
                         .history_floor = number > 20 ? number - 20 : 0});
      if (versions.contains(key)) changes.back().expected = versions[key];
    }
    const auto results = store->commit(changes);
    ASSERT_TRUE(results);
    for (std::size_t at = 0; at < changes.size(); ++at) {
      ASSERT_EQ((*results)[at].outcome, CommitOutcome::kCommitted);
      versions[changes[at].key] = (*results)[at].version;
    }
    if (random() % 8 == 0) checkpoint();
    const auto later = after_power_loss(random);
    ASSERT_TRUE(later) << "after commit " << i;
    EXPECT_EQ(later->epoch(), store->epoch());
    for (const auto& [key, version] : versions) {
      const auto loaded = load(*later, key);
      ASSERT_TRUE(loaded) << key << " after commit " << i;
      EXPECT_EQ(loaded->version, version) << key << " after commit " << i;
      EXPECT_EQ(history_of(*later, key).back().revision, numbers[key]);
    }
  }
}

// In the middle of a commit the record and its history are both there, or neither.
TEST_F(SqliteDisk, ALossOfPowerInACommitLeavesAllOfItOrNothing) {
  const unsigned used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937 random(used);
  const auto store = open(directory_);
  std::optional<Version> version;
  int whole = 0;
  int nothing = 0;
  for (std::uint64_t number = 1; number <= static_cast<std::uint64_t>(rounds(40)); ++number) {
    if (number > 1) disk_.hold_next_sync();
    std::jthread committer([&] { version = commit_one(*store, update(version, number)); });
    if (number > 1) {
      disk_.wait_for_held_sync();
      // All of it and nothing of it, so that both are seen for certain; then whatever chance keeps.
      const auto later = after_power_loss(random, number <= 3 ? std::optional(number == 2 ? 8U : 0U) : std::nullopt);
      ASSERT_TRUE(later);
      const std::uint64_t found = number_in(*later);
      EXPECT_TRUE(found == number || found == number - 1) << found << " of " << number;
      EXPECT_EQ(history_of(*later, "a").size(), found);
      ++(found == number ? whole : nothing);
    }
    disk_.release_sync();
    committer.join();
  }
  EXPECT_GT(whole, 0);
  EXPECT_GT(nothing, 0);
}

}  // namespace
}  // namespace syzygy::store_tests
