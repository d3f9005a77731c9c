// What a browser may ask.
#include "transport/http/origin.h"

#include <gtest/gtest.h>

namespace syzygy::http {
namespace {

TEST(Origin, ReadsTheHostField) {
  EXPECT_EQ(host_of("localhost:7410"), "localhost");
  EXPECT_EQ(host_of("localhost"), "localhost");
  EXPECT_EQ(host_of("localhost:"), "localhost");
  EXPECT_EQ(host_of("[::1]:7410"), "::1");
  EXPECT_EQ(host_of("[::1]"), "::1");
  for (const char* text : {"", ":80", "a:b", "[::1", "[::1]x", "u@h", "a/b", "127.0.0.1:80@evil"}) {
    EXPECT_EQ(host_of(text), std::nullopt) << text;
  }
}

TEST(Origin, GuardedAnswersOnlyLoopbackNames) {
  const std::string allowed[] = {"daemon.example"};
  EXPECT_FALSE(refuse_origin("127.0.0.1:7410", "", true, {}));
  EXPECT_FALSE(refuse_origin("[::1]:7410", "", true, {}));
  EXPECT_FALSE(refuse_origin("LocalHost:9999", "", true, {}));
  EXPECT_FALSE(refuse_origin("Daemon.Example:7410", "", true, allowed));
  for (const char* host : {"evil.example:7410", "127.0.0.1.evil.example", "", "localhost@evil.example"}) {
    const auto problem = refuse_origin(host, "", true, {});
    ASSERT_TRUE(problem) << host;
    EXPECT_EQ(problem->status, 421);
    EXPECT_EQ(problem->reason, "HOST_REFUSED");
  }
  EXPECT_FALSE(refuse_origin("evil.example:7410", "", false, {})) << "with a token the name does not matter";
}

TEST(Origin, MustBeTheHostItself) {
  EXPECT_FALSE(refuse_origin("localhost:7410", "http://localhost:7410", true, {}));
  EXPECT_FALSE(refuse_origin("d.example", "https://D.example", false, {}));
  for (const char* origin : {"http://evil.example", "null", "http://localhost:7411", "http://localhost", "file://"}) {
    const auto problem = refuse_origin("localhost:7410", origin, false, {});
    ASSERT_TRUE(problem) << origin;
    EXPECT_EQ(problem->reason, "ORIGIN_REFUSED");
  }
}

}  // namespace
}  // namespace syzygy::http
