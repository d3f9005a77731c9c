#include "transport/grpc/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <sys/stat.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

namespace syzygy::transport {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::milliseconds kBeat{250};
constexpr std::chrono::milliseconds kOutOfDescriptors{100};
constexpr std::chrono::milliseconds kSweepAtLimit{20};
constexpr unsigned kSweep = 60;  // in beats
constexpr unsigned kSweepCrowded = 4;

// A connection that gRPC owns. The descriptor's number alone proves nothing: it is used again.
struct Handed {
  int descriptor;
  dev_t device;
  ino_t inode;
  Connections::Slot slot;

  [[nodiscard]] bool open() const {
    struct stat now{};
    return fstat(descriptor, &now) == 0 && now.st_ino == inode && now.st_dev == device;
  }
};

// gRPC greets each connection that it is handed, on the thread that hands it over, and that costs it far more than it
// costs anybody to connect and hang up. So those who did are not handed over: else they are a queue in which whoever
// waits for an answer stands at the end. In HTTP/2 nobody closes one direction only.
bool hung_up(int descriptor) {
  pollfd state{.fd = descriptor, .events = POLLRDHUP, .revents = 0};
  return ::poll(&state, 1, 0) > 0;
}

class AsioListener final : public Listener {
 public:
  explicit AsioListener(std::shared_ptr<Connections> connections) : connections_(std::move(connections)) {}
  ~AsioListener() override { stop(); }

  Result<void> listen(const Address& address) {
    error_code error;
    const std::string where = to_string(address);
    const auto failed = [&](std::string_view reason, std::string what) {
      return failure(ErrorCode::kUnavailable, std::string(reason), std::move(what), {{"address", where}});
    };
    tcp::endpoint endpoint(tcp::v6(), address.port);
    if (!address.host.empty()) {
      tcp::resolver resolver(io_);
      const auto found = resolver.resolve(address.host, std::to_string(address.port), tcp::resolver::passive, error);
      if (error || found.empty()) {
        return failed("LISTEN_FAILED",
                      fmt::format("Cannot listen on {}: the host is not known ({}).", where, error.message()));
      }
      endpoint = found.begin()->endpoint();
    }
    (void)acceptor_.open(endpoint.protocol(), error);
    if (error == asio::error::address_family_not_supported && address.host.empty()) {
      endpoint = tcp::endpoint(tcp::v4(), address.port);  // a kernel without IPv6
      (void)acceptor_.open(endpoint.protocol(), error);
    } else if (!error && address.host.empty()) {
      (void)acceptor_.set_option(asio::ip::v6_only(false), error);
    }
    if (!error) (void)acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) (void)acceptor_.bind(endpoint, error);
    if (!error) (void)acceptor_.listen(4'096, error);
    if (error == asio::error::address_in_use) {
      return failed("ADDRESS_IN_USE",
                    fmt::format("Cannot listen on {}: another process listens there. Stop it, or choose another "
                                "address (port 0 takes any free one).",
                                where));
    }
    if (error) return failed("LISTEN_FAILED", fmt::format("Cannot listen on {}: {}.", where, error.message()));
    (void)fcntl(acceptor_.native_handle(), F_SETFD, FD_CLOEXEC);
    port_ = acceptor_.local_endpoint(error).port();
    return {};
  }

  void run(std::function<void(int)> take, std::function<void()> every) override {
    take_ = std::move(take);
    every_ = std::move(every);
    accept();
    beat();
    thread_ = std::thread([this] { io_.run(); });
    pthread_setname_np(thread_.native_handle(), "grpc-accept");
  }

  void stop() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
    error_code ignored;
    (void)acceptor_.close(ignored);
    handed_.clear();
  }

  [[nodiscard]] std::uint16_t port() const override { return port_; }

 private:
  void accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error == asio::error::no_descriptors || error == boost::system::errc::too_many_files_open_in_system ||
          error == asio::error::no_buffer_space || error == asio::error::no_memory) {
        retry_.expires_after(kOutOfDescriptors);
        retry_.async_wait([this](error_code) { accept(); });
        return;
      }
      if (!error) hand_over(std::move(socket));
      accept();  // other errors are of that one connection: it went away again
    });
  }

  void hand_over(tcp::socket socket) {
    if (hung_up(socket.native_handle())) return;
    auto slot = connections_->take();
    if (!slot && std::chrono::steady_clock::now() - swept_ > kSweepAtLimit) {
      sweep();
      slot = connections_->take();
    }
    if (!slot) return;  // the socket closes: beyond the limit
    error_code error;
    (void)socket.set_option(tcp::no_delay(true), error);
    (void)socket.native_non_blocking(true, error);
    if (error) return;
    struct stat about{};
    if (fstat(socket.native_handle(), &about) != 0) return;
    const int descriptor = socket.release(error);
    if (error) return;
    (void)fcntl(descriptor, F_SETFD, FD_CLOEXEC);
    handed_.push_back({descriptor, about.st_dev, about.st_ino, *std::move(slot)});
    take_(descriptor);
  }

  void sweep() {
    swept_ = std::chrono::steady_clock::now();
    std::erase_if(handed_, [](const Handed& handed) { return !handed.open(); });
  }

  void beat() {
    beat_.expires_after(kBeat);
    beat_.async_wait([this](error_code error) {
      if (error) return;
      // A call of the system for each connection, and so a part of what a thousand who only wait cost: often only where
      // their places may soon be wanted.
      if (++beats_ % (2 * connections_->open() > connections_->max() ? kSweepCrowded : kSweep) == 0) sweep();
      every_();
      beat();
    });
  }

  std::shared_ptr<Connections> connections_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_{io_};
  asio::steady_timer retry_{io_};
  asio::steady_timer beat_{io_};
  std::uint64_t beats_ = 0;
  std::chrono::steady_clock::time_point swept_;
  std::vector<Handed> handed_;
  std::function<void(int)> take_;
  std::function<void()> every_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(const Address& address, std::shared_ptr<Connections> connections) {
  auto listener = std::make_unique<AsioListener>(std::move(connections));
  if (auto ok = listener->listen(address); !ok) return std::unexpected(std::move(ok.error()));
  return listener;
}

}  // namespace syzygy::transport
