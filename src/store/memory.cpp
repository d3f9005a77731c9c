#include "store/memory.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

namespace syzygy {

struct MemoryStore::Listener {
  std::mutex mutex;  // held while the hint runs: watch() and the destructor wait for it
  Hint hint;
};

struct MemoryStore::Records {
  struct Record {
    Version version;
    std::string bytes;
    std::map<std::uint64_t, std::string> history;
    std::uint64_t last_revision = 0;
  };

  const Clock clock;
  const std::string epoch = mint_epoch();
  std::mutex mutex;  // guards what follows
  std::uint64_t counter = 0;
  std::map<std::string, Record, std::less<>> by_key;
  std::vector<std::shared_ptr<Listener>> listeners;

  explicit Records(Clock c) : clock(std::move(c)) {}
};

MemoryStore::MemoryStore(Clock clock) : MemoryStore(std::make_shared<Records>(std::move(clock))) {}

MemoryStore::MemoryStore(std::shared_ptr<Records> records)
    : records_(std::move(records)), listener_(std::make_shared<Listener>()) {
  const std::lock_guard lock(records_->mutex);
  records_->listeners.push_back(listener_);
}

MemoryStore::~MemoryStore() {
  watch({});
  const std::lock_guard lock(records_->mutex);
  std::erase(records_->listeners, listener_);
}

std::unique_ptr<MemoryStore> MemoryStore::another_handle() const {
  return std::unique_ptr<MemoryStore>(new MemoryStore(records_));
}

Result<std::optional<Loaded>> MemoryStore::load(const std::string& key) {
  const std::lock_guard lock(records_->mutex);
  const auto found = records_->by_key.find(key);
  if (found == records_->by_key.end()) return std::nullopt;
  return Loaded{found->second.version, found->second.bytes};
}

Result<std::vector<Listed>> MemoryStore::scan(std::string_view prefix, std::string_view after, std::size_t limit) {
  const std::lock_guard lock(records_->mutex);
  const auto& by_key = records_->by_key;
  std::vector<Listed> page;
  for (auto at = after < prefix ? by_key.lower_bound(prefix) : by_key.upper_bound(after);
       at != by_key.end() && at->first.starts_with(prefix) && page.size() < limit; ++at)
    page.push_back({at->first, at->second.version});
  return page;
}

Result<std::vector<HistoryRow>> MemoryStore::history(const std::string& key, std::uint64_t after, std::size_t limit) {
  const std::lock_guard lock(records_->mutex);
  std::vector<HistoryRow> page;
  const auto found = records_->by_key.find(key);
  if (found == records_->by_key.end()) return page;
  const auto& rows = found->second.history;
  for (auto at = rows.upper_bound(after); at != rows.end() && page.size() < limit; ++at)
    page.push_back({at->first, at->second});
  return page;
}

Result<std::vector<CommitResult>> MemoryStore::commit(std::span<const Change> changes) {
  if (auto checked = check_changes(changes); !checked) return std::unexpected(std::move(checked.error()));
  std::vector<CommitResult> results(changes.size());
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    const std::lock_guard lock(records_->mutex);
    auto& by_key = records_->by_key;
    for (std::size_t i = 0; i < changes.size(); ++i) {
      const Change& change = changes[i];
      const auto found = by_key.find(change.key);
      const bool exists = found != by_key.end();
      const bool expected = exists ? change.expected == found->second.version : !change.expected;
      results[i].outcome = expected ? CommitOutcome::kCommitted : CommitOutcome::kConflict;
      if (!expected && exists) results[i].held = Loaded{found->second.version, found->second.bytes};
      if (!expected) continue;
      if (auto rises = check_history_rises(change, exists ? found->second.last_revision : 0); !rises)
        return std::unexpected(std::move(rises.error()));
    }
    for (std::size_t i = 0; i < changes.size(); ++i) {
      if (results[i].outcome != CommitOutcome::kCommitted) continue;
      const Change& change = changes[i];
      auto& record = by_key[change.key];
      record.version = results[i].version = {records_->epoch, ++records_->counter, mint_commit()};
      record.bytes = change.bytes;
      for (const HistoryRow& row : change.history) record.history[row.revision] = row.bytes;
      if (!change.history.empty()) record.last_revision = change.history.back().revision;
      record.history.erase(record.history.begin(), record.history.lower_bound(change.history_floor));
    }
    listeners = records_->listeners;
  }
  for (const auto& listener : listeners) {
    if (listener == listener_) continue;
    const std::lock_guard lock(listener->mutex);
    if (!listener->hint) continue;
    for (std::size_t i = 0; i < changes.size(); ++i)
      if (results[i].outcome == CommitOutcome::kCommitted && changes[i].hint)
        listener->hint(changes[i].key, results[i].version);
  }
  return results;
}

void MemoryStore::watch(Hint hint) {
  const std::lock_guard lock(listener_->mutex);
  listener_->hint = std::move(hint);
}

Result<Instant> MemoryStore::now() { return records_->clock(); }
std::string MemoryStore::epoch() const { return records_->epoch; }
std::string MemoryStore::describe() const { return "memory:"; }

}  // namespace syzygy
