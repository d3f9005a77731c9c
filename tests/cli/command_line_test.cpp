#include "client/cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace syzygy::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/syzygy-cli.XXXXXX";
    directory_ = ::mkdtemp(name);
    before_ = std::filesystem::current_path();
    std::filesystem::current_path(directory_);
  }
  void TearDown() override {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(directory_);
  }

  std::variant<Settings, Ends> parse(std::vector<const char*> words) {
    words.insert(words.begin(), "syzygy");
    return parse_command_line(static_cast<int>(words.size()), words.data(),
                              [this](const std::string& name) -> const char* {
                                const auto found = environment_.find(name);
                                return found == environment_.end() ? nullptr : found->second.c_str();
                              });
  }
  Settings settings(const std::vector<const char*>& words) {
    auto parsed = parse(words);
    if (const Ends* ends = std::get_if<Ends>(&parsed)) {
      ADD_FAILURE() << ends->text;
      return {};
    }
    return std::get<Settings>(parsed);
  }
  std::string refusal(const std::vector<const char*>& words) {
    const auto parsed = parse(words);
    const Ends* ends = std::get_if<Ends>(&parsed);
    if (ends == nullptr) return "(it was accepted)";
    EXPECT_EQ(ends->code, 2);
    return ends->text;
  }
  static void file(const std::string& text) { std::ofstream("syzygy.toml") << text; }

  std::filesystem::path directory_, before_;
  std::map<std::string, std::string> environment_;
};

TEST_F(CommandLine, TheFlagWinsThenTheVariableThenTheFileThenTheDefault) {
  file("target = \"from-file\"\nparty = \"from-file\"\n[migrate]\nparty = \"from-section\"\nlock_timeout = \"2s\"\n");
  Settings s = settings({"migrate"});
  EXPECT_EQ(s.target, "from-file");
  EXPECT_EQ(s.party, "from-section");
  EXPECT_EQ(s.lock_timeout, Duration{2'000});
  EXPECT_EQ(s.timeout, Duration{1'800'000});
  environment_["SYZYGY_PARTY"] = "from-variable";
  EXPECT_EQ(settings({"migrate"}).party, "from-variable");
  EXPECT_EQ(settings({"migrate", "--party", "from-flag"}).party, "from-flag");
}

TEST_F(CommandLine, TheFileIsNamedBeforeOrBehindTheCommand) {
  file("target = \"from-file\"\n");
  std::ofstream("other.toml") << "target = \"from-other\"\n";
  EXPECT_EQ(settings({"--config", "other.toml", "migrate"}).target, "from-other");
  EXPECT_EQ(settings({"migrate", "--config", "other.toml"}).target, "from-other");
  EXPECT_EQ(settings({"history", "adopt", "--config", "other.toml"}).target, "from-other");
  EXPECT_EQ(settings({"explain", "--config", "other.toml"}).target, "");
  EXPECT_EQ(settings({"exec", "tool", "--config", "other.toml"}).child,
            (std::vector<std::string>{"tool", "--config", "other.toml"}));  // that is the tool's
}

TEST_F(CommandLine, WhatTheDaemonGetsIsText) {
  EXPECT_THAT(refusal({"status", "--target", "a\xff"}), HasSubstr("the target \"a\\xff\" is not valid UTF-8"));
  EXPECT_THAT(refusal({"sever", "--target", "a", "--reason", "\xc3"}), HasSubstr("--reason"));
  file("expect = [\"a\", \"b\"]\n");
  EXPECT_THAT(refusal({"migrate", "--expect", "a,\xff"}), HasSubstr("--expect"));
  EXPECT_EQ(settings({"migrate", "--dir", "caf\xe9"}).dir, "caf\xe9");  // a path is bytes
}

TEST_F(CommandLine, NothingIsGuessed) {
  const Settings s = settings({"migrate"});
  EXPECT_TRUE(s.target.empty());
  EXPECT_TRUE(s.party.empty());
  EXPECT_FALSE(s.quorum);
}

TEST_F(CommandLine, ABadValueNamesWhereItStands) {
  EXPECT_THAT(refusal({"migrate", "--quorum", "-1"}), HasSubstr("--quorum"));
  EXPECT_THAT(refusal({"migrate", "--timeout", "soon"}), HasSubstr("--timeout"));
  environment_["SYZYGY_QUORUM"] = "many";
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("SYZYGY_QUORUM"));
  environment_.clear();
  file("timeout = \"never\"\n");
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("timeout in syzygy.toml"));
  file("timeout = 1.5\n");
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("timeout in syzygy.toml"));
}

TEST_F(CommandLine, AnUnknownKeyFlagOrCommandIsAMistake) {
  EXPECT_THAT(refusal({"migrate", "--qorum", "3"}), HasSubstr("--qorum"));
  EXPECT_THAT(refusal({"migrat"}), HasSubstr("migrat"));
  EXPECT_THAT(refusal({}), HasSubstr("subcommand"));
  file("qorum = 3\n");
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("qorum"));
  file("[migrate]\nplan_hash = \"x\"\n");
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("plan_hash"));
  file("target = [\n");
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("syzygy.toml:"));
}

