// What a request line names, and what it does not.
#include "transport/http/router.h"

#include <gtest/gtest.h>

namespace syzygy::http {
namespace {

struct Line {
  const char* method;
  const char* target;
  Operation operation;
  const char* name;
};

TEST(Router, FindsEveryOperation) {
  const Line lines[] = {
      {"GET", "/v1/targets", Operation::kListTargets, ""},
      {"GET", "/v1/targets/orders", Operation::kGetTarget, "orders"},
      {"HEAD", "/v1/targets/orders", Operation::kGetTarget, "orders"},
      {"GET", "/v1/targets/orders/watch", Operation::kWatchTarget, "orders"},
      {"GET", "/v1/watch", Operation::kWatchTargets, ""},
      {"GET", "/v1/targets/orders/events", Operation::kListEvents, "orders"},
      {"POST", "/v1/targets/orders/join", Operation::kJoin, "orders"},
      {"POST", "/v1/targets/orders/renew", Operation::kRenew, "orders"},
      {"POST", "/v1/targets/orders/confirm", Operation::kConfirm, "orders"},
      {"POST", "/v1/targets/orders/progress", Operation::kProgress, "orders"},
      {"POST", "/v1/targets/orders/report", Operation::kReport, "orders"},
      {"POST", "/v1/targets/orders/leave", Operation::kLeave, "orders"},
      {"POST", "/v1/targets/orders/sever", Operation::kSever, "orders"},
      {"POST", "/v1/targets/orders/resolve", Operation::kResolve, "orders"},
      {"POST", "/v1/targets/orders/set", Operation::kSetTarget, "orders"},
      {"POST", "/v1/barriers/a/enter", Operation::kEnter, "a"},
      {"POST", "/v1/barriers/a/await", Operation::kAwait, "a"},
      {"POST", "/v1/barriers/a/sever", Operation::kSeverBarrier, "a"},
      {"GET", "/livez", Operation::kLive, ""},
      {"GET", "/readyz", Operation::kReady, ""},
      {"GET", "/metrics", Operation::kMetrics, ""},
      {"GET", "/openapi.yaml", Operation::kOpenApi, ""},
      {"GET", "/", Operation::kDashboard, ""},
      {"GET", "/dashboard.js", Operation::kDashboardScript, ""},
      {"GET", "/dashboard.css", Operation::kDashboardStyle, ""},
      // Names that look like something else, or hold what a path may not.
      {"GET", "/v1/targets/watch", Operation::kGetTarget, "watch"},
      {"GET", "/v1/targets/a%2Fb", Operation::kGetTarget, "a/b"},
      {"GET", "/v1/targets/a%2fwatch", Operation::kGetTarget, "a/watch"},
      {"POST", "/v1/targets/%E2%82%AC%20x/join", Operation::kJoin, "\xE2\x82\xAC x"},
      {"GET", "/v1/targets/a+b", Operation::kGetTarget, "a+b"},
      {"GET", "/v1/targets/%2525", Operation::kGetTarget, "%25"},
      {"GET", "http://127.0.0.1:7410/v1/targets/orders", Operation::kGetTarget, "orders"},
      {"GET", "http://127.0.0.1:7410", Operation::kDashboard, ""},
  };
  std::size_t seen = 0;
  std::array<bool, kOperations> found{};
  for (const Line& line : lines) {
    const auto m = match(line.method, line.target);
    ASSERT_TRUE(m) << line.method << " " << line.target << ": " << m.error().detail;
    EXPECT_EQ(m->route->operation, line.operation) << line.target;
    EXPECT_EQ(m->name, line.name) << line.target;
    EXPECT_EQ(m->head, std::string(line.method) == "HEAD");
    if (!std::exchange(found[static_cast<std::size_t>(line.operation)], true)) ++seen;
  }
  EXPECT_EQ(seen, routes().size()) << "an operation without a line here";
}

TEST(Router, TableStandsInTheOrderOfTheOperations) {
  for (std::size_t i = 0; i < routes().size(); ++i) {
    EXPECT_EQ(static_cast<std::size_t>(routes()[i].operation), i) << routes()[i].id;
  }
}

TEST(Router, RefusesWhatIsNotThere) {
  for (const char* target : {"/v1", "/v1/", "/v1/targets/", "/v1/targets//join", "/v1/targets/a/b",
                             "/v1/targets/a/join/", "/v1/barriers", "/v1/barriers/a", "/v2/targets", "/..", "*", "",
                             "livez", "/LIVEZ", "/livez/", "//livez", "/v1/targets/a/join%2F"}) {
    const auto m = match("GET", target);
    ASSERT_FALSE(m) << target;
    EXPECT_EQ(m.error().status, 404) << target;
    EXPECT_EQ(m.error().reason, "ROUTE_UNKNOWN");
  }
}

TEST(Router, NamesTheMethodsThatArePossible) {
  const auto post = match("POST", "/v1/targets/a");
  ASSERT_FALSE(post);
  EXPECT_EQ(post.error().status, 405);
  EXPECT_EQ(post.error().allow, "GET, HEAD, OPTIONS");
  const auto get = match("GET", "/v1/targets/a/join");
  ASSERT_FALSE(get);
  EXPECT_EQ(get.error().allow, "POST, OPTIONS");
  const auto head = match("HEAD", "/v1/targets/a/join");
  ASSERT_FALSE(head);
  EXPECT_EQ(head.error().status, 405);
  const auto odd = match("FROBNICATE", "/livez");
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.error().status, 405);
  const auto options = match("OPTIONS", "/v1/targets/a/join");
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->options);
  EXPECT_EQ(options->allow, "POST, OPTIONS");
  EXPECT_FALSE(match("OPTIONS", "/nowhere"));
}

