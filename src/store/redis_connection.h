// redis_connection.h - one TCP or TLS connection to a Redis server, on which commands are pipelined.
//
// Every call has a deadline, and returns soon after it at the latest (only the system's resolver of names may take
// longer). Once a call has failed the connection is over and is to be dropped: what the server did with the commands is
// then not known, unless Lost says that none of them left this process. Threads: one at a time, but for cancel(), which
// any thread may call.
#pragma once

#include <chrono>
#include <expected>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/redis_replies.h"
#include "store/redis_url.h"

namespace syzygy {

using RedisCommand = std::vector<std::string_view>;  // its words; what they show must outlive the call
using RedisDeadline = std::chrono::steady_clock::time_point;

// Certificates and keys, read once.
class RedisTls {
 public:
  // Null where the URL asks for no TLS. Error: kInvalidArgument STORE_TLS_INVALID, a file that cannot be used.
  static Result<std::shared_ptr<RedisTls>> make(const RedisUrl& url);
  virtual ~RedisTls() = default;
};

class RedisConnection {
 public:
  struct Lost {
    bool sent = true;  // false: no byte of the commands left this process
    Error error;       // kUnavailable STORE_UNAVAILABLE, or STORE_TLS while connecting
  };

  RedisConnection(RedisEndpoint endpoint, std::shared_ptr<RedisTls> tls, std::string tls_name);
  ~RedisConnection();
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  Result<void> connect(RedisDeadline deadline);

  // Sends all, then reads one reply for each, in order; an error reply is a reply.
  std::expected<std::vector<RedisReply>, Lost> ask(std::span<const RedisCommand> commands, RedisDeadline deadline);

  // Sends all and reads nothing: for a connection that is listened to with receive().
  std::expected<void, Lost> send(std::span<const RedisCommand> commands, RedisDeadline deadline);

  // The next reply, whoever it is for; null when none came until the deadline: then, and only here, the connection
  // lives on.
  Result<RedisReply> receive(RedisDeadline deadline);

  // The call that runs fails at once, and every later one.
  void cancel();

  // Whether nothing speaks against using it again: it is open, and the server has neither ended it nor said anything
  // that nobody asked for.
  [[nodiscard]] bool reusable() const;

  [[nodiscard]] const RedisEndpoint& endpoint() const;

 private:
  struct Stream;
  const std::unique_ptr<Stream> stream_;
};

}  // namespace syzygy
