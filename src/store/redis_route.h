// redis_route.h - finds the server that holds the store now, and takes commands there: directly, as the sentinels say,
// or through a cluster's redirections. Keeps a few connections open for it.
//
// All keys of a store share one hash tag, so all of it is on one server at a time: a route has one place to go to,
// learned from whoever sends it on (MOVED, the sentinels), and forgotten when that place fails. Threads: any, several
// at a time; every call ends within the URL's timeout.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "store/redis_connection.h"
#include "store/store.h"

namespace syzygy {

class RedisRoute {
 public:
  // Reads the files that the URL names (passwords, certificates). Errors: kInvalidArgument STORE_TLS_INVALID or
  // STORE_PASSWORD_FILE.
  static Result<std::unique_ptr<RedisRoute>> make(RedisUrl url);

  using Failed = RedisConnection::Lost;  // `sent`: the server may have done some of it
  // One reply for each command, all from one server, in one round trip. `repeatable`: doing it twice is as good as
  // once, so a connection that breaks is answered by another try.
  std::expected<std::vector<RedisReply>, Failed> ask(std::span<const RedisCommand> commands, bool repeatable);

  // A connection of the caller's own, greeted and logged in, to the server that holds the store, or to another node of
  // its cluster.
  Result<std::unique_ptr<RedisConnection>> connect(RedisDeadline deadline);

  // Asks the sentinels again, where there are some: false, and the connections to the old one are dropped, when the
  // master is another one now.
  bool still_there();

  // The server that we took for the master says that it is none.
  void forget_master();

  // What the server said of itself when it was last connected to. Another run_id or replication_id than before: it was
  // restarted, or it is another one.
  [[nodiscard]] RedisServer server() const;
  [[nodiscard]] std::string where() const;  // of the place where the store is, or is looked for
  [[nodiscard]] const RedisUrl& url() const { return url_; }
  // Random: tells the users of one store apart. Their connections bear the name NAME_OF_ALL/HANDLE.
  [[nodiscard]] const std::string& handle() const { return handle_; }
  [[nodiscard]] std::string name_of_all() const { return "syzygyd/" + url_.prefix; }
  [[nodiscard]] RedisDeadline deadline() const { return std::chrono::steady_clock::now() + url_.timeout; }

 private:
  using Connected = Result<std::unique_ptr<RedisConnection>>;

  RedisRoute(RedisUrl url, std::shared_ptr<RedisTls> tls) : url_(std::move(url)), tls_(std::move(tls)) {}

  Connected take(RedisDeadline deadline);
  void put_back(std::unique_ptr<RedisConnection> connection);
  void forget(const RedisEndpoint& endpoint);
  void moved(const RedisEndpoint& to);
  Connected find(RedisDeadline deadline);
  Connected find_by_sentinel(RedisDeadline deadline);
  Result<RedisEndpoint> master_by(const RedisEndpoint& sentinel, RedisDeadline deadline);
  Connected greet(const RedisEndpoint& endpoint, RedisDeadline deadline);
  Result<std::unique_ptr<RedisConnection>> open(const RedisEndpoint& endpoint, RedisDeadline deadline);
  std::expected<std::vector<RedisReply>, Failed> ask_once_there(const RedisEndpoint& there,
                                                                std::span<const RedisCommand> commands,
                                                                RedisDeadline deadline);
  void learn_nodes(const redisReply& slots, const RedisEndpoint& asked);

  const RedisUrl url_;
  const std::shared_ptr<RedisTls> tls_;
  const std::string handle_ = mint_commit();

  mutable std::mutex mutex_;  // guards what follows; never held while the network is used
  std::condition_variable returned_;
  std::optional<RedisEndpoint> place_;  // where the store is
  std::vector<RedisEndpoint> nodes_;    // of the cluster, as far as known
  std::vector<std::unique_ptr<RedisConnection>> idle_;
  std::size_t taken_ = 0;
  RedisServer server_;
};

// Whether a look at what a server answered is worth another place: it is a replica, or it is on its way out.
bool is_elsewhere(const redisReply& reply);

}  // namespace syzygy
