// Golden transcripts: tests/round/scenarios/*.txt. SYZYGY_REWRITE=1 rewrites them; read the difference before you
// commit it.
#include "transcript.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace syzygy::round {
namespace {

std::vector<std::filesystem::path> scenarios() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(SYZYGY_SCENARIOS)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  return paths;
}

class Transcript : public testing::TestWithParam<std::filesystem::path> {};

TEST_P(Transcript, ComesOutAsWritten) {
  std::ifstream file(GetParam());
  std::stringstream text;
  text << file.rdbuf();
  const std::string now = run_transcript(text.str());
  if (std::getenv("SYZYGY_REWRITE") != nullptr) {
    std::ofstream(GetParam()) << now;
    return;
  }
  EXPECT_EQ(now, text.str()) << GetParam() << "\nIf the change is meant: SYZYGY_REWRITE=1 " << "ctest -R Transcript";
}

INSTANTIATE_TEST_SUITE_P(Scenarios, Transcript, testing::ValuesIn(scenarios()), [](const auto& param) {
  std::string name = param.param.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace syzygy::round
