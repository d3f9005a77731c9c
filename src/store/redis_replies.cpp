#include "store/redis_replies.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>

#include "base/name.h"

namespace syzygy {
namespace {

constexpr std::size_t kShownMax = 300;

struct Known {
  std::string_view begins;
  ErrorCode code;
  std::string_view reason;
  std::string_view says;  // after "Redis at HOST:PORT "
};

constexpr Known kKnown[] = {
    {"NOAUTH", ErrorCode::kUnauthenticated, "STORE_UNAUTHENTICATED",
     "asks for a password. Put it in a file and name that, --store redis://USER@HOST/?password-file=FILE"},
    {"WRONGPASS", ErrorCode::kUnauthenticated, "STORE_UNAUTHENTICATED",
     "does not know this user with this password. Correct the user in --store, or what is in its password-file"},
    {"NOPERM", ErrorCode::kPermissionDenied, "STORE_PERMISSION",
     "does not let its user do what the store needs. docs/operating.md has the ACL SETUSER line that does"},
    {"LOADING", ErrorCode::kUnavailable, "STORE_LOADING",
     "is still reading its data from disk. It answers when it is done"},
    {"READONLY", ErrorCode::kUnavailable, "STORE_READ_ONLY",
     "is a replica, which cannot be written. Name the master, or let sentinels find it: redis+sentinel://"},
    {"OOM", ErrorCode::kResourceExhausted, "STORE_FULL",
     "has no memory left for a write (maxmemory). Raise maxmemory, or remove what else is stored there"},
    {"MISCONF", ErrorCode::kResourceExhausted, "STORE_CANNOT_PERSIST",
     "cannot write to its disk and so takes no writes. Look at its log, make room on its disk; writes go on by "
     "themselves then"},
    {"NOREPLICAS", ErrorCode::kUnavailable, "STORE_TOO_FEW_REPLICAS",
     "has fewer replicas than its min-replicas-to-write demands. Bring the replicas back"},
    {"CLUSTERDOWN", ErrorCode::kUnavailable, "STORE_UNAVAILABLE",
     "belongs to a cluster that is down. Look at CLUSTER INFO on its nodes"},
    {"TRYAGAIN", ErrorCode::kUnavailable, "STORE_UNAVAILABLE",
     "is moving the slot of this store to another node. It answers when that is done"},
    {"MASTERDOWN", ErrorCode::kUnavailable, "STORE_UNAVAILABLE", "has lost its master"},
    {"BUSY", ErrorCode::kUnavailable, "STORE_UNAVAILABLE", "is busy with somebody's script. SCRIPT KILL ends that"},
    {"MOVED", ErrorCode::kUnavailable, "STORE_UNAVAILABLE",
     "sends us on to a node that does not answer, or in a circle. Look at CLUSTER SLOTS on its nodes"},
    {"ASK", ErrorCode::kUnavailable, "STORE_UNAVAILABLE",
     "sends us on to a node that does not answer, or in a circle. Look at CLUSTER SLOTS on its nodes"},
    {"WRONGTYPE", ErrorCode::kDataLoss, "STORE_FOREIGN",
     "holds something else under the keys of this store. Choose another prefix: --store redis://HOST/?prefix=NAME"},
};

// Redis before 7 puts "@user_script: 12: " or the like before what a command in a script said.
std::string_view without_script(std::string_view text) {
  constexpr std::string_view kScript = "@user_script: ";
  if (const auto at = text.find(kScript); at != std::string_view::npos) {
    text.remove_prefix(at + kScript.size());
    if (const auto colon = text.find(": "); colon != std::string_view::npos) text.remove_prefix(colon + 2);
  }
  if (text.starts_with('-')) text.remove_prefix(1);
  return text;
}

const Known* known(std::string_view text) {
  const auto* found = std::ranges::find_if(kKnown, [&](const Known& one) {
    return text.starts_with(one.begins) && (text.size() == one.begins.size() || text[one.begins.size()] == ' ');
  });
  return found == std::end(kKnown) ? nullptr : found;
}

Error made(const Known& known, const std::string& where, std::string_view text) {
  const std::string said = text.empty() ? "" : fmt::format(" (it said: {})", printable(text, kShownMax));
  return Error{known.code,
               std::string(known.reason),
               fmt::format("Redis at {} {}{}.", where, known.says, said),
               {{"server", where}},
               std::nullopt};
}

}  // namespace

const redisReply* first_error(std::span<const RedisReply> replies) {
  const auto found = std::ranges::find_if(replies, [](const RedisReply& reply) { return is_error(*reply); });
  return found == replies.end() ? nullptr : found->get();
}

Error redis_error(std::string_view text, const std::string& where) {
  text = without_script(text);
  // What a command in a script may not do is said without a word of its own.
  constexpr std::string_view kScriptMayNot = "The user executing the script can't";
  if (text.find(kScriptMayNot) != std::string_view::npos) return made(*known("NOPERM"), where, text);
  if (const Known* one = known(text)) {
    const bool tells_more = one->begins == "NOPERM" || one->begins == "MISCONF" || one->begins == "WRONGTYPE";
    return made(*one, where, tells_more ? text : std::string_view());
  }
  return Error{
      ErrorCode::kFailedPrecondition,
      "STORE_UNSUPPORTED",
      fmt::format("Redis at {} refuses a command that the store needs (it said: {}). The store needs Redis 6.2 "
                  "or later, with scripts.",
                  where, printable(text, kShownMax)),
      {{"server", where}},
      std::nullopt};
}

Error redis_login_error(std::string_view text, const std::string& where) {
  const Known* one = known(text);
  if (one == nullptr) one = known("WRONGPASS");
  return made(*one, where, {});
}

std::optional<RedisRedirect> redirect_of(const redisReply& reply, const RedisEndpoint& asked) {
  if (!is_error(reply)) return std::nullopt;
  std::string_view text = text_of(reply);
  RedisRedirect redirect;
  redirect.ask = text.starts_with("ASK ");
  if (!redirect.ask && !text.starts_with("MOVED ")) return std::nullopt;
  const auto space = text.rfind(' ');  // "MOVED 3999 127.0.0.1:6381"; a host may be empty: the one that was asked
  const std::string_view address = text.substr(space + 1);
  const auto colon = address.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view port = address.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), redirect.to.port);
  if (error != std::errc() || end != port.data() + port.size() || redirect.to.port == 0) return std::nullopt;
  redirect.to.host = address.substr(0, colon);
  if (redirect.to.host.empty() || redirect.to.host == "?") redirect.to.host = asked.host;
  return redirect;
}

