// story.h - one random story, told to step() and to the oracle.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "round/round.h"

namespace syzygy::round {

inline constexpr int kStorySteps = 70;

// Empty, or what went wrong and how to see it again. `moves` grows by those that the story took.
std::string tell(std::uint64_t seed, std::set<std::pair<State, State>>& moves);

}  // namespace syzygy::round
