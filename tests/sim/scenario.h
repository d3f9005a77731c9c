// scenario.h - one world from its beginning to its end: deployments, what goes wrong meanwhile, and a calm end in which
// everything must come right by itself.
#pragma once

#include <string>
#include <vector>

#include "tests/sim/shape.h"
#include "tests/sim/world.h"

namespace syzygy::sim {

struct Played {
  std::string broken;  // empty: nothing
  Coverage coverage;
  std::vector<std::string> story;  // where it was asked for
  std::uint64_t struck = 0;        // faults, all kinds
};

// The same shape plays the same story, always.
Played play(const Shape& shape, bool traced);

}  // namespace syzygy::sim
