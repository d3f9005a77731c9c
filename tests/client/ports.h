// ports.h - small servers that do not speak gRPC: what a client meets at a wrong address.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "client/cpp/endpoints.h"

namespace syzygy {

// An address of the loopback interface where nobody listens (the port is taken, so that nobody else can); after
// listen(), one where the kernel takes connections and nobody ever says a word.
class DeafPort {
 public:
  DeafPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (fd_ < 0 || ::bind(fd_, reinterpret_cast<sockaddr*>(&at), size) != 0 ||
        ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
      throw std::runtime_error("no free port");
    }
    port_ = ntohs(at.sin_port);
  }
  ~DeafPort() { ::close(fd_); }
  DeafPort(const DeafPort&) = delete;
  DeafPort& operator=(const DeafPort&) = delete;
  void listen() const { ::listen(fd_, 16); }
  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] Endpoint endpoint() const { return {"127.0.0.1", port_}; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
};

// Takes every connection, reads one bite, says `answer` and hangs up.
class RudePort {
 public:
  explicit RudePort(std::string answer) : answer_(std::move(answer)) {
    port_.listen();
    thread_ = std::thread([this] { serve(); });
  }
  ~RudePort() {
    ending_ = true;
    ::shutdown(port_.fd(), SHUT_RDWR);
    thread_.join();
  }
  [[nodiscard]] Endpoint endpoint() const { return port_.endpoint(); }

 private:
  void serve() {
    while (!ending_) {
      const int peer = ::accept4(port_.fd(), nullptr, nullptr, SOCK_CLOEXEC);
      if (peer < 0) return;
      char bite[512];
      pollfd readable{peer, POLLIN, 0};
      if (::poll(&readable, 1, 10'000) == 1) static_cast<void>(!::read(peer, bite, sizeof bite));
      static_cast<void>(!::send(peer, answer_.data(), answer_.size(), MSG_NOSIGNAL));
      ::shutdown(peer, SHUT_WR);
      // Until the other side hangs up, too: an early close would turn unread bytes into a reset.
      while (::poll(&readable, 1, 10'000) == 1 && ::read(peer, bite, sizeof bite) > 0) {
      }
      ::close(peer);
    }
  }

  DeafPort port_;
  std::string answer_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

}  // namespace syzygy
