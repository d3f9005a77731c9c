// Each planted bug must be caught, by an invariant, a transcript or the oracle; a survivor fails.
#include "round/planted.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "story.h"
#include "transcript.h"

namespace syzygy::round {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// By whom; empty: it survived.
std::string caught_by() {
  for (const auto& entry : std::filesystem::directory_iterator(SYZYGY_SCENARIOS)) {
    const std::string text = read(entry.path());
    try {
      if (run_transcript(text) != text) return "transcript " + entry.path().stem().string();
    } catch (const std::exception& broken) {
      return std::string(broken.what());
    }
  }
  std::set<std::pair<State, State>> moves;
  for (std::uint64_t seed = 1; seed <= 2'000; ++seed) {
    const std::string wrong = tell(seed, moves);
    if (!wrong.empty()) return "the oracle: " + wrong.substr(0, wrong.find('\n'));
  }
  return {};
}

TEST(Planted, EveryBugIsCaught) {
  std::string sources;
  for (const auto& entry : std::filesystem::directory_iterator(SYZYGY_ROUND_SOURCES)) {
    if (entry.path().extension() == ".cpp") sources += read(entry.path());
  }
  const auto judge = [&](Planted bug, const std::string& name, const char* guard, const char* how) {
    EXPECT_NE(sources.find("PLANTED(" + name + ")"), std::string::npos) << name << " has no site in src/round";
    planted_now = bug;
    const std::string by = caught_by();
    planted_now = Planted::kNone;
    EXPECT_FALSE(by.empty()) << name << " survived: " << how;
    std::printf("%-24s (%s): %s\n", name.c_str(), guard, by.empty() ? "SURVIVED" : by.c_str());
    std::fflush(stdout);
  };
#define SYZYGY_JUDGE(name, guard, how) judge(Planted::name, #name, guard, how);
  SYZYGY_PLANTED_TABLE(SYZYGY_JUDGE)
#undef SYZYGY_JUDGE
}

}  // namespace
}  // namespace syzygy::round
