#include "tests/sim/truth.h"

#include <algorithm>
#include <utility>

#include "engine/clock_watch.h"
#include "store/server_clock.h"

namespace syzygy::sim {
namespace {

constexpr Ms kGivesUpAfter = 2'000;  // a backend's own time limit

std::string hex(std::uint64_t number) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; number >>= 4) text[i] = kDigits[number & 15];
  return text;
}

std::unexpected<Error> unreachable() {
  return failure(ErrorCode::kUnavailable, "STORE_UNAVAILABLE", "The store cannot be reached.");
}

}  // namespace

// ---- what is durable ----

const Truth::Entry* Truth::find(const std::string& key) const {
  const auto found = state_.entries.find(key);
  return found == state_.entries.end() ? nullptr : &found->second;
}

CommitResult Truth::commit(const Change& change, const StoreSide* by) {
  const auto found = state_.entries.find(change.key);
  const bool exists = found != state_.entries.end();
  const bool expected = exists ? change.expected == found->second.version : !change.expected;
  if (!expected) return {CommitOutcome::kConflict, {}, held(change.key)};
  if (auto rises = check_history_rises(change, exists ? found->second.last_revision : 0); !rises) {
    world_.broke("14: " + rises.error().message);
    return {CommitOutcome::kConflict, {}};
  }
  Entry& entry = state_.entries[change.key];
  entry.version = Version{state_.epoch, ++state_.counter, hex(++commits_)};
  entry.bytes = change.bytes;
  for (const HistoryRow& row : change.history) entry.rows[row.revision] = row.bytes;
  if (!change.history.empty()) entry.last_revision = change.history.back().revision;
  entry.rows.erase(entry.rows.begin(), entry.rows.lower_bound(change.history_floor));
  if (on_commit) on_commit(change, by == nullptr ? "" : by->daemon_.name(), entry);
  const Version version = entry.version;
  for (StoreSide* side : sides_) {
    if (side != by) side->hint(change.key, version);
  }
  return {CommitOutcome::kCommitted, version};
}

void Truth::jump(Ms by) {
  constexpr Ms kBlur = 60'000;
  offset_ += by;
  if (by > 2 * engine::ClockWatch::kTolerance.count()) {
    stepped_at_ = world_.now();
  } else {
    blurred_until_ = world_.now() + kBlur;
  }
}

void Truth::back_up() {
  constexpr std::size_t kKept = 4;
  if (backups_.size() == kKept) backups_.erase(backups_.begin());
  backups_.push_back(state_);
}

bool Truth::restore(std::size_t which, bool told) {
  if (backups_.empty()) return false;
  state_ = backups_[which % backups_.size()];
  if (told) ++server_;
  went_back();
  return true;
}

void Truth::empty() {
  state_ = State{};
  state_.epoch = hex(++commits_) + std::string(16, 'f');
  ++server_;
  went_back();
}

void Truth::went_back() {
  ++lives_;
  gone_back_at_ = world_.now();
  blurred_until_ = world_.now() + 60'000;
  if (on_gone_back) on_gone_back();
}

std::optional<Loaded> Truth::held(const std::string& key) const {
  const Entry* entry = world_.shape.answers_tell ? find(key) : nullptr;
  return entry == nullptr ? std::nullopt : std::optional(Loaded{entry->version, entry->bytes});
}

// Another user of the store writes the same bytes: the record has another version now.
bool Truth::rewrite(const std::string& key) {
  const Entry* entry = find(key);
  if (entry == nullptr) return false;
  const Change same{.key = key, .expected = entry->version, .bytes = entry->bytes};
  return commit(same, nullptr).outcome == CommitOutcome::kCommitted;
}

// ---- what one daemon sees ----

StoreSide::StoreSide(World& world, Truth& truth, Process& daemon, std::function<void()> blocked,
                     std::function<void()> hinted)
    : world_(world), truth_(truth), daemon_(daemon), blocked_(std::move(blocked)), hinted_(std::move(hinted)) {
  truth_.sides_.push_back(this);
  read_life();
}

StoreSide::~StoreSide() {
  *there_ = false;
  std::erase(truth_.sides_, this);
}

