// invariants.h - checked after every step, in every build. The numbers are those of PROTOCOL.md.
#pragma once

#include <span>
#include <string>

#include "round/effect.h"
#include "round/round.h"

namespace syzygy::round {

// Empty, or the first invariant that `after` breaks, given what it came from, in words. `elected_from_gathering` rounds
// are judged by their members as they stand in `after`: election is the last thing a step does.
std::string broken_invariant(const Record& before, const Record& after, std::span<const Event> events);

}  // namespace syzygy::round
