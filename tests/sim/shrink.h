// shrink.h - makes a failing run short: fewer deployments, parties, daemons, kinds of faults, and faults, as long as
// the same invariant still breaks.
#pragma once

#include <cstdint>
#include <string>

#include "tests/sim/scenario.h"

namespace syzygy::sim {

struct Shrunk {
  std::string changes;  // to draw_shape(seed): see apply_changes()
  Played played;        // told in full
  std::size_t tries = 0;
};

// REQUIRES: `broken` is what draw_shape(seed) with `changes` breaks.
Shrunk shrink(std::uint64_t seed, std::string changes, const std::string& broken);

// "13: request 2 ..." -> "13".
std::string invariant_of(const std::string& broken);

}  // namespace syzygy::sim
