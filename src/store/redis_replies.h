// redis_replies.h - what a Redis server says, made ours: replies that free themselves, errors with a way out, and the
// facts in INFO. Pure.
#pragma once

#include <hiredis/hiredis.h>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/redis_url.h"

namespace syzygy {

struct FreeRedisReply {
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using RedisReply = std::unique_ptr<redisReply, FreeRedisReply>;

inline bool is_error(const redisReply& reply) { return reply.type == REDIS_REPLY_ERROR; }
inline bool is_text(const redisReply& reply) {
  return reply.type == REDIS_REPLY_STRING || reply.type == REDIS_REPLY_STATUS;
}
// Of an error: its text. Of what has none: empty.
inline std::string_view text_of(const redisReply& reply) {
  return is_text(reply) || is_error(reply) ? std::string_view(reply.str, reply.len) : std::string_view();
}

// An error reply as an Error that names the server and the way out. `where` is "HOST:PORT". One that stands for
// nothing that is known becomes kFailedPrecondition STORE_UNSUPPORTED. The text is shown, so it must not be the answer
// to a command that carried a secret.
Error redis_error(std::string_view text, const std::string& where);

// The answer to AUTH; nothing of its text is shown.
Error redis_login_error(std::string_view text, const std::string& where);

// MOVED and ASK: where to ask instead.
struct RedisRedirect {
  RedisEndpoint to;
  bool ask = false;  // this once; MOVED: from now on
};
std::optional<RedisRedirect> redirect_of(const redisReply& reply, const RedisEndpoint& asked);

// The first refusal among the replies of a pipeline; null: there is none.
const redisReply* first_error(std::span<const RedisReply> replies);

// What INFO says of a server.
struct RedisServer {
  std::string version;
  std::string run_id;
  std::string replication_id;
  std::string eviction_policy;
  bool master = true;
  bool cluster = false;
  bool loading = false;
  bool append_only = false;
  unsigned replicas = 0;
};
RedisServer server_of_info(std::string_view info);

// "6.2.14" is at least 6.2.
bool at_least(std::string_view version, unsigned major, unsigned minor);

}  // namespace syzygy