Result<void> StoreSide::arrive() {
  asked_.reset();
  asked_at_ = world_.now();
  if (dead_) return unreachable();
  if (truth_.away() || !world_.open(daemon_.node(), kStoreNode)) {
    in_trouble(world_.now() + kGivesUpAfter);
    world_.sleep(world_.chance().chance(500) ? kGivesUpAfter : 1);
    blocked_();
    in_trouble(world_.now());
    return unreachable();
  }
  if (world_.strikes(Fault::kStoreSlow, daemon_.name())) {
    const Ms pause = world_.chance().between(20, 3'000);
    in_trouble(world_.now() + 2 * pause);
    world_.sleep(pause);
  } else if (world_.chance().chance(250)) {
    world_.sleep(world_.chance().between(1, 4));
  }
  blocked_();
  if (dead_) return unreachable();
  if (world_.strikes(Fault::kStoreRefuses, daemon_.name())) {
    in_trouble(world_.now());
    return unreachable();
  }
  asked_ = Reading{truth_.now(), 0};
  return {};
}

// As store/server_clock.h has it, where there are servers.
void StoreSide::read_clock() {
  if (!asked_ || world_.now() - asked_at_ > ServerClock::kRoundTripMax.count()) return;
  reading_ = Reading{asked_->server, (asked_at_ + world_.now()) / 2};
}

void StoreSide::read_life() {
  epoch_ = truth_.state_.epoch;
  lineage_ = "server-" + std::to_string(truth_.server_);
}

bool StoreSide::depart() {
  if (!world_.open(kStoreNode, daemon_.node())) {
    in_trouble(world_.now() + kGivesUpAfter);
    world_.sleep(kGivesUpAfter);
    blocked_();
    in_trouble(world_.now());
    return false;
  }
  if (world_.chance().chance(250)) world_.sleep(world_.chance().between(1, 4));
  blocked_();
  read_clock();
  read_life();
  return !dead_;
}

Result<std::optional<Loaded>> StoreSide::load(const std::string& key) {
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  std::optional<Loaded> loaded;
  if (const Truth::Entry* entry = truth_.find(key)) loaded = Loaded{entry->version, entry->bytes};
  if (!depart()) return unreachable();
  return loaded;
}

Result<std::vector<Listed>> StoreSide::scan(std::string_view prefix, std::string_view after, std::size_t limit) {
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  std::vector<Listed> page;
  const auto& entries = truth_.state_.entries;
  for (auto at = after < prefix ? entries.lower_bound(prefix) : entries.upper_bound(after);
       at != entries.end() && at->first.starts_with(prefix) && page.size() < limit; ++at) {
    page.push_back({at->first, at->second.version});
  }
  if (!depart()) return unreachable();
  return page;
}

Result<std::vector<HistoryRow>> StoreSide::history(const std::string& key, std::uint64_t after, std::size_t limit) {
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  std::vector<HistoryRow> page;
  if (const Truth::Entry* entry = truth_.find(key)) {
    for (auto at = entry->rows.upper_bound(after); at != entry->rows.end() && page.size() < limit; ++at)
      page.push_back({at->first, at->second});
  }
  if (!depart()) return unreachable();
  return page;
}

Result<Instant> StoreSide::now() {
  if (world_.shape.answers_tell && reading_ && world_.now() - reading_->at < ServerClock::kFresh.count()) {
    const Instant told = reading_->server + Duration{world_.now() - reading_->at};
    truth_.latest_ = std::max(truth_.latest_, told);
    return told;
  }
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  const Instant time = truth_.now();
  truth_.latest_ = std::max(truth_.latest_, time);
  if (!depart()) return unreachable();
  return time;
}

Result<std::vector<CommitResult>> StoreSide::commit(std::span<const Change> changes) {
  if (auto checked = check_changes(changes); !checked) return std::unexpected(std::move(checked.error()));
  if (auto arrived = arrive(); !arrived) return std::unexpected(std::move(arrived.error()));
  std::vector<CommitResult> results(changes.size());
  if (world_.strikes(Fault::kCommitUnknownLost, daemon_.name())) {
    (void)depart();
    return results;
  }
  if (world_.strikes(Fault::kCommitUnknownLate, daemon_.name())) {
    for (const Change& change : changes) {
      if (world_.chance().chance(700)) {
        const Ms delay = world_.chance().chance(500) ? 0 : world_.chance().between(1, Truth::kLateMost);
        // A server that went back has none of its old connections.
        world_.after(delay, [&truth = truth_, change, life = truth_.lives_] {
          if (life == truth.lives_) truth.commit(change, nullptr);
        });
      }
    }
    (void)depart();
    return results;
  }
  for (std::size_t i = 0; i < changes.size(); ++i) {
    if (world_.strikes(Fault::kForeignCommit, changes[i].key)) truth_.rewrite(changes[i].key);
    results[i] = truth_.commit(changes[i], this);
  }
  const bool lost = world_.strikes(Fault::kCommitUnknownDone, daemon_.name());
  if (!depart() || lost) return std::vector<CommitResult>(changes.size());
  return results;
}

void StoreSide::hint(const std::string& key, const Version& version) {
  if (dead_ || !world_.open(kStoreNode, daemon_.node())) return;
  if (world_.strikes(Fault::kHintLost, daemon_.name())) return;
  const auto give = [this, there = there_, key, version] {
    if (!*there || dead_ || !hint_) return;
    hint_(key, version);
    hinted_();
  };
  Ms delay = world_.latency();
  if (world_.strikes(Fault::kHintLate, daemon_.name())) delay += world_.chance().between(20, 5'000);
  if (world_.strikes(Fault::kHintTwice, daemon_.name())) {
    world_.after(delay + world_.chance().between(0, 3'000), give);
  }
  world_.after(delay, give);
}

}  // namespace syzygy::sim
