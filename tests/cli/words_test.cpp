#include "client/cli/words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace syzygy::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::Round gathering() {
  v1::Round round;
  round.set_id("r1");
  round.set_state(v1::ROUND_STATE_GATHERING);
  round.mutable_quorum()->set_parties(3);
  round.set_present(2);
  round.mutable_opened_at()->set_seconds(1'000);
  for (const char* party : {"eu-west", "us-east"}) {
    auto& member = *round.add_members();
    member.set_party(party);
    member.set_standing(v1::Member::STANDING_COUNTED);
  }
  auto& replaced = *round.add_members();
  replaced.set_party("eu-west");
  replaced.set_standing(v1::Member::STANDING_REPLACED);
  return round;
}

TEST(Words, AGatheringRoundSaysWhoIsHereAndHowManyAreMissing) {
  EXPECT_EQ(round_line(v1::Target{}, gathering()), "2 of 3 here: eu-west, us-east; missing 1");
}

TEST(Words, WithARosterTheMissingAreNamed) {
  v1::Round round = gathering();
  round.add_missing("ap-south");
  EXPECT_THAT(round_line(v1::Target{}, round), HasSubstr("missing ap-south"));
}

TEST(Words, WhoCameWithNothingPendingStandsBesideTheMissing) {
  v1::Target target;
  auto& old_image = *target.add_visits();
  old_image.set_party("ap-south");
  old_image.set_last_step("0007");
  old_image.mutable_at()->set_seconds(1'001);
  auto& long_ago = *target.add_visits();
  long_ago.set_party("sa-east");
  long_ago.mutable_at()->set_seconds(10);
  const std::string line = round_line(target, gathering());
  EXPECT_THAT(line, HasSubstr("came with nothing pending: ap-south (knows up to 0007)"));
  EXPECT_THAT(line, Not(HasSubstr("sa-east")));
}

TEST(Words, LettersOfEveryLanguageStayAndControlsAreEscaped) {
  v1::Event event;
  event.set_kind(v1::EVENT_KIND_SEVERED);
  event.set_actor("jürgen");
  event.set_text("größer, 日本\n\x1b[2J\xc2\x9b\xe2\x80\xae\xff");
  EXPECT_EQ(event_line(event, v1::Target{}), "severed by jürgen (größer, 日本 \\x1b[2J\\xc2\\x9b\\xe2\\x80\\xae\\xff)");
}

TEST(Words, WhatComesFromOthersCannotWriteToTheTerminal) {
  v1::Round round = gathering();
  round.mutable_members(0)->set_party("eu\x1b[2J\nwest");
  const std::string line = round_line(v1::Target{}, round);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  round.mutable_members(0)->set_party("\xff\xfe");
  EXPECT_THAT(round_line(v1::Target{}, round), HasSubstr("\\xff"));
}

TEST(Words, AnOutcomeNamesWhoAppliedWhatFailedAndTheCode) {
  v1::Round round;
  round.set_state(v1::ROUND_STATE_FAILED);
  round.mutable_outcome()->set_applier_party("eu-west");
  round.mutable_outcome()->set_failed_step("0004");
  round.mutable_outcome()->set_exit_code(3);
  round.mutable_outcome()->set_message("syntax error");
  EXPECT_EQ(outcome_line(round), "failed by eu-west at step 0004 (exit code 3): syntax error");
}

TEST(Words, DurationsReadWell) {
  EXPECT_EQ(duration_text(Duration{450}), "450 ms");
  EXPECT_EQ(duration_text(Duration{1'250}), "1.2 s");
  EXPECT_EQ(duration_text(Duration{12'000}), "12 s");
  EXPECT_EQ(duration_text(Duration{200'000}), "3 min 20 s");
  EXPECT_EQ(duration_text(Duration{7'260'000}), "2 h 1 min");
}

}  // namespace
}  // namespace syzygy::cli
