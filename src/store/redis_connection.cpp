#include "store/redis_connection.h"

#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <hiredis/sds.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <optional>

#include "base/name.h"

namespace syzygy {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::size_t kChunk = 64UZ << 10;
// A reply is a few records at most; a server that sends more for one answer is none of ours.
constexpr std::size_t kReplyBytesMax = 1UZ << 30;

class Tls final : public RedisTls {
 public:
  asio::ssl::context context{asio::ssl::context::tls_client};
};

std::unexpected<Error> bad_file(const char* option, const std::string& file, const error_code& error) {
  return failure(ErrorCode::kInvalidArgument, "STORE_TLS_INVALID",
                 fmt::format("--store: the file {} of its option '{}' cannot be used: {}.", printable(file, 400),
                             option, error.message()),
                 {{"path", file}});
}

struct FreeReader {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

Error unavailable(const std::string& where, const std::string& what) {
  return Error{ErrorCode::kUnavailable,
               "STORE_UNAVAILABLE",
               fmt::format("Redis at {} {}.", where, what),
               {{"server", where}},
               std::nullopt};
}

}  // namespace

Result<std::shared_ptr<RedisTls>> RedisTls::make(const RedisUrl& url) {
  if (!url.tls) return nullptr;
  auto tls = std::make_shared<Tls>();
  error_code error;
  tls->context.set_verify_mode(asio::ssl::verify_peer, error);
  tls->context.set_options(asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1, error);
  if (url.ca_file.empty()) {
    tls->context.set_default_verify_paths(error);
  } else if (tls->context.load_verify_file(url.ca_file, error); error) {
    return bad_file("ca", url.ca_file, error);
  }
  if (!url.cert_file.empty()) {
    if (tls->context.use_certificate_chain_file(url.cert_file, error); error)
      return bad_file("cert", url.cert_file, error);
    if (tls->context.use_private_key_file(url.key_file, asio::ssl::context::pem, error); error)
      return bad_file("key", url.key_file, error);
  }
  return tls;
}

struct RedisConnection::Stream {
  const RedisEndpoint endpoint;
  const std::string where = to_string(endpoint);
  const std::shared_ptr<RedisTls> tls;
  const std::string tls_name;

  asio::io_context context{1};
  tcp::resolver resolver{context};
  tcp::socket socket{context};
  std::optional<asio::ssl::stream<tcp::socket&>> secured;
  std::atomic<bool> cancelled = false;
  bool broken = false;

  std::unique_ptr<redisReader, FreeReader> reader{redisReaderCreate()};
  std::array<char, kChunk> chunk{};
  std::size_t fed = 0;   // since the last whole reply
  bool reading = false;  // a read is under way
  bool arrived = false;  // one has ended, and what it brought was not looked at yet
  std::size_t got = 0;
  error_code read_error;

  Stream(RedisEndpoint e, std::shared_ptr<RedisTls> t, std::string name)
      : endpoint(std::move(e)), tls(std::move(t)), tls_name(std::move(name)) {}

  // Runs until `done`, the deadline, or cancel(). False: it is not done.
  bool run(const bool& done, RedisDeadline deadline) {
    context.restart();
    while (!done && !cancelled) {
      if (context.run_one_until(deadline) == 0) break;
    }
    return done;
  }

  // Ends what is under way; its handlers, which use our members, have run when this returns.
  void close() {
    broken = true;
    error_code ignored;
    resolver.cancel();
    socket.close(ignored);
    context.restart();
    context.run();
  }

  // One asynchronous operation, as a call. `start` gets a handler for (error_code).
  template <class Start>
  Result<void> perform(Start start, const char* doing, RedisDeadline deadline) {
    bool done = false;
    error_code error;
    start([&](const error_code& e) {
      done = true;
      error = e;
    });
    if (!run(done, deadline)) {
      close();
      return std::unexpected(unavailable(where, cancelled ? "is not asked any more: the store is being closed"
                                                          : "does not answer: it may be down, stopped, or cut off"));
    }
    if (error) {
      close();
      return std::unexpected(unavailable(where, fmt::format("{} ({})", doing, error.message())));
    }
    return {};
  }

