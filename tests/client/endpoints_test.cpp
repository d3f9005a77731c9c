// What may be given as --daemon, and what is said of the rest.
#include "client/cpp/endpoints.h"

#include <gtest/gtest.h>

#include "client/cpp/client.h"
#include "client/cpp/next_move.h"
#include "client/cpp/probe.h"
#include "client/cpp/session.h"

namespace syzygy {
namespace {

std::vector<std::string> texts(std::string_view list) {
  std::vector<std::string> out;
  const auto parsed = parse_endpoints(list).value();  // g++ 12 does not keep it alive within the loop's head
  for (const auto& endpoint : parsed) out.push_back(endpoint.text());
  return out;
}

TEST(Endpoints, HostsPortsAndBrackets) {
  using List = std::vector<std::string>;
  EXPECT_EQ(texts("127.0.0.1:7411"), List{"127.0.0.1:7411"});
  EXPECT_EQ(texts("syzygy"), List{"syzygy:7411"});
  EXPECT_EQ(texts(" a:1 ,\tb:65535 "), (List{"a:1", "b:65535"}));
  EXPECT_EQ(texts("[::1]:80,[2001:db8::1]"), (List{"[::1]:80", "[2001:db8::1]:7411"}));
  EXPECT_EQ(texts("a:1,b:1,a:1"), (List{"a:1", "b:1"}));
}

TEST(Endpoints, RefusedWithTheReason) {
  for (const auto& [given, says] : std::vector<std::pair<std::string, std::string>>{
           {"", "it is empty"},
           {"a,,b", "it is empty"},
           {"http://a:1", "it is a URL"},
           {"a:0", "from 1 to 65535"},
           {"a:65536", "from 1 to 65535"},
           {"a:", "from 1 to 65535"},
           {"a:1x", "from 1 to 65535"},
           {"::1", "stands in brackets"},
           {"[::1", "not closed"},
           {"[::1]x", "only a port"},
           {"[a]:1", "for IPv6"},
           {":1", "no host"},
           {"a b:1", "not a name"},
           {std::string("a\0b:1", 5), "not a name"},
           {std::string(254, 'a'), "not a name"},
       }) {
    const auto got = parse_endpoints(given);
    ASSERT_FALSE(got) << given;
    EXPECT_EQ(got.error().reason, "ENDPOINT_INVALID");
    EXPECT_NE(got.error().message.find(says), std::string::npos) << given << ": " << got.error().message;
  }
}

TEST(Endpoints, APasswordIsNotRepeated) {
  for (const auto* given : {"https://me:secret@host:1", "me:secret@host"}) {
    const auto got = parse_endpoints(given);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().message.find("secret"), std::string::npos) << got.error().message;
  }
}

TEST(Endpoints, TooMany) {
  std::string list = "h0";
  for (int i = 1; i <= 32; ++i) list += ",h" + std::to_string(i);
  EXPECT_FALSE(parse_endpoints(list));
}

TEST(Endpoints, Loopback) {
  for (const auto& [host, expected] : std::vector<std::pair<std::string, bool>>{{"127.0.0.1", true},
                                                                                {"127.9.9.9", true},
                                                                                {"localhost", true},
                                                                                {"::1", true},
                                                                                {"127.example.com", false},
                                                                                {"10.0.0.1", false},
                                                                                {"localhost.example.com", false}}) {
    EXPECT_EQ((Endpoint{host, 1}.loopback()), expected) << host;
  }
}

}  // namespace
}  // namespace syzygy
