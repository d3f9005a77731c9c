#include "tests/store/conformance.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/name.h"
#include "tests/store/child.h"
#include "tests/store/random.h"

namespace syzygy::store_tests {

// --- Words -----------------------------------------------------------------------------------------------------------

Version commit_one(Store& store, const Change& change) {
  const auto results = store.commit({&change, 1});
  if (!results) {
    ADD_FAILURE() << results.error().message;
    return {};
  }
  EXPECT_EQ(results->size(), 1u);
  EXPECT_EQ(results->front().outcome, CommitOutcome::kCommitted) << printable(change.key);
  return results->front().version;
}

CommitOutcome outcome_of(Store& store, const Change& change) {
  const auto results = store.commit({&change, 1});
  if (!results) {
    ADD_FAILURE() << results.error().message;
    return CommitOutcome::kUnknown;
  }
  EXPECT_EQ(results->size(), 1u);
  return results->front().outcome;
}

std::optional<Loaded> load(Store& store, const std::string& key) {
  auto loaded = store.load(key);
  if (loaded) return std::move(*loaded);
  ADD_FAILURE() << loaded.error().message;
  return std::nullopt;
}

std::string bytes_of(Store& store, const std::string& key) {
  auto loaded = load(store, key);
  EXPECT_TRUE(loaded) << "no record " << printable(key);
  return loaded ? loaded->bytes : std::string();
}

std::vector<HistoryRow> history_of(Store& store, const std::string& key) {
  std::vector<HistoryRow> rows;
  for (;;) {
    const auto page = store.history(key, rows.empty() ? 0 : rows.back().revision, 100);
    if (!page) {
      ADD_FAILURE() << page.error().message;
      return rows;
    }
    if (!rows.empty() && !page->empty() && page->front().revision <= rows.back().revision) {
      ADD_FAILURE() << "a page begins with revision " << page->front().revision << " after " << rows.back().revision;
      return rows;
    }
    rows.insert(rows.end(), page->begin(), page->end());
    if (page->size() < 100) return rows;
  }
}

std::vector<std::string> keys_of(Store& store, std::string_view prefix, std::size_t page) {
  std::vector<std::string> keys;
  for (;;) {
    const auto listed = store.scan(prefix, keys.empty() ? std::string() : keys.back(), page);
    if (!listed) {
      ADD_FAILURE() << listed.error().message;
      return keys;
    }
    EXPECT_LE(listed->size(), page);
    if (!keys.empty() && !listed->empty() && listed->front().key <= keys.back()) {
      ADD_FAILURE() << "a page begins with " << printable(listed->front().key) << " after " << printable(keys.back());
      return keys;
    }
    for (const Listed& record : *listed) keys.push_back(record.key);
    if (listed->size() < page) return keys;
  }
}

bool is_left_alone(Store& store) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (;;) {
    const auto others = store.others();
    if (others && others->empty()) return true;
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
}

std::optional<std::uint64_t> increment(Store& store, const std::string& key) {
  for (;;) {
    const auto loaded = store.load(key);
    if (!loaded) return std::nullopt;
    std::uint64_t number = 0;
    Change change{.key = key};
    if (const auto& record = *loaded) {
      change.expected = record->version;
      std::from_chars(record->bytes.data(), record->bytes.data() + record->bytes.size(), number);
    }
    change.bytes = std::to_string(++number);
    change.history = {{number, change.bytes}};
    const auto results = store.commit({&change, 1});
    if (!results || results->front().outcome == CommitOutcome::kUnknown) return std::nullopt;
    if (results->front().outcome == CommitOutcome::kCommitted) return number;
  }
}

namespace {

bool is_hex(std::string_view text, std::size_t size) {
  return text.size() == size && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::vector<std::string> rows_of(const std::vector<HistoryRow>& rows) {
  std::vector<std::string> text;
  for (const HistoryRow& row : rows) text.push_back(std::to_string(row.revision) + "=" + printable(row.bytes));
  return text;
}

using Rows = std::vector<std::string>;

}  // namespace

// --- Every store -----------------------------------------------------------------------------------------------------

TEST_P(StoreConformance, WhatNobodyWroteIsAbsent) {
  EXPECT_FALSE(load(*store_, "nothing"));
  EXPECT_TRUE(keys_of(*store_, "", 10).empty());
  EXPECT_TRUE(history_of(*store_, "nothing").empty());
}

TEST_P(StoreConformance, ARecordIsInsertedOnlyWhereThereIsNone) {
  const Version first = commit_one(*store_, {.key = "a", .bytes = "1"});
  EXPECT_EQ(outcome_of(*store_, {.key = "a", .bytes = "2"}), CommitOutcome::kConflict);
  const auto loaded = load(*store_, "a");
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->bytes, "1");
  EXPECT_EQ(loaded->version, first);
}

TEST_P(StoreConformance, AnUpdateOfWhatIsAbsentConflicts) {
  const Version version = commit_one(*store_, {.key = "a", .bytes = "1"});
  EXPECT_EQ(outcome_of(*store_, {.key = "b", .expected = version, .bytes = "2"}), CommitOutcome::kConflict);
  EXPECT_FALSE(load(*store_, "b"));
}

TEST_P(StoreConformance, AVersionHasItsThreeParts) {
  const Version version = commit_one(*store_, {.key = "a"});
  EXPECT_TRUE(is_hex(version.epoch, 32)) << version.epoch;
  EXPECT_TRUE(is_hex(version.commit, 16)) << version.commit;
  EXPECT_EQ(version.epoch, store_->epoch());
  EXPECT_GT(version.counter, 0u);
}

TEST_P(StoreConformance, AnUpdateNeedsTheWholeVersion) {
  const Version version = commit_one(*store_, {.key = "a", .bytes = "1"});
  Version other_epoch = version;
  other_epoch.epoch[0] = other_epoch.epoch[0] == '0' ? '1' : '0';
  Version other_counter = version;
  ++other_counter.counter;
  Version other_commit = version;
  other_commit.commit[0] = other_commit.commit[0] == '0' ? '1' : '0';
  for (const Version& other : {other_epoch, other_counter, other_commit, Version{}})
    EXPECT_EQ(outcome_of(*store_, {.key = "a", .expected = other, .bytes = "2"}), CommitOutcome::kConflict);
  EXPECT_EQ(bytes_of(*store_, "a"), "1");

  const Version second = commit_one(*store_, {.key = "a", .expected = version, .bytes = "2"});
  EXPECT_EQ(bytes_of(*store_, "a"), "2");
  EXPECT_EQ(outcome_of(*store_, {.key = "a", .expected = version, .bytes = "3"}), CommitOutcome::kConflict);
  EXPECT_EQ(load(*store_, "a")->version, second);
}

TEST_P(StoreConformance, TheCounterRisesWithEveryCommitOfTheStore) {
  std::set<std::string> commits;
  std::uint64_t last = 0;
  std::map<std::string, Version> versions;
  for (int i = 0; i < 50; ++i) {
    const std::string key = "key" + std::to_string(i % 7);
    const auto found = versions.find(key);
    const Version version = commit_one(
        *store_, {.key = key, .expected = found == versions.end() ? std::nullopt : std::optional(found->second)});
    EXPECT_GT(version.counter, last);
    EXPECT_TRUE(commits.insert(version.commit).second) << version.commit << " came twice";
    last = version.counter;
    versions[key] = version;
  }
  std::vector<Change> together;
  for (const auto& [key, version] : versions) together.push_back({.key = key, .expected = version});
  const auto results = store_->commit(together);
  ASSERT_TRUE(results);
  for (const CommitResult& result : *results) EXPECT_GT(result.version.counter, last);
}

TEST_P(StoreConformance, OneCommitHoldsIndependentChanges) {
  const Version a = commit_one(*store_, {.key = "a", .bytes = "1"});
  const Version b = commit_one(*store_, {.key = "b", .bytes = "1"});
  Version stale = b;
  stale.counter += 100;
  const std::vector<Change> changes = {
      {.key = "c", .bytes = "new", .history = {{1, "c1"}}},
      {.key = "b", .expected = stale, .bytes = "2", .history = {{1, "b1"}}},
      {.key = "a", .expected = a, .bytes = "2", .history = {{1, "a1"}}},
      {.key = "d", .expected = a, .bytes = "2", .history = {{1, "d1"}}},
  };
  const auto results = store_->commit(changes);
  ASSERT_TRUE(results);
  ASSERT_EQ(results->size(), 4u);
  EXPECT_EQ((*results)[0].outcome, CommitOutcome::kCommitted);
  EXPECT_EQ((*results)[1].outcome, CommitOutcome::kConflict);
  EXPECT_EQ((*results)[2].outcome, CommitOutcome::kCommitted);
  EXPECT_EQ((*results)[3].outcome, CommitOutcome::kConflict);

  EXPECT_EQ(bytes_of(*store_, "a"), "2");
  EXPECT_EQ(load(*store_, "a")->version, (*results)[2].version);
  EXPECT_EQ(bytes_of(*store_, "b"), "1");
  EXPECT_EQ(load(*store_, "b")->version, b);
  EXPECT_EQ(bytes_of(*store_, "c"), "new");
  EXPECT_EQ(load(*store_, "c")->version, (*results)[0].version);
  EXPECT_FALSE(load(*store_, "d"));
  EXPECT_EQ(rows_of(history_of(*store_, "a")), Rows{"1=a1"});
  EXPECT_EQ(rows_of(history_of(*store_, "b")), Rows{});
  EXPECT_EQ(rows_of(history_of(*store_, "c")), Rows{"1=c1"});
  EXPECT_EQ(rows_of(history_of(*store_, "d")), Rows{});
}

TEST_P(StoreConformance, ACommitOfNothingIsNothing) {
  const auto results = store_->commit({});
  ASSERT_TRUE(results);
  EXPECT_TRUE(results->empty());
}

TEST_P(StoreConformance, HistoryIsAppendedInOrderAndReadInPages) {
  std::optional<Version> version;
  for (std::uint64_t i = 1; i <= 9; i += 3)
    version = commit_one(
        *store_,
        {.key = "a", .expected = version, .history = {{i, "row" + std::to_string(i)}, {i + 1, ""}, {i + 2, "x"}}});
  commit_one(*store_, {.key = "b", .history = {{5, "another's"}}});
  EXPECT_EQ(rows_of(history_of(*store_, "a")),
            (Rows{"1=row1", "2=", "3=x", "4=row4", "5=", "6=x", "7=row7", "8=", "9=x"}));
  const auto page = store_->history("a", 3, 2);
  ASSERT_TRUE(page);
  EXPECT_EQ(rows_of(*page), (Rows{"4=row4", "5="}));
  const auto end = store_->history("a", 8, 5);
  ASSERT_TRUE(end);
  EXPECT_EQ(rows_of(*end), Rows{"9=x"});
  for (const std::uint64_t beyond : {std::uint64_t{9}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    const auto nothing = store_->history("a", beyond, 5);
    ASSERT_TRUE(nothing);
    EXPECT_TRUE(nothing->empty());
  }
  const auto none = store_->history("a", 0, 0);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST_P(StoreConformance, RevisionsMayLeaveGapsAndReachFar) {
  const std::uint64_t far = (std::uint64_t{1} << 63) - 1;
  const Version version = commit_one(*store_, {.key = "a", .history = {{7, "seven"}, {1000, "thousand"}}});
  commit_one(*store_, {.key = "a", .expected = version, .history = {{far, "far"}}});
  EXPECT_EQ(rows_of(history_of(*store_, "a")), (Rows{"7=seven", "1000=thousand", std::to_string(far) + "=far"}));
}

TEST_P(StoreConformance, TheFloorDropsOlderHistoryWithTheCommit) {
  Version version = commit_one(*store_, {.key = "a", .history = {{1, "1"}, {2, "2"}, {3, "3"}}});
  commit_one(*store_, {.key = "b", .history = {{1, "b"}}});
  const Version stale = version;
  version = commit_one(*store_, {.key = "a", .expected = version, .history = {{4, "4"}}, .history_floor = 3});
  EXPECT_EQ(rows_of(history_of(*store_, "a")), (Rows{"3=3", "4=4"}));
  EXPECT_EQ(outcome_of(*store_, {.key = "a", .expected = stale, .history_floor = 100}), CommitOutcome::kConflict);
  EXPECT_EQ(rows_of(history_of(*store_, "a")), (Rows{"3=3", "4=4"}));
  EXPECT_EQ(rows_of(history_of(*store_, "b")), Rows{"1=b"});

  // A floor above all drops all; what comes next must still rise above what was dropped.
  version = commit_one(*store_, {.key = "a", .expected = version, .history_floor = 100});
  EXPECT_TRUE(history_of(*store_, "a").empty());
  const Change again{.key = "a", .expected = version, .history = {{4, "again"}}};
  EXPECT_FALSE(store_->commit({&again, 1}));
  commit_one(*store_, {.key = "a", .expected = version, .history = {{5, "5"}}});
  EXPECT_EQ(rows_of(history_of(*store_, "a")), Rows{"5=5"});
}

TEST_P(StoreConformance, WhatIsNoChangeIsRefusedWhole) {
  const Version a = commit_one(*store_, {.key = "a", .bytes = "1", .history = {{5, "five"}}});
  const std::vector<std::pair<std::string, Change>> bad = {
      {"empty key", {.key = ""}},
      {"key too long", {.key = std::string(kKeyBytesMax + 1, 'k')}},
      {"the same key again", {.key = "good"}},
      {"value too big", {.key = "big", .bytes = std::string(kValueBytesMax + 1, 'x')}},
      {"row too big", {.key = "big", .history = {{1, std::string(kValueBytesMax + 1, 'x')}}}},
      {"revision 0", {.key = "c", .history = {{0, "zero"}}}},
      {"revision beyond", {.key = "c", .history = {{std::uint64_t{1} << 63, "beyond"}}}},
      {"floor beyond", {.key = "c", .history_floor = std::uint64_t{1} << 63}},
      {"falling", {.key = "c", .history = {{2, "two"}, {1, "one"}}}},
      {"twice", {.key = "c", .history = {{2, "two"}, {2, "two"}}}},
      {"not above the newest", {.key = "a", .expected = a, .history = {{5, "five again"}}}},
  };
  for (const auto& [what, change] : bad) {
    const std::vector<Change> changes = {{.key = "good", .bytes = "1", .history = {{1, "one"}}}, change};
    const auto results = store_->commit(changes);
    ASSERT_FALSE(results) << what;
    EXPECT_EQ(results.error().code, ErrorCode::kInvalidArgument) << what;
    EXPECT_EQ(results.error().reason, "STORE_CHANGE_INVALID") << what;
    EXPECT_LT(results.error().message.size(), 500u) << what;
    EXPECT_FALSE(load(*store_, "good")) << what;
    EXPECT_TRUE(history_of(*store_, "good").empty()) << what;
  }
  EXPECT_EQ(load(*store_, "a")->version, a);
  EXPECT_EQ(rows_of(history_of(*store_, "a")), Rows{"5=five"});
}

TEST_P(StoreConformance, AStaleWriterConflictsWhateverItsHistory) {
  const Version old = commit_one(*store_, {.key = "a", .history = {{1, "one"}}});
  commit_one(*store_, {.key = "a", .expected = old, .history = {{2, "two"}}});
  EXPECT_EQ(outcome_of(*store_, {.key = "a", .expected = old, .history = {{2, "mine"}}}), CommitOutcome::kConflict);
  EXPECT_EQ(rows_of(history_of(*store_, "a")), (Rows{"1=one", "2=two"}));
}

TEST_P(StoreConformance, KeysAndValuesAreAnyBytes) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all.push_back(static_cast<char>(byte));
  const std::string zero(1, '\0');
  const std::vector<std::string> keys = {zero,
                                         zero + zero,
                                         "\xff",
                                         "\xff\xff",
                                         std::string(kKeyBytesMax, '\xff'),
                                         all,
                                         "a",
                                         "a" + zero,
                                         "a" + zero + "b",
                                         "a\xff",
                                         "A",
                                         "%",
                                         "_",
                                         "'",
                                         "a\nb",
                                         "*",
                                         "a b"};
  std::size_t size = 0;
  for (const std::string& key : keys)
    commit_one(*store_, {.key = key, .bytes = all + key, .history = {{1, all.substr(size++)}}});
  size = 0;
  for (const std::string& key : keys) {
    EXPECT_EQ(bytes_of(*store_, key), all + key) << printable(key);
    ASSERT_EQ(history_of(*store_, key).size(), 1u) << printable(key);
    EXPECT_EQ(history_of(*store_, key).front().bytes, all.substr(size++)) << printable(key);
  }
  EXPECT_EQ(keys_of(*store_, "", 100).size(), keys.size());
}

TEST_P(StoreConformance, AValueMayBeEmpty) {
  commit_one(*store_, {.key = "a", .bytes = "", .history = {{1, ""}}});
  EXPECT_EQ(bytes_of(*store_, "a"), "");
  EXPECT_EQ(rows_of(history_of(*store_, "a")), Rows{"1="});
}

TEST_P(StoreConformance, AScanGivesEveryPrefixInByteOrderAndPages) {
  // Every key over a small alphabet of awkward bytes, in an order of no meaning.
  const std::string alphabet("\0\x01/a\x7f\x80\xfe\xff", 8);
  std::vector<std::string> keys;
  for (const char one : alphabet) {
    keys.push_back({one});
    for (const char two : alphabet) {
      keys.push_back({one, two});
      keys.push_back({one, two, two, one});
    }
  }
  std::ranges::sort(keys);
  keys.erase(std::ranges::unique(keys).begin(), keys.end());
  std::vector<Change> changes;
  for (const std::string& key : keys) changes.push_back({.key = key, .bytes = key});
  std::ranges::shuffle(changes, std::mt19937(1));
  const auto results = store_->commit(changes);
  ASSERT_TRUE(results);

  std::vector<std::string> prefixes = keys;
  prefixes.emplace_back();
  prefixes.emplace_back("absent");
  for (const std::string& prefix : prefixes) {
    std::vector<std::string> expected;
    std::ranges::copy_if(keys, std::back_inserter(expected), [&](const auto& key) { return key.starts_with(prefix); });
    for (const std::size_t page : {1UZ, 3UZ, 1000UZ})
      EXPECT_EQ(keys_of(*store_, prefix, page), expected) << printable(prefix) << " in pages of " << page;
    // `after` may be any bytes, with the prefix or without it.
    for (const std::string& after : {keys[5], keys[keys.size() / 2], keys.back(), std::string("a\x7f!")}) {
      std::vector<std::string> rest;
      std::ranges::copy_if(expected, std::back_inserter(rest), [&](const auto& key) { return key > after; });
      const auto listed = store_->scan(prefix, after, 1000);
      ASSERT_TRUE(listed);
      std::vector<std::string> got;
      for (const Listed& record : *listed) got.push_back(record.key);
      EXPECT_EQ(got, rest) << printable(prefix) << " after " << printable(after);
    }
  }
  const auto none = store_->scan("", "", 0);
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->empty());
}

TEST_P(StoreConformance, AScanGivesVersions) {
  const Version a = commit_one(*store_, {.key = "a"});
  const Version b = commit_one(*store_, {.key = "b"});
  const Version b2 = commit_one(*store_, {.key = "b", .expected = b});
  const auto listed = store_->scan("", "", 10);
  ASSERT_TRUE(listed);
  ASSERT_EQ(listed->size(), 2u);
  EXPECT_EQ((*listed)[0].version, a);
  EXPECT_EQ((*listed)[1].version, b2);
}

TEST_P(StoreConformance, BigValues) {
  std::string big(1 << 20, '\0');
  std::mt19937 random(7);
  for (char& byte : big) byte = static_cast<char>(random());
  const Version version = commit_one(*store_, {.key = "big", .bytes = big, .history = {{1, big}}});
  EXPECT_EQ(bytes_of(*store_, "big"), big);
  ASSERT_EQ(history_of(*store_, "big").size(), 1u);
  EXPECT_EQ(history_of(*store_, "big").front().bytes, big);
  commit_one(*store_, {.key = "big", .expected = version, .bytes = "small"});
  EXPECT_EQ(bytes_of(*store_, "big"), "small");

  const std::string biggest(kValueBytesMax, 'x');
  commit_one(*store_, {.key = "biggest", .bytes = biggest});
  EXPECT_EQ(bytes_of(*store_, "biggest"), biggest);
}

TEST_P(StoreConformance, ManyChangesInOneCommit) {
  std::vector<Change> changes;
  for (int i = 0; i < 2000; ++i)
    changes.push_back({.key = "k" + std::to_string(i), .bytes = std::to_string(i), .history = {{1, "row"}}});
  const auto results = store_->commit(changes);
  ASSERT_TRUE(results);
  ASSERT_EQ(results->size(), changes.size());
  for (std::size_t i = 0; i < changes.size(); ++i) {
    ASSERT_EQ((*results)[i].outcome, CommitOutcome::kCommitted);
    changes[i].expected = (*results)[i].version;
  }
  EXPECT_EQ(keys_of(*store_, "k", 300).size(), 2000u);
  EXPECT_EQ(bytes_of(*store_, "k1234"), "1234");
}

// Nothing need be told; what is told must be what a load would have found.
TEST_P(StoreConformance, AConflictTellsTheTruthOrNothing) {
  const Version first = commit_one(*store_, {.key = "a", .bytes = "1"});
  const std::string all_bytes = std::string("two\0,:\xff", 7) + std::string(1'000, '\n');
  const Version second = commit_one(*store_, {.key = "a", .expected = first, .bytes = all_bytes});
  const Version big = commit_one(*store_, {.key = "big", .bytes = std::string(9UZ << 20, 'x')});
  const std::vector<Change> changes = {{.key = "absent", .expected = first, .bytes = "x"},
                                       {.key = "a", .expected = first, .bytes = "3"},
                                       {.key = "big", .expected = first, .bytes = "3"},
                                       {.key = "new", .bytes = "n"},
                                       {.key = "b", .expected = second, .bytes = "x"}};
  const auto results = store_->commit(changes);
  ASSERT_TRUE(results);
  for (const std::size_t i : {0UZ, 1UZ, 2UZ, 4UZ}) EXPECT_EQ((*results)[i].outcome, CommitOutcome::kConflict) << i;
  EXPECT_EQ((*results)[3].outcome, CommitOutcome::kCommitted);
  for (const std::size_t i : {0UZ, 3UZ, 4UZ}) EXPECT_FALSE((*results)[i].held) << i;
  if (const auto& held = (*results)[1].held) {
    EXPECT_EQ(held->version, second);
    EXPECT_EQ(held->bytes, all_bytes);
  }
  if (const auto& held = (*results)[2].held) {
    EXPECT_EQ(held->version, big);
    EXPECT_EQ(held->bytes.size(), 9UZ << 20);
  }
  if (store_->shared()) {
    EXPECT_TRUE((*results)[1].held) << "its users would have to ask again";
  }
}

TEST_P(StoreConformance, TimeIsMilliseconds) {
  const auto first = store_->now();
  ASSERT_TRUE(first);
  EXPECT_GT(first->ms, 1'600'000'000'000);  // after 2020-09, before 2100
  EXPECT_LT(first->ms, 4'102'444'800'000);
}

TEST_P(StoreConformance, ItSaysWhatItIs) {
  EXPECT_TRUE(is_hex(store_->epoch(), 32));
  EXPECT_FALSE(store_->describe().empty());
}

TEST_P(StoreConformance, TwoStoresAreTwoLives) {
  const auto other = GetParam().make();
  EXPECT_NE(store_->epoch(), other->open()->epoch());
}

TEST_P(StoreConformance, ExactlyOneOfManyCommittersWins) {
  constexpr int kThreads = 8;
  constexpr int kRounds = 50;
  std::optional<Version> version;
  for (int round = 0; round < kRounds; ++round) {
    std::atomic<int> winners = 0;
    std::atomic<int> ready = 0;
    std::mutex mutex;
    std::optional<Version> won;
    std::string winner;
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const Change change{.key = "a",
                            .expected = version,
                            .bytes = std::to_string(i),
                            .history = {{static_cast<std::uint64_t>(round + 1), std::to_string(i)}}};
        ++ready;
        while (ready < kThreads) std::this_thread::yield();
        const auto results = store_->commit({&change, 1});
        ASSERT_TRUE(results) << results.error().message;
        if (results->front().outcome != CommitOutcome::kCommitted) {
          EXPECT_EQ(results->front().outcome, CommitOutcome::kConflict);
          return;
        }
        ++winners;
        const std::lock_guard lock(mutex);
        won = results->front().version;
        winner = change.bytes;
      });
    }
    threads.clear();
    ASSERT_EQ(winners, 1) << "round " << round;
    const auto loaded = load(*store_, "a");
    ASSERT_TRUE(loaded);
    EXPECT_EQ(loaded->version, *won);
    EXPECT_EQ(loaded->bytes, winner);
    EXPECT_EQ(history_of(*store_, "a").back().bytes, winner);
    version = won;
  }
}