RedisServer server_of_info(std::string_view info) {
  RedisServer server;
  while (!info.empty()) {
    const auto end = info.find("\r\n");
    const std::string_view line = info.substr(0, end);
    info = end == std::string_view::npos ? std::string_view() : info.substr(end + 2);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = line.substr(colon + 1);
    if (name == "redis_version") server.version = value;
    if (name == "run_id") server.run_id = value;
    if (name == "master_replid") server.replication_id = value;
    if (name == "maxmemory_policy") server.eviction_policy = value;
    if (name == "role") server.master = value == "master";
    if (name == "cluster_enabled") server.cluster = value == "1";
    if (name == "loading") server.loading = value == "1";
    if (name == "aof_enabled") server.append_only = value == "1";
    if (name == "connected_slaves") std::from_chars(value.data(), value.data() + value.size(), server.replicas);
  }
  return server;
}

bool at_least(std::string_view version, unsigned major, unsigned minor) {
  unsigned has_major = 0;
  unsigned has_minor = 0;
  const char* const end = version.data() + version.size();
  const auto [dot, error] = std::from_chars(version.data(), end, has_major);
  if (error != std::errc()) return false;
  if (dot != end && *dot == '.') std::from_chars(dot + 1, end, has_minor);
  return has_major > major || (has_major == major && has_minor >= minor);
}

}  // namespace syzygy
