// barrier.h - the plain barrier: N parties enter, all are released, nobody applies. For callers with a namespace and a
// number.
//
// As pure as step.h, and much smaller. A generation is WAITING until N distinct parties are in it (OPEN) or one severs
// it (SEVERED). A severer counts as an arrival: those who still come to a severed generation are told so, until N have
// arrived or it has lingered; after that, as after an OPEN one, the next enter starts a new generation. A party whose
// lease ends while the generation waits is not counted any more.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "base/time.h"

namespace syzygy::barrier {

enum class State : std::uint8_t { kWaiting, kOpen, kSevered };

struct Arrival {
  PartyName party;
  IncarnationId incarnation;
  Duration lease_ttl{0};
  Instant lease_until;

  friend bool operator==(const Arrival&, const Arrival&) = default;
};

struct Record {
  std::string name;
  Revision revision;      // rises with every change that a waiter can see
  Generation generation;  // 0: nobody ever came
  State state = State::kWaiting;
  std::uint32_t quorum = 0;  // fixed by the first arrival of the generation
  std::vector<Arrival> arrivals;
  IncarnationId completed_by;
  std::string reason;  // of a sever
  Instant now;
  Instant ended_at;
  // The generation before, for waiters that come back after the next one began.
  Generation previous;
  State previous_state = State::kWaiting;
  std::string previous_reason;
  IncarnationId previous_completed_by;
  std::vector<IncarnationId> previous_members;

  friend bool operator==(const Record&, const Record&) = default;
};

struct Settings {
  Duration lease{60'000};
  Duration lease_max{3'600'000};
  Duration linger{600'000};
  std::size_t parties_max = 1'000;
};

struct Enter {
  std::uint32_t quorum = 0;
  PartyName party;
  IncarnationId incarnation;
  Duration lease{0};  // 0: Settings::lease
};
struct Await {
  Generation generation;
  IncarnationId incarnation;
};
struct Sever {
  std::uint32_t quorum = 0;
  PartyName party;
  IncarnationId incarnation;
  std::string reason;
};
struct Tick {};

using Command = std::variant<Enter, Await, Sever, Tick>;

struct Reply {
  std::optional<Error> error;  // QUORUM_MISMATCH, GENERATION_UNKNOWN, LEASE_LOST, PARTIES_LIMIT
  Generation generation;
  State state = State::kWaiting;
  std::uint32_t present = 0;
  std::uint32_t quorum = 0;
  bool completed_by_you = false;
  std::string reason;

  friend bool operator==(const Reply&, const Reply&) = default;
};

struct Decision {
  Record record;
  std::vector<Reply> replies;
  std::optional<Instant> wake_at;
  bool changed = false;
  std::string broken;
};

Decision step(Record record, std::span<const Command> commands, Instant now, const Settings& settings);

// What `incarnation` is told of `generation` as the record stands: how a waiter is answered when the record moved.
Reply view(const Record& record, Generation generation, const IncarnationId& incarnation);

std::string encode(const Record& record);
Result<Record> decode(std::string_view bytes);

}  // namespace syzygy::barrier
