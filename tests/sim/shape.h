// shape.h - what one seed means: how many daemons and parties, how often what goes wrong, and for how long.
//
// A Shape is drawn from its seed and then belongs to nobody: the shrinker takes things out of it, and the command that
// replays a failure says which.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace syzygy::sim {

using Ms = std::int64_t;  // of the world's own time

enum class Fault : std::uint8_t {
  kMessageLost,
  kMessageTwice,
  kMessageLate,  // and so overtaken by later ones
  kStreamBroken,
  kPartition,
  kPartitionOneWay,
  kDaemonKilled,
  kDaemonKilledInTurn,  // between two calls of the store, also between a commit and its replies
  kDaemonStopped,       // SIGSTOP, for a while
  kDaemonSuspended,     // its machine sleeps: the steady clock stands still
  kDaemonRestarted,     // in order
  kClientKilled,
  kClientStopped,  // SIGSTOP, for a while
  kClientToldToStop,
  kApplierKilled,
  kApplierStopped,
  kStoreSlow,
  kStoreRefuses,  // one call: nothing happened
  kStoreAway,     // every call of every daemon, for a while
  kForeignCommit,
  kCommitUnknownDone,
  kCommitUnknownLost,
  kCommitUnknownLate,
  kHintLost,
  kHintTwice,
  kHintLate,
  kClockForward,
  kClockBack,
  kDatabaseLost,        // a connection, before or after the work
  kDatabaseCommitLost,  // a commit whose answer is lost
  kDatabaseAway,        // cannot be reached, for a while
  kStepFails,
  kStepByHand,      // somebody applies a pending step with another tool, beside every round
  kStepReverted,    // somebody takes back the newest step while nothing runs, and the same image is deployed again
  kRequestAltered,  // the same request id comes again with another body
  kOperator,        // severs, pins, excuses
  kStoreRestored,   // it goes back to a backup, or to a replica that lacked the last commits
  kStoreEmptied,    // it begins anew
  kCount,
};
inline constexpr std::size_t kFaults = static_cast<std::size_t>(Fault::kCount);
std::string_view to_string(Fault fault);
std::optional<Fault> fault_of(std::string_view name);

struct Shape {
  std::uint64_t seed = 1;
  std::size_t daemons = 3;
  std::size_t parties = 4;
  std::size_t quorum = 3;
  std::size_t deployments = 5;
  Ms lease = 15'000;
  Ms lease_unfenced = 60'000;
  Ms linger = 120'000;
  bool hints_never = false;  // not even once faults have stopped: the poll alone must do
  bool many_lanes = false;
  bool goes_back = false;                // of a store: in time, to a backup, or to nothing
  bool answers_tell = false;             // of a store: the time with every answer, and what a commit conflicted with
  std::array<unsigned, kFaults> rate{};  // per mille: of a message, a call, or a look of the chaos
  Ms chaos_every = 1'500;                // how often the chaos looks
  std::vector<std::pair<std::uint64_t, std::uint64_t>> skipped;  // numbers of faults [from, to) that do not happen

  [[nodiscard]] bool skips(std::uint64_t number) const {
    for (const auto& [from, to] : skipped) {
      if (number >= from && number < to) return true;
    }
    return false;
  }
  [[nodiscard]] unsigned rate_of(Fault fault) const { return rate[static_cast<std::size_t>(fault)]; }
};

Shape draw_shape(std::uint64_t seed);

// What a failing run was reduced to, as one word of a command line: "daemons=2,off=message-lost,skip=3-9". False: it is
// no such thing.
bool apply_changes(Shape& shape, std::string_view changes);

}  // namespace syzygy::sim
