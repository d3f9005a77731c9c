#include "store/server_clock.h"

#include <gtest/gtest.h>

namespace syzygy {
namespace {

TEST(ServerClock, NobodyKnowsBeforeAnAnswer) { EXPECT_FALSE(ServerClock().now()); }

TEST(ServerClock, GoesOnFromTheMiddleOfTheLastAnswer) {
  ServerClock clock;
  const Duration boot = ServerClock::boot();
  clock.learn(Instant{1'000'000}, boot - Duration{60}, boot - Duration{40});
  const auto now = clock.now();
  const Duration later = ServerClock::boot();
  ASSERT_TRUE(now);
  EXPECT_GE(now->ms, 1'000'050);
  EXPECT_LE(now->ms, 1'000'050 + (later - boot).count());
}

TEST(ServerClock, AReadingIsBelievedForAWhileOnly) {
  ServerClock clock;
  const Duration boot = ServerClock::boot();
  clock.learn(Instant{1'000'000}, boot - ServerClock::kFresh, boot - ServerClock::kFresh);
  EXPECT_FALSE(clock.now());
}

TEST(ServerClock, AnAnswerThatTookLongTellsNothing) {
  ServerClock clock;
  const Duration boot = ServerClock::boot();
  clock.learn(Instant{1'000'000}, boot - ServerClock::kRoundTripMax - Duration{1}, boot);
  EXPECT_FALSE(clock.now());
}

TEST(ServerClock, AStepShowsWithTheNextAnswerAndALateOneTakesNothingBack) {
  ServerClock clock;
  const Duration boot = ServerClock::boot();
  clock.learn(Instant{9'000'000}, boot, boot);
  clock.learn(Instant{1'000'000}, boot - Duration{20}, boot - Duration{10});
  ASSERT_TRUE(clock.now());
  EXPECT_GE(clock.now()->ms, 9'000'000);
}

}  // namespace
}  // namespace syzygy
