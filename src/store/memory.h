// memory.h - the reference store: what store.h promises, in the fewest lines, in memory. For tests and the simulation.
//
// Handles share the records: `another_handle()` is what a second daemon on the same store would hold, and each handle
// gets hints about the commits of the others. A hint is called on the committing thread, outside every lock of the
// records. The records live as long as their last handle; nothing is durable beyond that.
#pragma once

#include "store/store.h"

namespace syzygy {

class MemoryStore final : public Store {
 public:
  using Clock = std::function<Instant()>;

  explicit MemoryStore(Clock clock = system_now);
  ~MemoryStore() override;
  MemoryStore(const MemoryStore&) = delete;
  MemoryStore& operator=(const MemoryStore&) = delete;

  [[nodiscard]] std::unique_ptr<MemoryStore> another_handle() const;

  Result<std::optional<Loaded>> load(const std::string& key) override;
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override;
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override;
  void watch(Hint hint) override;
  Result<Instant> now() override;
  [[nodiscard]] std::string epoch() const override;
  [[nodiscard]] std::string describe() const override;

 private:
  struct Records;
  struct Listener;

  explicit MemoryStore(std::shared_ptr<Records> records);

  std::shared_ptr<Records> records_;
  std::shared_ptr<Listener> listener_;
};

}  // namespace syzygy
