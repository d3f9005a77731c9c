#include "transport/http/connection.h"

#include <fmt/format.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/name.h"
#include "transport/http/origin.h"

namespace syzygy::http {

namespace asio = boost::asio;

namespace {

constexpr Duration kLinger{2'000};
constexpr Duration kLingerDraining{200};
constexpr std::size_t kLingerBytesMax = 16 << 20;
constexpr std::string_view kDone = "0\r\n\r\n";

Bytes share(std::string bytes) { return std::make_shared<const std::string>(std::move(bytes)); }

Problem shutting_down() {
  Problem problem = plain_problem(
      503, "SHUTTING_DOWN", "This daemon is shutting down. Ask again: another one, or its successor, will answer.");
  problem.retry_after = Duration{1'000};
  return problem;
}

// application/json, with or without parameters.
bool is_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return std::ranges::equal(type, kJson, [](unsigned char a, unsigned char b) { return std::tolower(a) == b; });
}

// A number that is subtracted where it was added, so that a gauge never drifts.
void up(std::atomic<std::uint64_t>& gauge, std::uint64_t n = 1) { gauge.fetch_add(n, std::memory_order_relaxed); }
void down(std::atomic<std::uint64_t>& gauge, std::uint64_t n = 1) { gauge.fetch_sub(n, std::memory_order_relaxed); }

}  // namespace

Response respond_with(std::string body, std::string_view content_type) {
  Response response;
  response.content_type = content_type;
  response.body = share(std::move(body));
  return response;
}

Response respond_with(const Problem& problem) {
  Response response;
  response.status = problem.status;
  response.content_type = "application/problem+json";
  response.body = share(to_json(problem));
  if (!problem.allow.empty()) response.headers.emplace_back("Allow", problem.allow);
  if (problem.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"syzygy\"");
  if (problem.retry_after) {
    // Whole seconds, and never 0, which would mean "at once".
    const auto seconds = std::max<std::int64_t>(1, (problem.retry_after->count() + 999) / 1'000);
    response.headers.emplace_back("Retry-After", std::to_string(seconds));
  }
  return response;
}

Connection::Connection(Loop& loop, std::uint64_t id, int descriptor, transport::Connections::Slot slot)
    : loop_(loop), id_(id), socket_(loop.context()), slot_(std::move(slot)) {
  boost::system::error_code ignored;
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size);
  socket_.assign(address.ss_family == AF_INET6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(), descriptor, ignored);
  socket_.native_non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  if (loop.common().tls) tls_ = std::make_unique<TlsSession>(*loop.common().tls);
}

Connection::~Connection() { release(false); }

void Connection::start() {
  deadline_in(loop_.common().options.header_timeout);
  arm_read();
}

void Connection::deadline_in(Duration d) { loop_.set_deadline(*this, Clock::now() + d); }

// ---- reading ----

void Connection::arm_read() {
  if (closed_ || reading_ || peer_done_) return;
  // Full of requests that came before their turn: hear no more until one is answered.
  if (!reads_requests() && phase_ != Phase::kLingering && phase_ != Phase::kStreaming &&
      input_.size() >= kPipelineBytesMax) {
    return;
  }
  reading_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& error) {
                       self->reading_ = false;
                       if (error || self->closed_) return;
                       self->on_readable();
                       self->arm_read();
                     });
}

void Connection::on_readable() {
  auto& scratch = loop_.scratch;
  const ssize_t n = ::recv(socket_.native_handle(), scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (n < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) close();
    return;
  }
  if (n == 0) {
    hang_up();
    return;
  }
  up(loop_.common().counters.bytes_in, static_cast<std::uint64_t>(n));
  const std::string_view bytes(scratch.data(), static_cast<std::size_t>(n));
  if (!tls_) {
    on_bytes(bytes);
    return;
  }
  std::string plain;
  const TlsSession::State state = tls_->receive(bytes, plain);
  if (state == TlsSession::State::kPlainHttp || state == TlsSession::State::kFailed) {
    if (!tls_->ready()) up(loop_.common().counters.handshakes_failed);
    if (state == TlsSession::State::kPlainHttp) {
      tls_.reset();  // it hears nothing but plain HTTP
      refuse(plain_problem(400, "TLS_REQUIRED", "This port speaks TLS, and plain HTTP came. Use https://."), true);
      return;
    }
    flush();  // the alert
    close();
    return;
  }
  flush();
  if (!closed_ && !plain.empty()) on_bytes(plain);
  if (!closed_ && state == TlsSession::State::kClosed) hang_up();
}

