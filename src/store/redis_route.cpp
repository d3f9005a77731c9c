#include "store/redis_route.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "base/name.h"

namespace syzygy {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kCommandsMax = 16;  // commands at a time; a further one waits for a connection
constexpr int kRedirectionsMax = 8;
constexpr std::size_t kPasswordBytesMax = 4096;

Error unavailable(const std::string& what) {
  return Error{ErrorCode::kUnavailable, "STORE_UNAVAILABLE", what, {}, std::nullopt};
}

Result<void> read_password(RedisLogin& login) {
  if (login.password_file.empty()) return {};
  std::ifstream file(login.password_file);
  std::string line(kPasswordBytesMax, '\0');
  file.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<std::size_t>(file.gcount()));
  line.resize(std::min(line.find_first_of("\r\n"), line.size()));
  if (!line.empty()) {
    login.password = std::move(line);
    return {};
  }
  return failure(ErrorCode::kInvalidArgument, "STORE_PASSWORD_FILE",
                 fmt::format("--store: the password file {} {}.", printable(login.password_file, 400),
                             file.is_open() ? "has an empty first line" : "cannot be read"),
                 {{"path", login.password_file}});
}

std::vector<RedisCommand> login_of(const RedisLogin& login) {
  if (login.password.empty()) return {};
  if (login.user.empty()) return {{"AUTH", login.password}};
  return {{"AUTH", login.user, login.password}};
}

// Of the time that is left, the share of one of `candidates`: one that is silent leaves some to the others.
RedisDeadline share(RedisDeadline deadline, std::size_t candidates) {
  const auto now = Clock::now();
  if (now >= deadline) return deadline;
  return now + (deadline - now) / static_cast<std::int64_t>(std::max<std::size_t>(1, candidates));
}

}  // namespace

bool is_elsewhere(const redisReply& reply) {
  return is_error(reply) && (text_of(reply).starts_with("READONLY") || text_of(reply).starts_with("MASTERDOWN"));
}

Result<std::unique_ptr<RedisRoute>> RedisRoute::make(RedisUrl url) {
  if (auto read = read_password(url.login); !read) return std::unexpected(std::move(read.error()));
  if (auto read = read_password(url.sentinel_login); !read) return std::unexpected(std::move(read.error()));
  auto tls = RedisTls::make(url);
  if (!tls) return std::unexpected(std::move(tls.error()));
  return std::unique_ptr<RedisRoute>(new RedisRoute(std::move(url), *std::move(tls)));
}

RedisServer RedisRoute::server() const {
  const std::lock_guard lock(mutex_);
  return server_;
}

std::string RedisRoute::where() const {
  const std::lock_guard lock(mutex_);
  return to_string(place_.value_or(url_.hosts.front()));
}

// ---- connections ----

Result<std::unique_ptr<RedisConnection>> RedisRoute::open(const RedisEndpoint& endpoint, RedisDeadline deadline) {
  auto connection = std::make_unique<RedisConnection>(endpoint, tls_, url_.tls_name);
  if (auto connected = connection->connect(deadline); !connected) return std::unexpected(std::move(connected.error()));
  return connection;
}

RedisRoute::Connected RedisRoute::take(RedisDeadline deadline) {
  {
    std::unique_lock lock(mutex_);
    if (!returned_.wait_until(lock, deadline, [&] { return taken_ < kCommandsMax; })) {
      return std::unexpected(
          unavailable(fmt::format("All {} connections to Redis are in use and none came free in time; it answers "
                                  "slowly, or not at all.",
                                  kCommandsMax)));
    }
    ++taken_;
    while (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      if (connection->reusable()) return connection;
    }
  }
  auto found = find(deadline);
  if (!found) put_back(nullptr);
  return found;
}

// Null: it is over.
void RedisRoute::put_back(std::unique_ptr<RedisConnection> connection) {
  const std::lock_guard lock(mutex_);
  --taken_;
  returned_.notify_one();
  if (connection && connection->reusable() && place_ == connection->endpoint()) idle_.push_back(std::move(connection));
}

void RedisRoute::forget(const RedisEndpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  if (place_ != endpoint) return;
  place_ = std::nullopt;
  idle_.clear();
}

void RedisRoute::forget_master() {
  const std::lock_guard lock(mutex_);
  place_ = std::nullopt;
  idle_.clear();
}

void RedisRoute::moved(const RedisEndpoint& to) {
  const std::lock_guard lock(mutex_);
  place_ = to;
  std::erase_if(idle_, [&](const auto& connection) { return connection->endpoint() != to; });
}

// ---- where the store is ----

RedisRoute::Connected RedisRoute::connect(RedisDeadline deadline) { return find(deadline); }

