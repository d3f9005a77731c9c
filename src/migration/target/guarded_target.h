// guarded_target.h - the protocol's rules for a target database, written once for every kind of database (driver.h).
//
// Reading and preparing are in guarded_target.cpp, taking the fence in claim.cpp, running steps under it in apply.cpp,
// adopting and accepting in adopt.cpp, the guard of DDL in ddl_guard.cpp. Thread rules and failures as in target.h.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "migration/target/driver.h"
#include "migration/target/ledger.h"
#include "migration/target/pacing.h"
#include "migration/target/target.h"

namespace syzygy::migration {

class GuardedTarget final : public Target {
 public:
  GuardedTarget(std::unique_ptr<Driver> driver, TargetOptions options);

  [[nodiscard]] std::string describe() const override { return db_->describe(); }
  Result<Identity> identity() override;
  Result<Identity> identity(const Snapshot& seen) override;
  Result<Fencing> fencing() override;
  Result<void> prepare() override;
  Result<void> bind() override;
  Result<std::string> rebind(std::string_view who, std::string_view reason) override;
  Result<Snapshot> snapshot(const RoundId& round) override;
  Result<std::vector<HistoryEntry>> history() override;
  Result<std::vector<AuditEntry>> audit() override;
  ClaimResult claim(const ClaimRequest& request, const OnProgress& progress, std::stop_token stop) override;
  ApplyResult apply_step(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                         const OnProgress& progress, std::stop_token stop) override;
  SettleResult settle(const RunInfo& run, const Step& step, Duration wait_max, const OnProgress& progress,
                      std::stop_token stop) override;
  Result<bool> mark_ended(Token token, const IncarnationId& incarnation) override;
  BreakGlassResult break_glass_begin(const BreakGlass& request, const OnProgress& progress,
                                     std::stop_token stop) override;
  Result<void> break_glass_end() override;
  Result<Adoption> adopt(const std::vector<KnownStep>& directory, const std::optional<StepId>& at,
                         std::string_view who) override;
  Result<std::string> accept(const StepId& step, const std::string& content, std::string_view who,
                             std::string_view reason) override;
  Result<std::vector<BegunStep>> settle_begun(const RunInfo& run, const std::vector<StepId>& steps,
                                              std::string_view reason) override;
  Result<BegunStep> repair(const StepId& step, std::string_view who, std::string_view reason) override;
  Result<std::vector<std::pair<std::string, std::string>>> exec_environment(const RunInfo& run,
                                                                            std::string_view pgoptions) override;
  Result<SessionsLeft> sessions_of(const RunInfo& run) override;
  Result<SessionsLeft> end_sessions_of(const RunInfo& run, Duration wait_max) override;
  Result<DdlGuard> ddl_guard() override;
  Result<void> install_ddl_guard(const DdlGuard& guard, std::string_view who, std::string_view reason) override;
  Result<bool> remove_ddl_guard(std::string_view who, std::string_view reason) override;
  Result<std::string> ddl_guard_script(const DdlGuard& guard) override;
  std::vector<Finding> diagnose() override;

 private:
  // Runs `script` and writes the audit row, in one transaction.
  Result<void> change_ddl_guard(const std::string& script, const AuditEntry& entry);

  // Runs `call` on a session; once more on a new one where an idle session turns out to have died meanwhile, and again
  // while a lock is not given. Only for calls that may be repeated.
  template <class T>
  Result<T> reading(std::string_view doing, const std::function<Sql<T>()>& call);
  Sql<Snapshot> read_snapshot(const RoundId& round);  // REQUIRES: a transaction
  Sql<void> write_settled(const BegunStep& mark, std::string_view who, std::string_view reason, Token token);
  Sql<Result<Adoption>> adopt_begun(const Snapshot& snap, const KnownStep& step, Direction direction,
                                    std::string_view who);
  Sql<Result<Adoption>> adopt_more(const Snapshot& snap, const std::vector<KnownStep>& directory,
                                   const std::optional<StepId>& at, std::string_view who);

  // ---- claim.cpp
  struct NotGiven {  // somebody is in the way; nothing is held
    std::optional<Blocker> blocker;
  };
  using TakenRow = std::variant<Ledger::Fence, NotGiven>;
  // Begins a transaction and locks the fence row in it, without waiting. NotGiven and errors: rolled back.
  Sql<TakenRow> take_row();
  struct Refusal {
    ClaimRow row;
  };
  struct OtherName {
    Error error;
  };
  using ClaimStep =
      std::variant<ClaimRow, Refusal, NotGiven, OtherName>;  // ClaimRow: committed; the claim before this one
  Sql<ClaimStep> try_claim(const ClaimRequest& request);
  void tell_blocked(const std::optional<Blocker>& blocker, BlockedPolicy policy, const OnProgress& progress,
                    std::string& told);

