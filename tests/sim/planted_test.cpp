// Planted bugs that only several daemons and bad stores can show: each is killed by the checker of the rule that it
// breaks.
//
// The engine's are in src/engine/planted.h; of the round's (src/round/planted.h, where other tests kill them all) those
// are here that need a restart, a second daemon or a lost process to matter.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "engine/planted.h"
#include "round/planted.h"
#include "tests/sim/scenario.h"
#include "tests/sim/shape.h"
#include "tests/sim/shrink.h"

namespace syzygy::sim {
namespace {

constexpr std::uint64_t kWorldsMax = 4'000;
constexpr std::uint64_t kWorldsClean = 100;

struct Row {
  std::string name;
  std::string guards;  // the rules, one of which must catch it: "8" or "1|19"
  std::string how;
  std::function<void(bool)> plant;
};

std::vector<Row> rows() {
  std::vector<Row> all{
#define SYZYGY_ROW(name, guard, how) \
  {#name, guard, how, [](bool on) { engine::planted_now = on ? engine::Planted::name : engine::Planted::kNone; }},
      SYZYGY_ENGINE_PLANTED_TABLE(SYZYGY_ROW)
#undef SYZYGY_ROW
  };
  const auto of_round = [&](const char* name, const char* guards, const char* how, round::Planted bug) {
    all.push_back({name, guards, how, [bug](bool on) { round::planted_now = on ? bug : round::Planted::kNone; }});
  };
  using round::Planted;
  of_round("generation_reused", "12|a daemon's own check", "two rounds share a generation", Planted::generation_reused);
  of_round("token_reused", "4|a daemon's own check", "two grants under one token", Planted::token_reused);
  of_round("begun_step_resumed", "10", "a begun step is run again", Planted::begun_step_resumed);
  of_round("repeated_executed", "13", "a repeated request is executed again", Planted::repeated_executed);
  of_round("old_executed", "13", "an older request is executed", Planted::old_executed);
  of_round("altered_accepted", "13", "another body under an old id is answered", Planted::altered_accepted);
  of_round("visit_believed", "9", "a visitor with nothing pending ends a round in RECOVERING", Planted::visit_believed);
  of_round("lease_never_ends", "19", "the dead count for ever", Planted::lease_never_ends);
  return all;
}

bool among(const std::string& guards, const std::string& one) {
  return ("|" + guards + "|").find("|" + one + "|") != std::string::npos;
}

std::string sources() {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(SYZYGY_ENGINE_SOURCES)) {
    if (entry.path().filename() == "planted.h") continue;
    std::ifstream file(entry.path());
    all.append(std::istreambuf_iterator<char>(file), {});
  }
  return all;
}

TEST(SimulationPlanted, NothingIsCaughtWithoutABug) {
  for (std::uint64_t seed = 1; seed <= kWorldsClean; ++seed) {
    EXPECT_EQ(play(draw_shape(seed), false).broken, "") << "seed " << seed;
  }
}

TEST(SimulationPlanted, EveryBugIsKilledByTheRuleThatItBreaks) {
  for (const Row& row : rows()) {
    std::set<std::string> by_others;
    std::string broken;
    std::uint64_t seed = 0;
    row.plant(true);
    while (broken.empty() && seed < kWorldsMax) {
      const Played played = play(draw_shape(++seed), false);
      if (played.broken.empty()) continue;
      if (among(row.guards, invariant_of(played.broken))) {
        broken = played.broken;
      } else {
        by_others.insert(invariant_of(played.broken));
      }
    }
    row.plant(false);
    std::printf("%-26s (%s): %s\n", row.name.c_str(), row.guards.c_str(), row.how.c_str());
    if (!broken.empty()) std::printf("    world %llu: %s\n", static_cast<unsigned long long>(seed), broken.c_str());
    for (const std::string& other : by_others) std::printf("    before that, or besides: %s\n", other.c_str());
    std::fflush(stdout);
    EXPECT_FALSE(broken.empty()) << row.name << " survived " << kWorldsMax << " worlds: " << row.how;
  }
}

TEST(SimulationPlanted, EveryRowHasItsSiteAndEverySiteItsRow) {
  const std::string text = sources();
  std::set<std::string> names;
  for (const Row& row : rows()) names.insert(row.name);
  for (const char* name : {
#define SYZYGY_NAME(name, guard, how) #name,
           SYZYGY_ENGINE_PLANTED_TABLE(SYZYGY_NAME)
#undef SYZYGY_NAME
       }) {
    EXPECT_NE(text.find("PLANTED_IN_ENGINE(" + std::string(name) + ")"), std::string::npos) << name << " has no site";
  }
  const std::regex site("PLANTED_IN_ENGINE\\(([a-z_]+)\\)");
  for (auto found = std::sregex_iterator(text.begin(), text.end(), site); found != std::sregex_iterator(); ++found) {
    EXPECT_TRUE(names.contains((*found)[1].str())) << "the site " << (*found)[1] << " has no row";
  }
}

}  // namespace
}  // namespace syzygy::sim
