// loop.h - one thread, its event loop, its connections, and their deadlines.
//
// Everything in a Loop and in its connections belongs to its thread; other threads reach it by its Mailbox only.
// Letters that arrive together wake the loop once. A Mailbox outlives its loop as long as somebody holds a ticket; what
// comes after the end is dropped.
#pragma once

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <vector>

#include "transport/connections.h"
#include "transport/http/counters.h"
#include "transport/http/exchange.h"
#include "transport/http/server.h"
#include "transport/http/tls.h"
#include "transport/wire/bearer.h"

namespace syzygy::http {

// What all connections of a server share; immutable but for the counters.
struct Common {
  Options options;
  wire::Bearer bearer;
  std::shared_ptr<TlsContext> tls;
  bool guarded = false;  // on loopback, without a token: see origin.h
  Handler* handler = nullptr;
  Counters counters;

  // For stop(): signalled when a loop that drains has lost its last connection.
  std::mutex drained_mutex;
  std::condition_variable drained;
};

class Mailbox {
 public:
  using Letter = std::function<void(Loop&)>;

  explicit Mailbox(Loop& loop) : loop_(&loop) {}
  void post(Letter letter);

 private:
  friend class Loop;
  std::mutex mutex_;
  Loop* loop_;  // null once the loop has ended
  std::vector<Letter> letters_;
};

class Loop {
 public:
  explicit Loop(Common& common);
  ~Loop();

  void start();                                                   // the thread
  void adopt(int descriptor, transport::Connections::Slot slot);  // any thread: a connection that was accepted
  // Any thread. Parked requests and streams end, idle connections close, the others finish what they do.
  void drain();
  void end();  // any other thread: closes what is left and joins

  [[nodiscard]] boost::asio::io_context& context() { return io_; }
  [[nodiscard]] const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  [[nodiscard]] std::size_t connections() const { return count_.load(std::memory_order_relaxed); }

  // ---- on the loop's thread ----
  [[nodiscard]] Common& common() { return common_; }
  [[nodiscard]] bool draining() const { return draining_; }
  [[nodiscard]] std::shared_ptr<Connection> find(std::uint64_t id) const;
  void remove(std::uint64_t id);
  // Replaces the connection's one deadline; TimePoint::max(): none.
  void set_deadline(Connection& connection, TimePoint at);
  [[nodiscard]] std::string_view date();  // for the Date field
  std::array<char, 65'536> scratch;       // what a socket had to say, until the connection has read it

 private:
  friend class Mailbox;
  void deliver();
  void arm_timer();
  void on_timer();

  Common& common_;
  boost::asio::io_context io_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  boost::asio::steady_timer timer_;
  std::set<std::pair<TimePoint, std::uint64_t>> deadlines_;
  TimePoint armed_ = TimePoint::max();
  std::unordered_map<std::uint64_t, std::shared_ptr<Connection>> connections_;
  std::atomic<std::size_t> count_{0};
  std::uint64_t next_id_ = 1;
  bool draining_ = false;
  std::int64_t date_second_ = -1;
  std::string date_;
  std::shared_ptr<Mailbox> mailbox_;
  std::thread thread_;
};

}  // namespace syzygy::http