// The peer will say no more. An answer that is on its way is still sent; one that waits for something is not.
void Connection::hang_up() {
  peer_done_ = true;
  const bool soon = phase_ == Phase::kWriting || (phase_ == Phase::kAnswering && !active_->parked);
  if (!soon) close();
}

void Connection::on_bytes(std::string_view bytes) {
  if (phase_ == Phase::kLingering) {
    lingered_ += bytes.size();
    if (lingered_ > kLingerBytesMax) close();
    return;
  }
  if (phase_ == Phase::kStreaming) return;  // a stream ends with its connection: nothing after it is heard
  if (!reads_requests() || in_requests_) {
    input_.append(bytes);
    return;
  }
  std::string owned;
  if (!input_.empty()) {
    owned = std::move(input_);
    input_ = std::string();
    owned.append(bytes);
    bytes = owned;
  }
  const std::string_view rest = read_requests(bytes);
  if (closed_ || phase_ == Phase::kLingering) return;
  input_.assign(rest);
}

std::string_view Connection::read_requests(std::string_view bytes) {
  in_requests_ = true;
  const Options& options = loop_.common().options;
  while (!closed_ && reads_requests()) {
    if (phase_ == Phase::kIdle) {
      if (bytes.empty()) break;
      parser_ = std::make_unique<Parser>(api::kRequestBytesMax);
      phase_ = Phase::kHead;
      deadline_in(options.header_timeout);
    }
    std::size_t used = 0;
    const Parser::Progress progress = parser_->put(bytes, used);
    bytes.remove_prefix(used);
    if (phase_ == Phase::kBody) {
      const std::size_t held = parser_->body().size();
      auto& in_flight = loop_.common().counters.body_bytes;
      up(in_flight, held - body_counted_);
      body_counted_ = held;
      if (in_flight.load(std::memory_order_relaxed) > kBodyBytesInFlightMax) {
        Problem problem = plain_problem(
            503, "BODIES_LIMIT",
            fmt::format("Requests with more than {} bytes of body are being received already.", kBodyBytesInFlightMax));
        problem.retry_after = Duration{1'000};
        refuse(problem, true);
        break;
      }
    }
    if (progress == Parser::Progress::kMore) break;
    if (progress == Parser::Progress::kBad) {
      refuse(parser_->problem(), true);
    } else if (progress == Parser::Progress::kHead) {
      if (on_head()) {
        phase_ = Phase::kBody;
        deadline_in(options.body_timeout);
      }
    } else {
      dispatch();
    }
  }
  in_requests_ = false;
  return bytes;
}

// False: refused.
bool Connection::on_head() {
  const Common& common = loop_.common();
  Head& head = parser_->head();
  http_1_0_ = head.http_1_0;
  keep_alive_ = head.keep_alive;
  if (head.hosts > 1 || (head.hosts == 0 && !head.http_1_0)) {
    refuse(plain_problem(400, "HOST_MISSING", "A request of HTTP/1.1 names its host exactly once."), true);
    return false;
  }
  if (const auto problem = refuse_origin(head.hosts == 0 ? "localhost" : head.host, head.origin, common.guarded,
                                         common.options.allowed_hosts)) {
    refuse(*problem, head.has_body);
    return false;
  }
  auto matched = match(head.method, head.target);
  if (!matched) {
    refuse(matched.error(), head.has_body);
    return false;
  }
  if (matched->options) {
    Response response;
    response.status = 204;
    response.headers.emplace_back("Allow", matched->allow);
    response.close = head.has_body;
    parser_.reset();
    write_response(response, std::nullopt, true);
    return false;
  }
  if (!matched->route->open && !common.bearer.accepts(head.authorization)) {
    refuse(plain_problem(
               401, head.authorization.empty() ? "TOKEN_MISSING" : "TOKEN_WRONG",
               head.authorization.empty()
                   ? "This daemon asks for a token. Send it as \"Authorization: Bearer TOKEN\"."
                   : "The token in the Authorization field is not this daemon's. Send \"Authorization: Bearer TOKEN\" "
                     "with the configured one."),
           head.has_body);
    return false;
  }
  if (!head.content_encoding.empty() && head.content_encoding != "identity") {
    refuse(plain_problem(415, "CONTENT_ENCODING_UNSUPPORTED", "Bodies are read as they are: send no Content-Encoding."),
           head.has_body);
    return false;
  }
  // A page of another site can send a form or plain text here without asking, but not JSON.
  if (matched->route->method == "POST" && !head.content_type.empty() && !is_json(head.content_type)) {
    refuse(plain_problem(415, "CONTENT_TYPE_UNSUPPORTED",
                         fmt::format("The body must be JSON, and its Content-Type says \"{}\". Send "
                                     "\"Content-Type: application/json\".",
                                     printable(head.content_type, 100))),
           head.has_body);
    return false;
  }
  if (head.expects_continue && head.has_body && !head.http_1_0) {
    out_.push_back(share("HTTP/1.1 100 Continue\r\n\r\n"));
    flush();
    if (closed_) return false;
  }
  match_ = std::make_unique<Match>(*std::move(matched));
  return true;
}

void Connection::dispatch() {
  Request request;
  Head& head = parser_->head();
  request.match = std::move(*match_);
  request.idempotency_key = std::move(head.idempotency_key);
  request.last_event_id = std::move(head.last_event_id);
  request.body = std::move(parser_->body());
  boost::system::error_code error;
  const auto peer = socket_.remote_endpoint(error);
  if (!error) request.caller.address = fmt::format("{}:{}", peer.address().to_string(), peer.port());
  request.caller.authorised = true;
  parser_.reset();
  match_.reset();
  down(loop_.common().counters.body_bytes, std::exchange(body_counted_, 0));

  ++request_;
  active_ = std::make_unique<Active>();
  active_->route = request.match.route;
  active_->head = request.match.head;
  active_->started = Clock::now();
  phase_ = Phase::kAnswering;
  loop_.set_deadline(*this, TimePoint::max());
  loop_.common().handler->handle(std::move(request), Ticket(loop_.mailbox(), id_, request_));
}

// ---- answering ----

void Connection::respond(Response response) {
  Counters& counters = loop_.common().counters;
  if (!active_->parked) counters.time(Clock::now() - active_->started);
  if (response.status >= 500 && response.status != 503 && loop_.common().options.log) {
    loop_.common().options.log(fmt::format("http: {} answered {}", active_->route->id, response.status));
  }
  const Operation operation = active_->route->operation;
  const bool head = active_->head;
  release(true);
  write_response(response, operation, head);
}

void Connection::park(std::function<void()> give_up) {
  active_->parked = true;
  active_->give_up = std::move(give_up);
  up(loop_.common().counters.parked);
  if (loop_.draining()) {
    drain();
  } else if (peer_done_) {
    close();
  }
}

Stream* Connection::stream() { return active_->stream.get(); }

void Connection::stream(std::unique_ptr<Stream> stream, engine::SubscriptionPtr source) {
  if (loop_.draining()) {
    respond(respond_with(shutting_down()));
    return;
  }
  loop_.common().counters.count(active_->route->operation, 200);
  std::string header = fmt::format(
      "HTTP/1.1 200 OK\r\nDate: {}\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nX-Accel-Buffering: no\r\n{}\r\n",
      loop_.date(), http_1_0_ || active_->head ? "Connection: close\r\n" : "Transfer-Encoding: chunked\r\n");
  out_.push_back(share(std::move(header)));
  if (active_->head) {
    release(false);
    keep_alive_ = false;
    phase_ = Phase::kWriting;
    deadline_in(loop_.common().options.write_timeout);
    flush();
    return;
  }
  up(loop_.common().counters.streams);
  active_->stream = std::move(stream);
  active_->source = std::move(source);
  phase_ = Phase::kStreaming;
  input_ = std::string();
  progress_ = Clock::now();
  deadline_in(loop_.common().options.keep_alive);
  arm_read();
  flush();
  if (!closed_) pump();
}

void Connection::pump() {
  if (pumping_) return;  // flush() below comes back here: one loop, not one frame for each event
  pumping_ = true;
  while (!closed_ && phase_ == Phase::kStreaming && out_.empty()) {
    std::vector<Bytes> pieces;
    if (!active_->stream->next(pieces)) break;
    up(loop_.common().counters.events);
    std::size_t total = 0;
    for (const Bytes& piece : pieces) total += piece->size();
    if (http_1_0_) {
      out_ = std::move(pieces);
    } else {
      static const Bytes kEnd = share("\r\n");
      out_.reserve(pieces.size() + 2);
      out_.push_back(share(fmt::format("{:x}\r\n", total)));
      out_.insert(out_.end(), pieces.begin(), pieces.end());
      out_.push_back(kEnd);
    }
    progress_ = Clock::now();
    flush();
  }
  pumping_ = false;
}

void Connection::refuse(const Problem& problem, bool close) {
  Response response = respond_with(problem);
  response.close = close;
  const bool head = parser_ && parser_->head().method == "HEAD";
  parser_.reset();
  match_.reset();
  down(loop_.common().counters.body_bytes, std::exchange(body_counted_, 0));
  write_response(response, std::nullopt, head);
}

void Connection::write_response(const Response& response, std::optional<Operation> operation, bool head) {
  loop_.common().counters.count(operation, response.status);
  if (response.close || loop_.draining()) keep_alive_ = false;
  std::string header;
  header.reserve(320);
  auto out = std::back_inserter(header);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, phrase(response.status), loop_.date());
  if (response.status != 204) {
    fmt::format_to(out, "Content-Type: {}\r\nContent-Length: {}\r\n", response.content_type,
                   response.body ? response.body->size() : 0);
  }
  header += "X-Content-Type-Options: nosniff\r\n";
  bool cached = false;
  for (const auto& [name, value] : response.headers) {
    fmt::format_to(out, "{}: {}\r\n", name, value);
    cached = cached || name == "Cache-Control";
  }
  if (!cached) header += "Cache-Control: no-store\r\n";
  if (!keep_alive_) {
    header += "Connection: close\r\n";
  } else if (http_1_0_) {
    header += "Connection: keep-alive\r\n";
  }
  header += "\r\n";
  if (response.body && !head && response.body->size() < 2'048) {
    header += *response.body;  // one piece, one system call
    out_.push_back(share(std::move(header)));
  } else {
    out_.push_back(share(std::move(header)));
    if (response.body && !head && !response.body->empty()) out_.push_back(response.body);
  }
  phase_ = Phase::kWriting;
  deadline_in(loop_.common().options.write_timeout);
  flush();
}

