// The server as a client sees it: every route, errors, limits, waits and streams, over a real engine.
#include <gtest/gtest.h>

#include <fstream>
#include <future>
#include <set>
#include <sstream>

#include "transport/http/assets.h"
#include "transport/http/router.h"
#include "world.h"

namespace syzygy::http {
namespace {

using testing::Test;

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

#define EXPECT_HAS(text, part) EXPECT_TRUE(has(text, part)) << (text) << "\nlacks " << (part)

TEST(Server, TellsOfItself) {
  const World world;
  const Answer live = world.ask("GET", "/livez");
  EXPECT_EQ(live.status, 200);
  EXPECT_EQ(live.body, "ok\n");
  const Answer ready = world.ask("GET", "/readyz");
  EXPECT_EQ(ready.status, 200);
  EXPECT_TRUE(ready.body.starts_with("ready: ")) << ready.body;
  EXPECT_EQ(world.ask("GET", "/openapi.yaml").body, assets::kOpenApi);
}

TEST(Server, IsNotReadyWithoutAnEngine) {
  const World world;
  world.engine->stop();
  const Answer ready = world.ask("GET", "/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(json_field(ready.body, "reason"), "NOT_READY");
  EXPECT_EQ(world.ask("GET", "/livez").status, 200) << "the process lives all the same";
}

TEST(Server, ServesTheDashboardShutTight) {
  const World world;
  const Answer page = world.ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.field("Content-Type"), "text/html; charset=utf-8");
  EXPECT_HAS(page.field("Content-Security-Policy"), "default-src 'none'");
  EXPECT_EQ(page.field("X-Frame-Options"), "DENY");
  EXPECT_EQ(page.field("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(world.ask("GET", "/dashboard.js").field("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(world.ask("GET", "/dashboard.css").field("Content-Type"), "text/css; charset=utf-8");
  // Nothing of the page is fetched from elsewhere, and nothing of it is inline.
  EXPECT_FALSE(has(page.body, "https://"));
  EXPECT_FALSE(has(page.body, "<style"));
  EXPECT_FALSE(has(page.body, " style="));
  EXPECT_FALSE(has(page.body, "onclick"));
}

TEST(Server, TakesARoundFromJoinToOutcome) {
  const World world;
  Answer a = world.ask("POST", "/v1/targets/orders/join", join_body("eu-west", "i-1", 1));
  ASSERT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(a.field("Content-Type"), "application/json");
  EXPECT_EQ(json_field(a.body, "verdict"), "VERDICT_WAIT");
  const std::string round = json_field(a.body, "roundId");
  ASSERT_FALSE(round.empty()) << a.body;
  EXPECT_HAS(a.body, R"("state":"ROUND_STATE_ELECTED")");

  a = world.ask("POST", "/v1/targets/orders/renew", R"({"incarnation":"i-1","token":"1"})");
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_HAS(a.body, R"("applier":true)");

  a = world.ask("POST", "/v1/targets/orders/confirm",
                R"({"request":{"incarnation":"i-1","sequence":"2"},"roundId":")" + round +
                    R"(","token":"1","claim":"CLAIM_COMPLETE","fenced":true,"finding":{"kind":"KIND_WHOLE"}})");
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(json_field(a.body, "verdict"), "VERDICT_PROCEED");

  a = world.ask(
      "POST", "/v1/targets/orders/progress",
      R"({"round_id":")" + round + R"(","incarnation":"i-1","token":1,"progress":{"stepId":"0001","note":"n"}})");
  EXPECT_EQ(a.status, 200) << a.body;

  a = world.ask("POST", "/v1/targets/orders/report",
                R"({"request":{"incarnation":"i-1","sequence":3},"roundId":")" + round +
                    R"(","token":"1","result":"RESULT_SUCCEEDED","stepsDone":1,"inTarget":true})");
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(json_field(a.body, "verdict"), "VERDICT_DONE");

  a = world.ask("GET", "/v1/targets/orders");
  EXPECT_EQ(a.status, 200);
  EXPECT_HAS(a.body, R"("state":"ROUND_STATE_SUCCEEDED")");

  a = world.ask("GET", "/v1/targets?prefix=ord");
  EXPECT_EQ(a.status, 200);
  EXPECT_HAS(a.body, R"("name":"orders")");
  EXPECT_EQ(world.ask("GET", "/v1/targets?prefix=x").body, "{}\n");

  a = world.ask("GET", "/v1/targets/orders/events");
  EXPECT_EQ(a.status, 200);
  EXPECT_HAS(a.body, R"("kind":"EVENT_KIND_ROUND_OPENED")");
  EXPECT_FALSE(has(a.body, R"("more":true)"));
  a = world.ask("GET", "/v1/targets/orders/events?after=1&pageSize=1");
  EXPECT_HAS(a.body, R"({"events":[{"revision":"2",)");
  EXPECT_HAS(a.body, R"("more":true)");

  a = world.ask("POST", "/v1/targets/orders/leave",
                R"({"request":{"incarnation":"i-1","sequence":"4"},"reason":"done"})");
  EXPECT_EQ(a.status, 200) << a.body;
}

