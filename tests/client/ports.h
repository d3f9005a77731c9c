// ports.h - small servers that do not speak gRPC: what a client meets at a wrong address.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "client/cpp/endpoints.h"
#include "tests/support/held_port.h"

namespace syzygy {

// An address of the loopback interface where nobody listens; after listen(), one where the kernel takes connections and
// nobody ever says a word.
class DeafPort {
 public:
  void listen() const { ::listen(port_.fd(), 16); }
  [[nodiscard]] int fd() const { return port_.fd(); }
  [[nodiscard]] Endpoint endpoint() const { return {"127.0.0.1", port_.port()}; }

 private:
  test::HeldPort port_;
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