// False: the socket takes no more now, or the connection is gone.
bool Connection::send_some(std::string_view bytes, std::size_t& sent) {
  const ssize_t n = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n < 0) {
    sent = 0;
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) close();
    return false;
  }
  sent = static_cast<std::size_t>(n);
  up(loop_.common().counters.bytes_out, sent);
  progress_ = Clock::now();
  return sent == bytes.size();
}

void Connection::flush() {
  bool blocked = false;
  while (!closed_ && !blocked) {
    std::size_t sent = 0;
    if (tls_ && !tls_->output().empty()) {
      blocked = !send_some(tls_->output(), sent);
      if (closed_) return;
      tls_->output().erase(0, sent);
      if (tls_->output().empty()) tls_->output() = std::string();
      continue;
    }
    if (out_.empty()) break;
    const std::string_view front = std::string_view(*out_.front()).substr(front_sent_);
    if (tls_) {
      sent = tls_->send(front);
      if (sent == 0) return;  // the handshake is not over
    } else {
      blocked = !send_some(front, sent);
      if (closed_) return;
    }
    front_sent_ += sent;
    if (front_sent_ == out_.front()->size()) {
      out_.erase(out_.begin());
      front_sent_ = 0;
    }
  }
  if (closed_) return;
  if (blocked) {
    if (phase_ == Phase::kWriting || phase_ == Phase::kStreaming) {
      loop_.set_deadline(*this, progress_ + loop_.common().options.write_timeout);
    }
    if (writing_) return;
    writing_ = true;
    socket_.async_wait(asio::ip::tcp::socket::wait_write,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         self->writing_ = false;
                         if (!error && !self->closed_) self->flush();
                       });
    return;
  }
  on_sent();
}

