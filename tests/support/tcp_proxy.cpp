#include "tests/support/tcp_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

namespace syzygy::test {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

void close_now(int& fd) {
  if (fd >= 0) ::close(fd);
  fd = -1;
}

}  // namespace

TcpProxy::TcpProxy(int to_port) : to_port_(to_port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0 || ::pipe(wake_) != 0) {
    throw std::runtime_error("the proxy cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

TcpProxy::~TcpProxy() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  static_cast<void>(!::write(wake_[1], "x", 1));
  thread_.join();
  close_now(listener_);
  close_now(wake_[0]);
  close_now(wake_[1]);
}

void TcpProxy::cut_clients() {
  {
    const std::lock_guard lock(mutex_);
    cut_now_ = true;
  }
  static_cast<void>(!::write(wake_[1], "x", 1));
}

void TcpProxy::cut_after(const std::string& text) {
  const std::lock_guard lock(mutex_);
  cut_text_ = text;
}

void TcpProxy::cut_requests_after(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  request_bytes_left_ = bytes;
}

void TcpProxy::cut_answers_after(std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  answer_bytes_left_ = bytes;
}

// False: the cut that `left` counts down to has come.
bool TcpProxy::forward(int to, std::string_view bytes, std::optional<std::size_t>& left) {
  const std::size_t some = left ? std::min(*left, bytes.size()) : bytes.size();
  send_all(to, bytes.substr(0, some));
  if (!left) return true;
  *left -= some;
  if (*left > 0) return true;
  left = std::nullopt;
  ++cuts_;
  return false;
}

void TcpProxy::run() {
  std::vector<Pair> pairs;
  std::array<char, 65536> buffer{};
  for (;;) {
    std::vector<pollfd> watched = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    for (const Pair& pair : pairs) {
      watched.push_back({pair.client, POLLIN, 0});
      watched.push_back({pair.server, POLLIN, 0});
    }
    if (::poll(watched.data(), watched.size(), -1) < 0) continue;
    const std::lock_guard lock(mutex_);
    if (stop_) break;
    if ((watched[1].revents & POLLIN) != 0) static_cast<void>(!::read(wake_[0], buffer.data(), 1));
    for (std::size_t i = 0; i < pairs.size(); ++i) {
      Pair& pair = pairs[i];
      if (cut_now_ && !pair.cut) {
        pair.cut = true;
        close_now(pair.client);
        ++cuts_;
      }
      if (pair.client >= 0 && watched[2 + 2 * i].revents != 0) {
        const ssize_t got = ::recv(pair.client, buffer.data(), buffer.size(), 0);
        if (got <= 0) {
          close_now(pair.client);
          close_now(pair.server);
          continue;
        }
        const std::string_view bytes(buffer.data(), static_cast<std::size_t>(got));
        if (!cut_text_.empty() && bytes.find(cut_text_) != std::string_view::npos) {
          cut_text_.clear();
          pair.answer_cuts = true;
        }
        if (!forward(pair.server, bytes, request_bytes_left_)) {
          close_now(pair.client);
          close_now(pair.server);
          continue;
        }
      }
      if (pair.server >= 0 && watched[3 + 2 * i].revents != 0) {
        const ssize_t got = ::recv(pair.server, buffer.data(), buffer.size(), 0);
        if (got <= 0 || pair.answer_cuts) {
          if (pair.answer_cuts) ++cuts_;
          close_now(pair.client);
          close_now(pair.server);
        } else if (pair.client >= 0 &&
                   !forward(pair.client, {buffer.data(), static_cast<std::size_t>(got)}, answer_bytes_left_)) {
          close_now(pair.client);
          close_now(pair.server);
        }
      }
    }
    cut_now_ = false;
    std::erase_if(pairs, [](const Pair& pair) { return pair.client < 0 && pair.server < 0; });
    if ((watched[0].revents & POLLIN) != 0) {
      Pair pair;
      pair.client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      pair.server = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const int on = 1;
      ::setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      ::setsockopt(pair.server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
      const sockaddr_in address = loopback(to_port_);
      if (::connect(pair.server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
        close_now(pair.client);
        close_now(pair.server);
      } else {
        pairs.push_back(pair);
      }
    }
  }
  for (Pair& pair : pairs) {
    close_now(pair.client);
    close_now(pair.server);
  }
}

}  // namespace syzygy::test