TEST_P(StoreConformance, NoIncrementIsLost) {
  constexpr int kThreads = 6;
  constexpr int kEach = 100;
  std::atomic<bool> done = false;
  std::mutex mutex;
  std::multiset<std::uint64_t> given;
  std::jthread reader([&] {
    // What a reader sees is consistent at every moment: the record is never ahead of its history, time never turns.
    std::uint64_t seen = 0;
    while (!done) {
      const auto loaded = load(*store_, "counter");
      if (!loaded) continue;
      const std::uint64_t number = std::stoull(loaded->bytes);
      EXPECT_GE(number, seen);
      seen = number;
      const auto row = store_->history("counter", number - 1, 1);
      ASSERT_TRUE(row);
      ASSERT_EQ(row->size(), 1u);
      EXPECT_EQ(row->front().bytes, loaded->bytes);
    }
  });
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < kEach; ++n) {
          const auto number = increment(*store_, "counter");
          ASSERT_TRUE(number);
          const std::lock_guard lock(mutex);
          given.insert(*number);
        }
      });
    }
  }
  done = true;
  reader.join();
  EXPECT_EQ(bytes_of(*store_, "counter"), std::to_string(kThreads * kEach));
  EXPECT_EQ(given.size(), static_cast<std::size_t>(kThreads * kEach));
  std::uint64_t expected = 0;
  for (const std::uint64_t number : given) EXPECT_EQ(number, ++expected);
  const auto rows = history_of(*store_, "counter");
  ASSERT_EQ(rows.size(), given.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i].revision, i + 1);
}

