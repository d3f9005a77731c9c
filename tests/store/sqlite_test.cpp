// The embedded store beside the conformance suite: its directory, its lock, and files that are not as they should be.
#include "store/sqlite.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <set>

#include "tests/store/child.h"
#include "tests/store/conformance.h"
#include "tests/store/random.h"
#include "tests/store/temporary_directory.h"

namespace syzygy::store_tests {
namespace {

namespace fs = std::filesystem;

class Sqlite final : public BackendUnderTest {
 public:
  std::unique_ptr<Store> open() override {
    auto store = SqliteStore::open(directory_.path());
    if (!store) throw std::runtime_error(store.error().message);
    return std::move(*store);
  }
  std::string url() override { return "sqlite:" + directory_.path().native(); }

 private:
  TemporaryDirectory directory_;
};

const MakeBackend kSqlite{"Sqlite", [] { return std::make_unique<Sqlite>(); }};

INSTANTIATE_TEST_SUITE_P(Embedded, StoreConformance, ::testing::Values(kSqlite), backend_name);
INSTANTIATE_TEST_SUITE_P(Embedded, DurableStoreConformance, ::testing::Values(kSqlite), backend_name);

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const fs::path& path, const std::string& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

mode_t mode_of(const fs::path& path) {
  struct stat found{};
  EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

// Runs SQL on the file as another program would.
void run_sql(const fs::path& file, const std::string& sql) {
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(file.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(database);
  sqlite3_close(database);
}

class SqliteFiles : public ::testing::Test {
 protected:
  TemporaryDirectory root_;
  fs::path directory_ = root_ / "state";
  fs::path file_ = directory_ / "syzygy.db";

  std::unique_ptr<SqliteStore> open() {
    auto store = SqliteStore::open(directory_);
    if (store) return std::move(*store);
    ADD_FAILURE() << store.error().message;
    return nullptr;
  }

  // The error of opening; every one names the directory, and is fit for a log line.
  Error refusal() { return refusal(directory_); }
  Error refusal(const fs::path& directory) {
    const auto store = SqliteStore::open(directory);
    EXPECT_FALSE(store);
    if (store) return {};
    EXPECT_EQ(store.error().message.find('\n'), std::string::npos);
    return store.error();
  }

  // A closed store with records of several sizes and a history that was trimmed.
  void fill() {
    const auto store = open();
    std::optional<Version> version;
    for (std::uint64_t i = 1; i <= 15; ++i) {
      version = commit_one(*store, {.key = "orders",
                                    .expected = version,
                                    .bytes = std::string(3000, static_cast<char>('a' + i % 26)),
                                    .history = {{i, std::string(200, 'h')}},

                                    .history_floor = i > 5 ? i - 5 : 0});
    }
    std::vector<Change> targets;
    for (std::size_t i = 1; i <= 40; ++i)
      targets.push_back({.key = "target" + std::to_string(i), .bytes = std::string(40 * i, 'x')});
    ASSERT_TRUE(store->commit(targets));
  }

  // Everything that a reader of the store can see.
  static std::map<std::string, std::string> contents(Store& store) {
    std::map<std::string, std::string> seen{{"epoch", store.epoch()}};
    for (const std::string& key : keys_of(store, "", 100)) {
      const auto loaded = load(store, key);
      seen["record " + key] = loaded ? loaded->version.epoch + "/" + std::to_string(loaded->version.counter) + "/" +
                                           loaded->version.commit + loaded->bytes
                                     : "none";
      for (const HistoryRow& row : history_of(store, key))
        seen["history " + key + " " + std::to_string(row.revision)] = row.bytes;
    }
    return seen;
  }
};

// The names of what differs; the contents themselves would fill pages.
std::set<std::string> difference(const std::map<std::string, std::string>& one,
                                 const std::map<std::string, std::string>& other) {
  std::set<std::string> names;
  for (const auto& [name, bytes] : one)
    if (!other.contains(name) || other.at(name) != bytes) names.insert(name);
  for (const auto& [name, bytes] : other)
    if (!one.contains(name)) names.insert(name);
  return names;
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// --- The directory ---------------------------------------------------------------------------------------------------

TEST_F(SqliteFiles, TheDirectoryIsMadeForItsOwnerAlone) {
  directory_ = root_ / "a/b/state";
  file_ = directory_ / "syzygy.db";
  const auto store = open();
  ASSERT_TRUE(store);
  EXPECT_EQ(mode_of(root_ / "a"), 0700u);
  EXPECT_EQ(mode_of(directory_), 0700u);
  commit_one(*store, {.key = "a"});
  for (const auto& entry : fs::directory_iterator(directory_)) EXPECT_EQ(mode_of(entry.path()), 0600u) << entry.path();
  EXPECT_EQ(store->describe(), "sqlite:" + directory_.native());
}

TEST_F(SqliteFiles, AnExistingDirectoryKeepsItsMode) {
  fs::create_directory(directory_);
  chmod(directory_.c_str(), 0750);
  open();
  EXPECT_EQ(mode_of(directory_), 0750u);
}

TEST_F(SqliteFiles, ThePathMayBeRelativeAndUntidy) {
  const fs::path untidy = root_ / "./x/../state/";
  auto store = SqliteStore::open(untidy);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ((*store)->describe(), "sqlite:" + directory_.native());
  store->reset();
  fs::create_directory(root_ / "at");
  const fs::path before = fs::current_path();
  fs::current_path(root_ / "at");
  store = SqliteStore::open("../state");
  fs::current_path(before);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ((*store)->describe(), "sqlite:" + directory_.native());
}

TEST_F(SqliteFiles, APathThatCannotBeADirectorySaysSo) {
  write_file(root_ / "file", "text");
  for (const fs::path& bad : {fs::path(), root_ / "file", root_ / "file/state", root_ / std::string(300, 'n'),
                              root_ / std::string("nul\0byte", 8)}) {
    const Error error = refusal(bad);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument) << error.message;
    EXPECT_EQ(error.reason, "STORE_PATH_INVALID");
    EXPECT_TRUE(contains(error.message, "--store sqlite:DIRECTORY")) << error.message;
  }
  EXPECT_EQ(read_file(root_ / "file"), "text");
}

TEST_F(SqliteFiles, AStoreFileThatIsNoFileSaysSo) {
  fs::create_directories(file_);
  const Error error = refusal();
  EXPECT_TRUE(contains(error.message, file_.native())) << error.message;
  fs::remove(file_);
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(refusal().reason, "STORE_PATH_INVALID");
}

TEST_F(SqliteFiles, ADirectoryThatCannotBeWrittenSaysSo) {
  fill();
  chmod(root_.path().c_str(), 0755);
  // Not even to be entered; to be read only; a store in it that is missing; a file that is somebody else's.
  for (const mode_t mode : {0700, 0555, 0111}) {
    chmod(directory_.c_str(), mode);
    if (geteuid() != 0 && mode == 0700) continue;
    Child child({store_writer_path(), "nobody", "sqlite:" + directory_.native()});
    const std::string said = child.read_all();
    EXPECT_TRUE(said.starts_with("STORE_READ_ONLY: ")) << said;
    EXPECT_TRUE(contains(said, directory_.native())) << said;
    EXPECT_EQ(child.wait(), "exited 1");
  }
  chmod(directory_.c_str(), 0755);
  const fs::path readable = root_ / "readable";
  fs::create_directory(readable);
  chmod(readable.c_str(), 0555);
  Child child({store_writer_path(), "nobody", "sqlite:" + (readable / "state").native()});
  const std::string said = child.read_all();
  EXPECT_TRUE(said.starts_with("STORE_READ_ONLY: Cannot create the state directory " + readable.native())) << said;
  EXPECT_EQ(child.wait(), "exited 1");
}

TEST_F(SqliteFiles, AStoreFileThatCannotBeWrittenSaysSo) {
  fill();
  chmod(root_.path().c_str(), 0755);
  chmod(directory_.c_str(), 0777);
  chmod((directory_ / "lock").c_str(), 0666);
  chmod(file_.c_str(), 0444);
  Child child({store_writer_path(), "nobody", "sqlite:" + directory_.native()});
  const std::string said = child.read_all();
  EXPECT_TRUE(said.starts_with("STORE_READ_ONLY: ")) << said;
  EXPECT_TRUE(contains(said, file_.native())) << said;
  EXPECT_EQ(child.wait(), "exited 1");
}

// --- The lock --------------------------------------------------------------------------------------------------------

TEST_F(SqliteFiles, ASecondOpenerIsToldWhoIsThere) {
  const auto store = open();
  const Error error = refusal();
  EXPECT_EQ(error.code, ErrorCode::kFailedPrecondition);
  EXPECT_EQ(error.reason, "STORE_IN_USE");
  EXPECT_TRUE(contains(error.message, directory_.native())) << error.message;
  EXPECT_TRUE(contains(error.message, "process " + std::to_string(getpid()))) << error.message;
  commit_one(*store, {.key = "a"});
}

TEST_F(SqliteFiles, AnotherProcessHoldsItUntilItIsGone) {
  Child child({store_writer_path(), "hold", "sqlite:" + directory_.native()});
  ASSERT_EQ(child.read_line(), "open");
  const Error error = refusal();
  EXPECT_EQ(error.reason, "STORE_IN_USE");
  EXPECT_EQ(error.metadata.at("pid"), std::to_string(child.pid()));
  EXPECT_TRUE(contains(error.message, "process " + std::to_string(child.pid()))) << error.message;
  child.kill();
  EXPECT_EQ(child.wait(), "killed by signal 9");
  EXPECT_EQ(read_file(directory_ / "lock"), std::to_string(child.pid()) + "\n");
  EXPECT_TRUE(open());
  EXPECT_EQ(read_file(directory_ / "lock"), std::to_string(getpid()) + "\n");
}

TEST_F(SqliteFiles, ALockFileThatNobodyHoldsIsNoObstacle) {
  fs::create_directory(directory_);
  for (const std::string& left :
       {std::string("1\n"), std::string(), std::string("rubbish"), std::string(10'000, '9')}) {
    write_file(directory_ / "lock", left);
    EXPECT_TRUE(open()) << left;
  }
}

TEST_F(SqliteFiles, AHolderThatHasNotSaidItsPidIsAnotherProcess) {
  const auto store = open();
  write_file(directory_ / "lock", "");
  EXPECT_TRUE(contains(refusal().message, "in use by another process")) << refusal().message;
}

// --- Files that are not as they should be ----------------------------------------------------------------------------

TEST_F(SqliteFiles, ANewerFileIsLeftAlone) {
  fill();
  run_sql(file_, "PRAGMA user_version = 2");
  const std::string before = read_file(file_);
  const Error error = refusal();
  EXPECT_EQ(error.code, ErrorCode::kDataLoss);
  EXPECT_EQ(error.reason, "STORE_NEWER");
  EXPECT_TRUE(contains(error.message, file_.native())) << error.message;
  EXPECT_TRUE(contains(error.message, "version 2")) << error.message;
  EXPECT_EQ(read_file(file_), before);
  run_sql(file_, "PRAGMA user_version = 1");
  EXPECT_TRUE(open());
}

TEST_F(SqliteFiles, ADatabaseOfAnotherProgramIsLeftAlone) {
  for (const char* sql : {"PRAGMA application_id = 7", "PRAGMA application_id = 0; PRAGMA user_version = 1",
                          "CREATE TABLE t (x); INSERT INTO t VALUES ('mine')"}) {
    fs::create_directories(directory_);
    fs::remove(file_);
    run_sql(file_, sql);
    const std::string before = read_file(file_);
    const Error error = refusal();
    EXPECT_EQ(error.code, ErrorCode::kDataLoss) << sql;
    EXPECT_EQ(error.reason, "STORE_FOREIGN") << sql;
    EXPECT_TRUE(contains(error.message, file_.native())) << error.message;
    EXPECT_EQ(read_file(file_), before) << sql;
  }
}

TEST_F(SqliteFiles, WhatIsNoDatabaseIsDamaged) {
  fs::create_directories(directory_);
  for (const std::string& bytes : {std::string("text"), std::string(5000, '\0'), std::string(100'000, 'x'),
                                   "SQLite format 3" + std::string(1, '\0') + std::string(5000, '\xff')}) {
    write_file(file_, bytes);
    const Error error = refusal();
    EXPECT_EQ(error.code, ErrorCode::kDataLoss) << error.message;
    EXPECT_EQ(error.reason, "STORE_CORRUPT") << error.message;
    EXPECT_TRUE(contains(error.message, file_.native())) << error.message;
    EXPECT_TRUE(contains(error.message, "backup")) << error.message;
  }
}

TEST_F(SqliteFiles, TablesThatAreNotOursAreDamage) {
  for (const char* sql : {"DROP TABLE history", "DROP TABLE record", "DELETE FROM meta", "DROP TABLE meta",
                          "ALTER TABLE record DROP COLUMN revision", "UPDATE meta SET epoch = 'mine'",
                          "UPDATE record SET counter = counter + 1 WHERE key = CAST('orders' AS BLOB)",
                          "UPDATE history SET revision = revision + 100", "PRAGMA user_version = -1"}) {
    fs::remove_all(directory_);
    fill();
    run_sql(file_, sql);
    const Error error = refusal();
    EXPECT_EQ(error.code, ErrorCode::kDataLoss) << sql << ": " << error.message;
    EXPECT_TRUE(contains(error.message, file_.native())) << error.message;
  }
}

TEST_F(SqliteFiles, AFileThatIsMissingOrEmptyIsALossNotABeginning) {
  fill();
  const std::string bytes = read_file(file_);
  fs::resize_file(file_, 0);
  for (int i = 0; i < 2; ++i) {
    const Error error = refusal();
    EXPECT_EQ(error.code, ErrorCode::kDataLoss);
    EXPECT_EQ(error.reason, "STORE_LOST");
    EXPECT_TRUE(contains(error.message, file_.native())) << error.message;
    fs::remove(file_);
  }
  write_file(file_, bytes);
  auto store = open();
  ASSERT_TRUE(store);
  const std::string epoch = store->epoch();
  store.reset();
  // The way out that the message names.
  fs::remove(file_);
  fs::remove(directory_ / "epoch");
  store = open();
  ASSERT_TRUE(store);
  EXPECT_NE(store->epoch(), epoch);
  EXPECT_TRUE(keys_of(*store, "", 10).empty());
}

// Whatever bit is flipped, the store is refused or reads as before: it never gives bytes that nobody wrote.
TEST_F(SqliteFiles, AFlippedBitIsNoticedOrHarmless) {
  fill();
  const std::string good = read_file(file_);
  const auto before = contents(*open());
  const unsigned used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937 random(used);
  int refused = 0;
  for (int i = 0; i < rounds(300); ++i) {
    std::string bad = good;
    // The header and the schema are small: take them on purpose every fourth time.
    const std::size_t at = std::uniform_int_distribution<std::size_t>(0, (i % 4 == 0 ? 4096 : good.size()) - 1)(random);
    bad[at] = static_cast<char>(static_cast<unsigned char>(bad[at]) ^ (1U << (random() % 8)));
    for (const char* left : {"syzygy.db-wal", "syzygy.db-shm"}) fs::remove(directory_ / left);
    write_file(file_, bad);
    const auto store = SqliteStore::open(directory_);
    if (store) {
      EXPECT_EQ(difference(contents(**store), before), std::set<std::string>()) << "byte " << at;
      continue;
    }
    ++refused;
    EXPECT_EQ(store.error().code, ErrorCode::kDataLoss) << "byte " << at << ": " << store.error().message;
    EXPECT_TRUE(contains(store.error().message, directory_.native())) << store.error().message;
  }
  EXPECT_GT(refused, 50);
}

// A row that a page no longer lists leaves no trace in the rows that are left; the page's own account tells.
TEST_F(SqliteFiles, ARowThatVanishedIsNoticed) {
  fill();
  const std::string good = read_file(file_);
  int pages = 0;
  for (std::size_t page = 4096; page < good.size(); page += 4096) {
    constexpr char kLeafOfTable = 0x0d;
    constexpr char kLeafOfIndex = 0x0a;
    if ((good[page] != kLeafOfTable && good[page] != kLeafOfIndex) || good[page + 3] != 0 || good[page + 4] == 0)
      continue;
    ++pages;
    std::string bad = good;
    --bad[page + 4];  // how many rows the page has
    write_file(file_, bad);
    EXPECT_EQ(refusal().reason, "STORE_CORRUPT") << "page at " << page;
  }
  EXPECT_GT(pages, 5);
}

TEST_F(SqliteFiles, ACutFileIsNoticedOrHarmless) {
  fill();
  const std::string good = read_file(file_);
  const auto before = contents(*open());
  ASSERT_EQ(good.size() % 4096, 0u);
  std::vector<std::size_t> sizes = {0, 1, 99, 100, 512, 4095, good.size() - 1};
  for (std::size_t size = 4096; size < good.size(); size += 4096) sizes.insert(sizes.end(), {size, size + 1234});
  for (const std::size_t size : sizes) {
    write_file(file_, good.substr(0, size));
    const auto store = SqliteStore::open(directory_);
    if (store) {
      EXPECT_GT(size, good.size() - 4096) << "a page is missing";
      EXPECT_EQ(difference(contents(**store), before), std::set<std::string>()) << size;
      continue;
    }
    EXPECT_EQ(store.error().code, ErrorCode::kDataLoss) << size << ": " << store.error().message;
  }
}

// SQLite takes a log up to the first frame that does not hold: damage there costs its tail, which no later look can
// tell from a tail that was never written. What is read is still a state that once was, or the damage is named.
TEST_F(SqliteFiles, ADamagedLogGivesAnEarlierWholeState) {
  std::string log;
  std::string database;
  {
    Child writer({store_writer_path(), "write", "sqlite:" + directory_.native()});
    for (int lines = 0; lines < 300; ++lines) ASSERT_TRUE(writer.read_line());
    writer.kill();
    writer.wait();
    log = read_file(directory_ / "syzygy.db-wal");
    database = read_file(file_);
  }
  ASSERT_FALSE(log.empty());
  const unsigned used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937 random(used);
  for (int i = 0; i < rounds(40); ++i) {
    std::string bad = log;
    bad[random() % bad.size()] ^= 0x10;
    if (i % 3 == 0) bad.resize(random() % bad.size());
    fs::remove(directory_ / "syzygy.db-shm");
    write_file(file_, database);
    write_file(directory_ / "syzygy.db-wal", bad);
    const auto store = SqliteStore::open(directory_);
    if (!store) {
      EXPECT_EQ(store.error().code, ErrorCode::kDataLoss) << store.error().message;
      continue;
    }
    for (const std::string& key : keys_of(**store, "", 100)) {
      const auto rows = history_of(**store, key);
      EXPECT_EQ(rows.size(), std::stoull(bytes_of(**store, key))) << key;
    }
    // Two records that are always committed together.
    if (load(**store, "pair0")) {
      EXPECT_EQ(bytes_of(**store, "pair0"), bytes_of(**store, "pair1"));
    }
  }
}

// A commit that makes its file longer waits for the disk twice.
TEST_F(SqliteFiles, TheLogGrowsAheadOfWhatIsCommitted) {
  const auto store = open();
  const fs::path log = directory_ / "syzygy.db-wal";
  Version version = commit_one(*store, {.key = "a", .bytes = std::string(100'000, 'x')});
  const auto size = fs::file_size(log);
  for (int i = 0; i < 20; ++i) {
    version = commit_one(*store, {.key = "a", .expected = version, .bytes = std::to_string(i)});
    EXPECT_EQ(fs::file_size(log), size) << i;
  }
  for (int i = 0; i < 50; ++i)
    version = commit_one(*store, {.key = "a", .expected = version, .bytes = std::string(100'000, 'y')});
  EXPECT_GT(fs::file_size(log), size);
  EXPECT_LT(fs::file_size(log), 50 * 110'000 + (2 << 20));
}

// --- Room ------------------------------------------------------------------------------------------------------------

TEST_F(SqliteFiles, WithoutRoomNothingAcknowledgedIsLostAndItGoesOnWhenThereIsRoom) {
  open().reset();
  Child child({store_writer_path(), "starve", "sqlite:" + directory_.native()});
  std::string last;
  std::string refused;
  while (auto line = child.read_line()) {
    if (line->starts_with("starved ")) {
      last = line->substr(8);
      continue;
    }
    refused = *line;
    break;
  }
  EXPECT_TRUE(refused.starts_with("STORE_FULL: ")) << refused;
  EXPECT_TRUE(contains(refused, file_.native())) << refused;
  ASSERT_FALSE(last.empty());
  child.write_line();
  const auto next = child.read_line();
  ASSERT_TRUE(next);
  EXPECT_TRUE(next->starts_with("starved ")) << *next;
  EXPECT_EQ(child.read_line(), "done");
  EXPECT_EQ(child.wait(), "exited 0");
  const auto store = open();
  EXPECT_TRUE(bytes_of(*store, "starved").starts_with(next->substr(8) + " "));
}

TEST_F(SqliteFiles, WhatWasAcknowledgedBeforeTheDiskWasFullSurvivesAKill) {
  Child child({store_writer_path(), "starve", "sqlite:" + directory_.native()});
  std::string last;
  while (auto line = child.read_line()) {
    if (!line->starts_with("starved ")) break;
    last = line->substr(8);
  }
  child.kill();
  EXPECT_EQ(child.wait(), "killed by signal 9");
  EXPECT_TRUE(bytes_of(*open(), "starved").starts_with(last + " "));
}

}  // namespace
}  // namespace syzygy::store_tests
