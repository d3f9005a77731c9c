// claim.cpp - taking the fence: claims, and break-glass runs. What waits here polls with short transactions: a claimer
// that blocked would hold a snapshot, and the very step that it waits for (CREATE INDEX CONCURRENTLY) would wait for
// it.
#include <utility>

#include "base/kill_point.h"
#include "migration/target/guarded_target.h"

namespace syzygy::migration {
namespace {

constexpr int kLossesMax = 5;  // connections that may break under one claim before it gives up

std::string words_of(const std::optional<Blocker>& blocker) {
  if (!blocker) return "a session that cannot be seen";
  return blocker->session;
}

}  // namespace

void GuardedTarget::tell_blocked(const std::optional<Blocker>& blocker, BlockedPolicy policy,
                                 const OnProgress& progress, std::string& told) {
  const std::string by =
      blocker && blocker->break_glass ? "blocked by a break-glass run: " : "blocked by the old applier: ";
  tell(progress, {.kind = Progress::Kind::kBlocked, .text = by + words_of(blocker), .blocker = blocker});
  // A break-glass run was asked for by an operator, by name: only another operator ends it.
  if (policy != BlockedPolicy::kTerminate || !blocker || blocker->pid == 0 || blocker->break_glass) return;
  auto ended = db_->terminate(blocker->pid);
  std::string said = ended ? (*ended ? "told to end: " : "already gone: ") + blocker->session
                           : "may not be told to end: " + ended.error().words;
  if (said == told) return;
  told = said;
  tell(progress, {.kind = Progress::Kind::kTerminated, .text = std::move(said), .blocker = blocker});
}

Sql<GuardedTarget::TakenRow> GuardedTarget::take_row() {
  const auto not_given = [&](Sql<std::optional<Blocker>> blocker) -> Sql<TakenRow> {
    if (!blocker) return std::unexpected(blocker.error());
    return NotGiven{std::move(*blocker)};
  };
  auto begun = db_->begin_write();
  auto fence = begun ? ledger_.lock_fence(true) : std::unexpected(begun.error());
  if (fence && fence->has_value()) return std::move(**fence);
  db_->rollback();
  if (!fence) {
    if (fence.error().kind == SqlError::Kind::kLockTimeout) return not_given(db_->writer());
    return std::unexpected(fence.error());
  }
  return std::unexpected(SqlError{SqlError::Kind::kRefused,
                                  "the fence row of the application " + options_.application +
                                      " is missing: the tables that Syzygy keeps there were removed",
                                  "", 0});
}

Sql<GuardedTarget::ClaimStep> GuardedTarget::try_claim(const ClaimRequest& request) {
  auto taken = take_row();
  if (!taken) return std::unexpected(taken.error());
  if (auto* blocked = std::get_if<NotGiven>(&*taken)) return std::move(*blocked);
  const Ledger::Fence& fence = std::get<Ledger::Fence>(*taken);
  if (auto other = refuses_other_name(describe(), options_, fence.target)) {
    db_->rollback();
    return OtherName{std::move(*other)};
  }

  // Held exclusively only by a break-glass run, which must not lose the fence in the middle.
  auto free = db_->step_lock_free(StepLock::kShared);
  if (!free || !*free) {
    db_->rollback();
    if (!free) return std::unexpected(free.error());
    auto holder = db_->step_lock_holder();
    if (!holder) return std::unexpected(holder.error());
    return NotGiven{std::move(*holder)};
  }
  const bool again = fence.claim.token == request.token && fence.claim.incarnation == request.incarnation;
  if (!again && fence.claim.token >= request.token) {
    db_->rollback();
    return Refusal{fence.claim};
  }
  if (again) {
    db_->rollback();
    return fence.previous;
  }
  // A fenced run needs no end of its own: the next claim is its end.
  const ClaimRow mine{request.token, request.incarnation, request.round, request.fenced, request.fenced};
  auto written = ledger_.write_claim(mine, fence.claim);
  if (written && fence.target.empty() && !options_.target.empty()) written = ledger_.write_target(options_.target);
  if (!written) {
    db_->rollback();
    return std::unexpected(written.error());
  }
  SYZYGY_KILL_POINT("target_claim_before_commit");
  if (auto done = db_->commit(); !done) {
    db_->rollback();
    return std::unexpected(done.error());
  }
  SYZYGY_KILL_POINT("target_claim_after_commit");
  return fence.claim;
}

ClaimResult GuardedTarget::claim(const ClaimRequest& request, const OnProgress& progress, std::stop_token stop) {
  const Deadline deadline(request.wait_max);
  std::optional<ClaimRow> previous;  // set once the token stands
  std::string told;
  int losses = 0;

  // One look at the database: a result, or who is in the way.
  const auto look = [&]() -> Sql<std::variant<ClaimResult, NotGiven>> {
    if (!previous) {
      auto step = try_claim(request);
      if (!step) return std::unexpected(step.error());
      if (auto* refusal = std::get_if<Refusal>(&*step)) return ClaimResult{ClaimRefused{refusal->row}};
      if (auto* other = std::get_if<OtherName>(&*step)) return ClaimResult{std::move(other->error)};
      if (auto* blocked = std::get_if<NotGiven>(&*step)) return std::move(*blocked);
      previous = std::get<ClaimRow>(*step);
    }
    auto free = db_->step_lock_free(StepLock::kExclusive);
    if (!free) return std::unexpected(free.error());
    if (!*free) {
      auto holder = db_->step_lock_holder();
      if (!holder) return std::unexpected(holder.error());
      return NotGiven{std::move(*holder)};
    }
    auto snap = snapshot(request.round);
    if (!snap) return ClaimResult{snap.error()};
    // Somebody may have claimed above us while we waited for the step lock.
    if (snap->claim.token != request.token || snap->claim.incarnation != request.incarnation) {
      return ClaimResult{ClaimRefused{snap->claim}};
    }
    return ClaimResult{Claimed{std::move(*snap), *previous}};
  };

  for (;;) {
    if (stop.stop_requested()) return ClaimCancelled{previous.has_value()};
    if (auto connected = db_->connect(); !connected) return connected.error();
    auto seen = look();
    if (!seen) {
      db_->rollback();
      if (seen.error().kind == SqlError::Kind::kLost && ++losses < kLossesMax) continue;
      if (seen.error().kind != SqlError::Kind::kLockTimeout) return to_error(seen.error(), *db_, "claim the target");
    } else if (auto* result = std::get_if<ClaimResult>(&*seen)) {
      return std::move(*result);
    } else {
      const auto& blocker = std::get<NotGiven>(*seen).blocker;
      // Another claimer's own poll holds the lock for a moment: no news for anybody.
      const bool somebody = blocker.has_value();
      if (deadline.over()) return ClaimBlocked{blocker.value_or(Blocker{}), previous.has_value()};
      if (somebody) tell_blocked(blocker, request.policy, progress, told);
    }
    if (deadline.over()) return ClaimBlocked{{}, previous.has_value()};
    Backoff around(options_.poll_interval, options_.poll_interval);
    if (!pause(std::min(around.next(), deadline.left() + Duration{1}), stop))
      return ClaimCancelled{previous.has_value()};
  }
}

BreakGlassResult GuardedTarget::break_glass_begin(const BreakGlass& request, const OnProgress& progress,
                                                  std::stop_token stop) {
  const Deadline deadline(request.wait_max);
  if (auto connected = db_->connect(); !connected) return connected.error();
  if (const std::string why = db_->why_no_step_lock(); !why.empty()) {
    return Error{ErrorCode::kFailedPrecondition,
                 "BREAK_GLASS_NEEDS_DIRECT_CONNECTION",
                 "A break-glass run holds a lock of its session for the whole of it, and " + why +
                     ". Give --database the server's own address, not the pooler's.",
                 {},
                 std::nullopt};
  }
  std::string told;
  const auto give_up = [&](const SqlError& error) {
    db_->disconnect();
    return BreakGlassResult{to_error(error, *db_, "begin the break-glass run")};
  };
  // Between two looks; nullopt: look again.
  const auto wait = [&](const std::optional<Blocker>& blocker) -> std::optional<BreakGlassResult> {
    if (deadline.over()) return BreakGlassResult{ClaimBlocked{blocker.value_or(Blocker{}), false}};
    if (blocker) tell_blocked(blocker, request.policy, progress, told);
    if (!pause(options_.poll_interval, stop)) return BreakGlassResult{ClaimCancelled{false}};
    return std::nullopt;
  };

  // The lock before the claim: between the two nobody else can claim.
  for (;;) {
    auto held = db_->try_step_lock(StepLock::kExclusive);
    if (!held) return give_up(held.error());
    if (*held) break;
    auto holder = db_->step_lock_holder();
    if (!holder) return give_up(holder.error());
    if (auto over = wait(*holder)) return std::move(*over);
  }
  const auto let_go = [&](BreakGlassResult result) {
    db_->disconnect();  // and the lock with it
    return result;
  };

  std::optional<Deadline> old_run;  // when the unfenced run before counts as stopped
  for (;;) {
    auto taken = take_row();
    if (!taken) {
      if (taken.error().kind != SqlError::Kind::kLockTimeout) return give_up(taken.error());
      if (auto over = wait(std::nullopt)) return let_go(std::move(*over));
      continue;
    }
    if (auto* blocked = std::get_if<NotGiven>(&*taken)) {
      if (auto over = wait(blocked->blocker)) return let_go(std::move(*over));
      continue;
    }
    const Ledger::Fence fence = std::get<Ledger::Fence>(*taken);
    if (auto other = refuses_other_name(describe(), options_, fence.target)) {
      db_->rollback();
      return let_go(std::move(*other));
    }
    if (!fence.claim.fenced && !fence.claim.ended && !request.attest_stopped) {
      if (!old_run) old_run.emplace(request.unfenced_wait);
      if (!old_run->over()) {
        db_->rollback();
        tell(progress, {.kind = Progress::Kind::kBlocked,
                        .text = "the run before (token " + std::to_string(fence.claim.token.value) +
                                ") was not fenced and is not known to have ended: waiting " +
                                std::to_string(std::chrono::ceil<std::chrono::seconds>(request.unfenced_wait).count()) +
                                " s in all (or --attest-stopped)",
                        .blocker = std::nullopt});
        if (!pause(std::min(options_.poll_interval, old_run->left() + Duration{1}), stop)) {
          return let_go(ClaimCancelled{false});
        }
        continue;
      }
    }
    // A lost store may have granted tokens that nobody claimed yet: leap over them.
    const Token token{fence.claim.token.value + kBreakGlassLeap};
    const ClaimRow mine{token, request.incarnation, request.round, true, true};
    auto written = ledger_.write_claim(mine, fence.claim);
    if (written && fence.target.empty() && !options_.target.empty()) written = ledger_.write_target(options_.target);
    if (written) {
      written = ledger_.write_audit({"break-glass", StepId{},
                                     "round " + request.round.value + ", above token " +
                                         std::to_string(fence.claim.token.value) +
                                         (request.attest_stopped ? ", the run before attested as stopped" : ""),
                                     request.who, request.reason, Instant{}, token});
    }
    if (written) {
      SYZYGY_KILL_POINT("target_break_glass_before_commit");
      written = db_->commit();
      SYZYGY_KILL_POINT("target_break_glass_after_commit");
    }
    if (!written) return give_up(written.error());
    break_glass_ = true;
    auto snap = snapshot(request.round);
    if (!snap) {
      break_glass_ = false;
      return let_go(snap.error());
    }
    return BreakGlassStarted{token, std::move(*snap)};
  }
}

Result<void> GuardedTarget::break_glass_end() {
  break_glass_ = false;
  db_->disconnect();  // the lock ends with the session, whatever state it is in
  return {};
}

}  // namespace syzygy::migration
