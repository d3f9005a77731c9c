// sqlite.h - the embedded store, the default: one SQLite file in a state directory that one process holds at a time.
//
// A commit() is one transaction and one fsync, so changes given together become durable together (WAL,
// synchronous=FULL). Commits go one after another; reads use a connection of their own and never wait for a commit's
// fsync. What a read has shown is durable, and what a failed commit left half-written in the log is overwritten before
// the next answer (settle()). Nobody else uses the store while it is open, so watch() never has a hint to give.
//
// Every row carries a checksum over its content; a row that fails it is kDataLoss, at open() or when it is read.
#pragma once

#include <atomic>
#include <filesystem>
#include <mutex>

#include "store/store.h"

namespace syzygy {

class SqliteStore final : public Store {
 public:
  // Takes the directory (created as 0700 where missing) and the file syzygy.db inside, and checks all of it. Errors,
  // beside those of DirectoryLock::acquire and Connection::error_of:
  //   kDataLoss STORE_NEWER (written by a newer syzygyd), STORE_FOREIGN (a database of another program),
  //   STORE_CORRUPT (does not hold together), STORE_LOST (this directory held a store whose file is gone or empty)
  static Result<std::unique_ptr<SqliteStore>> open(const std::filesystem::path& directory);

  ~SqliteStore() override;
  SqliteStore(const SqliteStore&) = delete;
  SqliteStore& operator=(const SqliteStore&) = delete;

  Result<std::optional<Loaded>> load(const std::string& key) override;
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override;
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override;
  void watch(Hint hint) override;
  [[nodiscard]] bool shared() const override { return false; }
  Result<Instant> now() override;
  [[nodiscard]] std::string epoch() const override;
  [[nodiscard]] std::string describe() const override;
  Result<std::vector<StoreFinding>> examine() override;
  Result<void> live_as(const std::string& epoch) override;

 private:
  struct Files;

  explicit SqliteStore(std::unique_ptr<Files> files);

  Result<CommitResult> apply(const Change& change);
  Result<void> settle();
  Result<void> before_reading();

  const std::unique_ptr<Files> files_;  // the lock, the writing and the reading connection, their statements

  std::mutex writing_;                   // guards the writing connection and counter_
  std::uint64_t counter_;                // the highest that a record ever had, or was tried with
  std::atomic<bool> unsettled_ = false;  // written under writing_

  std::mutex reading_;  // guards the reading connection; no other mutex is taken under it
};

}  // namespace syzygy