TEST_P(StoreConformance, AWatchMayBeSetReplacedAndEnded) {
  store_->watch([](const std::string&, const Version&) {});
  store_->watch([](const std::string&, const Version&) {});
  commit_one(*store_, {.key = "a"});
  store_->watch({});
}

// --- Several handles on one store ------------------------------------------------------------------------------------

namespace {

// Collects hints and waits for them with a bound.
class Hints {
 public:
  Hint hint() {
    return [this](const std::string& key, const Version& version) {
      const std::lock_guard lock(mutex_);
      seen_.push_back({key, version});
      changed_.notify_all();
    };
  }
  [[nodiscard]] bool wait_for(const std::string& key, const Version& version) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      return std::ranges::any_of(seen_, [&](const Listed& l) { return l.key == key && l.version == version; });
    });
  }
  [[nodiscard]] std::size_t size() {
    const std::lock_guard lock(mutex_);
    return seen_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Listed> seen_;
};

}  // namespace

TEST_P(SharedStoreConformance, HandlesShareRecordsAndEpoch) {
  const auto one = backend_->open();
  const auto two = backend_->open();
  EXPECT_EQ(one->epoch(), two->epoch());
  const Version first = commit_one(*one, {.key = "a", .bytes = "1", .history = {{1, "one"}}});
  EXPECT_EQ(bytes_of(*two, "a"), "1");
  const Version second = commit_one(*two, {.key = "a", .expected = first, .bytes = "2", .history = {{2, "two"}}});
  EXPECT_GT(second.counter, first.counter);
  EXPECT_EQ(outcome_of(*one, {.key = "a", .expected = first, .bytes = "3"}), CommitOutcome::kConflict);
  EXPECT_EQ(rows_of(history_of(*one, "a")), (Rows{"1=one", "2=two"}));
}