TEST(Server, SeversResolvesAndSets) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/orders/join", join_body("eu-west", "i-1", 2)).status, 200);
  Answer a = world.ask(
      "POST", "/v1/targets/pinned/set",
      R"({"request":{"incarnation":"op","sequence":"1"},"actor":"ann","reason":"r","pin":{"quorum":{"parties":3}}})");
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_HAS(a.body, R"("pin":{"parties":3})");
  // The Idempotency-Key is the request's id: the same key and body twice is one effect, another body is refused.
  const std::string sever = R"({"actor":"ann","reason":"wrong release"})";
  a = world.ask("POST", "/v1/targets/orders/sever", sever, "Idempotency-Key: \"k-1\"\r\n");
  EXPECT_EQ(a.status, 200) << a.body;
  const std::string again = world.ask("POST", "/v1/targets/orders/sever", sever, "Idempotency-Key: k-1\r\n").body;
  EXPECT_EQ(json_field(a.body, "revision"), json_field(again, "revision"));
  a = world.ask("POST", "/v1/targets/orders/sever", R"({"actor":"bob","reason":"other"})", "Idempotency-Key: k-1\r\n");
  EXPECT_EQ(a.status / 100, 4) << a.body;
  a = world.ask("POST", "/v1/targets/orders/sever", sever, "Idempotency-Key: " + std::string(300, 'k') + "\r\n");
  EXPECT_EQ(json_field(a.body, "reason"), "IDEMPOTENCY_KEY_INVALID");
  a = world.ask(
      "POST", "/v1/targets/orders/resolve",
      R"({"request":{"incarnation":"op2","sequence":"1"},"roundId":"r","phase":"PHASE_BEGIN","actor":"a","reason":"b","revision":"1"})");
  EXPECT_EQ(a.status / 100, 4) << a.body;
  EXPECT_EQ(a.field("Content-Type"), "application/problem+json");
}

TEST(Server, PassesBarriers) {
  const World world;
  Answer a = world.ask("POST", "/v1/barriers/a%2Fb/enter", R"({"quorum":2,"party":"p1","incarnation":"i1"})");
  ASSERT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(json_field(a.body, "namespace"), "a/b");
  EXPECT_EQ(json_field(a.body, "state"), "BARRIER_STATE_WAITING");
  Wire waiting = world.wire();
  waiting.send(request("POST", "/v1/barriers/a%2Fb/await?wait=30s", R"({"generation":"1","incarnation":"i1"})"));
  ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 1; }));
  a = world.ask("POST", "/v1/barriers/a%2Fb/enter", R"({"quorum":2,"party":"p2","incarnation":"i2"})");
  EXPECT_EQ(json_field(a.body, "state"), "BARRIER_STATE_OPEN");
  EXPECT_HAS(a.body, R"("completedByYou":true)");
  a = waiting.read();
  EXPECT_EQ(json_field(a.body, "state"), "BARRIER_STATE_OPEN");
  EXPECT_FALSE(has(a.body, "completedByYou"));
  a = world.ask("POST", "/v1/barriers/a%2Fb/sever", R"({"quorum":2,"party":"p2","incarnation":"i3","reason":"r"})");
  EXPECT_EQ(json_field(a.body, "state"), "BARRIER_STATE_SEVERED") << a.body;
  EXPECT_EQ(world.ask("POST", "/v1/barriers/x/enter", R"({"quorum":0,"party":"p","incarnation":"i"})").status, 400);
}

TEST(Server, PathWinsOverTheBody) {
  const World world;
  const Answer a = world.ask("POST", "/v1/targets/one/join", join_body("eu", "i-1", 2, R"(,"target":"two")"));
  EXPECT_EQ(a.status, 200) << a.body;
  EXPECT_EQ(world.ask("GET", "/v1/targets/two").status, 404);
  EXPECT_EQ(world.ask("GET", "/v1/targets/one").status, 200);
}

TEST(Server, ListsInPages) {
  const World world;
  std::set<std::string> names;
  for (int i = 0; i < 5; ++i) {
    const std::string name = "t" + std::to_string(i);
    names.insert(name);
    ASSERT_EQ(world.ask("POST", "/v1/targets/" + name + "/join", join_body("eu", "i", 2)).status, 200);
  }
  std::set<std::string> listed;
  std::string token;
  int pages = 0;
  do {
    const Answer a = world.ask("GET", "/v1/targets?pageSize=2&pageToken=" + token);
    ASSERT_EQ(a.status, 200) << a.body;
    for (std::size_t at = a.body.find("\"name\":\""); at != std::string::npos;
         at = a.body.find("\"name\":\"", at + 1)) {
      listed.insert(a.body.substr(at + 8, 2));
    }
    token = json_field(a.body, "nextPageToken");
    ++pages;
  } while (!token.empty() && pages < 10);
  EXPECT_EQ(listed, names);
  EXPECT_EQ(pages, 3);
}

