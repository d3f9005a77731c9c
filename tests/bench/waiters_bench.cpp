// Thousands of connections that wait at barriers, and how long their release takes.
//
//   waiters_bench http|grpc HOST:PORT COUNT
//
// COUNT waiters enter barriers of 1,000 parties each, one connection each; the last party of each barrier does not come
// yet. Prints "waiting" once all requests are sent, and reads a line: then the last parties come, and it prints, as
// JSON, the nanoseconds from the first of their requests to the last answer. HTTP and HTTP/2 are spoken by hand, by one
// thread over epoll: gRPC's own client would need more of the machine than the daemon that is measured.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "syzygy/v1/syzygy.pb.h"
#include "tests/bench/processes.h"

namespace syzygy::bench {
namespace {

constexpr std::size_t kOfOneBarrier = 1'000;

struct Connection {
  int fd = -1;
  bool answered = false;
  std::string input;
};

v1::EnterRequest entry(std::size_t number) {
  v1::EnterRequest request;
  request.set_namespace_("bench-waiters-" + std::to_string(number / kOfOneBarrier));
  request.set_quorum(kOfOneBarrier);
  request.set_party("party-" + std::to_string(number % kOfOneBarrier));
  request.set_incarnation("0f0e0d0c-0b0a-4908-8706-" + std::to_string(number));
  request.mutable_lease()->set_seconds(600);
  request.mutable_wait()->set_seconds(300);
  return request;
}

// ---- HTTP/1.1 ----

std::string http_request(std::size_t number) {
  const v1::EnterRequest request = entry(number);
  const std::string body =
      fmt::format(R"({{"quorum":{},"party":"{}","incarnation":"{}","lease":"600s","wait":"300s"}})", request.quorum(),
                  request.party(), request.incarnation());
  return fmt::format(
      "POST /v1/barriers/{}/enter HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      request.namespace_(), body.size(), body);
}

bool http_answered(Connection& connection) {
  const auto head = connection.input.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  constexpr std::string_view kLength = "Content-Length: ";
  const auto length = connection.input.find(kLength);
  if (!connection.input.starts_with("HTTP/1.1 200 ") || length > head) give_up("answered: {}", connection.input);
  const std::size_t body = std::stoul(connection.input.substr(length + kLength.size()));
  if (connection.input.size() < head + 4 + body) return false;
  if (connection.input.find("OPEN", head) == std::string::npos) give_up("answered: {}", connection.input);
  return true;
}

// ---- gRPC: HTTP/2, one stream ----

std::string frame(char type, char flags, char stream, std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>(payload.size() >> shift);
  out += type;
  out += flags;
  out += std::string(3, '\0') + stream;
  return out.append(payload);
}

// What a connection begins with, before anything else, an answer to the other side's settings included.
std::string grpc_preface() { return "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, ""); }

std::string grpc_request(std::size_t number) {
  std::string headers;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{":method", "POST"},
                                                        {":scheme", "http"},
                                                        {":path", "/syzygy.v1.Barrier/Enter"},
                                                        {":authority", "localhost"},
                                                        {"te", "trailers"},
                                                        {"content-type", "application/grpc"},
                                                        {"user-agent", "bench"}}) {
    headers += '\0';  // a literal that enters no table
    headers += static_cast<char>(name.size()) + name;
    headers += static_cast<char>(value.size()) + value;
  }
  const std::string message = entry(number).SerializeAsString();
  std::string body(1, '\0');
  for (const int shift : {24, 16, 8, 0}) body += static_cast<char>(message.size() >> shift);
  constexpr char kEndHeaders = 4;
  constexpr char kEndStream = 1;
  return frame(1, kEndHeaders, 1, headers) + frame(0, kEndStream, 1, body + message);
}

bool grpc_answered(Connection& connection) {
  bool ended = false;
  std::string& input = connection.input;
  while (input.size() >= 9) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(input[at]); };
    const std::size_t length = (byte(0) << 16U) + (byte(1) << 8U) + byte(2);
    if (input.size() < 9 + length) break;
    const unsigned type = byte(3);
    const unsigned flags = byte(4);
    std::string reply;
    if (type == 4 && flags == 0) reply = frame(4, 1, 0, "");
    if (type == 6 && flags == 0) reply = frame(6, 1, 0, std::string_view(input).substr(9, length));
    if (!reply.empty() && ::send(connection.fd, reply.data(), reply.size(), MSG_NOSIGNAL) < 0) give_up_errno("send");
    if (type == 3 || type == 7) give_up("the daemon ended a stream with a frame of type {}", type);
    if (type == 0 && byte(9) != 0) give_up("a compressed answer");
    if (type == 0) {
      v1::BarrierResponse response;
      if (!response.ParseFromArray(input.data() + 14, static_cast<int>(length) - 5) ||
          response.state() != v1::BARRIER_STATE_OPEN) {
        give_up("answered: {}", response.ShortDebugString());
      }
    }
    if (type == 1 && (flags & 1U) != 0) ended = true;
    input.erase(0, 9 + length);
  }
  if (input.empty()) input = std::string();
  return ended;
}

