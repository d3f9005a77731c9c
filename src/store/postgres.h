// postgres.h - the store that several daemons share in a PostgreSQL database, in a schema of its own.
//
// A commit() is one autocommit statement: a function in the schema that takes, for each record, a transaction's
// advisory lock without ever waiting for it, compares the version, and writes the record and its history. So nothing of
// it is open between two statements: it works through a transaction-mode pooler, and no CREATE INDEX CONCURRENTLY on
// the server waits for it. Changes with `hint` are told by NOTIFY, and heard by LISTEN on a connection of its own;
// behind a pooler, which forbids that, the caller's poll has to do (hears() says so).
//
// Time is the server's, and every answer brings it: see server_clock.h.
//
// A statement that is not answered within the address's timeout costs its connection, and every connection is replaced
// when it is needed next: after a restart of the server, a failover (an address may name several hosts), or
// pg_terminate_backend. The epoch is read with every answer, so a schema that was dropped and made anew shows at once.
//
// Errors, beside those of store.h:
//   kUnavailable STORE_UNREACHABLE, STORE_BUSY (no connection free in time), STORE_LOST (the schema is gone)
//   kDataLoss STORE_NEWER (the schema was made by a newer syzygyd), STORE_FOREIGN (a schema of another program)
//   kResourceExhausted STORE_FULL, STORE_READ_ONLY
//   kPermissionDenied STORE_PERMISSION
#pragma once

#include <string_view>

#include "store/store.h"

namespace syzygy {

class PostgresStore final : public Store {
 public:
  // postgresql://...?schema=NAME&timeout=SECONDS, without connecting: kInvalidArgument STORE_ADDRESS_INVALID.
  static Result<void> check(std::string_view url);
  // Connects, and makes or upgrades the schema; several daemons may do so at once.
  static Result<std::unique_ptr<PostgresStore>> open(std::string_view url);

  ~PostgresStore() override;
  PostgresStore(const PostgresStore&) = delete;
  PostgresStore& operator=(const PostgresStore&) = delete;

  Result<std::optional<Loaded>> load(const std::string& key) override;
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override;
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override;
  void watch(Hint hint) override;
  Result<Instant> now() override;
  [[nodiscard]] std::string epoch() const override;
  [[nodiscard]] std::string describe() const override;
  [[nodiscard]] std::string refuses_writes() const override;
  Result<std::vector<StoreFinding>> examine() override;
  Result<std::vector<std::string>> others() override;
  Result<void> live_as(const std::string& epoch) override;

  // Whether hints come by push at this moment.
  [[nodiscard]] bool hears() const;

 private:
  class Inside;
  explicit PostgresStore(std::unique_ptr<Inside> inside);
  const std::unique_ptr<Inside> inside_;
};

}  // namespace syzygy