void Connection::on_sent() {
  if (phase_ == Phase::kStreaming) {
    out_ = std::vector<Bytes>();
    deadline_in(loop_.common().options.keep_alive);
    if (!in_requests_) pump();
    return;
  }
  if (phase_ != Phase::kWriting) return;
  out_ = std::vector<Bytes>();
  if (!keep_alive_ || peer_done_) {
    finish();
    return;
  }
  phase_ = Phase::kIdle;
  deadline_in(loop_.common().options.idle_timeout);
  if (loop_.draining()) {
    close();
    return;
  }
  if (!in_requests_ && !input_.empty()) on_bytes({});
  arm_read();
}

// Closing at once would make the kernel reset the connection while the peer still sends, and lose the answer.
void Connection::finish() {
  if (tls_) {
    tls_->close();
    std::size_t sent = 0;
    if (!tls_->output().empty()) send_some(tls_->output(), sent);
    if (closed_) return;
  }
  if (peer_done_) {
    close();
    return;
  }
  phase_ = Phase::kLingering;
  input_ = std::string();
  tls_.reset();
  boost::system::error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  deadline_in(loop_.draining() ? kLingerDraining : kLinger);
  arm_read();
}

// ---- ends ----

void Connection::release(bool answered) {
  if (!active_) return;
  Counters& counters = loop_.common().counters;
  if (active_->parked) down(counters.parked);
  if (active_->stream) down(counters.streams);
  const std::unique_ptr<Active> gone = std::move(active_);
  if (!answered && gone->give_up) gone->give_up();
}

