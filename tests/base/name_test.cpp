#include "base/name.h"

#include <gtest/gtest.h>

#include <string>

namespace syzygy {
namespace {

TEST(Name, PrintableUtf8IsAName) {
  for (const char* good : {"eu-west", "a", "Zürich 1", "東京", "a/b:c"}) EXPECT_TRUE(check_name("party", good)) << good;
  EXPECT_TRUE(check_name("party", std::string(kNameBytesMax, 'x')));
}

TEST(Name, WhatWouldBreakALogLineOrAKeyIsRefusedAndNamed) {
  for (const std::string& bad :
       {std::string(), std::string("a\nb"), std::string("a\0b", 3), std::string(" a"), std::string("a "),
        std::string("\x7f"), std::string("\xc2\x85"), std::string("\xe2\x80\xa8"), std::string("\xc0\x80"),
        std::string("\xed\xa0\x80"), std::string("\xf4\x90\x80\x80"), std::string("\xff"), std::string("\xe2\x82"),
        std::string(kNameBytesMax + 1, 'x')}) {
    const auto result = check_name("party", bad);
    ASSERT_FALSE(result) << printable(bad);
    EXPECT_EQ(result.error().reason, "NAME_INVALID");
    EXPECT_EQ(result.error().message.find('\n'), std::string::npos);
    EXPECT_LT(result.error().message.size(), 400u);
  }
}

TEST(Name, PrintableEscapesAndCuts) {
  EXPECT_EQ(printable("a\nb\\"), "a\\x0ab\\x5c");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
}

}  // namespace
}  // namespace syzygy