TEST_F(CommandLine, ANamedConfigurationFileMustExist) {
  EXPECT_THAT(refusal({"--config", "absent.toml", "migrate"}), HasSubstr("absent.toml"));
}

TEST_F(CommandLine, TheWrappedCommandKeepsItsOwnFlags) {
  const Settings s = settings({"exec", "--target", "orders", "--", "tool", "--quorum", "x", "-v"});
  EXPECT_EQ(s.child, (std::vector<std::string>{"tool", "--quorum", "x", "-v"}));
  EXPECT_FALSE(s.quorum);
}

TEST_F(CommandLine, StagesComeFromTheFile) {
  file(
      "[stages]\nnew_constraint = \"pre_deploy\"\n[stages.override]\n\"0004\" = "
      "\"post_deploy\"\n[stages.fallback]\n\"*\" = \"pre_deploy\"\n");
  const Settings s = settings({"migrate"});
  EXPECT_EQ(s.stages.new_constraint, Stage::kPreDeploy);
  EXPECT_EQ(s.stages.overrides.at("0004"), Stage::kPostDeploy);
  EXPECT_EQ(s.stages.fallback_all, Stage::kPreDeploy);
  file("[stages.override]\n\"0004\" = \"later\"\n");
  EXPECT_THAT(refusal({"migrate"}), HasSubstr("override.0004"));
}

TEST_F(CommandLine, GroupsOfMigrationsComeFromTheFile) {
  file(
      "[stages.group.river]\nfiles = [\"*_river_*.sql\", \"vendor/*\"]\nfallback = \"pre_deploy\"\n"
      "[stages.group.\"a b\"]\nfiles = [\"x\"]\noverride = \"post_deploy\"\n");
  const Settings s = settings({"migrate"});
  ASSERT_EQ(s.stages.groups.size(), 2U);
  const StageGroup& river = s.stages.groups.back();
  EXPECT_EQ(river.name, "river");
  EXPECT_EQ(river.files, (std::vector<std::string>{"*_river_*.sql", "vendor/*"}));
  EXPECT_EQ(river.fallback_all, Stage::kPreDeploy);
  EXPECT_FALSE(river.override_all);
  EXPECT_EQ(s.stages.groups.front().override_all, Stage::kPostDeploy);
  const std::pair<const char*, const char*> wrong[] = {
      {"[stages]\ngroup = 1", "write [stages.group.NAME]"},
      {"[stages.group]\nriver = 1", "[stages.group.river] in syzygy.toml is not a table"},
      {"[stages.group.river]\nfallback = \"pre_deploy\"", "names no files"},
      {"[stages.group.river]\nfiles = \"x\"\nfallback = \"pre_deploy\"", "must be a list of patterns"},
      {"[stages.group.river]\nfiles = [\"x\", 1]\nfallback = \"pre_deploy\"", "must be a list of patterns"},
      {"[stages.group.river]\nfiles = [\"x\"]", "gives no stage"},
      {"[stages.group.river]\nfiles = [\"x\"]\nfallback = \"later\"", "must be \"pre_deploy\" or \"post_deploy\""},
      {"[stages.group.river]\nfiles = [\"x\"]\nfalback = \"later\"", "falback in syzygy.toml is not known"},
  };
  for (const auto& [text, says] : wrong) {
    file(text);
    EXPECT_THAT(refusal({"migrate"}), HasSubstr(says)) << text;
  }
}

TEST_F(CommandLine, WhatIsWrongNamesTheCommandWhoseHelpSaysIt) {
  EXPECT_EQ(refusal({"plan", "--pre-deplyo"}),
            "syzygy: The following argument was not expected: --pre-deplyo\nSee: syzygy plan --help\n");
  EXPECT_THAT(refusal({"history", "accept", "--nope"}), HasSubstr("See: syzygy history accept --help\n"));
  EXPECT_THAT(refusal({"lint", "--output", "x\x1b[m"}),
              AllOf(StartsWith("syzygy: --output: x [m not in"), HasSubstr("\nSee: syzygy lint --help\n")));
  EXPECT_THAT(refusal({}), HasSubstr("See: syzygy --help\n"));
}

TEST_F(CommandLine, HelpAndVersionAreAskedForAndGoToStandardOutput) {
  for (const char* flag : {"--help", "--version"}) {
    const auto parsed = parse({flag});
    ASSERT_TRUE(std::holds_alternative<Ends>(parsed));
    EXPECT_EQ(std::get<Ends>(parsed).code, 0);
  }
}

TEST(Duration, IsReadAsPeopleWriteIt) {
  EXPECT_EQ(parse_duration("30s"), Duration{30'000});
  EXPECT_EQ(parse_duration("45"), Duration{45'000});
  EXPECT_EQ(parse_duration("1h30m"), Duration{5'400'000});
  EXPECT_EQ(parse_duration("500ms"), Duration{500});
  for (const char* bad : {"", "s", "-1s", "1x", "1 s", "99999999999999999999s", "31d", "1.5s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

}  // namespace
}  // namespace syzygy::cli
