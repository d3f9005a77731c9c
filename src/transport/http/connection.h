// connection.h - one connection: bytes to requests, responses to bytes, one request after the other.
//
//   IDLE ─▶ HEAD ─▶ BODY ─▶ ANSWERING ─▶ WRITING ─▶ IDLE, or ─▶ LINGERING (says no more, hears until the peer is done)
//                               └─▶ STREAMING (until somebody closes)
//
// Belongs to its Loop's thread. While it waits it holds no buffer, no parser and no coroutine: what a parked request
// costs is this object and what the engine keeps for it. A peer that goes away while its request is parked or streamed
// frees it at once. Every phase has a deadline, except while the service answers.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "transport/http/exchange.h"
#include "transport/http/loop.h"
#include "transport/http/parser.h"
#include "transport/http/tls.h"

namespace syzygy::http {

inline constexpr std::size_t kPipelineBytesMax = 65'536;         // of further requests, while one is being answered
inline constexpr std::size_t kBodyBytesInFlightMax = 256 << 20;  // of all bodies that are being received

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Loop& loop, std::uint64_t id, int descriptor, transport::Connections::Slot slot);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // ---- for the loop ----
  void start();
  void drain();
  void close();
  void on_deadline(TimePoint now);
  [[nodiscard]] std::uint64_t id() const { return id_; }
  [[nodiscard]] TimePoint deadline() const { return deadline_; }
  void note_deadline(TimePoint at) { deadline_ = at; }

  // ---- for whoever answers: REQUIRES answering(request) ----
  [[nodiscard]] bool answering(std::uint32_t request) const { return !closed_ && active_ && request_ == request; }
  void respond(Response response);
  // The request now waits for something that may take long. `give_up` is called if nobody wants the answer any more.
  void park(std::function<void()> give_up);
  // Answers 200 text/event-stream, then whatever `stream` says. `source` feeds it, and ends with it.
  void stream(std::unique_ptr<Stream> stream, engine::SubscriptionPtr source);
  [[nodiscard]] Stream* stream();
  void pump();  // the stream has something to say

 private:
  enum class Phase : std::uint8_t { kIdle, kHead, kBody, kAnswering, kWriting, kStreaming, kLingering };

  // Of the request that is being answered.
  struct Active {
    const Route* route = nullptr;
    bool head = false;
    bool parked = false;
    TimePoint started;
    std::function<void()> give_up;
    std::unique_ptr<Stream> stream;
    engine::SubscriptionPtr source;
  };

  void arm_read();
  void on_readable();
  void hang_up();
  void on_bytes(std::string_view bytes);
  std::string_view read_requests(std::string_view bytes);  // returns what is left
  bool on_head();
  void dispatch();
  void refuse(const Problem& problem, bool close);
  void write_response(const Response& response, std::optional<Operation> operation, bool head);
  void flush();
  bool send_some(std::string_view bytes, std::size_t& sent);
  void on_sent();
  void finish();  // the last answer has left: says goodbye
  void release(bool answered);
  void deadline_in(Duration d);
  [[nodiscard]] bool reads_requests() const { return phase_ <= Phase::kBody; }

  Loop& loop_;
  const std::uint64_t id_;
  boost::asio::ip::tcp::socket socket_;
  transport::Connections::Slot slot_;
  std::uint32_t request_ = 0;
  Phase phase_ = Phase::kIdle;
  bool http_1_0_ = false;
  bool keep_alive_ = true;
  bool closed_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool in_requests_ = false;
  bool pumping_ = false;
  bool peer_done_ = false;
  TimePoint deadline_ = TimePoint::max();
  TimePoint progress_;
  std::size_t front_sent_ = 0;  // of out_.front()
  std::size_t lingered_ = 0;
  std::size_t body_counted_ = 0;
  std::vector<Bytes> out_;
  std::string input_;  // received, not read yet
  std::unique_ptr<TlsSession> tls_;
  std::unique_ptr<Parser> parser_;
  std::unique_ptr<Match> match_;  // of the request whose body is being received
  std::unique_ptr<Active> active_;
};

}  // namespace syzygy::http