TEST(Server, RefusesBadInputByName) {
  const World world;
  struct Case {
    const char* method;
    const char* target;
    std::string body;
    int status;
    const char* reason;
    const char* says;
  };
  const Case cases[] = {
      {"POST", "/v1/targets/a/join", R"({"partie":"x"})", 400, "JSON_INVALID", "partie"},
      {"POST", "/v1/targets/a/join", R"({"party":)", 400, "JSON_INVALID", ""},
      {"POST", "/v1/targets/a/join", "[]", 400, "JSON_INVALID", ""},
      {"POST", "/v1/targets/a/join", std::string("{\"party\":\"\xFF\"}"), 400, "JSON_INVALID", "UTF-8"},
      {"POST", "/v1/targets/a/join", join_body("", "i", 2), 400, "NAME_INVALID", "party"},
      {"POST", "/v1/targets/a/join", join_body("a\\nb", "i", 2), 400, "NAME_INVALID", "party"},
      {"POST", "/v1/targets/a/join", join_body(std::string(4'096, 'x'), "i", 2), 400, "NAME_INVALID", "party"},
      {"POST", "/v1/targets/a/join", join_body("eu", "i", -1), 400, "JSON_INVALID", "parties"},
      {"POST", "/v1/targets/a%00b/join", join_body("eu", "i", 2), 400, "NAME_INVALID", "target"},
      {"POST", "/v1/targets/%FF/join", join_body("eu", "i", 2), 400, "NAME_INVALID", "UTF-8"},
      {"POST", "/v1/targets/a/join", "", 400, nullptr, ""},
      {"GET", "/v1/targets/nobody", "", 404, "TARGET_UNKNOWN", "nobody"},
      {"GET", "/v1/targets/nobody/events", "", 404, "TARGET_UNKNOWN", "nobody"},
      {"GET", "/v1/targets/a?wait=1d", "", 400, "DURATION_INVALID", "1d"},
      {"GET", "/v1/targets/a?revision=x", "", 400, "NUMBER_INVALID", "revision"},
      {"GET", "/v1/targets?pageSize=-1", "", 400, "NUMBER_INVALID", "pageSize"},
      {"GET", "/v1/targets/a/nothing", "", 404, "ROUTE_UNKNOWN", "/v1/targets/a/nothing"},
      {"GET", "/v1/targets/a/join", "", 405, "METHOD_NOT_ALLOWED", "POST"},
      {"GET", "/v1/targets/%zz", "", 400, "PERCENT_ENCODING_INVALID", "%25"},
  };
  for (const Case& c : cases) {
    const Answer a = world.ask(c.method, c.target, c.body);
    EXPECT_EQ(a.status, c.status) << c.target << " " << c.body.substr(0, 200) << "\n" << a.body;
    EXPECT_EQ(a.field("Content-Type"), "application/problem+json");
    if (c.reason != nullptr) EXPECT_EQ(json_field(a.body, "reason"), c.reason) << c.target << " " << a.body;
    EXPECT_HAS(a.body, c.says);
    EXPECT_HAS(a.body, "\"status\":" + std::to_string(c.status));
  }
  EXPECT_EQ(world.ask("GET", "/v1/targets/a/join").field("Allow"), "POST, OPTIONS");
}

TEST(Server, ReadsOnlyJson) {
  const World world;
  const Answer form =
      world.ask("POST", "/v1/targets/a/sever", "", "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(form.status, 415);
  EXPECT_EQ(json_field(form.body, "reason"), "CONTENT_TYPE_UNSUPPORTED");
  Wire wire = world.wire();
  wire.send(
      "POST /v1/barriers/b/enter HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(wire.read().status, 415);
  Wire charset = world.wire();
  const std::string body = R"({"quorum":1,"party":"p","incarnation":"i"})";
  charset.send(
      "POST /v1/barriers/b/enter HTTP/1.1\r\nHost: localhost\r\nContent-Type: Application/JSON ; charset=utf-8\r\n"
      "Content-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(charset.read().status, 200);
}

TEST(Server, AnswersHeadAndOptions) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 2)).status, 200);
  Wire wire = world.wire();
  wire.send(request("HEAD", "/v1/targets/a") + request("OPTIONS", "/v1/targets/a") + request("HEAD", "/nowhere") +
            request("GET", "/livez"));
  const Answer head = wire.read(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_GT(std::stoul(head.field("Content-Length")), 100U);
  const Answer options = wire.read(true);
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.field("Allow"), "GET, HEAD, OPTIONS");
  EXPECT_EQ(wire.read(true).status, 404);
  EXPECT_EQ(wire.read().body, "ok\n") << "no body may stand in between";
  Wire stream = world.wire();
  stream.send(request("HEAD", "/v1/targets/a/watch"));
  const Answer events = stream.read(true);
  EXPECT_EQ(events.field("Content-Type"), "text/event-stream");
  EXPECT_TRUE(stream.closed_by_peer());
}

// ---- HTTP itself ----

TEST(Server, KeepsAliveAndAnswersInOrder) {
  const World world;
  Wire wire = world.wire();
  std::string many;
  constexpr int kMany = 500;
  for (int i = 0; i < kMany; ++i) many += request("GET", i % 2 == 0 ? "/livez" : "/nowhere");
  wire.send(many);
  for (int i = 0; i < kMany; ++i) {
    const Answer a = wire.read();
    ASSERT_EQ(a.status, i % 2 == 0 ? 200 : 404) << i;
  }
  wire.send("GET /livez HTTP/1.0\r\n\r\n");
  const Answer last = wire.read();
  EXPECT_EQ(last.status, 200);
  EXPECT_EQ(last.field("Connection"), "close");
  EXPECT_TRUE(wire.closed_by_peer());
}

TEST(Server, PipelinedBehindAWaitIsAnsweredAfterIt) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  const std::string revision = json_field(world.ask("GET", "/v1/targets/a").body, "revision");
  Wire wire = world.wire();
  // Far more than is kept: the rest waits in the kernel.
  std::string behind;
  while (behind.size() < 300'000) behind += request("GET", "/livez");
  std::thread sender([&] { wire.send(request("GET", "/v1/targets/a?wait=60s&revision=" + revision) + behind); });
  ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 1; }));
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("us", "i2", 3)).status, 200);
  EXPECT_HAS(wire.read().body, "\"party\":\"us\"");
  for (std::size_t i = 0; i < behind.size() / request("GET", "/livez").size(); ++i) ASSERT_EQ(wire.read().body, "ok\n");
  sender.join();
}

