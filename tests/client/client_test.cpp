// Calls and the probe: several endpoints, TLS, tokens, errors, and everything that may sit at a wrong address.
#include "client/cpp/client.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "certificates.h"
#include "client/cpp/backoff.h"
#include "client/cpp/probe.h"
#include "ports.h"
#include "scripted_daemon.h"
#include "tests/support/slowness.h"

namespace syzygy {
namespace {

using std::chrono::milliseconds;
using test::slowness;

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "syzygy-client-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ / name, std::ios::binary) << content;
    return (path_ / name).string();
  }
  [[nodiscard]] std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

ClientOptions quick(std::vector<Endpoint> endpoints) {
  ClientOptions options;
  options.endpoints = std::move(endpoints);
  options.connect_timeout = milliseconds(15'000) * slowness();
  options.attempt_timeout = milliseconds(10'000) * slowness();
  options.backoff_first = milliseconds(5);
  options.backoff_max = milliseconds(50);
  return options;
}

Bound soon(const StopSource* stop = nullptr) { return {BootClock::now() + milliseconds(20'000) * slowness(), stop}; }

v1::RenewRequest renewal() {
  v1::RenewRequest request;
  request.set_target("orders");
  request.set_incarnation("me");
  return request;
}

TEST(Calls, AreAnsweredAndSayByWhom) {
  ScriptedDaemon daemon;
  const auto client = Client::open(quick({daemon.endpoint()})).value();
  EXPECT_EQ(client->answered_by(), "");
  ASSERT_TRUE(client->renew(renewal(), soon()));
  EXPECT_EQ(client->answered_by(), daemon.endpoint().text());
  EXPECT_TRUE(daemon.eventually([&] { return daemon.renewals.size() == 1; }));
}

TEST(Calls, RichErrorsAreDecoded) {
  ScriptedDaemon daemon;
  daemon.on_renew = [](auto&, auto&, auto&) {
    return rich_error(grpc::StatusCode::RESOURCE_EXHAUSTED, "WAITERS_MAX", "too many wait", milliseconds(1'500));
  };
  const auto client = Client::open(quick({daemon.endpoint()})).value();
  const auto answer = client->renew(renewal(), soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kResourceExhausted);
  EXPECT_EQ(answer.error().reason, "WAITERS_MAX");
  EXPECT_EQ(answer.error().message, "too many wait");
  EXPECT_EQ(answer.error().metadata.at("thing"), "orders");
  EXPECT_EQ(answer.error().retry_after, milliseconds(1'500));
  EXPECT_EQ(daemon.renewals.size(), 1u) << "a definite answer is not asked for again";
}

TEST(Calls, DetailsThatAreNonsenseDoNoHarm) {
  ScriptedDaemon daemon;
  rpc::Status rich;
  auto* detail = rich.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail->set_value("\xff\xff\xff");
  detail = rich.add_details();
  rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(INT64_MAX);
  detail->set_type_url("type.googleapis.com/google.rpc.RetryInfo");
  detail->set_value(retry.SerializeAsString());
  for (const std::string& details : {rich.SerializeAsString(), std::string("\x0a\xff\xff\xff\xff"), std::string()}) {
    daemon.on_renew = [details](auto&, auto&, auto&) {
      return grpc::Status(grpc::StatusCode::NOT_FOUND, "line\nbreak", details);
    };
    const auto client = Client::open(quick({daemon.endpoint()})).value();
    const auto answer = client->renew(renewal(), soon());
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ErrorCode::kNotFound);
    EXPECT_FALSE(answer.error().retry_after);
    EXPECT_EQ(answer.error().message.find('\n'), std::string::npos);
  }
}

TEST(Calls, AServiceThatIsNotOursIsNamed) {
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  v1::Barrier::Service only_barriers;
  builder.RegisterService(&only_barriers);
  const auto server = builder.BuildAndStart();
  const auto client = Client::open(quick({{"127.0.0.1", static_cast<std::uint16_t>(port)}})).value();
  const auto answer = client->renew(renewal(), soon());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "NOT_SYZYGY");
  server->Shutdown(std::chrono::system_clock::now());
}

TEST(Calls, TheBoundHoldsAfterContactWasLost) {
  ScriptedDaemon daemon;
  const auto client = Client::open(quick({daemon.endpoint()})).value();
  ASSERT_TRUE(client->renew(renewal(), soon()));
  daemon.stop();
  const auto answer = client->renew(renewal(), Bound{BootClock::now() + milliseconds(200), nullptr});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "DAEMON_UNREACHABLE");
  EXPECT_NE(answer.error().message.find(daemon.endpoint().text()), std::string::npos) << answer.error().message;
}

TEST(Calls, OneThatIsNotAnsweredIsAskedAgain) {
  ScriptedDaemon daemon;
  auto& asked = daemon.keep<std::atomic<int>>(0);
  daemon.on_renew = [&](auto& context, auto&, auto&) {
    return ++asked == 1 ? daemon.never(context) : grpc::Status::OK;
  };
  auto options = quick({daemon.endpoint()});
  options.attempt_timeout = milliseconds(200);
  options.connect_timeout = milliseconds(60'000);
  const auto answer = Client::open(options).value()->renew(renewal(), soon());
  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_GE(asked, 2);
}

TEST(Calls, AStopEndsThemAtOnce) {
  ScriptedDaemon daemon;
  daemon.on_renew = [&](auto& context, auto&, auto&) { return daemon.never(context); };
  auto options = quick({daemon.endpoint()});
  options.attempt_timeout = milliseconds(60'000);
  options.connect_timeout = milliseconds(60'000);
  const auto client = Client::open(options).value();
  StopSource stop;
  std::thread asks([&] {
    EXPECT_TRUE(daemon.eventually([&] { return !daemon.renewals.empty(); }));
    stop.request(2);
  });
  const auto began = BootClock::now();
  const auto answer = client->renew(renewal(), Bound{BootTime::max(), &stop});
  asks.join();
  EXPECT_LT(BootClock::now() - began, milliseconds(30'000)) << "it waited for the attempt's own end";
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().reason, "STOPPED");
}

TEST(Calls, GoOnAtTheNextEndpointAndStayThere) {
  const DeafPort refusing;
  RudePort web("HTTP/1.1 400 Bad Request\r\n\r\n");
  ScriptedDaemon daemon;
  const auto client = Client::open(quick({refusing.endpoint(), web.endpoint(), daemon.endpoint()})).value();
  ASSERT_TRUE(client->renew(renewal(), soon()));
  EXPECT_EQ(client->answered_by(), daemon.endpoint().text());
  ASSERT_TRUE(client->renew(renewal(), soon()));
}

TEST(Watch, ResumesFromWhatItDeliveredLast) {
  ScriptedDaemon daemon;
  const auto client = Client::open(quick({daemon.endpoint()})).value();
  std::vector<std::uint64_t> revisions;
  std::vector<std::uint64_t> events;
  std::atomic<int> delivered{0};
  int lost = 0;
  int found = 0;
  v1::WatchTargetRequest from;
  from.set_target("orders");
  std::thread meanwhile([&] {
    while (delivered == 0) std::this_thread::yield();
    daemon.move([](auto&) {});
    daemon.stop();
    daemon.move([](auto&) {});
    daemon.start();
    EXPECT_TRUE(daemon.eventually([&] { return daemon.watches.size() >= 2; }));
    daemon.repeat();
    daemon.move([](auto& t) { t.set_frozen(true); });
  });
  const auto ended = client->watch_target(
      from,
      [&](const v1::WatchTargetResponse& news) {
        revisions.push_back(news.target().revision());
        ++delivered;
        for (const auto& event : news.events()) events.push_back(event.revision());
        return !news.target().frozen();
      },
      soon(), [&](const Error* why) { ++(why != nullptr ? lost : found); });
  meanwhile.join();
  ASSERT_TRUE(ended) << ended.error().message;
  EXPECT_TRUE(std::ranges::is_sorted(revisions, std::less_equal<>())) << "one was told twice";
  EXPECT_TRUE(std::ranges::is_sorted(events, std::less_equal<>()));
  EXPECT_EQ(revisions.back(), 4u);
  EXPECT_EQ(found, lost + 1);
  EXPECT_GT(daemon.watches.back().revision(), 0u);
  EXPECT_EQ(daemon.watches.back().epoch(), "e1");
}

TEST(Watch, EndsWithItsBoundAndOnAStop) {
  ScriptedDaemon daemon;
  const auto client = Client::open(quick({daemon.endpoint()})).value();
  const auto all = [](const v1::WatchTargetResponse&) { return true; };
  auto ended = client->watch_target({}, all, Bound{BootClock::now() + milliseconds(100), nullptr});
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "WATCH_OVER");
  StopSource stop;
  ended = client->watch_target(
      {},
      [&](const v1::WatchTargetResponse&) {
        stop.request(15);
        return true;
      },
      soon(&stop));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "STOPPED");
}

TEST(Watch, ADefiniteAnswerEndsIt) {
  ScriptedDaemon daemon;
  daemon.on_watch = [](auto&, auto&, auto&) {
    return rich_error(grpc::StatusCode::NOT_FOUND, "TARGET_UNKNOWN", "no such target");
  };
  const auto client = Client::open(quick({daemon.endpoint()})).value();
  const auto ended = client->watch_target({}, [](const auto&) { return true; }, soon());
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().reason, "TARGET_UNKNOWN");
}

TEST(Tokens, AreSentAndReadAgainWhenTheyChanged) {
  Folder folder;
  ScriptedDaemon daemon;
  auto options = quick({daemon.endpoint()});
  options.token_file = folder.write("token", "first\n");
  const auto client = Client::open(options).value();
  ASSERT_TRUE(client->renew(renewal(), soon()));
  EXPECT_EQ(daemon.authorizations.back(), "Bearer first");
  daemon.on_renew = [&](auto& context, auto&, auto&) {
    const auto sent = context.client_metadata().find("authorization");
    if (sent->second == "Bearer second") return grpc::Status::OK;
    return rich_error(grpc::StatusCode::UNAUTHENTICATED, "TOKEN_INVALID", "the bearer token is not valid");
  };
  auto refused = client->renew(renewal(), soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnauthenticated);
  folder.write("token", "second\n");
  EXPECT_TRUE(client->renew(renewal(), soon()));
}

TEST(Tokens, DoNotTravelUnencryptedUnlessTold) {
  Folder folder;
  auto options = quick({{"127.0.0.1", 7411}, {"syzygy.example", 7411}});
  options.token_file = folder.write("token", "secret-word");
  const auto refused = Client::open(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "TOKEN_OVER_PLAINTEXT");
  EXPECT_NE(refused.error().message.find("syzygy.example:7411"), std::string::npos);
  EXPECT_EQ(refused.error().message.find("secret-word"), std::string::npos);
  options.insecure_token = true;
  EXPECT_TRUE(Client::open(options));
}

TEST(Files, WhatIsWrongWithThemIsSaid) {
  Folder folder;
  const auto reason_of = [](const ClientOptions& options) {
    const auto opened = Client::open(options);
    return opened ? std::string("none") : opened.error().reason + ": " + opened.error().message;
  };
  for (const auto& [content, says] : std::vector<std::pair<std::string, std::string>>{
           {"", "is empty"},
           {" \n\n", "is empty"},
           {"two\nlines", "line breaks"},
           {"caf\xc3\xa9", "not ASCII"},
           {std::string("a\0b", 3), "not ASCII"},
           {std::string(9'000, 'x'), "larger than 8 KiB"},
       }) {
    auto options = quick({{"127.0.0.1", 1}});
    options.token_file = folder.write("token", content);
    const auto said = reason_of(options);
    EXPECT_TRUE(said.starts_with("TOKEN_FILE") && said.find(says) != std::string::npos) << said;
    if (content.size() > 2) {
      EXPECT_EQ(said.find(content), std::string::npos) << "it repeats the token";
    }
  }
  auto options = quick({{"127.0.0.1", 1}});
  for (const auto& path : {folder.path("missing"), std::filesystem::temp_directory_path().string()}) {
    options.token_file = path;
    const auto said = reason_of(options);
    EXPECT_TRUE(said.starts_with("TOKEN_FILE") && said.find(path) != std::string::npos) << said;
  }
  options.token_file.clear();
  options.tls = true;
  for (const auto& path : {folder.path("missing"), folder.write("ca", "not a certificate"), folder.write("none", "")}) {
    options.ca_file = path;
    const auto said = reason_of(options);
    EXPECT_TRUE(said.starts_with("CA_FILE") && said.find(path) != std::string::npos) << said;
  }
  EXPECT_TRUE(reason_of(quick({})).starts_with("ENDPOINT_INVALID"));
}

class TlsTest : public ::testing::Test {
 protected:
  static std::shared_ptr<grpc::ServerCredentials> credentials(const TestCa& issuer, const std::string& names) {
    const auto issued = issuer.issue(names);
    grpc::SslServerCredentialsOptions options;
    options.pem_key_cert_pairs.push_back({issued.key, issued.certificate});
    return grpc::SslServerCredentials(options);
  }
  ClientOptions with_tls(const Endpoint& endpoint, const std::string& trusted) {
    auto options = quick({endpoint});
    options.tls = true;
    options.ca_file = folder.write("ca.pem", trusted);
    return options;
  }
  static Error error_of(const ClientOptions& options) {
    const auto began = BootClock::now();
    const auto answer = Client::open(options).value()->renew(renewal(), soon());
    EXPECT_FALSE(answer);
    EXPECT_LT(BootClock::now() - began, options.connect_timeout) << "what no waiting heals is said at once";
    return answer ? Error{} : answer.error();
  }

  Folder folder;
  TestCa ca;
};

TEST_F(TlsTest, ACallGoesThrough) {
  ScriptedDaemon daemon(credentials(ca, "IP:127.0.0.1"));
  const auto options = with_tls(daemon.endpoint(), ca.pem());
  const auto answer = Client::open(options).value()->renew(renewal(), soon());
  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(probe(daemon.endpoint(), options, milliseconds(15'000) * slowness()).answer, Answer::kHttp2);
}

TEST_F(TlsTest, ANameGivenByHand) {
  ScriptedDaemon daemon(credentials(ca, "DNS:syzygy.internal"));
  auto options = with_tls(daemon.endpoint(), ca.pem());
  EXPECT_EQ(error_of(options).reason, "TLS_REFUSED");
  const Probe seen = probe(daemon.endpoint(), options, milliseconds(15'000) * slowness());
  EXPECT_EQ(seen.answer, Answer::kWrongName) << seen.said;
  options.server_name = "syzygy.internal";
  EXPECT_TRUE(Client::open(options).value()->renew(renewal(), soon()));
  EXPECT_EQ(probe(daemon.endpoint(), options, milliseconds(15'000) * slowness()).answer, Answer::kHttp2);
}

TEST_F(TlsTest, AnotherCa) {
  ScriptedDaemon daemon(credentials(ca, "IP:127.0.0.1"));
  const auto options = with_tls(daemon.endpoint(), TestCa().pem());
  const Error error = error_of(options);
  EXPECT_EQ(error.reason, "TLS_REFUSED");
  EXPECT_NE(error.message.find("--ca-file"), std::string::npos) << error.message;
  EXPECT_EQ(probe(daemon.endpoint(), options, milliseconds(15'000) * slowness()).answer, Answer::kUntrusted);
}

TEST_F(TlsTest, OnlyTheServerSpeaksIt) {
  ScriptedDaemon daemon(credentials(ca, "IP:127.0.0.1"));
  const auto options = quick({daemon.endpoint()});
  EXPECT_EQ(error_of(options).reason, "TLS_MISMATCH");
  EXPECT_EQ(probe(daemon.endpoint(), options, milliseconds(15'000) * slowness()).answer, Answer::kWantsTls);
}

TEST_F(TlsTest, OnlyTheClientSpeaksIt) {
  ScriptedDaemon daemon;
  const auto options = with_tls(daemon.endpoint(), ca.pem());
  EXPECT_EQ(error_of(options).reason, "TLS_MISMATCH");
  const Probe seen = probe(daemon.endpoint(), options, milliseconds(15'000) * slowness());
  EXPECT_EQ(seen.answer, Answer::kNoTls) << seen.said;
}

TEST(ProbeTest, WhateverAnswers) {
  const auto look = [](const Endpoint& endpoint, milliseconds timeout = milliseconds(15'000) * slowness()) {
    const Probe seen = probe(endpoint, quick({endpoint}), timeout);
    EXPECT_TRUE(seen.said.starts_with(endpoint.text() + ": ")) << seen.said;
    return seen.answer;
  };
  ScriptedDaemon daemon;
  EXPECT_EQ(look(daemon.endpoint()), Answer::kHttp2);
  const DeafPort refusing;
  EXPECT_EQ(look(refusing.endpoint()), Answer::kRefused);
  const DeafPort silent;
  silent.listen();
  EXPECT_EQ(look(silent.endpoint(), milliseconds(200)), Answer::kTimedOut);
  EXPECT_EQ(look(RudePort("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").endpoint()), Answer::kHttp1);
  EXPECT_EQ(look(RudePort("").endpoint()), Answer::kClosed);
  EXPECT_EQ(look(RudePort("SSH-2.0-OpenSSH_9.2\r\n").endpoint()), Answer::kOther);
  EXPECT_EQ(look(RudePort("hi").endpoint()), Answer::kOther);
  EXPECT_EQ(look(RudePort("\x15\x03\x03\x00\x02\x02\x32").endpoint()), Answer::kWantsTls);
  EXPECT_EQ(look({"no-such-host.invalid", 7411}), Answer::kUnresolved);
}

TEST(BackoffTest, DoublesWithinItsJitterAndStaysBounded) {
  Backoff low(milliseconds(100), milliseconds(400));
  Backoff high(milliseconds(100), milliseconds(400));
  const std::vector<std::pair<int, int>> table{{50, 99}, {100, 199}, {200, 399}, {200, 399}};
  for (const auto& [least, most] : table) {
    EXPECT_EQ(low.pause(0.0), milliseconds(least));
    EXPECT_EQ(high.pause(0.9999), milliseconds(most));
  }
  low.reset();
  EXPECT_EQ(low.pause(0.0), milliseconds(50));
  EXPECT_EQ(low.pause(0.0, milliseconds(5'000)), milliseconds(5'000)) << "the daemon's wish is a floor";
}

TEST(Incarnations, AreRandom) {
  EXPECT_EQ(random_incarnation().value.size(), 32u);
  EXPECT_NE(random_incarnation(), random_incarnation());
  EXPECT_EQ(fresh_request().sequence(), 1u);
}

}  // namespace
}  // namespace syzygy
