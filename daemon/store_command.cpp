#include "daemon/store_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/kill_point.h"
#include "base/name.h"
#include "daemon/config.h"
#include "daemon/run.h"
#include "store/open.h"

namespace syzygy::daemon {
namespace {

using Steady = std::chrono::steady_clock;
using Verdict = StoreFinding::Verdict;

// Of this file only; targets and barriers have other prefixes.
constexpr std::string_view kOwnPrefix = "store/";
constexpr const char* kProbeKey = "store/probe";
constexpr const char* kOriginKey = "store/origin";        // in a store that was filled from another
constexpr const char* kSuccessorKey = "store/successor";  // in a store that was moved elsewhere

constexpr int kProbes = 20;
constexpr Duration kHintMax{3'000};
constexpr Duration kGoneMax{2'000};  // from the end of a process until its server has noticed, on a slow machine
constexpr Duration kLookAgain{50};
constexpr Duration kClockFar{5'000};
constexpr std::size_t kPage = 500;
constexpr std::size_t kChunkBytes = 4UZ << 20;

int exit_code_for(const Error& error) {
  if (error.code == ErrorCode::kDataLoss) return kExitData;
  if (error.reason == "STORE_ADDRESS_INVALID" || error.reason == "STORE_PATH_INVALID") return kExitUsage;
  return error.reason == "STORE_IN_USE" ? kExitBusy : kExitUnavailable;
}

int failed(const Error& error) {
  fmt::print(stderr, "syzygyd: {}\n", error.message);
  return exit_code_for(error);
}

// ---- Marks ----

// What is written under kOriginKey and kSuccessorKey: "STATE EPOCH PLACE", or nothing.
struct Mark {
  std::string state;
  std::string epoch;
  std::string place;
};

std::optional<Mark> mark_of(const std::string& bytes) {
  const auto first = bytes.find(' ');
  const auto second = bytes.find(' ', first == std::string::npos ? first : first + 1);
  if (second == std::string::npos) return std::nullopt;
  return Mark{bytes.substr(0, first), bytes.substr(first + 1, second - first - 1), bytes.substr(second + 1)};
}

Result<std::optional<Mark>> mark_at(Store& store, const char* key) {
  const auto loaded = store.load(key);
  if (!loaded) return std::unexpected(loaded.error());
  if (!*loaded) return std::nullopt;
  return mark_of((*loaded)->bytes);
}

// The record as it is now, replaced whatever it was. Nobody else writes these keys.
Result<void> put(Store& store, const std::string& key, const std::string& bytes, bool hint = false) {
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    const auto loaded = store.load(key);
    if (!loaded) return std::unexpected(loaded.error());
    if (*loaded && (*loaded)->bytes == bytes) return {};
    std::vector<Change> changes(1);
    changes[0].key = key;
    if (*loaded) changes[0].expected = (*loaded)->version;
    changes[0].bytes = bytes;
    changes[0].hint = hint;
    const auto done = store.commit(changes);
    if (!done) return std::unexpected(done.error());
    if (done->front().outcome == CommitOutcome::kCommitted) return {};
  }
  return failure(ErrorCode::kUnavailable, "STORE_BUSY",
                 fmt::format("{} takes a commit and does not keep it: somebody else writes there.", store.describe()));
}

Result<void> put_mark(Store& store, const char* key, const Mark& mark) {
  return put(store, key, fmt::format("{} {} {}", mark.state, mark.epoch, mark.place));
}

// ---- store check ----

std::string milliseconds(Steady::duration took) {
  return fmt::format("{:.1f} ms", std::chrono::duration<double, std::milli>(took).count());
}

Result<StoreFinding> check_clock(Store& store) {
  const Instant before = system_now();
  const auto told = store.now();
  const Instant after = system_now();
  if (!told) return std::unexpected(told.error());
  const Duration half = (after - before) / 2;
  const Duration ahead = *told - (before + half);
  const Duration far = ahead < Duration{0} ? -ahead : ahead;
  if (far <= half + Duration{2}) return StoreFinding{Verdict::kGood, "clock", "agrees with this machine's"};
  const std::string text =
      fmt::format("{} ms {} this machine's", far.count(), ahead < Duration{0} ? "behind" : "ahead of");
  if (far < kClockFar) return StoreFinding{Verdict::kGood, "clock", text};
  return StoreFinding{
      Verdict::kWarning, "clock",
      text +
          ". Leases go by the store's and stay right; let both follow a time server, so that logs can be "
          "compared"};
}

// A record of our own, written and read again.
Result<StoreFinding> check_round_trip(Store& store) {
  std::vector<Steady::duration> commits;
  std::vector<Steady::duration> loads;
  for (int i = 0; i < kProbes; ++i) {
    const auto began = Steady::now();
    const std::string bytes = mint_commit();
    const auto loaded = store.load(kProbeKey);
    if (!loaded) return std::unexpected(loaded.error());
    const auto read = Steady::now();
    std::vector<Change> changes(1);
    changes[0].key = kProbeKey;
    if (*loaded) changes[0].expected = (*loaded)->version;
    changes[0].bytes = bytes;
    const auto done = store.commit(changes);
    if (!done) return std::unexpected(done.error());
    const auto written = Steady::now();
    if (done->front().outcome == CommitOutcome::kConflict) continue;  // another check runs
    const auto again = store.load(kProbeKey);
    if (!again) return std::unexpected(again.error());
    const bool kept = *again && (*again)->bytes == bytes && (*again)->version == done->front().version;
    if (done->front().outcome == CommitOutcome::kCommitted && !kept && i + 1 == kProbes) {
      return StoreFinding{
          Verdict::kBad, "round trip",
          "what was committed is not what is read: something between us and the store answers for it, or "
          "another check runs; try again"};
    }
    loads.push_back(read - began);
    commits.push_back(written - read);
  }
  if (commits.empty())
    return StoreFinding{Verdict::kWarning, "round trip", "others commit to the same record; try again"};
  std::ranges::sort(commits);
  std::ranges::sort(loads);
  return StoreFinding{
      Verdict::kGood, "round trip",
      fmt::format("commit {}, load {} (median of {}; slowest commit {})", milliseconds(commits[commits.size() / 2]),
                  milliseconds(loads[loads.size() / 2]), commits.size(), milliseconds(commits.back()))};
}

// Whether another user of the store hears of a commit by push, and how soon.
Result<std::optional<StoreFinding>> check_hints(Store& store, const std::string& url) {
  if (!store.shared()) return std::nullopt;
  auto second = open_store(url);
  if (!second) return std::unexpected(second.error());
  std::mutex mutex;
  std::condition_variable heard_it;
  std::optional<Steady::time_point> heard;
  (*second)->watch([&](const std::string& key, const Version&) {
    const std::lock_guard lock(mutex);
    if (key == kProbeKey && !heard) heard = Steady::now();
    heard_it.notify_all();
  });
  const auto loaded = store.load(kProbeKey);
  if (!loaded) return std::unexpected(loaded.error());
  {
    const std::lock_guard lock(mutex);
    heard.reset();
  }
  const auto sent = Steady::now();
  if (auto ok = put(store, kProbeKey, mint_commit(), true); !ok) return std::unexpected(ok.error());
  std::unique_lock lock(mutex);
  heard_it.wait_for(lock, kHintMax, [&] { return heard.has_value(); });
  std::optional<StoreFinding> found;
  if (heard) {
    found = StoreFinding{
        Verdict::kGood, "hints",
        fmt::format("another daemon hears of a commit {} after it was asked for", milliseconds(*heard - sent))};
  } else {
    found = StoreFinding{
        Verdict::kWarning, "hints",
        "none came within 3 s: daemons then hear of each other by a poll every 2 s. A pooler, or a missing "
        "right to subscribe, may be in the way"};
  }
  lock.unlock();
  (*second)->watch({});
  return found;
}

Result<std::vector<StoreFinding>> findings_of(Store& store, const std::string& url) {
  auto others = store.others();
  if (!others) return std::unexpected(others.error());
  auto found = store.examine();
  if (!found) return found;
  for (const auto& check : {check_clock(store), check_round_trip(store)}) {
    if (!check) return std::unexpected(check.error());
    found->push_back(*check);
  }
  auto hints = check_hints(store, url);
  if (!hints) return std::unexpected(hints.error());
  if (*hints) {
    std::erase_if(*found, [](const StoreFinding& f) { return f.about == "hints" && f.verdict == Verdict::kGood; });
    if (std::ranges::none_of(*found, [](const StoreFinding& f) { return f.about == "hints"; }))
      found->push_back(**hints);
  }
  std::string names;
  for (const std::string& other : *others) names += (names.empty() ? ": " : ", ") + other;
  if (store.shared()) {
    found->push_back({Verdict::kGood, "users", fmt::format("{} at this moment{}", others->size(), names)});
  }
  if (auto moved = refuse_if_moved(store); !moved) found->push_back({Verdict::kBad, "moved", moved.error().message});
  return found;
}

std::string_view word_of(Verdict verdict) {
  return verdict == Verdict::kGood ? "good" : verdict == Verdict::kWarning ? "warning" : "bad";
}

int check(const StoreCommand& command) {
  boost::json::object answer;
  const auto done = [&](int code) {
    if (command.json) fmt::print("{}\n", boost::json::serialize(answer));
    return code;
  };
  const auto broken = [&](const Error& error) {
    answer["verdict"] = "bad";
    answer["error"] = {{"reason", error.reason}, {"message", error.message}};
    if (!command.json) fmt::print(stderr, "syzygyd: {}\n", error.message);
    return done(exit_code_for(error));
  };
  auto store = open_store(command.store);
  if (!store) return broken(store.error());
  answer["store"] = (*store)->describe();
  answer["epoch"] = (*store)->epoch();
  if (!command.json) fmt::print("{}\n", (*store)->describe());
  const auto found = findings_of(**store, command.store);
  if (!found) return broken(found.error());

  Verdict worst = Verdict::kGood;
  boost::json::array listed;
  for (const StoreFinding& finding : *found) {
    worst = std::max(worst, finding.verdict);
    listed.push_back({{"verdict", word_of(finding.verdict)}, {"about", finding.about}, {"text", finding.text}});
    if (!command.json) fmt::print("{:8} {:13} {}\n", word_of(finding.verdict), finding.about, finding.text);
  }
  answer["findings"] = std::move(listed);
  answer["verdict"] = word_of(worst);
  return done(worst == Verdict::kBad ? kExitFound : 0);
}

// ---- store migrate ----

// Who stopped a moment ago may still be seen by the store's server.
Result<void> nobody_uses(Store& store) {
  const Steady::time_point until = Steady::now() + kGoneMax;
  Result<std::vector<std::string>> others = store.others();
  while (others && !others->empty() && Steady::now() < until) {
    std::this_thread::sleep_for(kLookAgain);
    others = store.others();
  }
  if (!others) return std::unexpected(others.error());
  if (others->empty()) return {};
  std::string names;
  for (const std::string& other : *others) names += (names.empty() ? "" : ", ") + other;
  return failure(ErrorCode::kFailedPrecondition, "STORE_IN_USE",
                 fmt::format("{} is in use: {}. Stop every syzygyd that uses it, in every cluster, and run this again; "
                             "pipelines that wait go on waiting.",
                             store.describe(), names));
}

// For each record of `store` but the marks.
template <class Each>
Result<std::size_t> for_each(Store& store, Each each) {
  std::size_t count = 0;
  std::string after;
  for (;;) {
    const auto page = store.scan("", after, kPage);
    if (!page) return std::unexpected(page.error());
    for (const Listed& listed : *page) {
      after = listed.key;
      if (listed.key.starts_with(kOwnPrefix)) continue;
      ++count;
      if (Result<void> ok = each(listed.key); !ok) return std::unexpected(ok.error());
    }
    if (page->size() < kPage) return count;
  }
}

// The history of one record, row by row.
class Rows {
 public:
  Rows(Store& store, const std::string& key) : store_(store), key_(key) {}
  // nullptr: the end. The row is there until the next call.
  Result<const HistoryRow*> next() {
    if (at_ == page_.size()) {
      if (ended_) return nullptr;
      auto page = store_.history(key_, after_, kPage);
      if (!page) return std::unexpected(page.error());
      page_ = *std::move(page);
      at_ = 0;
      ended_ = page_.size() < kPage;
      if (page_.empty()) return nullptr;
      after_ = page_.back().revision;
    }
    return &page_[at_++];
  }

 private:
  Store& store_;
  const std::string& key_;
  std::vector<HistoryRow> page_;
  std::size_t at_ = 0;
  std::uint64_t after_ = 0;
  bool ended_ = false;
};

struct Copied {
  std::size_t rows = 0;     // of history, of all records
  std::size_t written = 0;  // records that were not there yet as they are
};

// One record with its history. What an interrupted run has copied of it is compared and kept.
class RecordCopy {
 public:
  RecordCopy(Store& from, Store& to, const std::string& key, Copied& copied)
      : to_(to), key_(key), theirs_(from, key), ours_(to, key), from_(from), copied_(copied) {}

  Result<void> run() {
    const auto source = from_.load(key_);
    if (!source) return std::unexpected(source.error());
    if (!*source) return {};
    const auto there = to_.load(key_);
    if (!there) return std::unexpected(there.error());
    if (*there) expected_ = (*there)->version;
    change_.bytes = (*source)->bytes;
    const bool same_bytes = *there && (*there)->bytes == change_.bytes;
    bool wrote = false;
    for (;;) {
      const auto row = theirs_.next();
      if (!row) return std::unexpected(row.error());
      if (*row == nullptr) break;
      ++copied_.rows;
      const auto known = find((*row)->revision);
      if (!known) return std::unexpected(known.error());
      if (*known != nullptr) {
        if ((*known)->bytes != (*row)->bytes) return differs();
        continue;
      }
      bytes_ += (*row)->bytes.size();
      change_.history.push_back(**row);
      if (bytes_ < kChunkBytes && change_.history.size() < kPage) continue;
      if (auto ok = flush(); !ok) return ok;
      wrote = true;
    }
    if (!change_.history.empty() || (!same_bytes && !wrote)) {
      if (auto ok = flush(); !ok) return ok;
      wrote = true;
    }
    copied_.written += wrote ? 1 : 0;
    return {};
  }

 private:
  [[nodiscard]] std::unexpected<Error> differs() const {
    return failure(ErrorCode::kDataLoss, "STORE_DIFFERS",
                   fmt::format("What {} has of '{}' is not what an interrupted run could have copied. Name an empty "
                               "store with --to.",
                               to_.describe(), printable(key_)));
  }

  // Our row of that revision; rows that they have dropped since are passed over.
  Result<const HistoryRow*> find(std::uint64_t revision) {
    for (;;) {
      if (ours_done_) return nullptr;
      if (held_ == nullptr) {
        const auto row = ours_.next();
        if (!row) return std::unexpected(row.error());
        held_ = *row;
        ours_done_ = held_ == nullptr;
        continue;
      }
      if (held_->revision > revision) return std::unexpected(differs().error());
      const HistoryRow* found = std::exchange(held_, nullptr);
      if (found->revision == revision) return found;
    }
  }

  Result<void> flush() {
    change_.key = key_;
    change_.expected = expected_;
    change_.hint = false;
    const auto done = to_.commit({&change_, 1});
    if (!done) return std::unexpected(done.error());
    if (done->front().outcome != CommitOutcome::kCommitted) {
      return failure(ErrorCode::kUnavailable, "STORE_BUSY",
                     fmt::format("{} did not confirm that '{}' is stored. Run the same command again: it goes on where "
                                 "it was.",
                                 to_.describe(), printable(key_)));
    }
    expected_ = done->front().version;
    change_.history.clear();
    bytes_ = 0;
    return {};
  }

  Store& to_;
  const std::string& key_;
  Rows theirs_;
  Rows ours_;
  Store& from_;
  Copied& copied_;
  Change change_;
  std::optional<Version> expected_;
  std::size_t bytes_ = 0;
  const HistoryRow* held_ = nullptr;
  bool ours_done_ = false;
};

std::unexpected<Error> not_verified(const Store& from, const Store& to, std::string_view key) {
  return failure(ErrorCode::kUnavailable, "STORE_DIFFERS",
                 fmt::format("After the copy '{}' is not the same in {} and {}: somebody used one of them meanwhile. "
                             "Stop every syzygyd and run the same command again.",
                             printable(key), from.describe(), to.describe()));
}

// Everything, read again from both.
Result<void> verify(Store& from, Store& to) {
  const auto mine = for_each(from, [&](const std::string& key) -> Result<void> {
    const auto left = from.load(key);
    if (!left) return std::unexpected(left.error());
    const auto right = to.load(key);
    if (!right) return std::unexpected(right.error());
    if (!*left || !*right || (*left)->bytes != (*right)->bytes) return not_verified(from, to, key);
    Rows theirs(from, key);
    Rows ours(to, key);
    bool begun = false;
    for (;;) {
      const auto a = theirs.next();
      if (!a) return std::unexpected(a.error());
      auto b = ours.next();
      // Rows that the source has dropped since an earlier run may still be in the copy.
      while (b && *b != nullptr && *a != nullptr && !begun && (*b)->revision < (*a)->revision) b = ours.next();
      if (!b) return std::unexpected(b.error());
      begun = true;
      if (*a == nullptr && *b == nullptr) return {};
      if (*a == nullptr || *b == nullptr || **a != **b) return not_verified(from, to, key);
    }
  });
  if (!mine) return std::unexpected(mine.error());
  const auto theirs = for_each(to, [](const std::string&) -> Result<void> { return {}; });
  if (!theirs) return std::unexpected(theirs.error());
  if (*mine != *theirs) return not_verified(from, to, fmt::format("{} records against {}", *mine, *theirs));
  return {};
}

// Two URLs may lead to one store.
Result<bool> are_the_same(Store& from, Store& to) {
  const std::string token = mint_commit();
  if (auto ok = put(to, kProbeKey, token); !ok) return std::unexpected(ok.error());
  const auto seen = from.load(kProbeKey);
  if (!seen) return std::unexpected(seen.error());
  return *seen && (*seen)->bytes == token;
}

// Whether `to` may be filled from `from`: it is empty, or an earlier run began to fill it.
Result<void> may_be_filled(Store& from, Store& to) {
  const auto origin = mark_at(to, kOriginKey);
  if (!origin) return std::unexpected(origin.error());
  if (*origin && (*origin)->state == "filling" && (*origin)->epoch == from.epoch()) return {};
  const auto records = for_each(to, [](const std::string&) -> Result<void> { return {}; });
  if (!records) return std::unexpected(records.error());
  if (*records > 0 && *origin && (*origin)->state == "complete" && (*origin)->epoch == from.epoch()) {
    return failure(ErrorCode::kFailedPrecondition, "STORE_MOVED",
                   fmt::format("{} was moved to {} before, and that is complete. Start every syzygyd with the new one.",
                               from.describe(), to.describe()));
  }
  if (*records > 0) {
    return failure(ErrorCode::kFailedPrecondition, "STORE_NOT_EMPTY",
                   fmt::format("{} holds {} records of its own already. Name an empty store with --to: another "
                               "directory, prefix= or schema=.",
                               to.describe(), *records));
  }
  return {};
}

struct Moved {
  std::size_t records = 0;
  Copied copied;
};

Result<Moved> move(Store& from, Store& to) {
  const auto same = are_the_same(from, to);
  if (!same) return std::unexpected(same.error());
  if (*same) {
    return failure(ErrorCode::kInvalidArgument, "STORE_ADDRESS_INVALID",
                   fmt::format("--from and --to are the same store, {}.", from.describe()));
  }
  for (Store* store : {&from, &to}) {
    if (auto free = nobody_uses(*store); !free) return std::unexpected(free.error());
  }
  const auto successor = mark_at(from, kSuccessorKey);
  if (!successor) return std::unexpected(successor.error());
  if (*successor && (*successor)->place != to.describe()) return std::unexpected(refuse_if_moved(from).error());
  if (auto ok = may_be_filled(from, to); !ok) return std::unexpected(ok.error());

  const std::string epoch = from.epoch();
  if (auto ok = put_mark(to, kOriginKey, {"filling", epoch, from.describe()}); !ok) return std::unexpected(ok.error());
  if (auto ok = put_mark(from, kSuccessorKey, {"moving", epoch, to.describe()}); !ok)
    return std::unexpected(ok.error());
  if (auto ok = to.live_as(epoch); !ok) return std::unexpected(ok.error());
  Moved moved;
  const auto copied = for_each(from, [&](const std::string& key) -> Result<void> {
    auto done = RecordCopy(from, to, key, moved.copied).run();
    SYZYGY_KILL_POINT("store_migrate.copied");
    return done;
  });
  if (!copied) return std::unexpected(copied.error());
  moved.records = *copied;
  if (auto ok = verify(from, to); !ok) return std::unexpected(ok.error());
  for (Store* store : {&from, &to}) {
    if (auto free = nobody_uses(*store); !free) return std::unexpected(free.error());
  }
  if (auto ok = put_mark(from, kSuccessorKey, {"moved", epoch, to.describe()}); !ok) return std::unexpected(ok.error());
  if (auto ok = put_mark(to, kOriginKey, {"complete", epoch, from.describe()}); !ok) return std::unexpected(ok.error());
  return moved;
}

int migrate(const StoreCommand& command) {
  for (const std::string& url : {command.from, command.to}) {
    if (url != "memory:") continue;
    fmt::print(stderr, "syzygyd: memory: ends with its process; there is nothing to move from or to.\n");
    return kExitUsage;
  }
  auto from = open_store(command.from);
  if (!from) return failed(from.error());
  auto to = open_store(command.to);
  if (!to) return failed(to.error());
  const auto moved = move(**from, **to);
  if (!moved) return failed(moved.error());
  const std::string old = (*from)->describe();
  const std::string next = (*to)->describe();
  if (command.json) {
    fmt::print("{}\n", boost::json::serialize(boost::json::object{{"from", old},
                                                                  {"to", next},
                                                                  {"epoch", (*to)->epoch()},
                                                                  {"records", moved->records},
                                                                  {"historyRows", moved->copied.rows},
                                                                  {"written", moved->copied.written}}));
    return 0;
  }
  fmt::print(
      "Moved {} records (targets and barriers) and {} rows of history from {} to {}; compared, and the same.\n"
      "Next: start every syzygyd, in every cluster, with --store {}. Pipelines that waited go on.\n"
      "A syzygyd that still names {} refuses to start. To go back, before a daemon has used the new one:\n"
      "  syzygyd store reopen --store {}\n",
      moved->records, moved->copied.rows, old, next, without_passwords(command.to), old,
      without_passwords(command.from));
  return 0;
}

// ---- store reopen ----

int reopen(const StoreCommand& command) {
  auto store = open_store(command.store);
  if (!store) return failed(store.error());
  const auto successor = mark_at(**store, kSuccessorKey);
  if (!successor) return failed(successor.error());
  if (!*successor) {
    fmt::print("{} was not moved: there is nothing to take back.\n", (*store)->describe());
    return 0;
  }
  if (auto free = nobody_uses(**store); !free) return failed(free.error());
  // Another life: whoever has seen the other store's must not take this one for the same.
  if (auto ok = (*store)->live_as(mint_epoch()); !ok) return failed(ok.error());
  if (auto ok = put(**store, kSuccessorKey, ""); !ok) return failed(ok.error());
  fmt::print("{} may be used again. Start no syzygyd with {} any more.\n", (*store)->describe(), (*successor)->place);
  return 0;
}

}  // namespace

Result<void> refuse_if_moved(Store& store) {
  const auto successor = mark_at(store, kSuccessorKey);
  if (!successor) return std::unexpected(successor.error());
  if (*successor) {
    const bool done = (*successor)->state == "moved";
    return failure(ErrorCode::kFailedPrecondition, "STORE_MOVED",
                   fmt::format("{} {} moved to {}. {}, or take this one back: syzygyd store reopen.", store.describe(),
                               done ? "was" : "is being", (*successor)->place,
                               done ? "Name that one with --store"
                                    : "Let syzygyd store migrate come to its end (it can be run again)"));
  }
  const auto origin = mark_at(store, kOriginKey);
  if (!origin) return std::unexpected(origin.error());
  if (*origin && (*origin)->state == "filling") {
    return failure(ErrorCode::kFailedPrecondition, "STORE_INCOMPLETE",
                   fmt::format("{} is only half there: syzygyd store migrate was filling it from {}. Run it again with "
                               "the same --from and --to.",
                               store.describe(), (*origin)->place));
  }
  return {};
}

int run_store_command(const StoreCommand& command) {
  switch (command.kind) {
    case StoreCommand::Kind::kCheck:
      return check(command);
    case StoreCommand::Kind::kMigrate:
      return migrate(command);
    case StoreCommand::Kind::kReopen:
      return reopen(command);
    case StoreCommand::Kind::kNone:
      break;
  }
  return 0;
}

}  // namespace syzygy::daemon
