// barrier.h - the plain barrier: N parties enter, all are released, nobody applies. For callers with a namespace and a
// number.
//
// As pure as step.h, and much smaller. A generation is WAITING until N distinct parties are in it (OPEN) or one severs
// it (SEVERED). A severer counts as an arrival: those who still come to a severed generation are told so, until N have
// arrived or it has lingered; after that, as after an OPEN one, the next enter starts a new generation. An incarnation
// is one entering: entering again with it changes nothing and tells how that entering stands, also when its generation
// is over. A party counts once, however many incarnations it has. One whose lease ends while the generation waits is
// not counted any more. A generation that waits for nobody any more takes its number from whoever enters next.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace syzygy::barrier {

enum class State : std::uint8_t { kWaiting, kOpen, kSevered };
std::string_view to_string(State state);  // "waiting", "open", "severed"

// One incarnation in the present generation. Its lease matters only while that waits.
struct Arrival {
  PartyName party;
  IncarnationId incarnation;
  Duration lease_ttl{0};
  Instant lease_until;
  bool graced = false;  // its present lease was already extended after a restart

  friend bool operator==(const Arrival&, const Arrival&) = default;
};

// A generation that is over, for waiters that come back after the next one began.
struct Past {
  Generation generation;
  State state = State::kOpen;
  std::uint32_t quorum = 0;
  std::uint32_t present = 0;
  IncarnationId completed_by;
  std::string reason;
  Instant ended_at;
  std::vector<std::uint64_t> members;  // fingerprints of the incarnations, ascending

  friend bool operator==(const Past&, const Past&) = default;
};
inline constexpr std::size_t kPastGenerationsMax = 16;
inline constexpr std::size_t kPastMembersMax = 4'096;  // of all of them together: the oldest lose theirs first

struct Record {
  std::string name;
  Revision revision;      // rises with every change that a waiter can see
  Generation generation;  // 0: nobody ever came
  State state = State::kWaiting;
  std::uint32_t quorum = 0;  // fixed by the first arrival of the generation
  std::vector<Arrival> arrivals;
  IncarnationId completed_by;  // of an OPEN one
  std::string reason;          // of a SEVERED one
  Instant now;
  Instant ended_at;
  std::vector<Past> past;  // newest first
  std::string graced_boot;

  friend bool operator==(const Record&, const Record&) = default;
};

struct Settings {
  Duration lease{60'000};
  Duration lease_max{3'600'000};
  Duration linger{600'000};
  std::size_t parties_max = 1'000;
  std::size_t arrivals_max = 4'000;  // incarnations of one generation
};

struct Enter {
  std::uint32_t quorum = 0;
  PartyName party;
  IncarnationId incarnation;
  Duration lease{0};  // 0: Settings::lease; longer than Settings::lease_max: that
};
struct Await {
  Generation generation;
  IncarnationId incarnation;
};
// Accepted whatever N the others gave: who gives up gives up.
struct Sever {
  std::uint32_t quorum = 0;
  PartyName party;
  IncarnationId incarnation;
  std::string reason;
};
// Time passed: leases end. Any command does the same first.
struct Tick {};
// The daemon started, or the clock stepped: each live lease gets one full term, once per boot id and lease. In a batch
// it must come first: leases are judged after it.
struct Grace {
  std::string boot;
};

using Command = std::variant<Enter, Await, Sever, Tick, Grace>;

struct Reply {
  // QUORUM_INVALID, QUORUM_MISMATCH, GENERATION_UNKNOWN, LEASE_LOST, PARTIES_LIMIT, INCARNATION_REUSED
  std::optional<Error> error;
  Generation generation;
  State state = State::kWaiting;
  std::uint32_t present = 0;  // distinct parties
  std::uint32_t quorum = 0;
  bool completed_by_you = false;  // for one incarnation of an OPEN generation
  std::string reason;

  friend bool operator==(const Reply&, const Reply&) = default;
};

struct Decision {
  Record record;
  std::vector<Reply> replies;      // one for each command; those of a generation that ended in this batch say so
  std::vector<Past> ended;         // every generation that ended in this batch, without its members
  std::optional<Instant> wake_at;  // the next instant at which a Tick changes something
  bool changed = false;            // the record differs from the one given: it must be committed before any reply
  std::string broken;              // not empty: the invariant that failed, in words; nothing of this may be committed
};

Decision step(Record record, std::span<const Command> commands, Instant now, const Settings& settings);

// What `incarnation` is told of `generation` as the record stands: how a waiter is answered when the record moved.
Reply view(const Record& record, Generation generation, const IncarnationId& incarnation);

// The same of a generation that is over.
Reply view(const Past& past, const IncarnationId& incarnation);

inline constexpr std::uint64_t kRecordVersion = 2;

std::string encode(const Record& record);
// Errors: kDataLoss, reasons RECORD_NEWER, RECORD_OLDER (of before 0.1.0) and RECORD_CORRUPT.
Result<Record> decode(std::string_view bytes);

// What a replay file holds.
std::string encode(const Command& command);
Result<Command> decode_command(std::string_view bytes);

}  // namespace syzygy::barrier
