#include "migration/target/guarded_target.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/kill_point.h"
#include "migration/target/foreign.h"

namespace syzygy::migration {

void tell(const OnProgress& progress, const Progress& said) {
  if (progress) progress(said);
}

GuardedTarget::GuardedTarget(std::unique_ptr<Driver> driver, TargetOptions options)
    : options_(std::move(options)), db_(std::move(driver)), ledger_(*db_, options_.application) {}

Result<Identity> GuardedTarget::identity() {
  auto fence = reading<std::optional<Ledger::Fence>>("read the fence", [&]() -> Sql<std::optional<Ledger::Fence>> {
    auto version = ledger_.version();
    if (!version) return std::unexpected(version.error());
    if (*version == 0) return std::nullopt;
    return ledger_.fence();
  });
  if (!fence) return std::unexpected(fence.error());
  auto identity = db_->identity();
  if (identity && fence->has_value()) {
    identity->id = (*fence)->id;
    identity->target = (*fence)->target;
  }
  return identity;
}

Result<Identity> GuardedTarget::identity(const Snapshot& seen) {
  if (auto connected = db_->connect(); !connected) return std::unexpected(connected.error());
  auto identity = db_->identity();
  if (identity) {
    identity->id = seen.id;
    identity->target = seen.target;
  }
  return identity;
}

Result<Target::Fencing> GuardedTarget::fencing() {
  if (auto connected = db_->connect(); !connected) return std::unexpected(connected.error());
  const std::string why = db_->why_no_step_lock();
  return Fencing{why.empty(), why};
}

Result<void> GuardedTarget::prepare() {
  const Deadline deadline(options_.connect_timeout + std::chrono::seconds(20));
  for (;;) {
    auto stands = reading<bool>("prepare the fence", [&]() -> Sql<bool> {
      auto version = ledger_.version();
      if (!version) return std::unexpected(version.error());
      if (*version == kLedgerVersion) {
        auto row = ledger_.has_row();
        if (!row || *row) return row;
      }
      auto prepared = ledger_.prepare();
      // A lock that is not given, or an object that another process has just made: look again.
      if (!prepared && prepared.error().kind == SqlError::Kind::kLockTimeout) return false;
      return prepared;
    });
    if (!stands) return std::unexpected(stands.error());
    if (*stands) return {};
    if (deadline.over()) {
      return failure(ErrorCode::kUnavailable, "DATABASE_BUSY",
                     describe() +
                         ": the tables that Syzygy keeps there are to be created or brought up to date, and another "
                         "session (an apply that runs, or another process that is at it) has held them for too long. "
                         "Wait for its end, or look for its session, and try again.");
    }
    static_cast<void>(pause(std::chrono::milliseconds(20), {}));
  }
}

Result<void> GuardedTarget::bind() {
  if (options_.target.empty()) return {};
  auto bears = reading<std::string>("write the target's name into the fence", [&]() -> Sql<std::string> {
    auto fence = ledger_.fence();
    if (!fence) return std::unexpected(fence.error());
    if (!fence->has_value() || !(*fence)->target.empty()) return fence->has_value() ? (*fence)->target : "";
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    if (!fence->has_value() || !(*fence)->target.empty()) {
      db_->rollback();
      return fence->has_value() ? (*fence)->target : "";
    }
    if (auto written = ledger_.write_target(options_.target); !written) return std::unexpected(written.error());
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    return options_.target;
  });
  if (!bears) return std::unexpected(bears.error());
  if (auto refused = refuses_other_name(describe(), options_, *bears)) return std::unexpected(*refused);
  return {};
}

Result<std::string> GuardedTarget::rebind(std::string_view who, std::string_view reason) {
  return reading<std::string>("write the target's name into the fence", [&]() -> Sql<std::string> {
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    auto fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    if (!fence->has_value()) {
      return std::unexpected(SqlError{SqlError::Kind::kRefused, "the fence row is missing", "", 0});
    }
    std::string stood = (*fence)->target;
    auto written = ledger_.write_target(options_.target);
    if (written) {
      written = ledger_.write_audit({"rebind", StepId{},
                                     "from " + (stood.empty() ? "no name" : stood) + " to " + options_.target,
                                     std::string(who), std::string(reason), Instant{}, (*fence)->claim.token});
    }
    if (written) written = db_->commit();
    if (!written) return std::unexpected(written.error());
    return stood;
  });
}

Sql<Snapshot> GuardedTarget::read_snapshot(const RoundId& round) {
  Snapshot snap;
  auto version = ledger_.version();
  if (!version) return std::unexpected(version.error());
  if (*version != 0) {
    auto fence = ledger_.fence();
    if (!fence) return std::unexpected(fence.error());
    if (fence->has_value()) {
      snap.prepared = true;
      snap.id = (*fence)->id;
      snap.target = (*fence)->target;
      snap.claim = (*fence)->claim;
      snap.adopted = (*fence)->adopted;
      auto applied = ledger_.applied();
      if (!applied) return std::unexpected(applied.error());
      snap.applied = std::move(*applied);
      auto recent = ledger_.recent();
      if (!recent) return std::unexpected(recent.error());
      snap.recent = std::move(*recent);
      auto begun = ledger_.begun();
      if (!begun) return std::unexpected(begun.error());
      snap.begun = std::move(*begun);
      auto last = ledger_.last_outcome();
      if (!last) return std::unexpected(last.error());
      snap.last_outcome = std::move(*last);
      if (!round.empty()) {
        auto outcome = ledger_.outcome_of(round);
        if (!outcome) return std::unexpected(outcome.error());
        snap.outcome = std::move(*outcome);
      }
    }
    auto foreign = read_foreign(*db_);
    if (!foreign) return std::unexpected(foreign.error());
    snap.foreign = std::move(*foreign);
    if (fence->has_value()) {
      const auto kept = kept_table((*fence)->kept_table);
      for (ForeignHistory& history : snap.foreign) {
        history.kept = kept && history.table == kept->table && history.tool == kept->tool;
      }
    }
    return snap;
  }
  auto foreign = read_foreign(*db_);
  if (!foreign) return std::unexpected(foreign.error());
  snap.foreign = std::move(*foreign);
  return snap;
}

Result<Snapshot> GuardedTarget::snapshot(const RoundId& round) {
  return reading<Snapshot>("read the history", [&]() -> Sql<Snapshot> {
    if (auto begun = db_->begin_read(); !begun) return std::unexpected(begun.error());
    auto snap = read_snapshot(round);
    if (!snap) return snap;
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    return snap;
  });
}

Result<std::vector<HistoryEntry>> GuardedTarget::history() {
  return reading<std::vector<HistoryEntry>>("read the history", [&]() -> Sql<std::vector<HistoryEntry>> {
    auto version = ledger_.version();
    if (!version) return std::unexpected(version.error());
    if (*version == 0) return std::vector<HistoryEntry>{};
    return ledger_.history();
  });
}

Result<std::vector<AuditEntry>> GuardedTarget::audit() {
  return reading<std::vector<AuditEntry>>("read the log", [&]() -> Sql<std::vector<AuditEntry>> {
    auto version = ledger_.version();
    if (!version) return std::unexpected(version.error());
    if (*version == 0) return std::vector<AuditEntry>{};
    return ledger_.audit();
  });
}

Result<bool> GuardedTarget::mark_ended(Token token, const IncarnationId& incarnation) {
  return reading<bool>("note the end of the run", [&]() -> Sql<bool> {
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    auto fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    if (!fence->has_value() || (*fence)->claim.token != token || (*fence)->claim.incarnation != incarnation) {
      db_->rollback();
      return false;
    }
    if (auto done = ledger_.write_ended(); !done) return std::unexpected(done.error());
    SYZYGY_KILL_POINT("target_ended_before_commit");
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    SYZYGY_KILL_POINT("target_ended_after_commit");
    return true;
  });
}

Result<std::vector<std::pair<std::string, std::string>>> GuardedTarget::exec_environment(const RunInfo& run,
                                                                                         std::string_view pgoptions) {
  if (auto connected = db_->connect(); !connected) return std::unexpected(connected.error());
  return db_->exec_environment(options_.application, run, pgoptions);
}

Result<SessionsLeft> GuardedTarget::sessions_of(const RunInfo& run) {
  return reading<SessionsLeft>("look for sessions of the wrapped tool",
                               [&] { return db_->sessions_named(session_name(run.round, run.token)); });
}

Result<SessionsLeft> GuardedTarget::end_sessions_of(const RunInfo& run, Duration wait_max) {
  const Deadline deadline(wait_max);
  for (;;) {
    auto left = sessions_of(run);
    if (!left || !left->can_see || left->pids.empty()) return left;
    std::string refused;
    for (const int pid : left->pids) {
      auto told = db_->terminate(pid);
      // One that ended between the look and this call is what we want; a missing right is not.
      if (!told && told.error().kind == SqlError::Kind::kRights) refused = told.error().words;
    }
    if (deadline.over()) {
      left->why = refused.empty() ? "they were told to end, and have not yet" : refused;
      return left;
    }
    static_cast<void>(pause(std::chrono::milliseconds(50), {}));
  }
}

std::vector<Finding> GuardedTarget::diagnose() {
  if (auto connected = db_->connect(); !connected) {
    return {{"database", false, connected.error().message, "psql \"$SYZYGY_DATABASE\" -c 'select 1'"}};
  }
  std::vector<Finding> findings = {{"database", true, describe() + " answers", ""}};
  for (Finding& finding : db_->diagnose()) findings.push_back(std::move(finding));
  auto snap = snapshot({});
  if (!snap) {
    findings.push_back({"history", false, snap.error().message, ""});
    return findings;
  }
  if (auto refused = refuses_unadopted(*snap)) {
    findings.push_back({"other tools' history", false, refused->message, "syzygy history adopt"});
  } else {
    std::string seen;
    for (const ForeignHistory& history : snap->foreign) {
      seen += (seen.empty() ? "" : ", ") + history.tool + "'s " + history.table +
              (history.kept ? " (kept together with Syzygy's)" : "");
    }
    if (const std::string stays = kept_table_stays(*snap); !stays.empty()) seen += "; " + stays;
    findings.push_back({"other tools' history", true, seen.empty() ? "none" : seen, ""});
  }
  if (auto other = refuses_other_name(describe(), options_, snap->target)) {
    findings.push_back({"target's name", false, other->message, "syzygy doctor --target " + snap->target});
  } else if (!snap->target.empty()) {
    findings.push_back({"target's name", true, "the fence row says " + snap->target, ""});
  }
  if (const auto guard = ddl_guard(); guard && guard->mode != DdlGuard::Mode::kNone) {
    findings.push_back({"guard of DDL", guard->enabled,
                        guard->enabled ? "installed, mode " + std::string(to_string(guard->mode))
                                       : "the event trigger is there, and is disabled: it refuses nothing",
                        guard->enabled ? "" : "syzygy guard install --database URL   # as a superuser"});
  }
  if (!snap->claim.ended) {
    findings.push_back({"last run", false,
                        "the last run (token " + std::to_string(snap->claim.token.value) + ", round " +
                            snap->claim.round.value + ") was not fenced, and its end was never confirmed",
                        "syzygy status"});
  }
  for (const BegunStep& begun : snap->begun) {
    findings.push_back({"unfinished step", false,
                        begun.ended.empty() ? left_unfinished(begun)
                                            : "step " + begun.id.value + " runs outside a transaction; round " +
                                                  begun.round.value + " began it, and it ended: " + begun.ended,
                        "syzygy status"});
  }
  return findings;
}

}  // namespace syzygy::migration