TEST(Server, AnswersBrokenRequestsAndCloses) {
  const World world;
  struct Case {
    std::string bytes;
    int status;
    const char* reason;
  };
  const Case cases[] = {
      {"\r\n\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"hello\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP_VERSION_UNSUPPORTED"},
      {"GET /livez HTTP/1.1\r\n\r\n", 400, "HOST_MISSING"},
      {"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400, "HOST_MISSING"},
      {"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(40'000, 'x') + "\r\n\r\n", 431,
       "HEADER_TOO_LARGE"},
      {"POST /v1/targets/a/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", 413,
       "BODY_TOO_LARGE"},
      {"POST /v1/targets/a/join HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxx\r\n", 400,
       "REQUEST_MALFORMED"},
      {"POST /v1/targets/a/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       400, "REQUEST_MALFORMED"},
      {std::string("\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", 11), 400, "REQUEST_MALFORMED"},
  };
  for (const Case& c : cases) {
    Wire wire = world.wire();
    wire.send(c.bytes);
    const Answer a = wire.read();
    EXPECT_EQ(a.status, c.status) << c.bytes.substr(0, 60) << "\n" << a.head << a.body;
    EXPECT_EQ(json_field(a.body, "reason"), c.reason) << c.bytes.substr(0, 60);
    EXPECT_EQ(a.field("Connection"), "close");
    EXPECT_TRUE(wire.closed_by_peer());
  }
  EXPECT_EQ(world.ask("GET", "/livez").status, 200);
}

TEST(Server, RefusesAHugeBodyWhileItComes) {
  const World world;
  Wire wire = world.wire();
  wire.send("POST /v1/targets/a/join HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string chunk = "100000\r\n" + std::string(0x100000, ' ') + "\r\n";
  for (int i = 0; i < 9 && wire.send(chunk); ++i) {
  }
  EXPECT_EQ(json_field(wire.read().body, "reason"), "BODY_TOO_LARGE");
}

TEST(Server, TakesALargeBody) {
  const World world;
  std::string steps;
  for (int i = 0; i < 5'000; ++i) {
    steps += (i == 0 ? "" : ",") + std::string(R"({"id":")") + std::to_string(i) +
             R"(","stage":"STAGE_PRE_DEPLOY","content":")" + std::string(64, 'b') + "\"}";
  }
  const std::string body =
      R"({"request":{"incarnation":"i","sequence":"1"},"party":"eu","quorum":{"parties":2},"plan":{"steps":[)" + steps +
      "]}}";
  ASSERT_GT(body.size(), 500'000U);
  const Answer a = world.ask("POST", "/v1/targets/big/join", body, "Expect: 100-continue\r\n");
  EXPECT_EQ(a.status, 100);
  Wire wire = world.wire();
  wire.send(request("POST", "/v1/targets/big/join", body));
  const Answer b = wire.read();
  EXPECT_EQ(b.status, 200) << b.body.substr(0, 300);
  EXPECT_HAS(b.body, "\"id\":\"4999\"");
}

TEST(Server, AnswersAClientThatSaysNoMore) {
  const World world;
  Wire wire = world.wire();
  wire.send(request("GET", "/v1/targets?prefix=a"));
  wire.say_no_more();
  EXPECT_EQ(wire.read().status, 200);
  EXPECT_TRUE(wire.closed_by_peer());
}

TEST(Server, GivesUpOnSlowClients) {
  Options brief_head;
  brief_head.header_timeout = 1'000ms;  // longer than this test itself may stand still between connecting and sending
  const World heads(brief_head);
  Wire silent = heads.wire();
  Wire header = heads.wire();
  header.send("GET /livez HTTP/1.1\r\nHost: ");
  EXPECT_EQ(header.read().status, 408);
  EXPECT_TRUE(header.closed_by_peer());
  EXPECT_TRUE(silent.closed_by_peer());

  Options brief_rest;
  brief_rest.body_timeout = 100ms;
  brief_rest.idle_timeout = 100ms;
  const World rest(brief_rest);
  Wire body = rest.wire();
  body.send("POST /v1/targets/a/join HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{");
  EXPECT_EQ(json_field(body.read().body, "reason"), "REQUEST_TIMEOUT");
  Wire idle = rest.wire();
  idle.send(request("GET", "/livez"));
  EXPECT_EQ(idle.read().status, 200);
  EXPECT_TRUE(idle.closed_by_peer());
  EXPECT_TRUE(eventually([&] { return rest.metric("syzygy_http_connections") == 1; }));
}

TEST(Server, HasALimitOfConnections) {
  Options options;
  options.connections = std::make_shared<transport::Connections>(3);
  const World world(options);
  std::vector<Wire> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(world.wire());
    open.back().send(request("GET", "/livez"));
    ASSERT_EQ(open.back().read().status, 200);
  }
  Wire refused = world.wire();
  const Answer a = refused.read();
  EXPECT_EQ(a.status, 503);
  EXPECT_EQ(json_field(a.body, "reason"), "CONNECTIONS_LIMIT");
  EXPECT_TRUE(refused.closed_by_peer());
  open.pop_back();
  EXPECT_TRUE(eventually([&] { return world.ask("GET", "/livez").status == 200; })) << "a place is free again";
}

// docs/metrics.md names every family, and none that is not there.
TEST(Server, MetricsAreTheDocumentedOnes) {
  const World world;
  EXPECT_EQ(world.ask("GET", "/nowhere").status, 404);
  const Answer a = world.ask("GET", "/metrics");
  EXPECT_EQ(a.field("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
  std::set<std::string> served, written;
  std::istringstream lines(a.body);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) served.insert(line.substr(7));
  }
  std::ifstream file(SYZYGY_SOURCE_DIR "/docs/metrics.md");
  for (std::string line; std::getline(file, line);) {
    // | `name` | type | where | meaning |; the daemon's own are tested with the daemon.
    if (!line.starts_with("| `syzygy_")) continue;
    const std::size_t end = line.find('`', 3);
    const std::size_t type_begin = line.find("| ", end) + 2;
    const std::string type = line.substr(type_begin, line.find(' ', type_begin) - type_begin);
    const std::size_t where = line.find("| ", type_begin) + 2;
    if (!line.substr(where).starts_with("daemon")) written.insert(line.substr(3, end - 3) + " " + type);
  }
  EXPECT_EQ(served, written);
  EXPECT_HAS(a.body, R"(syzygy_http_requests_total{operation="none",status="404"} 1)");
  EXPECT_HAS(a.body, "syzygy_ready 1");
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 2)).status, 200);
  EXPECT_EQ(world.metric("syzygy_commit_duration_seconds_count"), world.metric("syzygy_commits_total"));
  EXPECT_GT(world.metric("syzygy_commit_duration_seconds_sum"), 0);
  EXPECT_HAS(a.body, R"(syzygy_http_request_duration_seconds_bucket{le="+Inf"})");
}

// ---- who may ----

TEST(Server, AsksForItsToken) {
  Options options;
  options.token = "s3cret-token";
  const World world(options);
  for (const Route& route : routes()) {
    std::string path(route.pattern);
    if (const std::size_t brace = path.find('{'); brace != std::string::npos) {
      path.replace(brace, path.find('}') - brace + 1, "x");
    }
    Wire wire = world.wire();
    wire.send(request(route.method, path));
    const Answer a = wire.read();
    if (route.open) {
      EXPECT_EQ(a.status, 200) << path;
      continue;
    }
    EXPECT_EQ(a.status, 401) << path;
    EXPECT_EQ(json_field(a.body, "reason"), "TOKEN_MISSING");
    EXPECT_EQ(a.field("WWW-Authenticate"), "Bearer realm=\"syzygy\"");
  }
  for (const char* wrong : {"Bearer s3cret-toke", "Bearer s3cret-token2", "Bearer", "Basic s3cret-token",
                            "s3cret-token", "Bearer S3CRET-TOKEN"}) {
    const Answer a = world.ask("GET", "/v1/targets", "", "Authorization: " + std::string(wrong) + "\r\n");
    EXPECT_EQ(a.status, 401) << wrong;
    EXPECT_FALSE(has(a.body + a.head, "s3cret")) << "no secret in an answer";
  }
  EXPECT_EQ(world.ask("GET", "/v1/targets", "", "Authorization: bearer s3cret-token\r\n").status, 200);
  const std::string text = world.ask("GET", "/metrics", "", "Authorization: Bearer s3cret-token\r\n").body;
  EXPECT_HAS(text, "syzygy_http_requests_total");
  EXPECT_FALSE(has(text, "s3cret"));
  // A large body is not even heard.
  Wire wire = world.wire();
  wire.send("POST /v1/targets/a/join HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n");
  EXPECT_EQ(wire.read().status, 401);
}

TEST(Server, OnLoopbackAnswersOnlyToLoopbackNames) {
  Options options;
  options.allowed_hosts = {"daemon.example"};
  const World world(options);
  const auto ask = [&](const std::string& host, const std::string& fields = "") {
    Wire wire = world.wire();
    wire.send("GET /v1/targets HTTP/1.1\r\nHost: " + host + "\r\n" + fields + "\r\n");
    return wire.read();
  };
  EXPECT_EQ(ask("127.0.0.1:7410").status, 200);
  EXPECT_EQ(ask("[::1]:7410").status, 200);
  EXPECT_EQ(ask("daemon.example").status, 200);
  const Answer rebound = ask("evil.example:7410");
  EXPECT_EQ(rebound.status, 421);
  EXPECT_EQ(json_field(rebound.body, "reason"), "HOST_REFUSED");
  EXPECT_EQ(ask("localhost", "Origin: http://evil.example\r\n").status, 403);
  EXPECT_EQ(ask("localhost", "Origin: http://localhost\r\n").status, 200);
}

TEST(Server, WithATokenAnyNameWillDo) {
  Options options;
  options.token = "t";
  const World world(options);
  Wire wire = world.wire();
  wire.send("GET /v1/targets HTTP/1.1\r\nHost: daemon.example\r\nAuthorization: Bearer t\r\n\r\n");
  EXPECT_EQ(wire.read().status, 200);
}

TEST(Server, SaysWhyItCannotListen) {
  const World world;
  const auto start = [&](const std::string& address) {
    Options options;
    options.address = address;
    return Server::start(*world.service, options);
  };
  const auto taken = start("127.0.0.1:" + std::to_string(world.server->port()));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().reason, "ADDRESS_IN_USE");
  EXPECT_EQ(start("nonsense").error().reason, "ADDRESS_INVALID");
  EXPECT_EQ(start("no-such-host.invalid:80").error().reason, "ADDRESS_INVALID");
  EXPECT_EQ(start("192.0.2.1:0").error().reason, "LISTEN_FAILED");
  const auto v6 = start("[::1]:0");
  if (v6) EXPECT_NE((*v6)->port(), 0);
}

