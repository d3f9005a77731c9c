// The walks of walk.h: bounds and counts are printed; every move of the table and every pair of dimensions must be met.
//
// SYZYGY_LONG=1 (the entry walk_test_long) walks the larger worlds too.
#include "walk.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "round/transitions.h"

namespace syzygy::round {
namespace {

TEST(Walk, EveryReachableStateKeepsTheInvariants) {
  std::vector<Bounds> walks = short_walks();
  if (std::getenv("SYZYGY_LONG") != nullptr) walks = long_walks();
  const bool whole = std::getenv("SYZYGY_LONG") == nullptr;
  Coverage coverage;
  for (const Bounds& bounds : walks) {
    const auto began = std::chrono::steady_clock::now();
    const Walked walked = walk(bounds, coverage);
    ASSERT_TRUE(walked.wrong.empty()) << walked.wrong;
    std::printf(
        "%-60s %8zu states %9zu transitions %6.1f s; %zu processes, quorum %u, %d generations, %d silent, %d "
        "restarts, %d joins each\n",
        bounds.name, walked.states, walked.transitions,
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count(), bounds.processes.size(),
        bounds.quorum, bounds.generations, bounds.silences, bounds.restarts, bounds.joins);
    std::fflush(stdout);
  }
  for (const Move& move : kMoves) {
    const std::uint64_t taken = coverage.moves[{move.from, move.to}];
    std::printf("%-13s -> %-13s %9llu\n", std::string(to_string(move.from)).c_str(),
                std::string(to_string(move.to)).c_str(), static_cast<unsigned long long>(taken));
    if (whole) EXPECT_GT(taken, 0u) << "no walk takes " << to_string(move.from) << " -> " << to_string(move.to);
  }
  for (std::size_t a = 0; a < kDimensions; ++a) {
    for (std::size_t b = a + 1; b < kDimensions; ++b) {
      const std::uint64_t met = coverage.pairs[a][b];
      std::printf("%-28s with %-28s %9llu\n", name_of(static_cast<Dimension>(a)), name_of(static_cast<Dimension>(b)),
                  static_cast<unsigned long long>(met));
      if (whole)
        EXPECT_GT(met, 0u) << "no walk pairs " << name_of(static_cast<Dimension>(a)) << " with "
                           << name_of(static_cast<Dimension>(b));
    }
  }
}

}  // namespace
}  // namespace syzygy::round
