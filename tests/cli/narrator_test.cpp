// What a waiting client writes where no terminal is.
#include "client/cli/narrator.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace syzygy::cli {
namespace {

std::string written(const std::function<void(Narrator&)>& speak) {
  Narrator narrator(false, 80);
  testing::internal::CaptureStderr();
  speak(narrator);
  return testing::internal::GetCapturedStderr();
}

TEST(Narrator, WhatIsSaidAgainAndAgainIsWrittenOnce) {
  const std::string once = written([](Narrator& narrator) {
    for (int i = 0; i < 100; ++i) narrator.say("blocked by the old applier");
  });
  EXPECT_EQ(once, "syzygy: blocked by the old applier\n");
}

TEST(Narrator, WhatIsSaidAfterSomethingElseIsWritten) {
  const std::string all = written([](Narrator& narrator) {
    narrator.warn("lost the daemon");
    narrator.say("the daemon answers");
    narrator.warn("lost the daemon");
    narrator.now("2 of 3 here");
    narrator.warn("lost the daemon");
  });
  EXPECT_EQ(all,
            "syzygy: warning: lost the daemon\nsyzygy: the daemon answers\nsyzygy: warning: lost the daemon\n"
            "syzygy: 2 of 3 here\nsyzygy: warning: lost the daemon\n");
}

}  // namespace
}  // namespace syzygy::cli