// ---- waiting ----

TEST(BlockingQuery, IsAnsweredByTheNextChange) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  const Answer now = world.ask("GET", "/v1/targets/a?wait=60s");
  EXPECT_EQ(now.status, 200) << "a first look does not wait";
  const std::string revision = json_field(now.body, "revision");
  const std::string epoch = json_field(now.body, "epoch");
  Wire wire = world.wire();
  wire.send(request("GET", "/v1/targets/a?wait=60s&revision=" + revision + "&epoch=" + epoch));
  ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 1; }));
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("us", "i2", 3)).status, 200);
  const Answer moved = wire.read();
  EXPECT_EQ(moved.status, 200);
  EXPECT_HAS(moved.body, "\"party\":\"us\"");
  EXPECT_NE(json_field(moved.body, "revision"), revision);
  EXPECT_EQ(world.metric("syzygy_http_parked_requests"), 0);
}

TEST(BlockingQuery, EndsWithTheStateAsItIs) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  const std::string revision = json_field(world.ask("GET", "/v1/targets/a").body, "revision");
  const Answer same = world.ask("GET", "/v1/targets/a?wait=50ms&revision=" + revision);
  EXPECT_EQ(same.status, 200);
  EXPECT_EQ(json_field(same.body, "revision"), revision);
  const Answer other = world.ask("GET", "/v1/targets/a?wait=60s&epoch=another&revision=" + revision);
  EXPECT_EQ(other.status, 200) << "another epoch is answered at once";
}

