// What others wrote, made fit for a line of ours.
#include "base/shown.h"

#include <gtest/gtest.h>

#include "base/name.h"

namespace syzygy {
namespace {

TEST(Shown, LeavesLettersAsTheyAre) {
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("drops table \"a b\""), "drops table \"a b\"");
  EXPECT_EQ(shown("Z\u00fcrich \u6771\u4eac \U0001f30d"), "Z\u00fcrich \u6771\u4eac \U0001f30d");
}

TEST(Shown, ControlCharactersAreSpaces) {
  EXPECT_EQ(shown("a\nb\x1b[31m\x7f"), "a b [31m ");
  EXPECT_EQ(shown(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(shown("a\u0085b\u2028c\u00a0d"), "a b c\u00a0d");
}

TEST(Shown, BytesThatAreNoUtf8AreQuestionMarks) {
  EXPECT_EQ(shown("caf\xe9"), "caf?");
  EXPECT_EQ(shown("\xc3"), "?");
  EXPECT_EQ(shown("\xed\xa0\x80!"),
            "??"
            "?!");  // a surrogate
  EXPECT_EQ(shown("\xff\u00e9\xc0\xaf"), "?\u00e9??");
  EXPECT_TRUE(is_utf8(shown("\xf0\x9f\x8c")));
}

TEST(Utf8, IsSeenWhereverItStands) {
  for (std::size_t size = 0; size < 40; ++size) {
    const std::string ascii(size, 'a');
    EXPECT_TRUE(is_utf8(ascii));
    for (std::size_t at = 0; at <= size; ++at) {
      for (const auto& [bytes, valid] :
           {std::pair{"\xc3\xa9", true}, {"\xf0\x9f\x8c\x8d", true}, {"\xe9", false}, {"\xc3", false}}) {
        std::string text = ascii;
        text.insert(at, bytes);
        EXPECT_EQ(is_utf8(text), valid) << at << " of " << size;
      }
    }
  }
}

TEST(Shown, LinesStayLines) {
  EXPECT_EQ(shown_lines(""), "");
  EXPECT_EQ(shown_lines("a\n\tb\x1b[2J\r\n"), "a\n\tb [2J \n");
  EXPECT_EQ(shown_lines("\n\n"), "\n\n");
  EXPECT_EQ(shown_lines("caf\xe9\n\u009b"), "caf?\n ");
}

}  // namespace
}  // namespace syzygy