void Connection::close() {
  if (closed_) return;
  closed_ = true;
  const auto self = shared_from_this();
  loop_.set_deadline(*this, TimePoint::max());
  release(false);
  down(loop_.common().counters.body_bytes, std::exchange(body_counted_, 0));
  parser_.reset();
  out_.clear();
  boost::system::error_code ignored;
  socket_.close(ignored);
  loop_.remove(id_);
}

void Connection::drain() {
  if (closed_) return;
  const auto self = shared_from_this();
  if (phase_ == Phase::kIdle) {
    close();
  } else if (reads_requests()) {
    refuse(shutting_down(), true);  // what has not come whole by now may never do
  } else if (phase_ == Phase::kLingering) {
    deadline_in(kLingerDraining);
  } else if (phase_ == Phase::kAnswering && active_->parked) {
    const auto give_up = std::move(active_->give_up);
    respond(respond_with(shutting_down()));
    if (give_up) give_up();
  } else if (phase_ == Phase::kStreaming) {
    // The last chunk says that this is an end, not a broken line.
    if (!http_1_0_) out_.push_back(share(std::string(kDone)));
    release(false);
    keep_alive_ = false;
    phase_ = Phase::kWriting;
    deadline_in(loop_.common().options.write_timeout);
    flush();
  }
}

void Connection::on_deadline(TimePoint now) {
  const Options& options = loop_.common().options;
  switch (phase_) {
    case Phase::kIdle:
    case Phase::kLingering:
      close();
      return;
    case Phase::kHead:
    case Phase::kBody:
      refuse(
          plain_problem(408, "REQUEST_TIMEOUT",
                        fmt::format("The request did not arrive whole within {} ms.",
                                    (phase_ == Phase::kHead ? options.header_timeout : options.body_timeout).count())),
          true);
      return;
    case Phase::kAnswering:  // has none: the service answers in its own time
      return;
    case Phase::kWriting:
      up(loop_.common().counters.slow_readers);
      close();
      return;
    case Phase::kStreaming:
      if (!out_.empty()) {
        if (now - progress_ >= options.write_timeout) {
          up(loop_.common().counters.slow_readers);
          close();
          return;
        }
        loop_.set_deadline(*this, progress_ + options.write_timeout);
        return;
      }
      out_.push_back(share(http_1_0_ ? ": keep-alive\n\n" : "e\r\n: keep-alive\n\n\r\n"));
      progress_ = now;
      flush();
  }
}

}  // namespace syzygy::http