TEST(BlockingQuery, APeerThatGoesFreesItAtOnce) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  const std::string revision = json_field(world.ask("GET", "/v1/targets/a").body, "revision");
  for (const bool rude : {false, true}) {
    std::vector<Wire> waiting;
    for (int i = 0; i < 10; ++i) {
      waiting.push_back(world.wire());
      waiting.back().send(i % 2 == 0
                              ? request("GET", "/v1/targets/a?wait=600s&revision=" + revision)
                              : request("POST", "/v1/barriers/b/enter?wait=600s",
                                        R"({"quorum":200,"party":"p)" + std::to_string(i) + R"(","incarnation":")" +
                                            (rude ? "r" : "c") + std::to_string(i) + R"("})"));
    }
    ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 10; }));
    for (Wire& w : waiting) {
      if (rude) {
        w.reset();
      } else {
        w.close();
      }
    }
    EXPECT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 0; }));
    EXPECT_TRUE(eventually([&] { return world.metric("syzygy_waiters") == 0; })) << "the engine has forgotten them too";
  }
}

// ---- streams ----

TEST(Stream, TellsTheStateThenEachChange) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  Wire wire = world.wire();
  wire.send(request("GET", "/v1/targets/a/watch"));
  const Answer head = wire.read(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.field("Content-Type"), "text/event-stream");
  EXPECT_EQ(head.field("Cache-Control"), "no-store");
  Events events(wire);
  const auto first = events.next_data();
  ASSERT_TRUE(first);
  EXPECT_HAS(*first, "\"party\":\"eu\"");
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("us", "i2", 3)).status, 200);
  const auto second = events.next_data();
  ASSERT_TRUE(second);
  EXPECT_HAS(*second, "EVENT_KIND_PARTY_JOINED");
  EXPECT_HAS(*second, "\"party\":\"us\"");

  // Comes back, and is told what it missed.
  const std::string id = second->substr(4, second->find('\n') - 4);
  wire.close();
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("ap", "i3", 4)).status / 100, 4);
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/leave", R"({"request":{"incarnation":"i2","sequence":"2"}})").status, 200);
  Wire again = world.wire();
  again.send(request("GET", "/v1/targets/a/watch", "", "Last-Event-ID: " + id + "\r\n"));
  again.read(true);
  Events resumed(again);
  const auto missed = resumed.next_data();
  ASSERT_TRUE(missed);
  EXPECT_HAS(*missed, "EVENT_KIND_PARTY_LEFT");
  EXPECT_FALSE(has(*missed, "EVENT_KIND_PARTY_JOINED")) << "that was heard before";
  EXPECT_FALSE(has(*missed, "\"gap\":true"));

  // From another life of the store: the state is whole, and the gap is said.
  Wire elsewhere = world.wire();
  elsewhere.send(request("GET", "/v1/targets/a/watch", "", "Last-Event-ID: 0123-1\r\n"));
  elsewhere.read(true);
  Events gap(elsewhere);
  EXPECT_HAS(gap.next_data().value_or(""), "\"gap\":true");
  EXPECT_EQ(json_field(world.ask("GET", "/v1/targets/a/watch", "", "Last-Event-ID: x\r\n").body, "reason"),
            "EVENT_ID_INVALID");
}

