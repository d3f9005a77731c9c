// world.h - a server on a real engine on a store in memory, and a client of raw bytes. What a test waits for has a
// bound.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "api/service.h"
#include "engine/engine.h"
#include "store/memory.h"
#include "tests/support/slowness.h"
#include "transport/http/server.h"

namespace syzygy::http {

using namespace std::chrono_literals;

inline const auto kPatience = 30s * test::slowness();  // of a machine under sanitizers with other things to do

inline bool eventually(const std::function<bool()>& holds) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

struct Answer {
  int status = 0;
  std::string head;  // status line and fields, as they came
  std::string body;

  [[nodiscard]] std::string field(std::string_view name) const {
    const std::string wanted = "\r\n" + std::string(name) + ": ";
    const std::size_t at = head.find(wanted);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + wanted.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

// A blocking connection. Every wait ends by kPatience, and then fails the test.
class Wire {
 public:
  explicit Wire(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  Wire(Wire&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), connected_(other.connected_), input_(std::move(other.input_)) {}
  ~Wire() { close(); }

  [[nodiscard]] bool connected() const { return connected_; }
  [[nodiscard]] int descriptor() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  // A reset, as from a process that was killed with data unread.
  void reset() {
    const linger now{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void say_no_more() { ::shutdown(fd_, SHUT_WR); }

  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  // More bytes into the buffer. False: the peer has closed, or nothing came in time.
  bool more(std::chrono::milliseconds patience = kPatience) {
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, static_cast<int>(patience.count())) <= 0) return false;
    char buffer[65'536];
    const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    input_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }

  bool read_until(std::string_view text) {
    while (input_.find(text) == std::string::npos) {
      if (!more()) return false;
    }
    return true;
  }

  // One response, with its body by Content-Length. `head`: without a body.
  Answer read(bool head = false) {
    Answer answer;
    if (!read_until("\r\n\r\n")) return answer;
    const std::size_t end = input_.find("\r\n\r\n") + 4;
    answer.head = input_.substr(0, end);
    input_.erase(0, end);
    answer.status = std::atoi(answer.head.substr(9, 3).c_str());
    const std::string length = answer.field("Content-Length");
    const std::size_t size = head || length.empty() ? 0 : std::stoul(length);
    while (input_.size() < size) {
      if (!more()) return answer;
    }
    answer.body = input_.substr(0, size);
    input_.erase(0, size);
    return answer;
  }

  // All until the peer closes.
  std::string read_all() {
    while (more()) {
    }
    return std::exchange(input_, {});
  }
  bool closed_by_peer() {
    while (true) {
      pollfd p{fd_, POLLIN, 0};
      if (::poll(&p, 1, 30'000) <= 0) return false;
      char buffer[4'096];
      if (::recv(fd_, buffer, sizeof buffer, 0) <= 0) return true;
    }
  }
  std::string& input() { return input_; }

 private:
  int fd_;
  bool connected_ = false;
  std::string input_;
};

// Takes the chunks of a chunked body off `wire`, and gives its server-sent events one by one.
class Events {
 public:
  explicit Events(Wire& wire) : wire_(wire) {}

  // The next event (its lines, without the blank one). nullopt: the stream has ended.
  std::optional<std::string> next() {
    while (true) {
      const std::size_t end = text_.find("\n\n");
      if (end != std::string::npos) {
        std::string event = text_.substr(0, end);
        text_.erase(0, end + 2);
        return event;
      }
      if (!chunk()) return std::nullopt;
    }
  }
  // The next one that has data.
  std::optional<std::string> next_data() {
    while (auto event = next()) {
      if (event->find("data: ") != std::string::npos) return event;
    }
    return std::nullopt;
  }
  [[nodiscard]] bool ended_well() const { return ended_; }

 private:
  bool chunk() {
    if (!wire_.read_until("\r\n")) return false;
    std::string& input = wire_.input();
    const std::size_t line = input.find("\r\n");
    std::size_t size = 0;
    std::from_chars(input.data(), input.data() + line, size, 16);
    input.erase(0, line + 2);
    while (input.size() < size + 2) {
      if (!wire_.more()) return false;
    }
    text_ += input.substr(0, size);
    input.erase(0, size + 2);
    ended_ = size == 0;
    return !ended_;
  }

  Wire& wire_;
  std::string text_;
  bool ended_ = false;
};

inline std::string request(std::string_view method, std::string_view target, std::string_view body = "",
                           std::string_view fields = "") {
  std::string text =
      std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" + std::string(fields);
  if (!body.empty()) {
    text += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return text + "\r\n" + std::string(body);
}

struct World {
  MemoryStore store;
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<api::Service> service;
  std::unique_ptr<Server> server;

  explicit World(Options options = {}, engine::Options engine_options = {}) {
    engine_options.boot = "boot-1";
    engine_options.renew_window = 1ms;
    // Nobody renews here, or is quick to confirm: that is no matter of these tests, however slow the machine is.
    engine_options.rounds.lease = engine_options.rounds.decline = engine_options.rounds.lease_max;
    engine = engine::make_engine(store, std::move(engine_options));
    EXPECT_TRUE(engine->start());
    service = std::make_unique<api::Service>(*engine);
    if (options.address == Options{}.address) options.address = "127.0.0.1:0";
    auto started = Server::start(*service, std::move(options));
    if (!started) {
      ADD_FAILURE() << started.error().message;
      return;
    }
    server = *std::move(started);
  }
  ~World() {
    if (server) server->stop(Duration{0});
    engine->stop();
  }

  [[nodiscard]] Wire wire() const { return Wire(server->port()); }
  [[nodiscard]] Answer ask(std::string_view method, std::string_view target, std::string_view body = "",
                           std::string_view fields = "") const {
    Wire w = wire();
    w.send(request(method, target, body, fields));
    return w.read(method == "HEAD");
  }
  // A number of /metrics; -1: it is not there.
  [[nodiscard]] double metric(const std::string& name, std::string_view fields = "") const {
    const std::string text = "\n" + ask("GET", "/metrics", "", fields).body;
    const std::size_t at = text.find("\n" + name + " ");
    return at == std::string::npos ? -1 : std::atof(text.c_str() + at + name.size() + 2);
  }
};

// A join with one step; `extra` is more JSON, beginning with a comma.
inline std::string join_body(std::string_view party, std::string_view incarnation, int parties,
                             std::string_view extra = "") {
  return R"({"request":{"incarnation":")" + std::string(incarnation) + R"(","sequence":"1"},"party":")" +
         std::string(party) + R"(","quorum":{"parties":)" + std::to_string(parties) +
         R"(},"plan":{"stage":"STAGE_PRE_DEPLOY","steps":[{"id":"0001","stage":"STAGE_PRE_DEPLOY","atomic":true,"content":")" +
         std::string(64, 'a') + R"("}]})" + std::string(extra) + "}";
}

// The value of a string field of JSON, the first of that name; "" where there is none.
inline std::string json_field(const std::string& json, const std::string& name) {
  const std::string wanted = "\"" + name + "\":\"";
  const std::size_t at = json.find(wanted);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + wanted.size();
  return json.substr(begin, json.find('"', begin) - begin);
}

}  // namespace syzygy::http
