// Bytes that are no gRPC, too many connections, silence: the port must go on serving everybody else.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <vector>

#include "grpc_world.h"
#include "transport/grpc/listener.h"

namespace syzygy::transport {
namespace {

// A TCP connection by hand.
class Raw {
 public:
  explicit Raw(std::uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Raw() { close(socket_); }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  void send(const std::string& bytes) const { (void)::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  // Reads until the other side closes; false when it does not within `timeout`.
  [[nodiscard]] bool closed_within(std::chrono::milliseconds timeout) const {
    const auto until = std::chrono::steady_clock::now() + timeout;
    char buffer[4'096];
    while (std::chrono::steady_clock::now() < until) {
      pollfd waiting{.fd = socket_, .events = POLLIN, .revents = 0};
      if (poll(&waiting, 1, 50) <= 0) continue;
      if (recv(socket_, buffer, sizeof(buffer), MSG_DONTWAIT) <= 0) return true;
    }
    return false;
  }
  [[nodiscard]] bool connected() const { return connected_; }
  // Says that nothing more comes, and waits until the other side's kernel has heard it.
  [[nodiscard]] bool hang_up() const {
    shutdown(socket_, SHUT_WR);
    return eventually([&] {
      tcp_info info{};
      socklen_t size = sizeof(info);
      return getsockopt(socket_, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_FIN_WAIT2;
    });
  }

 private:
  int socket_;
  bool connected_ = false;
};

// Those who connect, talk and hang up faster than gRPC greets them are a queue before everybody else's door.
TEST(GrpcListener, GreetsNobodyWhoHasHungUp) {
  const auto connections = std::make_shared<Connections>();
  auto listener = *Listener::open(*parse_address("127.0.0.1:0"), connections);
  for (int i = 0; i < 300; ++i) {
    const Raw gone(listener->port());
    ASSERT_TRUE(gone.connected());
    if (i % 2 == 0) gone.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    ASSERT_TRUE(gone.hang_up());
  }
  const Raw waits(listener->port());
  ASSERT_TRUE(waits.connected());
  std::atomic<int> greeted = 0;
  listener->run(
      [&greeted](int descriptor) {
        ++greeted;
        close(descriptor);
      },
      [] {});
  EXPECT_TRUE(waits.closed_within(std::chrono::seconds(20))) << "who came last, and stayed";
  EXPECT_EQ(greeted, 1);
  listener->stop();
}

void expect_served(const World& world, const std::string& after) {
  static std::uint64_t sequence = 0;
  v1::JoinRequest request = join_request("orders", "eu", 9);
  request.mutable_request()->set_incarnation("i-" + std::to_string(++sequence));
  v1::JoinResponse response;
  const grpc::Status status = v1::Coordinator::NewStub(world.channel())->Join(within().get(), request, &response);
  EXPECT_TRUE(status.ok()) << "after " << after << ": " << status.error_message();
}

const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, const std::string& payload) {
  std::string bytes;
  for (const int shift : {16, 8, 0}) bytes += static_cast<char>(payload.size() >> static_cast<unsigned>(shift) & 0xffU);
  bytes += static_cast<char>(type);
  bytes += static_cast<char>(flags);
  for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(stream >> static_cast<unsigned>(shift) & 0xffU);
  return bytes + payload;
}

// A header as HPACK writes it without table or Huffman: literal, never indexed; lengths below 127 only.
std::string header(const std::string& name, const std::string& value) {
  const auto text = [](const std::string& string) {
    std::string bytes;
    std::size_t length = string.size();
    if (length < 127) {
      bytes += static_cast<char>(length);
    } else {
      bytes += '\x7f';
      length -= 127;
      while (length >= 128) {
        bytes += static_cast<char>((length & 0x7fU) | 0x80U);
        length >>= 7U;
      }
      bytes += static_cast<char>(length);
    }
    return bytes + string;
  };
  return std::string(1, '\x10') + text(name) + text(value);
}

std::string call_headers(const std::string& more = "") {
  return header(":method", "POST") + header(":scheme", "http") + header(":path", "/syzygy.v1.Coordinator/GetTarget") +
         header(":authority", "localhost") + header("content-type", "application/grpc") + header("te", "trailers") +
         more;
}

constexpr std::uint8_t kData = 0;
constexpr std::uint8_t kHeaders = 1;
constexpr std::uint8_t kReset = 3;
constexpr std::uint8_t kSettings = 4;
constexpr std::uint8_t kPing = 6;
constexpr std::uint8_t kEndHeaders = 4;
constexpr std::uint8_t kEndStream = 1;

TEST(Hostile, BytesThatAreNoGrpc) {
  const World world;
  const std::string settings = kPreface + frame(kSettings, 0, 0, "");
  const std::vector<std::pair<std::string, std::string>> attempts = {
      {"HTTP/1.1", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"},
      {"a TLS hello", std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(500, 'x')},
      {"half a preface", kPreface.substr(0, 10)},
      {"a preface and nothing", kPreface},
      {"settings that are too long", kPreface + frame(kSettings, 0, 0, std::string(7, '\xff'))},
      {"a frame that says it is 16 MB", settings + std::string("\xff\xff\xff\x01\x04\x00\x00\x00\x01", 9)},
      {"data without a stream", settings + frame(kData, 0, 1, "hello")},
      {"headers that are no HPACK", settings + frame(kHeaders, kEndHeaders, 1, std::string(200, '\xff'))},
      {"a stream of an even number", settings + frame(kHeaders, kEndHeaders, 2, call_headers())},
      {"a message of 4 GB", settings + frame(kHeaders, kEndHeaders, 1, call_headers()) +
                                frame(kData, kEndStream, 1, std::string("\x00\xff\xff\xff\xff", 5) + "x")},
      {"a message that is no Protobuf",
       settings + frame(kHeaders, kEndHeaders, 1, call_headers()) +
           frame(kData, kEndStream, 1, std::string("\x00\x00\x00\x00\x04", 5) + "\xff\xff\xff\xff")},
      {"a message that claims compression",
       settings + frame(kHeaders, kEndHeaders, 1, call_headers()) +
           frame(kData, kEndStream, 1, std::string("\x01\x00\x00\x00\x04", 5) + "abcd")},
      {"an unknown method",
       settings + frame(kHeaders, kEndHeaders | kEndStream, 1,
                        header(":method", "POST") + header(":scheme", "http") + header(":path", "/no/such") +
                            header("content-type", "application/grpc") + header("te", "trailers"))},
      {"a method that is no path", settings + frame(kHeaders, kEndHeaders | kEndStream, 1,
                                                    header(":method", "POST") + header(":scheme", "http") +
                                                        header(":path", std::string(3'000, '\x01')))},
      {"a deadline that is no number",
       settings + frame(kHeaders, kEndHeaders, 1, call_headers(header("grpc-timeout", "soon")))},
      {"a huge deadline",
       settings + frame(kHeaders, kEndHeaders, 1, call_headers(header("grpc-timeout", "99999999H")))},
      {"headers of 15 kB",
       settings + frame(kHeaders, kEndHeaders, 1, call_headers(header("x", std::string(15'000, 'y'))))},
  };
  for (const auto& [what, bytes] : attempts) {
    {
      const Raw raw(world.server->port());
      ASSERT_TRUE(raw.connected());
      raw.send(bytes);
      (void)raw.closed_within(std::chrono::milliseconds(100));
    }
    expect_served(world, what);
  }
}

// Headers beyond the limit, with the values whose printing aborted the process in some gRPC of this age
// (CVE-2023-1428).
TEST(Hostile, HeadersBeyondTheLimitWithValuesThatCannotBePrinted) {
  const World world;
  const std::string settings = kPreface + frame(kSettings, 0, 0, "");
  for (const auto& [name, value] : {std::pair{"te", "x"}, {":scheme", "x"}, {"grpclb_client_stats", "x"}}) {
    {
      const Raw raw(world.server->port());
      std::string headers = header(name, value);
      for (int i = 0; i < 1; ++i) headers += header("x-" + std::to_string(i), std::string(15'900, 'y'));
      raw.send(settings + frame(kHeaders, 0, 1, headers));
      raw.send(frame(9, kEndHeaders, 1, header("z", std::string(16'000, 'y'))));
      (void)raw.closed_within(std::chrono::milliseconds(200));
    }
    expect_served(world, std::string("oversized headers with ") + name);
  }
}

TEST(Hostile, RandomBytesAndRandomFrames) {
  const World world;
  std::mt19937 random(20'241'121);
  for (int round = 0; round < 300; ++round) {
    const Raw raw(world.server->port());
    std::string bytes = round % 3 == 0 ? "" : kPreface + frame(kSettings, 0, 0, "");
    if (round % 3 == 2) bytes += frame(kHeaders, kEndHeaders, 1, call_headers());
    for (int i = 0; i < 20; ++i) {
      std::string noise(random() % 100, '\0');
      for (char& c : noise) c = static_cast<char>(random());
      bytes += round % 3 == 0 ? noise
                              : frame(static_cast<std::uint8_t>(random() % 11), static_cast<std::uint8_t>(random()),
                                      static_cast<std::uint32_t>(random() % 4), noise);
    }
    raw.send(bytes);
  }
  expect_served(world, "300 connections of noise");
}

TEST(Hostile, CallsThatAreOpenedAndResetAtOnce) {
  const World world;
  std::string bytes = kPreface + frame(kSettings, 0, 0, "");
  for (std::uint32_t stream = 1; stream < 4'000; stream += 2) {
    bytes += frame(kHeaders, kEndHeaders, stream, call_headers());
    bytes += frame(kReset, 0, stream, std::string("\0\0\0\x08", 4));
  }
  for (int i = 0; i < 1'000; ++i) bytes += frame(kPing, 0, 0, "12345678");
  {
    const Raw raw(world.server->port());
    raw.send(bytes);
    (void)raw.closed_within(std::chrono::milliseconds(500));
  }
  expect_served(world, "2,000 calls reset at once");
  EXPECT_TRUE(eventually([&] { return world.server->stats().parked == 0; }));
}

TEST(Hostile, SilenceIsClosed) {
  GrpcOptions options;
  options.handshake_timeout = Duration{200};
  const World world(std::move(options));
  const Raw raw(world.server->port());
  EXPECT_TRUE(raw.closed_within(std::chrono::seconds(20)));
  expect_served(world, "a silent connection");
}

TEST(Hostile, ConnectionsBeyondTheLimitAreClosedAndThePlaceComesBack) {
  GrpcOptions options;
  options.connections = std::make_shared<Connections>(8);
  const auto connections = options.connections;
  const World world(std::move(options));
  std::vector<std::unique_ptr<Raw>> all;
  for (int i = 0; i < 8; ++i) all.push_back(std::make_unique<Raw>(world.server->port()));
  EXPECT_TRUE(eventually([&] { return connections->open() == 8; }));
  const Raw beyond(world.server->port());
  EXPECT_TRUE(beyond.closed_within(std::chrono::seconds(20)));
  EXPECT_GE(connections->refused(), 1U);
  EXPECT_EQ(connections->open(), 8U);
  all.clear();
  EXPECT_TRUE(eventually([&] { return connections->open() == 0; })) << connections->open();
  expect_served(world, "the limit of connections");
}

}  // namespace
}  // namespace syzygy::transport