TEST(Stream, OfATargetThatNobodyNamedYetBeginsWithItsFirstCommit) {
  const World world;
  Wire wire = world.wire();
  wire.send(request("GET", "/v1/targets/new/watch"));
  EXPECT_EQ(wire.read(true).status, 200);
  Events events(wire);
  EXPECT_EQ(events.next(), "retry: 2000");
  ASSERT_EQ(world.ask("POST", "/v1/targets/new/join", join_body("eu", "i", 3)).status, 200);
  // With its events, or, where the watch came to the lane together with the join, as the present state.
  EXPECT_HAS(events.next_data().value_or(""), "ROUND_STATE_GATHERING");
}

TEST(Stream, OfAllTargetsTellsSummaries) {
  const World world;
  Wire wire = world.wire();
  wire.send(request("GET", "/v1/watch?prefix=prod-"));
  EXPECT_EQ(wire.read(true).status, 200);
  Events events(wire);
  EXPECT_EQ(events.next(), "retry: 2000");
  ASSERT_EQ(world.ask("POST", "/v1/targets/test-a/join", join_body("eu", "i", 3)).status, 200);
  ASSERT_EQ(world.ask("POST", "/v1/targets/prod-a/join", join_body("eu", "i", 3)).status, 200);
  const std::string told = events.next_data().value_or("");
  EXPECT_HAS(told, "\"name\":\"prod-a\"");
  EXPECT_HAS(told, "\"needed\":3");
}

TEST(Stream, SaysThatItIsAlive) {
  Options options;
  options.keep_alive = 20ms;
  const World world(options);
  Wire wire = world.wire();
  wire.send(request("GET", "/v1/watch"));
  wire.read(true);
  Events events(wire);
  EXPECT_EQ(events.next(), "retry: 2000");
  EXPECT_EQ(events.next(), ": keep-alive");
  EXPECT_EQ(events.next(), ": keep-alive");
  Wire old = world.wire();
  old.send("GET /v1/watch HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read(true).field("Connection"), "close");
  EXPECT_TRUE(old.read_until("retry: 2000\n\n: keep-alive\n\n")) << old.input();
}

TEST(Stream, EndsWithItsPeer) {
  const World world;
  std::vector<Wire> streams;
  for (int i = 0; i < 10; ++i) {
    streams.push_back(world.wire());
    streams.back().send(request("GET", i % 2 == 0 ? "/v1/targets/a/watch" : "/v1/watch"));
    streams.back().read(true);
  }
  EXPECT_TRUE(eventually([&] { return world.metric("syzygy_waiters") == 10; }));
  streams.clear();
  EXPECT_TRUE(
      eventually([&] { return world.metric("syzygy_http_streams") == 0 && world.metric("syzygy_waiters") == 0; }));
}

// A join whose plan makes every update of its target 400 kB: a few fill all buffers between server and reader.
std::string large_join(int i) {
  static const std::string kSteps = [] {
    std::string steps;
    for (int k = 0; k < 3'000; ++k) {
      steps += (k == 0 ? "" : ",") + std::string(R"({"id":")") + std::to_string(k) +
               R"(","stage":"STAGE_PRE_DEPLOY","content":")" + std::string(64, 'b') + "\"}";
    }
    return steps;
  }();
  const std::string n = std::to_string(i);
  return R"({"request":{"incarnation":"i)" + n + R"(","sequence":"1"},"party":"p)" + n +
         R"(","quorum":{"parties":900},"plan":{"steps":[)" + kSteps + "]}}";
}

// Of an event's line "id: EPOCH-REVISION".
std::uint64_t revision_of(const std::string& event) {
  const std::string id = event.substr(0, event.find('\n'));
  return std::stoull(id.substr(id.rfind('-') + 1));
}

