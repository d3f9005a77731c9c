// walk.h - every state that a small world can reach, breadth first: processes of three parties, and the database that
// they change.
//
// A world is the record and what is true outside of it: the fence row, the committed steps, the outcomes, a begun step,
// what each process is doing. Processes claim what they find; steps commit only where the row's token is theirs
// (fenced), or unguarded (unfenced). Time moves only to the record's next wake, and the living renew before it. States
// that differ only in tokens, revisions, orders and instants by a shift are one. No walk has all dimensions; together
// they pair every two.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "round/round.h"

namespace syzygy::round {

struct Bounds {
  const char* name;
  // One word per process: party, then the steps of its directory: "a12". A process of a party that has one already is
  // its next incarnation.
  std::vector<std::string> processes;
  std::uint32_t quorum = 2;
  bool fenced = true;
  bool atomic = true;
  int generations = 1;
  int silences = 0;  // processes that may stop renewing
  int restarts = 0;
  int severs = 0;
  int leaves = 0;
  int joins = 1;     // of each process
  int failures = 0;  // reports of failed, and of indeterminate
  int declines = 0;
  int backups = 0;  // copies of the store that are taken; the newest may be put back once
  int losses = 0;   // the store begins anew
  bool daemon_remembers = false;
  bool sessions_seen = true;
};

// What one history of a world has met.
enum Dimension : std::size_t {
  kThreeParties,
  kTwoPlans,
  kTwoIncarnations,
  kTwoGenerations,  // of the same plan
  kLeaseExpiry,
  kRestart,
  kRestore,
  kDimensions,
};
const char* name_of(Dimension dimension);

struct Walked {
  std::string wrong;  // empty, or what is wrong and the way there
  std::size_t states = 0;
  std::size_t transitions = 0;
};

// Over several walks: how often each move was taken, and each two dimensions met in one history.
struct Coverage {
  std::map<std::pair<State, State>, std::uint64_t> moves;
  std::array<std::array<std::uint64_t, kDimensions>, kDimensions> pairs{};
};

Walked walk(const Bounds& bounds, Coverage& coverage);

// Those that take moments, and together every move and every pair; those that take minutes; and the smallest, for a
// look at one planted bug after the other.
std::vector<Bounds> short_walks();
std::vector<Bounds> long_walks();
std::vector<Bounds> tiny_walks();

}  // namespace syzygy::round
