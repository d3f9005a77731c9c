#include "tests/store/faulty_store.h"

#include <algorithm>
#include <limits>
#include <thread>

namespace syzygy {

void FaultyStore::sleep(Duration duration) { std::this_thread::sleep_for(duration); }

FaultyStore::FaultyStore(Store& store, FaultPlan plan, Wait wait)
    : store_(store), wait_(std::move(wait)), plan_(plan), random_(plan.seed) {
  store_.watch([this](const std::string& key, const Version& version) { deliver(key, version); });
}

FaultyStore::~FaultyStore() { store_.watch({}); }

void FaultyStore::set_plan(const FaultPlan& plan) {
  const std::lock_guard lock(mutex_);
  plan_ = plan;
  random_.seed(plan.seed);
}

void FaultyStore::next_commit(CommitFault fault) {
  const std::lock_guard lock(mutex_);
  script_.push_back(fault);
}

void FaultyStore::set_down(bool down) {
  const std::lock_guard lock(mutex_);
  down_ = down;
}

void FaultyStore::fail_loads(std::optional<Error> with) {
  const std::lock_guard lock(mutex_);
  load_error_ = std::move(with);
}

void FaultyStore::jump_clock(Duration by) {
  const std::lock_guard lock(mutex_);
  clock_offset_ += by;
  ++counts_.clock_jumps;
}

void FaultyStore::land() { land_until(std::numeric_limits<std::uint64_t>::max()); }

FaultCounts FaultyStore::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

// --- Drawing. REQUIRES: mutex_ is held. -----------------------------------------------------------------------------

std::uint64_t FaultyStore::up_to(std::uint64_t most) { return random_() % (most + 1); }

// Draws nothing for a chance of 0, so that one more kind of fault does not change what a seed means without it.
bool FaultyStore::drawn(unsigned per_mille) { return per_mille > 0 && up_to(999) < per_mille; }

CommitFault FaultyStore::draw_commit_fault() {
  if (drawn(plan_.unknown_applied)) return CommitFault::kUnknownApplied;
  if (drawn(plan_.unknown_lost)) return CommitFault::kUnknownLost;
  if (drawn(plan_.unknown_late)) return CommitFault::kUnknownLate;
  return CommitFault::kNone;
}

// --- Every call -----------------------------------------------------------------------------------------------------

Result<void> FaultyStore::arrive() {
  std::uint64_t call = 0;
  Duration pause{0};
  bool unavailable = false;
  {
    const std::lock_guard lock(mutex_);
    call = ++calls_;
    if (drawn(plan_.slow)) {
      ++counts_.slow;
      pause = Duration{up_to(static_cast<std::uint64_t>(plan_.slow_max.count()))};
    }
    unavailable = down_ || drawn(plan_.unavailable);
    if (unavailable) ++counts_.unavailable;
  }
  if (pause.count() > 0) wait_(pause);
  if (unavailable) return failure(ErrorCode::kUnavailable, "STORE_UNAVAILABLE", "The store cannot be reached.");
  land_until(call);
  return {};
}

void FaultyStore::depart() {
  Duration pause{0};
  {
    const std::lock_guard lock(mutex_);
    if (drawn(plan_.slow)) pause = Duration{up_to(static_cast<std::uint64_t>(plan_.slow_max.count()))};
  }
  if (pause.count() > 0) wait_(pause);
}

void FaultyStore::land_until(std::uint64_t call) {
  std::vector<Change> due;
  {
    const std::lock_guard lock(mutex_);
    for (const Late& late : late_)
      if (late.at_call <= call) due.push_back(late.change);
    std::erase_if(late_, [call](const Late& late) { return late.at_call <= call; });
  }
  for (const Change& change : due) {
    const auto landed = store_.commit({&change, 1});
    const std::lock_guard lock(mutex_);
    if (landed && landed->front().outcome == CommitOutcome::kCommitted) ++counts_.landed;
  }
}

Result<std::optional<Loaded>> FaultyStore::load(const std::string& key) {
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  {
    const std::lock_guard lock(mutex_);
    if (load_error_) return std::unexpected(*load_error_);
  }
  auto answer = store_.load(key);
  depart();
  return answer;
}

Result<std::vector<Listed>> FaultyStore::scan(std::string_view prefix, std::string_view after, std::size_t limit) {
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  auto answer = store_.scan(prefix, after, limit);
  depart();
  return answer;
}

Result<std::vector<HistoryRow>> FaultyStore::history(const std::string& key, std::uint64_t after, std::size_t limit) {
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  auto answer = store_.history(key, after, limit);
  depart();
  return answer;
}

Result<Instant> FaultyStore::now() {
  const auto time = store_.now();
  if (!time) return time;
  const std::lock_guard lock(mutex_);
  if (drawn(plan_.clock_jump)) {
    const auto most = plan_.clock_jump_max.count();
    clock_offset_ += Duration{static_cast<std::int64_t>(up_to(2 * static_cast<std::uint64_t>(most))) - most};
    ++counts_.clock_jumps;
  }
  return *time + clock_offset_;
}

// --- Commits --------------------------------------------------------------------------------------------------------

// Another user of the store writes the same bytes: the record has another version now, and we would hear of it.
void FaultyStore::rewrite_by_another(const Change& change) {
  const auto loaded = store_.load(change.key);
  if (!loaded || !*loaded) return;
  const Change rewrite{.key = change.key, .expected = (*loaded)->version, .bytes = (*loaded)->bytes};
  const auto results = store_.commit({&rewrite, 1});
  if (!results || results->front().outcome != CommitOutcome::kCommitted) return;
  {
    const std::lock_guard lock(mutex_);
    ++counts_.conflicts;
  }
  deliver(change.key, results->front().version);
}

std::vector<CommitResult> FaultyStore::commit_unknown(std::span<const Change> changes, CommitFault fault,
                                                      bool scripted) {
  if (fault == CommitFault::kUnknownApplied) {
    (void)store_.commit(changes);
    const std::lock_guard lock(mutex_);
    ++counts_.unknown_applied;
  } else if (fault == CommitFault::kUnknownLost) {
    const std::lock_guard lock(mutex_);
    ++counts_.unknown_lost;
  } else {
    std::vector<Change> at_once;
    {
      const std::lock_guard lock(mutex_);
      ++counts_.unknown_late;
      for (const Change& change : changes) {
        const auto when = scripted ? 1 : up_to(2);
        if (when == 0) at_once.push_back(change);
        if (when == 1)
          late_.push_back({change, scripted ? std::numeric_limits<std::uint64_t>::max() : calls_ + 1 + up_to(4)});
      }
    }
    if (!at_once.empty()) (void)store_.commit(at_once);
  }
  return std::vector<CommitResult>(changes.size());
}

Result<std::vector<CommitResult>> FaultyStore::commit(std::span<const Change> changes) {
  if (auto checked = check_changes(changes); !checked) return std::unexpected(std::move(checked.error()));
  CommitFault fault = CommitFault::kNone;
  bool scripted = false;
  std::vector<const Change*> rewritten;
  {
    const std::lock_guard lock(mutex_);
    scripted = !script_.empty() && !changes.empty();
    if (scripted) {
      fault = script_.front();
      script_.pop_front();
    } else {
      fault = draw_commit_fault();
    }
    for (const Change& change : changes)
      if (change.expected && (fault == CommitFault::kConflict || (!scripted && drawn(plan_.conflict))))
        rewritten.push_back(&change);
  }
  if (fault == CommitFault::kUnavailable) {
    const std::lock_guard lock(mutex_);
    ++counts_.unavailable;
    return failure(ErrorCode::kUnavailable, "STORE_UNAVAILABLE", "The store cannot be reached.");
  }
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  for (const Change* change : rewritten) rewrite_by_another(*change);
  if (fault == CommitFault::kUnknownApplied || fault == CommitFault::kUnknownLost ||
      fault == CommitFault::kUnknownLate) {
    auto results = commit_unknown(changes, fault, scripted);
    depart();
    return results;
  }
  auto answer = store_.commit(changes);
  depart();
  return answer;
}

// --- Hints ----------------------------------------------------------------------------------------------------------

void FaultyStore::watch(Hint hint) {
  const std::lock_guard lock(hint_mutex_);
  hint_ = std::move(hint);
}

void FaultyStore::deliver(const std::string& key, const Version& version) {
  std::vector<Listed> now;
  {
    const std::lock_guard lock(mutex_);
    std::swap(now, late_hints_);
    if (drawn(plan_.hint_lost)) {
      ++counts_.hints_lost;
    } else if (drawn(plan_.hint_late)) {
      ++counts_.hints_late;
      late_hints_.push_back({key, version});
    } else {
      now.push_back({key, version});
      if (drawn(plan_.hint_repeated)) {
        ++counts_.hints_repeated;
        now.push_back({key, version});
      }
    }
  }
  const std::lock_guard lock(hint_mutex_);
  if (!hint_) return;
  for (const Listed& moved : now) hint_(moved.key, moved.version);
}

void FaultyStore::release_hints() {
  std::vector<Listed> now;
  {
    const std::lock_guard lock(mutex_);
    std::swap(now, late_hints_);
  }
  const std::lock_guard lock(hint_mutex_);
  if (!hint_) return;
  for (const Listed& moved : now) hint_(moved.key, moved.version);
}

}  // namespace syzygy
