// Each planted bug must be caught: by an invariant that step() checks itself, by a transcript, by the oracle or by the
// walk. The run prints which of them caught which; a survivor fails it, and so does a guard without a bug.
#include "round/planted.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>

#include "story.h"
#include "transcript.h"
#include "walk.h"

namespace syzygy::round {
namespace {

constexpr int kInvariants = 23;

std::string read(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')).substr(0, 110); }

// Each gives how it caught the bug; empty: it did not.
std::string transcripts() {
  for (const auto& entry : std::filesystem::directory_iterator(SYZYGY_SCENARIOS)) {
    const std::string text = read(entry.path());
    const std::string name = entry.path().stem().string();
    try {
      if (run_transcript(text) != text) return name;
    } catch (const std::exception& broken) {
      return name + ", " + broken.what();
    }
  }
  return {};
}

std::string oracle() {
  std::set<std::pair<State, State>> moves;
  for (std::uint64_t seed = 1; seed <= 600; ++seed) {
    const std::string wrong = tell(seed, moves);
    if (!wrong.empty()) return first_line(wrong);
  }
  return {};
}

std::string walks() {
  Coverage coverage;
  for (const Bounds& bounds : tiny_walks()) {
    const std::string wrong = walk(bounds, coverage).wrong;
    if (!wrong.empty()) return first_line(wrong);
  }
  return {};
}

struct Row {
  Planted bug;
  std::string name;
  std::string guard;
  std::string how;
};

std::vector<Row> rows() {
  return {
#define SYZYGY_ROW(name, guard, how) {Planted::name, #name, guard, how},
      SYZYGY_PLANTED_TABLE(SYZYGY_ROW)
#undef SYZYGY_ROW
  };
}

std::set<std::string> guards_elsewhere() {
  return {
#define SYZYGY_GUARD(guard, where) guard,
      SYZYGY_GUARDS_ELSEWHERE(SYZYGY_GUARD)
#undef SYZYGY_GUARD
  };
}

// The sources of the rounds; the plain barrier is held by barrier_test.
std::string sources() {
  std::string all;
  for (const auto& entry : std::filesystem::directory_iterator(SYZYGY_ROUND_SOURCES)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".cpp") && !name.starts_with("barrier")) all += read(entry.path());
  }
  return all;
}

TEST(Planted, NothingIsCaughtWithoutABug) {
  EXPECT_EQ(transcripts(), "");
  EXPECT_EQ(oracle(), "");
  EXPECT_EQ(walks(), "");
}

TEST(Planted, EveryBugIsCaught) {
  const std::string text = sources();
  std::map<std::string, int> by;
  for (const Row& row : rows()) {
    EXPECT_NE(text.find("PLANTED(" + row.name + ")"), std::string::npos) << row.name << " has no site in src/round";
    planted_now = row.bug;
    const std::string caught[] = {transcripts(), oracle(), walks()};
    planted_now = Planted::kNone;
    std::printf("%-26s (%s): %s\n", row.name.c_str(), row.guard.c_str(), row.how.c_str());
    static const char* const kBy[] = {"transcript", "oracle", "walk"};
    bool any = false;
    for (std::size_t i = 0; i < std::size(kBy); ++i) {
      if (caught[i].empty()) continue;
      any = true;
      ++by[kBy[i]];
      if (caught[i].find("invariant") != std::string::npos) ++by["invariant"];
      std::printf("    %-10s  %s\n", kBy[i], caught[i].c_str());
    }
    EXPECT_TRUE(any) << row.name << " survived: " << row.how;
    std::fflush(stdout);
  }
  std::printf("%zu bugs;", rows().size());
  for (const auto& [killer, count] : by) std::printf(" %s caught %d;", killer.c_str(), count);
  std::printf("\n");
  for (const char* killer : {"invariant", "transcript", "oracle", "walk"}) EXPECT_GT(by[killer], 0) << killer;
}

TEST(Planted, EveryGuardHasItsBug) {
  std::set<std::string> guards = guards_elsewhere();
  for (const Row& row : rows()) {
    EXPECT_FALSE(guards_elsewhere().contains(row.guard)) << row.guard << " has a bug, and is said to be held elsewhere";
    guards.insert(row.guard);
  }
  for (int number = 1; number <= kInvariants; ++number) {
    EXPECT_TRUE(guards.contains(std::to_string(number))) << "invariant " << number << " has no planted bug";
  }
  // Every reason for which something is refused is a guard.
  const std::string text = sources();
  const std::regex reason("\"([A-Z]+_[A-Z_]+)\"");
  std::size_t seen = 0;
  for (auto found = std::sregex_iterator(text.begin(), text.end(), reason); found != std::sregex_iterator(); ++found) {
    EXPECT_TRUE(guards.contains((*found)[1].str())) << "the refusal " << (*found)[1] << " has no planted bug";
    ++seen;
  }
  EXPECT_GT(seen, 20u);
}

}  // namespace
}  // namespace syzygy::round
