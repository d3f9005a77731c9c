// campaign.h - many worlds: until enough rounds were played that count, on as many threads as there are jobs. A world
// knows nothing of the others.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace syzygy::sim {

struct Campaign {
  std::uint64_t first_seed = 1;
  std::uint64_t rounds = 2'000;  // that count: three joins reached it, and a fault hit it
  std::uint64_t worlds_max = ~std::uint64_t{0};
  unsigned jobs = 1;
};

struct Failure {
  std::uint64_t seed = 0;
  std::string broken;
};

struct Report {
  Coverage coverage;
  std::uint64_t next_seed = 1;  // every seed before it was played
  std::optional<Failure> failure;
};

// `progress`, if given, hears of the report so far, now and then.
Report wage(const Campaign& campaign, const std::function<void(const Report&)>& progress = {});

// What was to be reached and was not: states, moves, kinds of faults, verdicts, findings, endings.
std::vector<std::string> missed(const Coverage& coverage);

}  // namespace syzygy::sim
