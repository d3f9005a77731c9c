// redis.h - a store in Redis 6.2 or later, alone, behind sentinels, or in a cluster; several daemons share it.
//
// All keys of a store share one hash tag, "{syzygy}", so also in a cluster they are on one node at a time. That is what
// makes a commit of several records one atomic script in one round trip, a scan a range of one index, one clock the
// judge of all leases; and it makes the store go back in time as a whole, with its epoch, and never in part. What
// Redis acknowledged may be lost in a failover; the fence in the target carries safety then, and lineage() tells the
// engine to suspect it.
//
// Time is the server's, and every answer brings it: see server_clock.h. A commit whose connection breaks or falls
// silent is kUnknown. A commit that meets another epoch than it was made for (FLUSHALL) is a conflict of every change:
// load, and look. Every call ends within the URL's timeout.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "store/redis_hints.h"
#include "store/redis_route.h"
#include "store/server_clock.h"
#include "store/store.h"

namespace syzygy {

class RedisStore final : public Store {
 public:
  // Finds the server, checks that it can be relied on, and makes an empty store where there is none yet. Errors, beside
  // those of redis_replies.h and RedisRoute::make:
  //   kFailedPrecondition STORE_EVICTS (maxmemory-policy), STORE_TOO_OLD (before Redis 6.2), STORE_TLS
  //   kDataLoss STORE_NEWER, STORE_FOREIGN (the keys are somebody else's)
  static Result<std::unique_ptr<RedisStore>> open(const RedisUrl& url);

  ~RedisStore() override;
  RedisStore(const RedisStore&) = delete;
  RedisStore& operator=(const RedisStore&) = delete;

  Result<std::optional<Loaded>> load(const std::string& key) override;
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override;
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override;
  void watch(Hint hint) override;
  Result<Instant> now() override;
  [[nodiscard]] std::string epoch() const override;
  [[nodiscard]] std::string refuses_writes() const override;
  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] std::vector<std::string> warnings() const override;
  [[nodiscard]] std::string lineage() const override;
  Result<std::vector<StoreFinding>> examine() override;
  Result<std::vector<std::string>> others() override;
  Result<void> live_as(const std::string& epoch) override;

 private:
  using Replies = std::vector<RedisReply>;

  explicit RedisStore(std::unique_ptr<RedisRoute> route);

  Result<std::vector<StoreFinding>> check_server();
  Result<void> check_permissions();
  Result<Replies> read(std::span<const RedisCommand> commands);
  Result<void> learn_epoch(std::string_view value);
  Result<Instant> learn_time(const redisReply& seconds, const redisReply& micros, Duration sent);
  Result<Instant> learn(const redisReply& time, const redisReply& epoch, Duration sent);
  std::expected<RedisReply, RedisRoute::Failed> run(const char* script, std::span<const std::string> keys,
                                                    std::span<const std::string_view> arguments, bool repeatable);
  Result<void> confirm_replicas();
  Result<std::vector<CommitResult>> send(std::span<const Change> changes);
  void look_whether_it_takes_writes();
  [[nodiscard]] std::string key_of(std::string_view kind, std::string_view key = {}) const;
  Error foreign(std::string_view key) const;

  const std::unique_ptr<RedisRoute> route_;
  std::vector<StoreFinding> findings_;  // of when it was opened

  ServerClock clock_;
  mutable std::mutex epoch_mutex_;
  std::string epoch_;
  std::atomic<bool> unconfirmed_ = false;  // some commit has not reached wait_replicas replicas, as far as is known

  mutable std::mutex refusal_mutex_;  // guards what follows
  std::string refusal_;               // what the last write was answered, where it was refused
  Duration look_at_{0};               // when to try another one, of ServerClock::boot()

  std::mutex hints_mutex_;
  std::unique_ptr<RedisHints> hints_;  // from the first watch() on
};

}  // namespace syzygy