TEST_P(SharedStoreConformance, NoIncrementOfTwoHandlesIsLost) {
  constexpr int kEach = 200;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const auto store = backend_->open();
        for (int n = 0; n < kEach; ++n) ASSERT_TRUE(increment(*store, "counter"));
      });
    }
  }
  EXPECT_EQ(bytes_of(*backend_->open(), "counter"), std::to_string(4 * kEach));
}

TEST_P(SharedStoreConformance, ACommitIsHintedToTheOtherHandle) {
  Hints hints;
  const auto one = backend_->open();
  const auto two = backend_->open();
  two->watch(hints.hint());
  const std::string key("any\0bytes\xff", 10);
  const Version inserted = commit_one(*one, {.key = key});
  EXPECT_TRUE(hints.wait_for(key, inserted));
  const Version updated = commit_one(*one, {.key = key, .expected = inserted});
  EXPECT_TRUE(hints.wait_for(key, updated));
  two->watch({});
}

TEST_P(SharedStoreConformance, AReplacedWatchHearsNothingMore) {
  Hints before;
  Hints after;
  const auto one = backend_->open();
  const auto two = backend_->open();
  two->watch(before.hint());
  const Version first = commit_one(*one, {.key = "a"});
  ASSERT_TRUE(before.wait_for("a", first));
  two->watch(after.hint());
  const std::size_t heard = before.size();
  const Version second = commit_one(*one, {.key = "a", .expected = first});
  EXPECT_TRUE(after.wait_for("a", second));
  EXPECT_EQ(before.size(), heard);
  two->watch({});
}

