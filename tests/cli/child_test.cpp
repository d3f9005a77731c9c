#include "client/cli/child.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>

namespace syzygy::cli {
namespace {

constexpr Duration kBound{10'000};

TEST(Child, EndsWithItsOwnCode) {
  Child child;
  ASSERT_EQ(child.start({"sh", "-c", "exit 7"}, {}), 0);
  ASSERT_TRUE(child.ended_within(kBound));
  EXPECT_EQ(child.code(), 7);
}

TEST(Child, ThatWasKilledEndsAsAShellSaysIt) {
  Child child;
  ASSERT_EQ(child.start({"sh", "-c", "kill -9 $$"}, {}), 0);
  ASSERT_TRUE(child.ended_within(kBound));
  EXPECT_EQ(child.code(), 128 + SIGKILL);
}

TEST(Child, ThatCannotStartSaysWhyAsAShellDoes) {
  Child absent, directory;
  EXPECT_EQ(absent.start({"/nonexistent/tool"}, {}), 127);
  EXPECT_EQ(directory.start({"/tmp"}, {}), 126);
}

TEST(Child, GetsTheVariablesItIsGiven) {
  Child child;
  ASSERT_EQ(child.start({"sh", "-c", "test \"$SYZYGY_TOKEN\" = 7 && test -n \"$PATH\""}, {{"SYZYGY_TOKEN", "7"}}), 0);
  ASSERT_TRUE(child.ended_within(kBound));
  EXPECT_EQ(child.code(), 0);
}

TEST(Child, StoppedItTakesItsWholeGroupWithIt) {
  char name[] = "/tmp/syzygy-child.XXXXXX";
  ASSERT_GE(::mkstemp(name), 0);
  Child child;
  // The shell ignores SIGTERM, and so does what it started: only the group's SIGKILL ends both.
  ASSERT_EQ(child.start({"sh", "-c",
                         std::string("trap '' TERM; sh -c 'echo $$ > ") + name +
                             "; trap \"\" TERM; while :; do read x < /dev/zero; done' & wait"},
                        {}),
            0);
  pid_t grandchild = 0;
  while (grandchild == 0 && !child.ended_within(Duration{10})) std::ifstream(name) >> grandchild;
  ASSERT_GT(grandchild, 0);
  child.stop(Duration{100});
  EXPECT_EQ(child.code(), 128 + SIGKILL);
  // Gone, or about to be: somebody else reaps it.
  for (int i = 0; i < 1'000 && ::kill(grandchild, 0) == 0; ++i) {
    std::ifstream status("/proc/" + std::to_string(grandchild) + "/stat");
    std::string pid, command, state;
    if (!(status >> pid >> command >> state) || state == "Z") break;
    Child turn;  // a process's time passes
    ASSERT_EQ(turn.start({"true"}, {}), 0);
    ASSERT_TRUE(turn.ended_within(kBound));
    ASSERT_LT(i, 999) << "the grandchild still runs";
  }
  std::remove(name);
}

}  // namespace
}  // namespace syzygy::cli