RedisRoute::Connected RedisRoute::find(RedisDeadline deadline) {
  std::vector<RedisEndpoint> candidates;
  {
    const std::lock_guard lock(mutex_);
    if (place_) candidates.push_back(*place_);
    if (!url_.sentinel) {
      candidates.insert(candidates.end(), nodes_.begin(), nodes_.end());
      candidates.insert(candidates.end(), url_.hosts.begin(), url_.hosts.end());
    }
  }
  if (url_.sentinel) {
    if (!candidates.empty()) {
      auto found = greet(candidates.front(), share(deadline, 2));
      if (found) return found;
      forget(candidates.front());
    }
    return find_by_sentinel(deadline);
  }
  std::vector<RedisEndpoint> tried;
  std::optional<Error> first;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (std::ranges::find(tried, candidates[i]) != tried.end()) continue;
    tried.push_back(candidates[i]);
    std::size_t left = 1;
    for (std::size_t j = i + 1; j < candidates.size(); ++j)
      if (std::ranges::find(tried, candidates[j]) == tried.end()) ++left;
    auto found = greet(candidates[i], share(deadline, left));
    if (found) return found;
    // A replica's refusal says less than whatever came before or comes after it.
    if (!first || first->reason == "STORE_READ_ONLY") first = std::move(found.error());
  }
  return std::unexpected(*std::move(first));
}

RedisRoute::Connected RedisRoute::find_by_sentinel(RedisDeadline deadline) {
  std::optional<Error> last;
  for (std::size_t i = 0; i < url_.hosts.size(); ++i) {
    auto master = master_by(url_.hosts[i], share(deadline, url_.hosts.size() - i + 1));
    if (!master) {
      last = std::move(master.error());
      continue;
    }
    auto found = greet(*master, share(deadline, url_.hosts.size() - i));
    if (found) return found;
    last = std::move(found.error());
  }
  return std::unexpected(*std::move(last));
}

Result<RedisEndpoint> RedisRoute::master_by(const RedisEndpoint& sentinel, RedisDeadline deadline) {
  auto connection = open(sentinel, deadline);
  if (!connection) return std::unexpected(std::move(connection.error()));
  const std::string where = to_string(sentinel);
  std::vector<RedisCommand> commands = login_of(url_.sentinel_login);
  const std::size_t logins = commands.size();
  commands.push_back({"SENTINEL", "get-master-addr-by-name", url_.master});
  auto replies = (*connection)->ask(commands, deadline);
  if (!replies) return std::unexpected(std::move(replies.error().error));
  if (logins > 0 && is_error(*replies->front()))
    return std::unexpected(redis_login_error(text_of(*replies->front()), where));
  const redisReply& answer = *replies->back();
  if (is_error(answer)) return std::unexpected(redis_error(text_of(answer), where));
  if (answer.type != REDIS_REPLY_ARRAY || answer.elements != 2) {
    return std::unexpected(Error{ErrorCode::kUnavailable,
                                 "STORE_NO_MASTER",
                                 fmt::format("The sentinel at {} knows no master called '{}'. Correct ?master= in "
                                             "--store, or what the sentinel monitors.",
                                             where, printable(url_.master, 100)),
                                 {{"server", where}},
                                 std::nullopt});
  }
  RedisEndpoint master{.host = std::string(text_of(*answer.element[0])), .port = 0};
  const unsigned long port = std::strtoul(std::string(text_of(*answer.element[1])).c_str(), nullptr, 10);
  master.port = static_cast<std::uint16_t>(port);
  return master;
}

RedisRoute::Connected RedisRoute::greet(const RedisEndpoint& endpoint, RedisDeadline deadline) {
  auto connection = open(endpoint, deadline);
  if (!connection) return connection;
  const std::string where = to_string(endpoint);
  std::vector<RedisCommand> commands = login_of(url_.login);
  const std::size_t logins = commands.size();
  const std::string database = std::to_string(url_.database);
  if (url_.database != 0) commands.push_back({"SELECT", database});
  const std::string name = name_of_all() + "/" + handle_;
  commands.push_back({"CLIENT", "SETNAME", name});
  commands.push_back({"CLUSTER", "SLOTS"});  // an error where there is no cluster
  commands.push_back({"INFO"});
  auto replies = (*connection)->ask(commands, deadline);
  if (!replies) return std::unexpected(std::move(replies.error().error));
  if (logins > 0 && is_error(*replies->front()))
    return std::unexpected(redis_login_error(text_of(*replies->front()), where));
  const redisReply& info = *replies->back();
  if (is_error(info)) return std::unexpected(redis_error(text_of(info), where));
  RedisServer server = server_of_info(text_of(info));
  if (server.loading) return std::unexpected(redis_error("LOADING", where));
  if (url_.database != 0 && is_error(*(*replies)[logins])) {
    return std::unexpected(
        Error{ErrorCode::kFailedPrecondition,
              "STORE_NO_DATABASE",
              fmt::format("Redis at {} has no database {}{}. Leave it out of --store, or name one that there is.",
                          where, url_.database, server.cluster ? ": a cluster has only database 0" : ""),
              {{"server", where}},
              std::nullopt});
  }
  // In a cluster a replica sends us on by itself.
  if (!server.master && !server.cluster) return std::unexpected(redis_error("READONLY", where));
  if (server.cluster) learn_nodes(*(*replies)[replies->size() - 2], endpoint);
  const std::lock_guard lock(mutex_);
  server_ = std::move(server);
  if (place_ != endpoint) idle_.clear();
  place_ = endpoint;
  return connection;
}