TEST_P(SharedStoreConformance, AnEndedWatchIsOver) {
  // The callback's state dies right after watch({}) returned, while the other handle commits: a sanitizer sees a late
  // call, and so does the flag.
  const auto one = backend_->open();
  std::atomic<bool> done = false;
  std::jthread committer([&] {
    while (!done) increment(*one, "a");
  });
  for (int i = 0; i < 100; ++i) {
    const auto two = backend_->open();
    auto alive = std::make_unique<std::atomic<bool>>(true);
    two->watch([flag = alive.get()](const std::string&, const Version&) { EXPECT_TRUE(*flag); });
    if (i % 2 == 0) two->watch({});
    if (i % 2 == 1) two->watch([](const std::string&, const Version&) {});
    *alive = false;
    alive.reset();
  }
  done = true;
}

// --- Durable stores --------------------------------------------------------------------------------------------------

TEST_P(DurableStoreConformance, EverythingOutlivesTheHandle) {
  auto store = backend_->open();
  const std::string epoch = store->epoch();
  const std::string key("a\0\xff", 3);
  Version version = commit_one(*store, {.key = key, .bytes = "1", .history = {{1, "one"}}});
  const Version other = commit_one(*store, {.key = "b", .bytes = std::string(100'000, 'b'), .history_floor = 3});
  for (int i = 2; i < 5; ++i) {
    store.reset();
    store = backend_->open();
    EXPECT_EQ(store->epoch(), epoch);
    ASSERT_TRUE(load(*store, key));
    EXPECT_EQ(load(*store, key)->version, version);
    EXPECT_EQ(load(*store, "b")->version, other);
    EXPECT_EQ(bytes_of(*store, "b"), std::string(100'000, 'b'));
    const Version next = commit_one(*store, {.key = key,
                                             .expected = version,
                                             .bytes = std::to_string(i),
                                             .history = {{static_cast<std::uint64_t>(i), std::to_string(i)}}});
    EXPECT_GT(next.counter, std::max(version.counter, other.counter));
    EXPECT_EQ(outcome_of(*store, {.key = key, .expected = version}), CommitOutcome::kConflict);
    version = next;
  }
  store.reset();
  store = backend_->open();
  EXPECT_EQ(rows_of(history_of(*store, key)), (Rows{"1=one", "2=2", "3=3", "4=4"}));
  const Change again{.key = key, .expected = version, .history = {{4, "again"}}};
  EXPECT_FALSE(store->commit({&again, 1}));
}

// A process that commits as fast as it can and prints what was acknowledged dies by SIGKILL at moments of no meaning;
// whatever it had printed is there, whole, and the next process goes on from it.
TEST_P(DurableStoreConformance, ItLivesOnUnderTheEpochThatItIsGiven) {
  const std::string epoch = mint_epoch();
  Version version;
  {
    const auto store = backend_->open();
    version = commit_one(*store, {.key = "a", .bytes = "1"});
    ASSERT_NE(store->epoch(), epoch);
    ASSERT_TRUE(store->live_as(epoch));
    EXPECT_EQ(store->epoch(), epoch);
    EXPECT_EQ(load(*store, "a")->version, version) << "what was there is as it was";
    version = commit_one(*store, {.key = "a", .expected = version, .bytes = "2"});
    EXPECT_EQ(version.epoch, epoch);
  }
  const auto store = backend_->open();
  EXPECT_EQ(store->epoch(), epoch);
  EXPECT_EQ(load(*store, "a")->version, version);
}

TEST_P(DurableStoreConformance, ItSaysWhatAnOperatorShouldKnow) {
  const auto store = backend_->open();
  const auto found = store->examine();
  ASSERT_TRUE(found) << found.error().message;
  std::set<std::string> about;
  for (const StoreFinding& finding : *found) {
    EXPECT_TRUE(about.insert(finding.about).second) << finding.about << " is told twice";
    EXPECT_FALSE(finding.text.empty());
  }
  EXPECT_TRUE(about.contains("version"));
  EXPECT_TRUE(about.contains("durability"));
  EXPECT_TRUE(store->others()->empty());
}

TEST_P(SharedStoreConformance, ItKnowsWhoElseIsThere) {
  const auto store = backend_->open();
  ASSERT_TRUE(store->others());
  EXPECT_EQ(store->others()->size(), 0u);
  auto other = backend_->open();
  other->watch([](const std::string&, const Version&) {});
  const auto seen = store->others();
  ASSERT_EQ(seen->size(), GetParam().name == "Memory" ? 0u : 1u) << "a user is counted once, whatever it opens";
  other.reset();
  EXPECT_TRUE(is_left_alone(*store));
}

TEST_P(DurableStoreConformance, NothingAcknowledgedIsLostToSigkill) {
  const unsigned used = seed();
  SCOPED_TRACE("replay with SYZYGY_SEED=" + std::to_string(used));
  std::mt19937 random(used);
  backend_->open().reset();
  std::map<std::string, std::uint64_t> acknowledged;
  std::uint64_t counter = 0;
  for (int life = 0; life < rounds(10); ++life) {
    Child writer({store_writer_path(), "write", backend_->url()});
    const auto enough = std::uniform_int_distribution<std::size_t>(1, 400)(random);
    std::size_t lines = 0;
    const auto take = [&](const std::string& line) {
      const auto space = line.find(' ');
      ASSERT_NE(space, std::string::npos) << line;
      auto& number = acknowledged[line.substr(0, space)];
      number = std::max<std::uint64_t>(number, std::stoull(line.substr(space + 1)));
      ++lines;
    };
    while (lines < enough) {
      const auto line = writer.read_line();
      ASSERT_TRUE(line) << "the writer ended by itself: " << writer.wait();
      ASSERT_NO_FATAL_FAILURE(take(*line));
    }
    writer.kill();
    while (const auto line = writer.read_line()) ASSERT_NO_FATAL_FAILURE(take(*line));
    EXPECT_EQ(writer.wait(), "killed by signal 9");

    const auto store = backend_->open();
    ASSERT_TRUE(is_left_alone(*store));
    for (const auto& [key, number] : acknowledged) {
      const auto loaded = load(*store, key);
      ASSERT_TRUE(loaded) << key;
      const std::uint64_t stored = std::stoull(loaded->bytes);
      EXPECT_GE(stored, number) << key << " in life " << life;
      const auto rows = history_of(*store, key);
      ASSERT_EQ(rows.size(), stored) << key;
      for (std::size_t i = 0; i < rows.size(); ++i) ASSERT_EQ(rows[i].revision, i + 1);
    }
    const Version version = commit_one(*store, {.key = "life" + std::to_string(life)});
    EXPECT_GT(version.counter, counter);
    counter = version.counter;
  }
  EXPECT_GT(acknowledged.size(), 1u);
}

}  // namespace syzygy::store_tests