// ---- both ----

int run(bool grpc, std::string_view address, std::size_t count) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(std::string(address.substr(address.rfind(':') + 1)))));

  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections(count);
  std::vector<std::size_t> last;
  std::size_t answered = 0;
  const auto take_in = [&](int timeout_ms) {
    std::array<epoll_event, 512> events{};
    std::array<char, 4'096> some{};
    const int happened = ::epoll_wait(poll, events.data(), events.size(), timeout_ms);
    for (int i = 0; i < happened; ++i) {
      Connection& connection = connections[events[static_cast<std::size_t>(i)].data.u64];
      const ssize_t got = ::recv(connection.fd, some.data(), some.size(), MSG_DONTWAIT);
      if (got == 0) give_up("the daemon closed a connection: {}", connection.input);
      if (got < 0) continue;
      connection.input.append(some.data(), static_cast<std::size_t>(got));
      if (!connection.answered && (grpc ? grpc_answered(connection) : http_answered(connection))) {
        connection.answered = true;
        ++answered;
      }
    }
  };
  const auto send_bytes = [&](std::size_t number, const std::string& bytes) {
    if (::send(connections[number].fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(bytes.size())) {
      give_up_errno("send");
    }
  };
  const auto send_request = [&](std::size_t number) {
    send_bytes(number, grpc ? grpc_request(number) : http_request(number));
  };
  for (std::size_t i = 0; i < count; ++i) {
    Connection& connection = connections[i];
    connection.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection.fd < 0) give_up_errno("socket (ulimit -n?)");
    if (::connect(connection.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) give_up_errno("connect");
    const int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    epoll_event wanted{.events = EPOLLIN, .data = {.u64 = i}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, connection.fd, &wanted);
    if (grpc) send_bytes(i, grpc_preface());
    if (i % kOfOneBarrier == kOfOneBarrier - 1) {
      last.push_back(i);
    } else {
      send_request(i);
    }
    if (i % 64 == 0) take_in(0);
  }
  fmt::print("waiting\n");
  std::fflush(stdout);
  // Its settings are acknowledged meanwhile: poll until the line comes.
  ::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
  for (char c = 0; ::read(STDIN_FILENO, &c, 1) != 1;) take_in(5);
  if (answered != 0) give_up("{} were answered before the last one came", answered);
  const std::int64_t began = now_ns();
  for (const std::size_t number : last) send_request(number);
  while (answered < count) {
    take_in(1'000);
    if (now_ns() - began > 60'000'000'000) give_up("{} of {} were answered within a minute", answered, count);
  }
  fmt::print("{{\"released_ns\": {}, \"waiters\": {}}}\n", now_ns() - began, count);
  return 0;
}

}  // namespace
}  // namespace syzygy::bench

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() != 3 || (words[0] != "http" && words[0] != "grpc")) {
    syzygy::bench::give_up("usage: waiters_bench http|grpc HOST:PORT COUNT");
  }
  return syzygy::bench::run(words[0] == "grpc", words[1], std::stoul(words[2]));
}
