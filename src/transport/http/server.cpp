#include "transport/http/server.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <future>

#include "base/name.h"
#include "transport/http/handlers.h"
#include "transport/http/loop.h"
#include "transport/listen/address.h"

namespace syzygy::http {

namespace asio = boost::asio;

namespace {

constexpr int kBacklog = 4'096;
constexpr Duration kAcceptPause{100};  // after the kernel had no descriptor or memory for another connection

class Socket {
 public:
  explicit Socket(int descriptor) : descriptor_(descriptor) {}
  Socket(Socket&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  ~Socket() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int get() const { return descriptor_; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_;
};

Result<Socket> listen_on(const transport::Address& address, const std::string& text) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(address.port);
  const int failed = getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(), port.c_str(), &hints, &found);
  if (failed != 0) {
    return failure(ErrorCode::kInvalidArgument, "ADDRESS_INVALID",
                   fmt::format("Cannot listen on {}: the host is not known here ({}).", printable(text, 200),
                               gai_strerror(failed)),
                   {{"address", printable(text, 200)}});
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> addresses(found, freeaddrinfo);
  int error = 0;
  for (const addrinfo* a = addresses.get(); a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket.get() < 0) {
      error = errno;
      continue;
    }
    const int on = 1;
    setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(socket.get(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(socket.get(), kBacklog) == 0) return socket;
    error = errno;
  }
  const bool in_use = error == EADDRINUSE;
  return failure(ErrorCode::kUnavailable, in_use ? "ADDRESS_IN_USE" : "LISTEN_FAILED",
                 fmt::format("Cannot listen on {}: {}. {}", printable(text, 200), std::strerror(error),
                             in_use ? "Is another syzygyd running? Choose another address with --http."
                                    : "Choose another address with --http."),
                 {{"address", printable(text, 200)}});
}

class ServerImpl final : public Server {
 public:
  ServerImpl(api::Service& service, Options options) : handlers_(service, common_) {
    common_.options = std::move(options);
    common_.bearer = wire::Bearer(common_.options.token);
    common_.handler = &handlers_;
    if (!common_.options.connections) common_.options.connections = std::make_shared<transport::Connections>();
    for (std::size_t i = 0; i < std::max<std::size_t>(1, common_.options.threads); ++i) {
      loops_.push_back(std::make_unique<Loop>(common_));
    }
  }

  ~ServerImpl() override { stop(Duration{0}); }

  Result<void> open() {
    const Options& options = common_.options;
    const auto address = transport::parse_address(options.address);
    if (!address) return std::unexpected(address.error());
    if (options.tls) {
      auto tls = TlsContext::make(options.tls->certificate_chain, options.tls->private_key);
      if (!tls) return std::unexpected(tls.error());
      common_.tls = *std::move(tls);
    }
    auto socket = listen_on(*address, options.address);
    if (!socket) return std::unexpected(socket.error());
    sockaddr_storage bound{};
    socklen_t size = sizeof bound;
    getsockname(socket->get(), reinterpret_cast<sockaddr*>(&bound), &size);
    const bool v6 = bound.ss_family == AF_INET6;
    port_ = ntohs(v6 ? reinterpret_cast<sockaddr_in6*>(&bound)->sin6_port
                     : reinterpret_cast<sockaddr_in*>(&bound)->sin_port);
    common_.guarded = transport::is_loopback(address->host) && options.token.empty();

    asio::io_context& io = loops_.front()->context();
    acceptor_.emplace(io, v6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), socket->release());
    pause_.emplace(io);
    arm_accept();
    for (auto& loop : loops_) loop->start();
    return {};
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }

  void stop(Duration drain) override {
    if (stopped_) return;
    stopped_ = true;
    if (acceptor_) {
      std::promise<void> closed;
      asio::post(loops_.front()->context(), [&] {
        boost::system::error_code ignored;
        acceptor_->close(ignored);
        pause_->cancel();
        closed.set_value();
      });
      closed.get_future().wait();
    }
    for (auto& loop : loops_) loop->drain();
    {
      std::unique_lock lock(common_.drained_mutex);
      common_.drained.wait_for(lock, drain, [this] {
        return std::ranges::none_of(loops_, [](const auto& loop) { return loop->connections() > 0; });
      });
    }
    // The workers first: what they still answer may find its connection.
    handlers_.stop();
    for (auto& loop : loops_) loop->end();
  }

 private:
  // All of this on the first loop's thread.
  void arm_accept() {
    acceptor_->async_wait(asio::ip::tcp::acceptor::wait_read, [this](const boost::system::error_code& error) {
      if (error || !acceptor_->is_open()) return;
      if (accept_all()) {
        arm_accept();
        return;
      }
      pause_->expires_after(kAcceptPause);
      pause_->async_wait([this](const boost::system::error_code& cancelled) {
        if (!cancelled && acceptor_->is_open()) arm_accept();
      });
    });
  }

  // False: the kernel cannot give another connection now.
  bool accept_all() {
    constexpr int kBatch = 256;  // then the others have their turn
    for (int i = 0; i < kBatch; ++i) {
      Socket socket(::accept4(acceptor_->native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.get() < 0) {
        if (errno == ECONNABORTED || errno == EINTR) continue;
        return errno == EAGAIN || errno == EWOULDBLOCK;
      }
      auto slot = common_.options.connections->take();
      if (!slot) {
        common_.counters.refused.fetch_add(1, std::memory_order_relaxed);
        refuse(socket.get());
        continue;
      }
      common_.counters.accepted.fetch_add(1, std::memory_order_relaxed);
      loops_[next_++ % loops_.size()]->adopt(socket.release(), *std::move(slot));
    }
    return true;
  }

  // As much as can be said without waiting, and without a handshake.
  void refuse(int descriptor) {
    if (common_.tls) return;
    const std::string body = to_json(
        {503,
         "CONNECTIONS_LIMIT",
         fmt::format("This daemon has {} connections open, as many as it may.", common_.options.connections->max()),
         {},
         {},
         {}});
    const std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n{}",
        body.size(), body);
    (void)::send(descriptor, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    ::shutdown(descriptor, SHUT_WR);
  }

  Common common_;
  Handlers handlers_;
  std::vector<std::unique_ptr<Loop>> loops_;
  std::optional<asio::ip::tcp::acceptor> acceptor_;
  std::optional<asio::steady_timer> pause_;
  std::size_t next_ = 0;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(api::Service& service, Options options) {
  auto server = std::make_unique<ServerImpl>(service, std::move(options));
  if (auto ok = server->open(); !ok) return std::unexpected(ok.error());
  return server;
}

}  // namespace syzygy::http
