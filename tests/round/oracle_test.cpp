// Random stories, told to step() and to the oracle: after each step both must show the same picture.
//
// SYZYGY_SEED=N replays one story; SYZYGY_STORIES=N tells that many, SYZYGY_LONG=1 tells them for two minutes.
#include "story.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "base/sanitized.h"
#include "round/transitions.h"

namespace syzygy::round {
namespace {

// Sanitizers and -O0 cost five times as much: they tell fewer stories.
#ifdef __OPTIMIZE__
constexpr bool kSlow = kSanitized;
#else
constexpr bool kSlow = true;
#endif
constexpr std::uint64_t kStories = kSlow ? 500 : 2'500;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

TEST(Oracle, AgreesWithEveryStory) {
  std::set<std::pair<State, State>> moves;
  if (std::getenv("SYZYGY_SEED") != nullptr) {
    const std::string wrong = tell(from_environment("SYZYGY_SEED", 0), moves);
    ASSERT_TRUE(wrong.empty()) << wrong;
    return;
  }
  const bool long_run = std::getenv("SYZYGY_LONG") != nullptr;
  const std::uint64_t first = from_environment("SYZYGY_FIRST_SEED", long_run ? 1'000'000 : 1);
  const std::uint64_t stories = from_environment("SYZYGY_STORIES", long_run ? ~std::uint64_t{0} - first : kStories);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(long_run ? (kSlow ? 30 : 120) : 3'600);
  std::uint64_t seed = first;
  for (; seed < first + stories && std::chrono::steady_clock::now() < until; ++seed) {
    const std::string wrong = tell(seed, moves);
    ASSERT_TRUE(wrong.empty()) << wrong;
  }
  std::printf("%llu stories of %d steps, from seed %llu; %zu of %zu kinds of moves taken\n",
              static_cast<unsigned long long>(seed - first), kStorySteps, static_cast<unsigned long long>(first),
              moves.size(), std::size(kMoves));
  if (!kSlow && stories >= kStories) EXPECT_EQ(moves.size(), std::size(kMoves));
}

}  // namespace
}  // namespace syzygy::round