  // ---- apply.cpp
  struct Refused {  // by the database
    SqlError error;
    std::optional<std::size_t> statement;  // of the step; nullopt: ours, as `what` says
    std::string what;
    bool committed = false;  // part of an atomic step, against all that guards it
  };
  // A transaction's body that found a reason not to go on gives the result; nullopt: commit. It may run several times.
  using Ended = std::optional<ApplyResult>;
  using Body = std::function<std::expected<Ended, Refused>(int attempt)>;
  // What makes sure that nobody has overtaken us. Under a step lock no new session may take the place of a lost one.
  enum class Guard : std::uint8_t { kClaim, kClaimAndStepLock, kStepLock };
  struct CommitPoints {  // where a test may kill this process
    const char* before;
    const char* after;
  };
  // Runs `body` in a transaction under the guard, again while a lock is not given. nullopt: committed. `nothing_left`:
  // so it is where the transaction fails.
  Ended in_transaction(const RunInfo& run, const PlannedStep& step, Guard guard, bool nothing_left,
                       const CommitPoints& points, const OnProgress& progress, const std::stop_token& stop,
                       const Body& body);
  std::expected<Ended, Refused> one_attempt(const RunInfo& run, Guard guard, const CommitPoints& points, int attempt,
                                            const Driver::RunOptions& waits, const Body& body);
  // Waits before the next attempt. False: stopped, or there was one too many.
  bool wait_for_lock(const Refused& refused, const PlannedStep& step, int attempt, Backoff& backoff,
                     const OnProgress& progress, const std::stop_token& stop);
  std::optional<Blocker> holder(const Refused& refused, const PlannedStep& step);

  ApplyResult apply_atomic(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                           const OnProgress& progress, const std::stop_token& stop);
  ApplyResult apply_outside(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                            const OnProgress& progress, const std::stop_token& stop);
  // REQUIRES: the step lock, where `fenced`.
  ApplyResult run_outside(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options, bool fenced,
                          const OnProgress& progress, const std::stop_token& stop);
  std::expected<void, Refused> without_invalid_indexes(const PlannedStep& step, std::size_t index,
                                                       const OnProgress& progress);
  std::expected<void, Refused> statements_outside(const PlannedStep& step, const OnProgress& progress,
                                                  const std::stop_token& stop, std::size_t& finished);
  std::expected<void, Refused> run_statement(const PlannedStep& step, std::size_t index, int attempt,
                                             const OnProgress& progress, const std::stop_token& stop);

  // For a statement, or a COMMIT: stopped by `stop`, and told while it waits.
  Driver::RunOptions waits_of(const std::string& what, const OnProgress& progress, const std::stop_token& stop);
  Sql<Ended> check_history(const Step& step);
  Sql<void> write_done(const RunInfo& run, const Step& step, const ApplyOptions& options, Duration took);
  Sql<void> keep_foreign(const RunInfo& run, const Step& step, Duration took);
  ApplyResult result_of(const Refused& refused, const PlannedStep& step, bool nothing_left);

  TargetOptions options_;
  std::unique_ptr<Driver> db_;
  Ledger ledger_;
  bool break_glass_ = false;  // a break-glass run is on, and this session holds the step lock
};

void tell(const OnProgress& progress, const Progress& said);

template <class T>
Result<T> GuardedTarget::reading(std::string_view doing, const std::function<Sql<T>()>& call) {
  bool fresh = !db_->connected();
  Backoff backoff(options_.retry_delay_min, options_.retry_delay_max);
  for (int attempt = 1;; ++attempt) {
    if (auto connected = db_->connect(); !connected) return std::unexpected(connected.error());
    Sql<T> result = call();
    if (result) {
      if constexpr (std::is_void_v<T>) {
        return {};
      } else {
        return std::move(*result);
      }
    }
    db_->rollback();
    // A session that was idle may have died meanwhile. In a break-glass run a new one would be one without the lock:
    // settle() takes it again.
    if (result.error().kind == SqlError::Kind::kLost && !std::exchange(fresh, true) && !break_glass_) continue;
    // SQLite keeps readers out, too, while a writer commits.
    if (result.error().kind == SqlError::Kind::kLockTimeout && attempt < options_.lock_attempts) {
      static_cast<void>(pause(backoff.next(), {}));
      continue;
    }
    return std::unexpected(to_error(result.error(), *db_, doing));
  }
}

}  // namespace syzygy::migration