TEST(Router, DecodesStrictly) {
  for (const char* target : {"/v1/targets/%", "/v1/targets/%2", "/v1/targets/%zz", "/v1/targets/a%2",
                             "/v1/targets?prefix=%G0", "/v1/targets?%=1"}) {
    const auto m = match("GET", target);
    ASSERT_FALSE(m) << target;
    EXPECT_EQ(m.error().reason, "PERCENT_ENCODING_INVALID") << target;
  }
  EXPECT_EQ(percent_decode("a%00b", false), std::string("a\0b", 3));
  EXPECT_EQ(percent_decode("a+b", true), "a b");
}

TEST(Router, ReadsTheQuery) {
  const auto m = match("GET", "/v1/targets/a?revision=7&wait=30s&&epoch=x%26y");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->parameter("revision"), "7");
  EXPECT_EQ(m->parameter("wait"), "30s");
  EXPECT_EQ(m->parameter("epoch"), "x&y");
  EXPECT_EQ(m->parameter("prefix"), std::nullopt);
  const auto snake = match("GET", "/v1/targets?page_size=3&page_token=b+c");
  ASSERT_TRUE(snake);
  EXPECT_EQ(snake->parameter("pageSize"), "3");
  EXPECT_EQ(snake->parameter("pageToken"), "b c");
  const auto empty = match("GET", "/v1/targets?prefix=&pageToken=&pageSize=");
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->parameter("prefix"), "");
}

TEST(Router, RefusesAnUnknownParameterByName) {
  const auto m = match("GET", "/v1/targets/a?revison=7");
  ASSERT_FALSE(m);
  EXPECT_EQ(m.error().reason, "QUERY_UNKNOWN");
  EXPECT_EQ(m.error().metadata.at("parameter"), "revison");
  EXPECT_NE(m.error().detail.find("revision, epoch, wait"), std::string::npos) << m.error().detail;
  const auto twice = match("GET", "/v1/targets/a?revision=7&revision=8");
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.error().reason, "QUERY_TWICE");
  EXPECT_FALSE(match("GET", "/livez?x"));
  EXPECT_FALSE(match("GET", "/livez?=1"));
}

TEST(Router, ReadsDurationsAndNumbers) {
  EXPECT_EQ(parse_duration("30s"), Duration{30'000});
  EXPECT_EQ(parse_duration("500ms"), Duration{500});
  EXPECT_EQ(parse_duration("2m"), Duration{120'000});
  EXPECT_EQ(parse_duration("1h"), Duration{3'600'000});
  EXPECT_EQ(parse_duration("0"), Duration{0});
  for (const char* text :
       {"", "s", "30", "-1s", "+1s", "1.5s", " 1s", "1s ", "1S", "99999999999999999999s", "1d", "0x1s"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_number("18446744073709551615"), 18'446'744'073'709'551'615U);
  for (const char* text : {"", "-1", "+1", "1 ", " 1", "18446744073709551616", "1e3", "0x10"}) {
    EXPECT_EQ(parse_number(text), std::nullopt) << text;
  }
}

TEST(Problem, IsJsonWhateverItQuotes) {
  Problem problem{404, "NOT_THERE", "a \"quoted\" \\ line\nand \x01 <b> \xFF \xE2\x82\xAC", {{"k\"", "v\n"}}, {}, {}};
  EXPECT_EQ(to_json(problem),
            "{\"type\":\"urn:syzygy:error:NOT_THERE\",\"title\":\"Not Found\",\"status\":404,"
            "\"detail\":\"a \\\"quoted\\\" \\\\ line\\nand \\u0001 \\u003cb> \xEF\xBF\xBD \xE2\x82\xAC\","
            "\"reason\":\"NOT_THERE\",\"metadata\":{\"k\\\"\":\"v\\n\"}}\n");
}

TEST(Problem, StatusFollowsTheCode) {
  const auto status = [](ErrorCode code) { return to_problem(Error{code, "R", "m", {}, std::nullopt}).status; };
  EXPECT_EQ(status(ErrorCode::kInvalidArgument), 400);
  EXPECT_EQ(status(ErrorCode::kUnauthenticated), 401);
  EXPECT_EQ(status(ErrorCode::kPermissionDenied), 403);
  EXPECT_EQ(status(ErrorCode::kNotFound), 404);
  EXPECT_EQ(status(ErrorCode::kFailedPrecondition), 409);
  EXPECT_EQ(status(ErrorCode::kResourceExhausted), 429);
  EXPECT_EQ(status(ErrorCode::kUnavailable), 503);
  EXPECT_EQ(status(ErrorCode::kInternal), 500);
}

}  // namespace
}  // namespace syzygy::http