// Every node that CLUSTER SLOTS names, so that the cluster is found again when the one that we know is gone.
void RedisRoute::learn_nodes(const redisReply& slots, const RedisEndpoint& asked) {
  if (slots.type != REDIS_REPLY_ARRAY) return;
  std::vector<RedisEndpoint> nodes;
  for (std::size_t i = 0; i < slots.elements; ++i) {
    const redisReply& range = *slots.element[i];
    if (range.type != REDIS_REPLY_ARRAY) continue;
    for (std::size_t n = 2; n < range.elements; ++n) {
      const redisReply& node = *range.element[n];
      if (node.type != REDIS_REPLY_ARRAY || node.elements < 2 || node.element[1]->type != REDIS_REPLY_INTEGER) continue;
      RedisEndpoint endpoint{.host = std::string(text_of(*node.element[0])),
                             .port = static_cast<std::uint16_t>(node.element[1]->integer)};
      if (endpoint.host.empty() || endpoint.host == "?") endpoint.host = asked.host;
      if (endpoint.port != 0 && std::ranges::find(nodes, endpoint) == nodes.end()) nodes.push_back(std::move(endpoint));
    }
  }
  const std::lock_guard lock(mutex_);
  nodes_ = std::move(nodes);
}

bool RedisRoute::still_there() {
  std::optional<RedisEndpoint> place;
  {
    const std::lock_guard lock(mutex_);
    place = place_;
  }
  if (!url_.sentinel || !place) return true;
  const RedisDeadline until = deadline();
  for (std::size_t i = 0; i < url_.hosts.size(); ++i) {
    const auto master = master_by(url_.hosts[i], share(until, url_.hosts.size() - i));
    if (!master) continue;
    if (*master == *place) return true;
    forget(*place);
    return false;
  }
  return true;
}

// ---- commands ----

std::expected<std::vector<RedisReply>, RedisRoute::Failed> RedisRoute::ask(std::span<const RedisCommand> commands,
                                                                           bool repeatable) {
  const RedisDeadline until = deadline();
  bool again = true;  // once
  for (int redirections = 0;;) {
    auto connection = take(until);
    if (!connection) return std::unexpected(Failed{.sent = false, .error = std::move(connection.error())});
    const RedisEndpoint here = (*connection)->endpoint();
    auto replies = (*connection)->ask(commands, until);
    if (!replies) {
      put_back(nullptr);
      forget(here);
      const bool may_repeat = repeatable || !replies.error().sent;
      if (may_repeat && std::exchange(again, false) && Clock::now() < until) continue;
      return replies;
    }
    const redisReply* error = first_error(*replies);
    const auto redirect = error == nullptr ? std::nullopt : redirect_of(*error, here);
    if (!redirect) {
      const bool elsewhere = error != nullptr && is_elsewhere(*error);
      put_back(elsewhere ? nullptr : *std::move(connection));
      if (!elsewhere) return replies;
      // Refused before anything was done. It was the master when we connected: another one is now.
      forget(here);
      if (std::exchange(again, false) && Clock::now() < until) continue;
      return replies;
    }
    put_back(*std::move(connection));
    if (++redirections > kRedirectionsMax) return replies;
    if (!redirect->ask) {
      moved(redirect->to);
      continue;
    }
    // Key by key: while a slot is on its way, what has arrived is asked for there, and what has not is answered here.
    std::vector<std::size_t> away;
    std::vector<RedisCommand> asked;
    for (std::size_t i = 0; i < replies->size(); ++i) {
      if (!redirect_of(*(*replies)[i], here)) continue;
      away.push_back(i);
      asked.push_back(commands[i]);
    }
    auto answers = ask_once_there(redirect->to, asked, until);
    if (!answers) return answers;
    const redisReply* refusal = first_error(*answers);
    if (refusal != nullptr && redirect_of(*refusal, redirect->to)) continue;  // the move was over in between
    for (std::size_t i = 0; i < away.size(); ++i) (*replies)[away[i]] = std::move((*answers)[i]);
    return replies;
  }
}

// ASK: the slot is on its way to another node, which answers for it only when it is asked so.
std::expected<std::vector<RedisReply>, RedisRoute::Failed> RedisRoute::ask_once_there(
    const RedisEndpoint& there, std::span<const RedisCommand> commands, RedisDeadline deadline) {
  auto connection = open(there, deadline);
  if (!connection) return std::unexpected(Failed{.sent = false, .error = std::move(connection.error())});
  std::vector<RedisCommand> asking = login_of(url_.login);
  const std::size_t logins = asking.size();
  for (const RedisCommand& command : commands) {
    asking.push_back({"ASKING"});
    asking.push_back(command);
  }
  auto replies = (*connection)->ask(asking, deadline);
  if (!replies) return replies;
  std::vector<RedisReply> answers;
  for (std::size_t i = logins + 1; i < replies->size(); i += 2) answers.push_back(std::move((*replies)[i]));
  return answers;
}

}  // namespace syzygy