TEST(Stream, SlowReaderGetsTheNewestState) {
  const World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", large_join(0)).status, 200);
  Wire slow = world.wire();
  slow.send(request("GET", "/v1/targets/a/watch"));
  for (int joined = 1; joined < 16; ++joined) {
    EXPECT_EQ(world.ask("POST", "/v1/targets/a/join", large_join(joined)).status, 200);
  }
  // From here on nothing goes out any more, and what piles up need not take long to make.
  round::SetTarget excuse;
  excuse.request.incarnation = IncarnationId{"operator"};
  excuse.actor = "ann";
  excuse.reason = "there are many";
  excuse.excuse_for = 3'600s;
  ASSERT_TRUE(eventually([&] {
    excuse.excuse = PartyName{"excused-" + std::to_string(++excuse.request.sequence)};
    std::promise<bool> done;
    world.engine->submit(TargetName{"a"}, excuse, [&](const auto& answer) { done.set_value(answer.has_value()); });
    EXPECT_TRUE(done.get_future().get());
    return world.metric("syzygy_http_stream_gaps_total") >= 1;
  }));
  const std::string revision = json_field(world.ask("GET", "/v1/targets/a").body, "revision");
  slow.read(true);
  Events events(slow);
  bool gap = false;
  while (const auto event = events.next_data()) {
    gap = gap || has(*event, "\"gap\":true");
    if (revision_of(*event) >= std::stoull(revision)) break;
  }
  EXPECT_TRUE(gap);
}

TEST(Stream, DeadReaderIsLetGo) {
  Options options;
  options.write_timeout = 500ms;
  const World world(options);
  Wire dead = world.wire();
  dead.send(request("GET", "/v1/targets/a/watch"));
  int joined = 0;
  ASSERT_TRUE(eventually([&] {
    EXPECT_EQ(world.ask("POST", "/v1/targets/a/join", large_join(joined++)).status, 200);
    return world.metric("syzygy_http_slow_readers_total") >= 1 && world.metric("syzygy_http_streams") == 0;
  }));
}

// ---- many ----

TEST(Many, ParkedRequestsAreReleasedTogether) {
  World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  const std::string revision = json_field(world.ask("GET", "/v1/targets/a").body, "revision");
  constexpr int kMany = 2'000;
  std::vector<Wire> waiting;
  for (int i = 0; i < kMany; ++i) {
    waiting.push_back(world.wire());
    ASSERT_TRUE(waiting.back().connected());
    ASSERT_TRUE(waiting.back().send(request("GET", "/v1/targets/a?wait=600s&revision=" + revision)));
  }
  ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == kMany; }));
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("us", "i2", 3)).status, 200);
  std::set<std::string> bodies;
  for (Wire& w : waiting) bodies.insert(w.read().body);
  ASSERT_EQ(bodies.size(), 1U) << "all are told the same";
  EXPECT_HAS(*bodies.begin(), "\"party\":\"us\"");
}

// ---- stopping ----

TEST(Stop, TellsThoseWhoWaitToAskElsewhere) {
  World world;
  ASSERT_EQ(world.ask("POST", "/v1/targets/a/join", join_body("eu", "i", 3)).status, 200);
  const std::string revision = json_field(world.ask("GET", "/v1/targets/a").body, "revision");
  Wire parked = world.wire();
  parked.send(request("GET", "/v1/targets/a?wait=600s&revision=" + revision));
  Wire barrier = world.wire();
  barrier.send(request("POST", "/v1/barriers/b/enter?wait=600s", R"({"quorum":2,"party":"p","incarnation":"i"})"));
  Wire stream = world.wire();
  stream.send(request("GET", "/v1/targets/a/watch"));
  stream.read(true);
  Wire idle = world.wire();
  idle.send(request("GET", "/livez"));
  idle.read();
  ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 2; }));
  world.server->stop(Duration{10'000});
  for (Wire* w : {&parked, &barrier}) {
    const Answer a = w->read();
    EXPECT_EQ(a.status, 503);
    EXPECT_EQ(json_field(a.body, "reason"), "SHUTTING_DOWN");
    EXPECT_EQ(a.field("Retry-After"), "1");
    EXPECT_EQ(a.field("Connection"), "close");
  }
  Events events(stream);
  while (events.next()) {
  }
  EXPECT_TRUE(events.ended_well());
  EXPECT_TRUE(idle.closed_by_peer());
  EXPECT_FALSE(Wire(world.server->port()).connected());
  EXPECT_EQ(world.engine->stats().waiters, 0U);
}

TEST(Stop, LateAnswersFindNobody) {
  World world;
  Wire barrier = world.wire();
  barrier.send(request("POST", "/v1/barriers/b/enter?wait=600s", R"({"quorum":2,"party":"p","incarnation":"i"})"));
  ASSERT_TRUE(eventually([&] { return world.metric("syzygy_http_parked_requests") == 1; }));
  world.server.reset();
  world.engine->stop();  // answers what still waits, if anything does
}

}  // namespace
}  // namespace syzygy::http