  Result<void> connect(RedisDeadline deadline);
  Result<void> secure(RedisDeadline deadline);
  std::expected<void, Lost> send(const std::string& bytes, RedisDeadline deadline);
  void start_reading();
  Result<RedisReply> parse();
  Result<RedisReply> receive(RedisDeadline deadline);
  Error read_failed() const;
};

Result<void> RedisConnection::Stream::connect(RedisDeadline deadline) {
  constexpr const char* kDoing = "cannot be reached";
  error_code no_address;
  const auto address = asio::ip::make_address(endpoint.host, no_address);
  if (!no_address) {
    auto connected = perform(
        [&](auto handler) { socket.async_connect(tcp::endpoint(address, endpoint.port), handler); }, kDoing, deadline);
    if (!connected) return connected;
  } else {
    tcp::resolver::results_type addresses;
    auto resolved = perform(
        [&](auto handler) {
          resolver.async_resolve(endpoint.host, std::to_string(endpoint.port),
                                 [&addresses, handler](const error_code& error, tcp::resolver::results_type found) {
                                   addresses = std::move(found);
                                   handler(error);
                                 });
        },
        "has a name that cannot be resolved", deadline);
    if (!resolved) return resolved;
    auto connected = perform(
        [&](auto handler) {
          asio::async_connect(socket, addresses,
                              [handler](const error_code& error, const tcp::endpoint&) { handler(error); });
        },
        kDoing, deadline);
    if (!connected) return connected;
  }
  error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  return tls ? secure(deadline) : Result<void>();
}

Result<void> RedisConnection::Stream::secure(RedisDeadline deadline) {
  secured.emplace(socket, static_cast<Tls&>(*tls).context);
  const std::string& name = tls_name.empty() ? endpoint.host : tls_name;
  error_code ignored;
  secured->set_verify_callback(asio::ssl::host_name_verification(name), ignored);
  error_code is_name;
  asio::ip::make_address(name, is_name);
  if (is_name) SSL_set_tlsext_host_name(secured->native_handle(), name.c_str());
  bool done = false;
  error_code error;
  secured->async_handshake(asio::ssl::stream_base::client, [&](const error_code& e) {
    done = true;
    error = e;
  });
  if (!run(done, deadline)) {
    close();
    return std::unexpected(unavailable(where, "does not answer the TLS handshake: it may be down, or speak no TLS"));
  }
  if (!error) return {};
  const long verified = SSL_get_verify_result(secured->native_handle());
  close();
  const std::string why = verified != X509_V_OK ? X509_verify_cert_error_string(verified) : error.message();
  return failure(
      ErrorCode::kFailedPrecondition, "STORE_TLS",
      fmt::format("The TLS handshake with Redis at {} failed: {}. Its certificate must be for '{}' (or "
                  "?tls-name=NAME) and signed by a CA that is trusted here (?ca=FILE); a server that asks for "
                  "a certificate gets ?cert=FILE&key=FILE; one without TLS is redis://.",
                  where, printable(why, 200), printable(name, 255)),
      {{"server", where}});
}

std::expected<void, RedisConnection::Lost> RedisConnection::Stream::send(const std::string& bytes,
                                                                         RedisDeadline deadline) {
  bool done = false;
  error_code error;
  std::size_t sent = 0;
  const auto handler = [&](const error_code& e, std::size_t n) {
    done = true;
    error = e;
    sent = n;
  };
  if (secured) {
    asio::async_write(*secured, asio::buffer(bytes), handler);
  } else {
    asio::async_write(socket, asio::buffer(bytes), handler);
  }
  const bool in_time = run(done, deadline);
  if (in_time && !error) return {};
  close();
  // TLS counts a record once all of it has left: a part of it may have gone before.
  return std::unexpected(
      Lost{.sent = secured.has_value() || sent > 0,
           .error = unavailable(where, in_time ? fmt::format("ended the connection ({})", error.message())
                                               : "takes no more data: it may be stopped, or cut off")});
}

void RedisConnection::Stream::start_reading() {
  reading = true;
  const auto handler = [this](const error_code& error, std::size_t n) {
    reading = false;
    arrived = true;
    read_error = error;
    got = n;
  };
  if (secured) {
    secured->async_read_some(asio::buffer(chunk), handler);
  } else {
    socket.async_read_some(asio::buffer(chunk), handler);
  }
}

// Null: not a whole reply yet.
Result<RedisReply> RedisConnection::Stream::parse() {
  void* reply = nullptr;
  if (redisReaderGetReply(reader.get(), &reply) != REDIS_OK) {
    const std::string what = reader->errstr;
    close();
    return std::unexpected(unavailable(
        where, fmt::format("does not speak Redis' protocol ({}). Is this the right port", printable(what, 100))));
  }
  if (reply != nullptr) fed = 0;
  return RedisReply(static_cast<redisReply*>(reply));
}

Error RedisConnection::Stream::read_failed() const {
  if (read_error == asio::error::eof || read_error == asio::ssl::error::stream_truncated ||
      read_error == asio::error::connection_reset)
    return unavailable(where, tls ? "ended the connection" : "ended the connection; one that speaks TLS is rediss://");
  return unavailable(where, fmt::format("cannot be heard any more ({})", read_error.message()));
}

Result<RedisReply> RedisConnection::Stream::receive(RedisDeadline deadline) {
  for (;;) {
    auto reply = parse();
    if (!reply || *reply) return reply;
    if (fed > kReplyBytesMax) {
      close();
      return std::unexpected(unavailable(where, "sent an answer of more than a gibibyte"));
    }
    if (!reading && !arrived) start_reading();
    if (!run(arrived, deadline)) return nullptr;
    arrived = false;
    if (read_error) {
      close();
      return std::unexpected(read_failed());
    }
    redisReaderFeed(reader.get(), chunk.data(), got);
    fed += got;
  }
}

RedisConnection::RedisConnection(RedisEndpoint endpoint, std::shared_ptr<RedisTls> tls, std::string tls_name)
    : stream_(std::make_unique<Stream>(std::move(endpoint), std::move(tls), std::move(tls_name))) {}

RedisConnection::~RedisConnection() { stream_->close(); }

Result<void> RedisConnection::connect(RedisDeadline deadline) { return stream_->connect(deadline); }

std::expected<void, RedisConnection::Lost> RedisConnection::send(std::span<const RedisCommand> commands,
                                                                 RedisDeadline deadline) {
  std::string bytes;
  std::vector<const char*> words;
  std::vector<std::size_t> sizes;
  for (const RedisCommand& command : commands) {
    words.clear();
    sizes.clear();
    for (const std::string_view word : command) {
      words.push_back(word.data() == nullptr ? "" : word.data());
      sizes.push_back(word.size());
    }
    char* formatted = nullptr;
    const int size = redisFormatCommandArgv(&formatted, static_cast<int>(words.size()), words.data(), sizes.data());
    if (size < 0) {
      return std::unexpected(Lost{.sent = false,
                                  .error = Error{ErrorCode::kResourceExhausted,
                                                 "STORE_OUT_OF_MEMORY",
                                                 "There is no memory left for a command to Redis.",
                                                 {},
                                                 std::nullopt}});
    }
    bytes.append(formatted, static_cast<std::size_t>(size));
    redisFreeCommand(formatted);
  }
  return stream_->send(bytes, deadline);
}

std::expected<std::vector<RedisReply>, RedisConnection::Lost> RedisConnection::ask(
    std::span<const RedisCommand> commands, RedisDeadline deadline) {
  if (auto sent = send(commands, deadline); !sent) return std::unexpected(std::move(sent.error()));
  std::vector<RedisReply> replies;
  replies.reserve(commands.size());
  while (replies.size() < commands.size()) {
    auto reply = stream_->receive(deadline);
    if (!reply) return std::unexpected(Lost{.sent = true, .error = std::move(reply.error())});
    if (*reply == nullptr) {
      stream_->close();
      return std::unexpected(Lost{
          .sent = true, .error = unavailable(stream_->where, "does not answer: it may be down, stopped, or cut off")});
    }
    replies.push_back(*std::move(reply));
  }
  return replies;
}

Result<RedisReply> RedisConnection::receive(RedisDeadline deadline) { return stream_->receive(deadline); }

void RedisConnection::cancel() {
  stream_->cancelled = true;
  asio::post(stream_->context, [] {});  // wakes the call that runs
}

bool RedisConnection::reusable() const {
  if (stream_->broken || stream_->reading || stream_->arrived) return false;
  char byte = 0;
  const ssize_t pending = ::recv(stream_->socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return pending < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

const RedisEndpoint& RedisConnection::endpoint() const { return stream_->endpoint; }

}  // namespace syzygy
