// Requests out of bytes, in one piece, byte by byte, and broken.
#include "transport/http/parser.h"

#include <gtest/gtest.h>

#include <random>

namespace syzygy::http {
namespace {

struct Read {
  Parser::Progress end = Parser::Progress::kMore;
  std::string method, target, body, rest;
  Problem problem;
};

// Feeds `bytes` in pieces of at most `piece`, as a connection does.
Read read(std::string_view bytes, std::size_t piece, std::size_t body_max = 1'000) {
  Parser parser(body_max);
  Read out;
  std::string pending;
  while (true) {
    std::size_t used = 0;
    out.end = parser.put(pending, used);
    pending.erase(0, used);
    if (out.end == Parser::Progress::kMore) {
      if (bytes.empty()) break;
      pending += bytes.substr(0, piece);
      bytes.remove_prefix(std::min(piece, bytes.size()));
    } else if (out.end != Parser::Progress::kHead) {
      break;
    }
  }
  if (out.end == Parser::Progress::kBad) {
    out.problem = parser.problem();
  } else {
    out.method = parser.head().method;
    out.target = parser.head().target;
    out.body = parser.body();
  }
  out.rest = pending + std::string(bytes);
  return out;
}

TEST(Parser, ReadsTheSameInAnyPieces) {
  const std::string plain = "POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\n";
  const std::string chunked =
      "POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nTrailer: "
      "t\r\n\r\n"
      "GET / HTTP/1.1\r\n";
  for (const std::string& text : {plain, chunked}) {
    for (std::size_t piece = 1; piece <= text.size(); ++piece) {
      const Read r = read(text, piece);
      ASSERT_EQ(r.end, Parser::Progress::kDone) << piece << ": " << r.problem.detail;
      EXPECT_EQ(r.method, "POST");
      EXPECT_EQ(r.target, "/a?b");
      EXPECT_EQ(r.body, "hello");
      EXPECT_EQ(r.rest, "GET / HTTP/1.1\r\n");
    }
  }
}

TEST(Parser, KeepsTheFieldsThatAreRead) {
  Parser parser(10);
  std::size_t used = 0;
  ASSERT_EQ(parser.put(
                "GET / HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer t\r\nidempotency-key: k\r\nLast-Event-Id: e-1\r\n"
                "Origin: http://h:1\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
                used),
            Parser::Progress::kHead);
  EXPECT_EQ(parser.head().host, "h:1");
  EXPECT_EQ(parser.head().hosts, 1U);
  EXPECT_EQ(parser.head().authorization, "Bearer t");
  EXPECT_EQ(parser.head().idempotency_key, "k");
  EXPECT_EQ(parser.head().last_event_id, "e-1");
  EXPECT_EQ(parser.head().origin, "http://h:1");
  EXPECT_EQ(parser.head().content_type, "application/json");
  EXPECT_FALSE(parser.head().keep_alive);
  EXPECT_FALSE(parser.head().has_body);
}

TEST(Parser, SaysWhatIsWrong) {
  struct Case {
    std::string bytes;
    int status;
    const char* reason;
  };
  const Case cases[] = {
      {"\r\n\r\n\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {std::string("\0\0\0\0\0\0", 6), 400, "REQUEST_MALFORMED"},
      {"GET  / HTTP/1.1\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"GET / HTTP/2.0\r\n\r\n", 505, "HTTP_VERSION_UNSUPPORTED"},
      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP_VERSION_UNSUPPORTED"},
      {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413, "BODY_TOO_LARGE"},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400,
       "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400,
       "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabXX5\r\n\r\n", 400, "REQUEST_MALFORMED"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n", 413, "BODY_TOO_LARGE"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n", 413, "BODY_TOO_LARGE"},
      {"GET / HTTP/1.1\r\nHost: x\r\nA: " + std::string(20'000, 'a'), 431, "HEADER_TOO_LARGE"},
      {"GET /" + std::string(20'000, 'a'), 431, "HEADER_TOO_LARGE"},
      {"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(70'000, 'a'), 431,
       "HEADER_TOO_LARGE"},
  };
  for (const Case& c : cases) {
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, c.bytes.size()}) {
      if (piece == 1 && c.bytes.size() > 1'000) continue;
      const Read r = read(c.bytes, piece);
      ASSERT_EQ(r.end, Parser::Progress::kBad) << c.bytes.substr(0, 80) << " in pieces of " << piece;
      EXPECT_EQ(r.problem.status, c.status) << c.bytes.substr(0, 80) << ": " << r.problem.detail;
      EXPECT_EQ(r.problem.reason, c.reason) << c.bytes.substr(0, 80);
    }
  }
}

TEST(Parser, TotalOfChunksIsLimited) {
  std::string text = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 11; ++i) text += "64\r\n" + std::string(100, 'a') + "\r\n";
  EXPECT_EQ(read(text + "0\r\n\r\n", 50).problem.reason, "BODY_TOO_LARGE");
}

TEST(Parser, SurvivesNoise) {
  const std::string seed_text =
      "POST /v1/targets/a/join?x=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
  std::mt19937 random(7);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = seed_text;
    for (int k = 0; k < 3; ++k) text[random() % text.size()] = static_cast<char>(random());
    (void)read(text, 1 + random() % text.size());  // ends, under the sanitizers too
  }
}

}  // namespace
}  // namespace syzygy::http
