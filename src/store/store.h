// store.h - bytes and versions, never rounds. The one interface that every backend implements, held to it by
// tests/store.
//
// A store keeps records (key -> bytes under a version) and, for each record, rows of history that are appended with it,
// in the same atomic commit. Who writes what into the bytes is the engine's affair.
//
// Threads: every function may be called from any thread, several at a time; each blocks until it knows its answer or
// gives up by the backend's own time limit. The watch callback runs on a thread of the store and must not block or call
// the store. Failure: kUnavailable "cannot be reached now, nothing happened" | kDataLoss "corrupt, or of a newer
// version" | kResourceExhausted "full, or read-only" | kInvalidArgument "not a change: see check_changes". A commit
// whose fate is not known is a CommitOutcome, not an error.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace syzygy {

// Compared whole: after a restore a counter can come twice, a version cannot.
struct Version {
  std::string epoch;          // random id of this life of the store, minted when it was created: 32 hexadecimal digits
  std::uint64_t counter = 0;  // rises with every commit of the store (gaps allowed)
  std::string commit;         // random id of the commit: 16 hexadecimal digits

  friend bool operator==(const Version&, const Version&) = default;
};

struct Loaded {
  Version version;
  std::string bytes;
};

// One row of a record's history; (key, revision) is unique, revisions of a key are appended in rising order, from 1 on.
struct HistoryRow {
  std::uint64_t revision = 0;
  std::string bytes;

  friend bool operator==(const HistoryRow&, const HistoryRow&) = default;
};

inline constexpr std::size_t kKeyBytesMax = 600;
inline constexpr std::size_t kValueBytesMax = 16UZ << 20;  // of a record, and of a row of history
// The highest number that a column of a database takes; what is asked beyond it is asked up to it.
inline constexpr std::uint64_t kColumnMax = std::numeric_limits<std::int64_t>::max();

// The least key that sorts after every key that starts with `prefix`.
[[nodiscard]] std::string prefix_end(std::string_view prefix);

// Members have initialisers so that a designated list may leave them out.
// NOLINTBEGIN(readability-redundant-member-init)
struct Change {
  std::string key;                       // 1 to kKeyBytesMax bytes, any bytes
  std::optional<Version> expected = {};  // nullopt: the record must not exist yet
  std::string bytes = {};
  std::vector<HistoryRow> history = {};  // appended together with the record, or not at all
  std::uint64_t history_floor = 0;       // in the same commit, rows of the key with a lower revision are dropped
  // Somebody waits for this: others get a hint. False for what nobody waits to see, as a renewed lease; a store that
  // hints all the same only wastes time.
  bool hint = true;
};
// NOLINTEND(readability-redundant-member-init)

enum class CommitOutcome : std::uint8_t {
  kCommitted,  // durable: it survives SIGKILL of everything and a loss of power
  kConflict,   // the record's version is not `expected`; nothing of this change happened
  kUnknown,    // the connection died while committing: load, and look
};

struct CommitResult {
  CommitOutcome outcome = CommitOutcome::kUnknown;
  Version version;  // of the record now, where kCommitted
  // Where kConflict: what the record was then, so that nobody needs to load it. Nullopt: it is absent, or was not told.
  std::optional<Loaded> held = {};  // NOLINT(readability-redundant-member-init): so that a list may leave it out
};

struct Listed {
  std::string key;
  Version version;
};

// A hint that `key` may have moved. Hints repeat, come late, and get lost; a poll backs them up.
using Hint = std::function<void(const std::string& key, const Version& version)>;

// One thing that an operator should know of a store.
struct StoreFinding {
  enum class Verdict : std::uint8_t { kGood, kWarning, kBad };
  Verdict verdict = Verdict::kGood;
  std::string about;  // one or two words: "durability"
  std::string text;   // a sentence; where it is not good, what to do
};

class Store {
 public:
  virtual ~Store() = default;

  virtual Result<std::optional<Loaded>> load(const std::string& key) = 0;

  // Up to `limit` records whose key starts with `prefix` and sorts (bytewise) after `after`, in key order. Fewer than
  // `limit`: the end.
  virtual Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) = 0;

  // Up to `limit` rows of `key` with a revision above `after`, in order.
  virtual Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) = 0;

  // One result per change, in order. Changes are independent of each other: a conflict of one does not undo another. A
  // backend may make them durable together (group commit). Two changes of one call never name the same key. Error:
  // nothing of any change happened.
  virtual Result<std::vector<CommitResult>> commit(std::span<const Change> changes) = 0;

  // Sets the one callback for hints about commits of *other* users of this store. Replaces the one before; empty: none.
  // Once it has returned, the one before is not running and will not run again.
  virtual void watch(Hint hint) = 0;

  // Whether others may commit while this process has it open. If not, there are no hints, and nobody needs to poll.
  [[nodiscard]] virtual bool shared() const { return true; }

  // The store's own time: what judges leases. May step; the caller keeps it from running backwards within a record.
  virtual Result<Instant> now() = 0;

  // Random id of this life of the store (Version::epoch of every commit from now on).
  [[nodiscard]] virtual std::string epoch() const = 0;

  // Names the server that answers and its line of data. Another value than before: it was restarted, or another one
  // took its place, and what was acknowledged may be missing: a suspicion, not a verdict. Empty: there is nothing to
  // suspect.
  [[nodiscard]] virtual std::string lineage() const { return {}; }

  // Why it would refuse a commit at this moment, as far as its last answer told: its server is read-only. Empty:
  // nothing speaks against one, or the store cannot tell. Reads succeed all the same; now() keeps it true.
  [[nodiscard]] virtual std::string refuses_writes() const { return {}; }

  // What whoever runs this store should know, each a sentence or two; for the log, when the daemon starts.
  [[nodiscard]] virtual std::vector<std::string> warnings() const { return {}; }

  // For logs and the status page, without secrets: "sqlite:/var/lib/syzygy".
  [[nodiscard]] virtual std::string describe() const = 0;

  // What `syzygyd store check` cannot see by using the store: versions, rights, settings, replication. May take
  // seconds.
  virtual Result<std::vector<StoreFinding>> examine() { return std::vector<StoreFinding>{}; }

  // Who else holds the store open at this moment, as far as it can tell, in words for people. One that is not shared
  // has nobody else.
  virtual Result<std::vector<std::string>> others() { return std::vector<std::string>{}; }

  // From now on the store lives under this epoch: so a store that was moved goes on as the same one, and one that was
  // set aside and is taken back as another. REQUIRES: nobody else has it open.
  virtual Result<void> live_as(const std::string& epoch);
};

// What a commit failed with says that the store is there and answers reads, and takes no writes: no renewal either.
bool takes_no_writes(const Error& error);

// What every backend refuses before it touches anything: an empty or too long key, a key twice in one call, a value
// that is too big, history whose revisions do not rise or do not fit 63 bits. kInvalidArgument, reason
// STORE_CHANGE_INVALID.
Result<void> check_changes(std::span<const Change> changes);

// The same refusal for a change whose history does not start above `last`, the newest revision its record ever had.
Result<void> check_history_rises(const Change& change, std::uint64_t last);

// Fresh random ids for Version: 32 and 16 lower-case hexadecimal digits.
std::string mint_epoch();
std::string mint_commit();

// The machine's clock (CLOCK_REALTIME): now() of the stores that live on this machine.
Instant system_now();

}  // namespace syzygy
