#include "base/encoding.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>

namespace syzygy {
namespace {

TEST(Encoding, WhatIsWrittenIsRead) {
  Writer out;
  out.number(0);
  out.number(std::numeric_limits<std::uint64_t>::max());
  out.signed_number(-1);
  out.signed_number(std::numeric_limits<std::int64_t>::min());
  out.boolean(true);
  out.string(std::string("a\0b", 3));
  Reader in(out.bytes());
  EXPECT_EQ(in.number(), 0u);
  EXPECT_EQ(in.number(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(in.signed_number(), -1);
  EXPECT_EQ(in.signed_number(), std::numeric_limits<std::int64_t>::min());
  EXPECT_TRUE(in.boolean());
  EXPECT_EQ(in.string(), std::string("a\0b", 3));
  EXPECT_TRUE(in.ok());
  EXPECT_TRUE(in.at_end());
}

TEST(Encoding, MalformedBytesAreRefusedNotRead) {
  for (const std::string& bad : {std::string(), std::string("\x80"), std::string(10, '\xff'),
                                 std::string("\x05"
                                             "abc")}) {
    Reader in(bad);
    in.string();
    EXPECT_FALSE(in.ok()) << bad;
  }
  Reader two("\x02");
  two.boolean();
  EXPECT_FALSE(two.ok());
}

TEST(Encoding, AListCannotClaimMoreElementsThanBytesAreLeft) {
  Writer out;
  out.number(1'000'000);
  Reader in(out.bytes());
  EXPECT_EQ(in.count(10'000'000), 0u);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace syzygy
