// adopt.cpp - changing the history by hand: adopting another tool's, accepting a changed file, settling begun steps.
#include <algorithm>
#include <utility>

#include "base/kill_point.h"
#include "migration/target/foreign.h"
#include "migration/target/guarded_target.h"

namespace syzygy::migration {
namespace {

Error refused(std::string reason, std::string message) {
  return {ErrorCode::kFailedPrecondition, std::move(reason), std::move(message), {}, std::nullopt};
}

Error step_runs(const std::string& place, const std::string& what) {
  return refused("STEP_RUNS", "A session still runs a step in " + place + ": " + what +
                                  " when that has ended, if it is not in the history then.");
}

}  // namespace

Result<Adoption> GuardedTarget::adopt(const std::vector<KnownStep>& directory, const std::optional<StepId>& at,
                                      std::string_view who) {
  if (auto prepared = prepare(); !prepared) return std::unexpected(prepared.error());
  auto outcome = reading<Result<Adoption>>("adopt the history", [&]() -> Sql<Result<Adoption>> {
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    auto fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    auto snap = read_snapshot({});
    if (!snap) return std::unexpected(snap.error());
    if (!snap->begun.empty()) {
      // A step outside a transaction holds no row that we wait for: only the lock of its session tells that it runs.
      auto free = db_->step_lock_free(StepLock::kExclusive);
      if (!free) return std::unexpected(free.error());
      if (!*free) {
        db_->rollback();
        return Result<Adoption>{std::unexpected(step_runs(describe(), "adopt"))};
      }
    }
    if (!snap->applied.empty()) {
      const auto is_it = [&](const auto& one) { return at && same_id(one.id, *at); };
      const auto mark = std::ranges::find_if(snap->begun, is_it);
      const auto step = std::ranges::find_if(directory, is_it);
      if (mark == snap->begun.end() || step == directory.end()) return adopt_more(*snap, directory, at, who);
      return adopt_begun(*snap, *step, mark->direction, who);
    }
    auto steps = plan_adoption(snap->foreign, directory, at);
    if (!steps) {
      db_->rollback();
      return Result<Adoption>{std::unexpected(steps.error())};
    }
    Adoption adoption;
    const auto source =
        std::ranges::find_if(snap->foreign, [](const ForeignHistory& one) { return one.refuses && one.readable; });
    adoption.from = at                              ? "--at " + at->value
                    : source == snap->foreign.end() ? ""
                                                    : source->tool + "'s " + source->table;
    for (const KnownStep& step : *steps) {
      if (auto done = ledger_.write_adopted(step, who); !done) return std::unexpected(done.error());
      adoption.adopted.push_back(step.id);
    }
    // A table that says something else (--at) is not this directory's, or is wrong: it is left alone.
    adoption.kept =
        source != snap->foreign.end() && !source->dirty && drift_of(*source, directory, adoption.adopted).empty();
    auto written = ledger_.write_adoption(adoption.kept ? to_text(KeptTable{source->tool, source->table}) : "");
    if (!written) return std::unexpected(written.error());
    auto logged = ledger_.write_audit({"adopt", steps->empty() ? StepId{} : steps->back().id,
                                       std::to_string(steps->size()) + " steps from " + adoption.from, std::string(who),
                                       "", Instant{}, snap->claim.token});
    if (!logged) return std::unexpected(logged.error());
    SYZYGY_KILL_POINT("target_adopt_before_commit");
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    SYZYGY_KILL_POINT("target_adopt_after_commit");
    return Result<Adoption>{std::move(adoption)};
  });
  if (!outcome) return std::unexpected(outcome.error());
  return std::move(*outcome);
}

// A step outside a transaction whose end nobody knew, and that somebody has seen to be done. REQUIRES: the transaction
// that holds the fence row; ends it.
Sql<Result<Adoption>> GuardedTarget::adopt_begun(const Snapshot& snap, const KnownStep& step, Direction direction,
                                                 std::string_view who) {
  const bool up = direction == Direction::kUp;
  auto written = up ? ledger_.write_adopted(step, who) : ledger_.write_adopted_revert(step.id, who);
  if (!written) return std::unexpected(written.error());
  auto logged = ledger_.write_audit({"adopt", step.id, "begun outside a transaction, and done after all",
                                     std::string(who), "", Instant{}, snap.claim.token});
  if (!logged) return std::unexpected(logged.error());
  if (auto done = db_->commit(); !done) return std::unexpected(done.error());
  Adoption adoption;
  adoption.from = "--at " + step.id.value;
  (up ? adoption.adopted : adoption.reverted).push_back(step.id);
  return Result<Adoption>{std::move(adoption)};
}

// What another tool, whose table is kept, did since. REQUIRES: the transaction that holds the fence row; ends it.
Sql<Result<Adoption>> GuardedTarget::adopt_more(const Snapshot& snap, const std::vector<KnownStep>& directory,
                                                const std::optional<StepId>& at, std::string_view who) {
  const auto refuse = [&](Error error) {
    db_->rollback();
    return Result<Adoption>{std::unexpected(std::move(error))};
  };
  const auto kept = std::ranges::find_if(snap.foreign, [](const ForeignHistory& one) { return one.kept; });
  std::vector<StepId> applied;
  for (const AppliedRow& row : snap.applied) applied.push_back(row.step.id);
  const Drift drift =
      kept != snap.foreign.end() && kept->readable && !at ? drift_of(*kept, directory, applied) : Drift{};
  if (drift.empty()) {
    return refuse(refused("HISTORY_NOT_EMPTY", describe() + " has a history of its own already (" +
                                                   std::to_string(snap.applied.size()) + " steps, the last " +
                                                   snap.applied.back().step.id.value +
                                                   "): there is nothing to adopt."));
  }
  if (kept->dirty) return refuse(refused("FOREIGN_DIRTY", left_half_way(*kept) + ", and adopt again."));
  Adoption adoption;
  adoption.from = kept->tool + "'s " + kept->table;
  adoption.kept = true;
  for (const StepId& id : drift.reverted) {
    if (auto done = ledger_.write_adopted_revert(id, who); !done) return std::unexpected(done.error());
    adoption.reverted.push_back(id);
  }
  for (const KnownStep& step : drift.applied) {
    if (auto done = ledger_.write_adopted(step, who); !done) return std::unexpected(done.error());
    adoption.adopted.push_back(step.id);
  }
  auto logged =
      ledger_.write_audit({"adopt", adoption.adopted.empty() ? adoption.reverted.back() : adoption.adopted.back(),
                           std::to_string(adoption.adopted.size()) + " steps applied and " +
                               std::to_string(adoption.reverted.size()) + " reverted by " + kept->tool,
                           std::string(who), "", Instant{}, snap.claim.token});
  if (!logged) return std::unexpected(logged.error());
  if (auto done = db_->commit(); !done) return std::unexpected(done.error());
  return Result<Adoption>{std::move(adoption)};
}

Result<std::string> GuardedTarget::accept(const StepId& step, const std::string& content, std::string_view who,
                                          std::string_view reason) {
  auto outcome = reading<Result<std::string>>("accept the changed file", [&]() -> Sql<Result<std::string>> {
    auto version = ledger_.version();
    if (!version) return std::unexpected(version.error());
    const auto unknown = [&] {
      return Result<std::string>{
          std::unexpected(refused("STEP_UNKNOWN", "Step " + step.value + " is not applied in " + describe() +
                                                      ": there is nothing to accept."))};
    };
    if (*version == 0) return unknown();
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    auto fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    auto applied = ledger_.applied();
    if (!applied) return std::unexpected(applied.error());
    const auto row = std::ranges::find_if(*applied, [&](const AppliedRow& one) { return same_id(one.step.id, step); });
    if (!fence->has_value() || row == applied->end()) {
      db_->rollback();
      return unknown();
    }
    std::string was = row->step.content;
    if (auto done = ledger_.write_content(step, content); !done) return std::unexpected(done.error());
    auto logged = ledger_.write_audit({"accept", row->step.id, "checksum " + was + " became " + content,
                                       std::string(who), std::string(reason), Instant{}, (*fence)->claim.token});
    if (!logged) return std::unexpected(logged.error());
    SYZYGY_KILL_POINT("target_accept_before_commit");
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    SYZYGY_KILL_POINT("target_accept_after_commit");
    return Result<std::string>{std::move(was)};
  });
  if (!outcome) return std::unexpected(outcome.error());
  return std::move(*outcome);
}

Sql<void> GuardedTarget::write_settled(const BegunStep& mark, std::string_view who, std::string_view reason,
                                       Token token) {
  const std::string words = "settled by " + std::string(who) + ": " + std::string(reason);
  if (auto done = ledger_.write_begun_ended(mark.id, words); !done) return done;
  return ledger_.write_audit({"settle", mark.id,
                              "begun by round " + mark.round.value + " under token " +
                                  std::to_string(mark.token.value) + ", not known to have ended; it may run again",
                              std::string(who), std::string(reason), Instant{}, token});
}

Result<std::vector<BegunStep>> GuardedTarget::settle_begun(const RunInfo& run, const std::vector<StepId>& steps,
                                                           std::string_view reason) {
  using Outcome = Result<std::vector<BegunStep>>;
  auto outcome = reading<Outcome>("settle what was begun", [&]() -> Sql<Outcome> {
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    auto fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    if (!fence->has_value() || (*fence)->claim.token != run.token || (*fence)->claim.incarnation != run.incarnation) {
      db_->rollback();
      return Outcome{std::unexpected(Error{ErrorCode::kAborted,
                                           "CLAIM_LOST",
                                           describe() + " was claimed by somebody else meanwhile; nothing was changed.",
                                           {},
                                           std::nullopt})};
    }
    auto marks = ledger_.begun();
    if (!marks) return std::unexpected(marks.error());
    std::erase_if(*marks, [&](const BegunStep& mark) {
      const bool asked =
          mark.round == run.round || std::ranges::any_of(steps, [&](const StepId& id) { return same_id(id, mark.id); });
      return !asked || !mark.ended.empty();
    });
    for (const BegunStep& mark : *marks) {
      auto written = write_settled(mark, run.who, reason, run.token);
      if (!written) return std::unexpected(written.error());
    }
    SYZYGY_KILL_POINT("target_settle_before_commit");
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    SYZYGY_KILL_POINT("target_settle_after_commit");
    return Outcome{std::move(*marks)};
  });
  if (!outcome) return std::unexpected(outcome.error());
  return std::move(*outcome);
}

Result<BegunStep> GuardedTarget::repair(const StepId& step, std::string_view who, std::string_view reason) {
  using Outcome = Result<BegunStep>;
  auto outcome = reading<Outcome>("repair the history", [&]() -> Sql<Outcome> {
    const auto refuse = [&](Error why) {
      db_->rollback();
      return Outcome{std::unexpected(std::move(why))};
    };
    const auto not_begun = [&] {
      return refuse(refused("STEP_NOT_BEGUN", "No step " + step.value + " was begun outside a transaction in " +
                                                  describe() +
                                                  " without being known to have ended: there is nothing to repair."));
    };
    auto version = ledger_.version();
    if (!version) return std::unexpected(version.error());
    if (*version == 0) return not_begun();
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    auto fence = ledger_.lock_fence(false);
    if (!fence) return std::unexpected(fence.error());
    auto mark = ledger_.begun(step);
    if (!mark) return std::unexpected(mark.error());
    if (!fence->has_value() || !*mark || !(*mark)->ended.empty()) return not_begun();
    auto free = db_->step_lock_free(StepLock::kExclusive);
    if (!free) return std::unexpected(free.error());
    if (!*free) return refuse(step_runs(describe(), "repair " + step.value));
    auto written = write_settled(**mark, who, reason, (*fence)->claim.token);
    if (!written) return std::unexpected(written.error());
    if (auto done = db_->commit(); !done) return std::unexpected(done.error());
    return Outcome{std::move(**mark)};
  });
  if (!outcome) return std::unexpected(outcome.error());
  return std::move(*outcome);
}

}  // namespace syzygy::migration
