// truth.h - the one store that all daemons share, and what one daemon sees of it.
//
// Truth keeps what is durable; nothing else is. A StoreSide is what one life of a daemon holds: the real Store
// interface, with a network in between that is slow, loses answers and hints, and is cut. It breaks no promise of
// store.h: an unknown commit happened, did not, or happens later; a hint may repeat, be late, or be lost.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/store.h"
#include "tests/sim/world.h"

namespace syzygy::sim {

class StoreSide;

class Truth {
 public:
  explicit Truth(World& world) : world_(world) {}

  struct Entry {
    Version version;
    std::string bytes;
    std::map<std::uint64_t, std::string> rows;
    std::uint64_t last_revision = 0;
  };

  // So much later than its call ended an unknown commit may happen.
  static constexpr Ms kLateMost = 4'000;
  // Called after each commit that happened, by the daemon of that name (empty: nobody knows any more).
  std::function<void(const Change& change, const std::string& by, const Entry& now)> on_commit;

  [[nodiscard]] Instant now() const { return {1'700'000'000'000 + world_.now() + offset_}; }
  [[nodiscard]] Instant latest() const { return latest_; }  // that was ever told
  void jump(Ms by);
  // Since when the clock has been what leases were given by, or has stepped so far that nobody can miss it.
  [[nodiscard]] Ms stepped_at() const { return stepped_at_; }
  // It stepped back lately, or by so little that not everybody notices.
  [[nodiscard]] bool clock_blurred() const { return world_.now() < blurred_until_; }
  void go_away(Ms for_how_long) {
    if (!away()) away_from_ = world_.now();
    away_until_ = std::max(away_until_, world_.now() + for_how_long);
  }
  void come_back() { away_until_ = std::min(away_until_, world_.now()); }
  // When it came back, if it was away for so long that every daemon must have noticed.
  [[nodiscard]] std::optional<Ms> back_from_outage() const {
    constexpr Ms kLong = 5'000;
    return away() || away_until_ < away_from_ + kLong ? std::nullopt : std::optional(away_until_);
  }
  [[nodiscard]] bool away() const { return world_.now() < away_until_; }

  [[nodiscard]] const Entry* find(const std::string& key) const;

  // ---- what is durable, until it is not
  void back_up();
  // To one of the backups; `told`: another server answers then, and says so. False: there is none.
  bool restore(std::size_t which, bool told);
  void empty();
  // Called once it has gone back.
  std::function<void()> on_gone_back;
  [[nodiscard]] std::optional<Ms> gone_back_at() const { return gone_back_at_; }

 private:
  friend class StoreSide;

  CommitResult commit(const Change& change, const StoreSide* by);
  [[nodiscard]] std::optional<Loaded> held(const std::string& key) const;
  bool rewrite(const std::string& key);

  World& world_;
  Ms offset_ = 0;
  Ms stepped_at_ = 0;
  Ms blurred_until_ = 0;
  Instant latest_;
  Ms away_from_ = 0;
  Ms away_until_ = 0;
  struct State {
    std::string epoch = std::string(32, 'e');
    std::uint64_t counter = 0;
    std::map<std::string, Entry, std::less<>> entries;
  };
  void went_back();

  State state_;
  std::vector<State> backups_;  // the newest last
  std::uint64_t server_ = 1;    // that answers
  std::uint64_t commits_ = 0;   // in all lives
  std::uint64_t lives_ = 1;
  std::optional<Ms> gone_back_at_;
  std::vector<StoreSide*> sides_;
};

class StoreSide final : public Store {
 public:
  // `blocked`: called before and after each call; it returns once the daemon goes on. `hinted`: a hint was given.
  StoreSide(World& world, Truth& truth, Process& daemon, std::function<void()> blocked, std::function<void()> hinted);
  ~StoreSide() override;
  StoreSide(const StoreSide&) = delete;
  StoreSide& operator=(const StoreSide&) = delete;

  // The process is gone: nothing that it still does reaches anybody.
  void die() { dead_ = true; }
  [[nodiscard]] Ms trouble_until() const { return trouble_until_; }

  Result<std::optional<Loaded>> load(const std::string& key) override;
  Result<std::vector<Listed>> scan(std::string_view prefix, std::string_view after, std::size_t limit) override;
  Result<std::vector<HistoryRow>> history(const std::string& key, std::uint64_t after, std::size_t limit) override;
  Result<std::vector<CommitResult>> commit(std::span<const Change> changes) override;
  void watch(Hint hint) override { hint_ = std::move(hint); }
  Result<Instant> now() override;
  [[nodiscard]] std::string epoch() const override { return epoch_; }
  [[nodiscard]] std::string lineage() const override { return lineage_; }
  [[nodiscard]] std::string describe() const override { return "simulated"; }

 private:
  friend class Truth;

  Result<void> arrive();
  bool depart();  // false: the answer is lost
  void hint(const std::string& key, const Version& version);
  void read_clock();
  void read_life();
  void in_trouble(Ms until) { trouble_until_ = std::max(trouble_until_, until); }

  World& world_;
  Truth& truth_;
  Process& daemon_;
  const std::function<void()> blocked_;
  const std::function<void()> hinted_;
  bool dead_ = false;
  std::string epoch_;    // as the last answer told it
  std::string lineage_;  // likewise
  Ms asked_at_ = 0;      // the call that runs
  struct Reading {
    Instant server;
    Ms at = 0;
  };
  std::optional<Reading> asked_;    // of the server's clock, by the call that runs
  std::optional<Reading> reading_;  // by the last answer that came
  Ms trouble_until_ = 0;
  Hint hint_;
  std::shared_ptr<bool> there_ = std::make_shared<bool>(true);
};

}  // namespace syzygy::sim
