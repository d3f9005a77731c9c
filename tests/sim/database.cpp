#include "tests/sim/database.h"

#include <algorithm>
#include <utility>

namespace syzygy::sim {

using migration::AppliedRow;
using migration::BegunStep;
using migration::ClaimRefused;
using migration::ClaimRow;

Database::Database(World& world, Checker& checker) : world_(world), checker_(checker) {
  checker_.stands = [this](const Plan& plan, const RoundId& round) { return stands(plan, round); };
  checker_.recorded = [this](const RoundId& round) {
    return std::ranges::find(outcomes_, round, &migration::OutcomeRow::round) != outcomes_.end();
  };
  checker_.child_runs = [this](const RoundId& round) { return child_runs(round); };
}

// ---- sessions ----

SessionPtr Database::connect() {
  auto session = std::make_shared<Session>();
  sessions_.push_back(session);
  return session;
}

void Database::end(const SessionPtr& session) {
  if (!session || !session->alive) return;
  if (world_.now() < session->busy_until) {
    world_.at(session->busy_until, [this, session] { end(session); });
    return;
  }
  session->alive = false;
  session->row = false;
  session->lock = false;
  std::erase(sessions_, session);
}

void Database::end_soon(const SessionPtr& session) {
  if (!session || !session->alive) return;
  const Ms delay = world_.chance().chance(700) ? world_.chance().between(0, 40) : world_.chance().between(100, 9'000);
  world_.after(delay, [this, session] { end(session); });
}

bool Database::row_locked() const { return std::ranges::any_of(sessions_, &Session::row, &SessionPtr::operator*); }
bool Database::step_locked() const { return std::ranges::any_of(sessions_, &Session::lock, &SessionPtr::operator*); }

// ---- reading ----

std::vector<StepId> Database::applied_ids() const {
  std::vector<StepId> ids;
  for (const AppliedRow& row : applied_) ids.push_back(row.step.id);
  return ids;
}

bool Database::is_applied(const StepId& step) const {
  return std::ranges::any_of(applied_, [&](const AppliedRow& row) { return row.step.id == step; });
}

migration::Snapshot Database::snapshot(const RoundId& round) const {
  migration::Snapshot snapshot;
  snapshot.prepared = true;
  snapshot.id = "minted";
  snapshot.claim = row_;
  snapshot.applied = applied_;
  snapshot.recent = recent_;
  snapshot.begun = begun_;
  if (!outcomes_.empty()) snapshot.last_outcome = outcomes_.back();
  const auto outcome = std::ranges::find(outcomes_, round, &migration::OutcomeRow::round);
  if (outcome != outcomes_.end()) snapshot.outcome = *outcome;
  return snapshot;
}

round::Snapshot Database::seen_by_join(const std::string& last_known) const {
  round::Snapshot seen;
  seen.token = row_.token;
  if (!outcomes_.empty()) {
    const auto& last = outcomes_.back();
    seen.last_outcome = round::TargetOutcome{last.round, last.token, round::State::kSucceeded};
  }
  seen.recent = recent_;
  seen.last_step = last_known;
  return seen;
}

bool Database::stands(const Plan& plan, const RoundId& round) const {
  if (plan.opaque) {
    const auto done = children_done_.find(round);
    return done != children_done_.end() && done->second > 0;
  }
  // What a round's own row says stays true of it, though somebody has taken a step back since.
  const bool recorded = std::ranges::find(outcomes_, round, &migration::OutcomeRow::round) != outcomes_.end();
  return std::ranges::all_of(
      plan.steps, [&](const Step& step) { return is_applied(step.id) || (recorded && taken_back_.contains(step.id)); });
}

// ---- claims ----

std::variant<ClaimRow, ClaimRefused, Database::NotGiven> Database::try_claim(const Run& run) {
  if (row_locked()) return NotGiven{};
  if (row_.token == run.token && row_.incarnation == run.incarnation) return previous_;
  if (row_.token >= run.token) return ClaimRefused{row_};
  previous_ = row_;
  row_ = ClaimRow{run.token, run.incarnation, run.round, run.fenced, run.fenced};
  return previous_;
}

std::variant<migration::Snapshot, ClaimRefused, Database::NotGiven> Database::complete(const Run& run) {
  if (step_locked()) return NotGiven{};
  if (row_.token != run.token || row_.incarnation != run.incarnation) return ClaimRefused{row_};
  checker_.claim_complete(run.token);
  return snapshot(run.round);
}

// ---- steps ----

Database::Begun Database::begin(const SessionPtr& session, const Run& run, const Step& step) {
  if (row_locked()) return Begun::kBusy;
  if (row_.token != run.token || row_.incarnation != run.incarnation) return Begun::kFencedOut;
  if (is_applied(step.id)) return Begun::kChanged;
  session->row = true;
  return Begun::kYes;
}

void Database::write_history(const Run& run, const Step& step, bool last) {
  AppliedRow row;
  row.step.id = step.id;
  row.step.content = step.content;
  row.step.stage = step.stage;
  row.round = run.round;
  row.token = run.token;
  const std::vector<StepId> before = applied_ids();
  applied_.push_back(std::move(row));
  recent_.insert(recent_.begin(), step);
  std::erase_if(begun_, [&](const BegunStep& one) { return one.id == step.id; });
  if (last) outcomes_.push_back({run.round, run.token, migration::Outcome::kSucceeded});
  checker_.applied(run.round, step, before);
}

bool Database::commit(const SessionPtr& session, const Run& run, const Step& step, bool last) {
  if (!session->alive || !session->row) return false;
  session->row = false;
  checker_.took_effect(run.round, run.token, run.fenced, "step " + step.id.value);
  write_history(run, step, last);
  return true;
}

void Database::rollback(const SessionPtr& session) {
  if (session) session->row = false;
}

Database::Begun Database::begin_outside(const SessionPtr& session, const Run& run, const Step& step) {
  if (row_locked()) return Begun::kBusy;
  session->lock = run.fenced;
  if (row_.token != run.token || row_.incarnation != run.incarnation) {
    session->lock = false;
    return Begun::kFencedOut;
  }
  if (is_applied(step.id)) {
    session->lock = false;
    return Begun::kChanged;
  }
  BegunStep mark;
  mark.id = step.id;
  mark.round = run.round;
  mark.token = run.token;
  std::erase_if(begun_, [&](const BegunStep& one) { return one.id == step.id; });
  begun_.push_back(std::move(mark));
  return Begun::kYes;
}

void Database::run_outside(const SessionPtr& session, const Run& run, const Step& step, Ms takes,
                           std::function<void()> done) {
  session->busy_until = world_.now() + takes;
  world_.after(takes, [this, session, run, step, done = std::move(done)] {
    session->busy_until = 0;
    if (!session->alive) return;
    checker_.took_effect(run.round, run.token, run.fenced, "the statement of step " + step.id.value);
    if (run.fenced) checker_.statement_ran(step.id);
    done();
  });
}

Database::Begun Database::finish_outside(const SessionPtr& session, const Run& run, const Step& step, bool last) {
  if (!session->alive) return Begun::kBusy;
  if (!run.fenced && (row_.token != run.token || row_.incarnation != run.incarnation)) return Begun::kFencedOut;
  checker_.took_effect(run.round, run.token, run.fenced, "the history of step " + step.id.value);
  write_history(run, step, last);
  session->lock = false;
  return Begun::kYes;
}

// ---- opaque runs ----

SessionPtr Database::run_child(const Run& run, Ms takes, std::function<void()> done) {
  SessionPtr session = connect();
  session->of_child = true;
  session->round = run.round;
  session->token = run.token;
  session->busy_until = world_.now() + takes;
  world_.after(takes, [this, session, run, done = std::move(done)] {
    session->busy_until = 0;
    if (!session->alive) return;
    checker_.took_effect(run.round, run.token, false, "the command");
    ++children_done_[run.round];
    end(session);
    done();
  });
  return session;
}

bool Database::child_sessions(const RoundId& round, Token token) const {
  return std::ranges::any_of(sessions_, [&](const SessionPtr& session) {
    return session->of_child && session->round == round && session->token == token;
  });
}

bool Database::child_runs(const RoundId& round) const {
  return std::ranges::any_of(sessions_, [&](const SessionPtr& session) {
    return session->of_child && session->round == round && session->busy_until > world_.now();
  });
}

void Database::mark_ended(const Run& run) {
  if (row_.token == run.token && row_.incarnation == run.incarnation) row_.ended = true;
}

// ---- afterwards ----

std::optional<Database::Settled> Database::settle(const Run& run, const Step& step) {
  if (row_locked() || (!step.atomic && step_locked())) return std::nullopt;
  if (row_.token != run.token || row_.incarnation != run.incarnation) return Settled::kFencedOut;
  if (is_applied(step.id)) {
    const auto row = std::ranges::find(applied_, step.id, [](const AppliedRow& one) { return one.step.id; });
    return row->round == run.round ? Settled::kApplied : Settled::kAppliedByHand;
  }
  const bool begun =
      std::ranges::any_of(begun_, [&](const BegunStep& one) { return one.id == step.id && one.round == run.round; });
  return begun ? Settled::kBegun : Settled::kNotApplied;
}

void Database::apply_by_hand(const Step& step) {
  if (row_locked() || step_locked() || is_applied(step.id)) return;
  if (std::ranges::any_of(begun_, [&](const BegunStep& one) { return one.id == step.id; })) return;
  AppliedRow row;
  row.step.id = step.id;
  row.step.content = step.content;
  row.step.stage = step.stage;
  applied_.push_back(std::move(row));
  recent_.insert(recent_.begin(), step);
  checker_.stood(step.id);
  if (world_.traced()) world_.tell("   # in the target: step " + step.id.value + " by hand");
}

bool Database::may_revert(const Step& step) const {
  return !row_locked() && !step_locked() && is_applied(step.id) && begun_.empty();
}

void Database::revert_by_hand(const Step& step) {
  std::erase_if(applied_, [&](const AppliedRow& row) { return row.step.id == step.id; });
  std::erase(recent_, step);
  taken_back_.insert(step.id);
  checker_.undone(step.id);
  if (world_.traced()) world_.tell("   # in the target: step " + step.id.value + " is taken back by hand");
}

void Database::stop_everything() {
  for (const SessionPtr& session : std::vector<SessionPtr>(sessions_)) {
    session->busy_until = 0;
    end(session);
  }
}

void Database::put_in_order(const RoundId& round, const Plan& plan) {
  std::erase_if(begun_, [&](const BegunStep& one) {
    if (one.round != round && std::ranges::find(plan.steps, one.id, &Step::id) == plan.steps.end()) return false;
    checker_.undone(one.id);
    return true;
  });
}

}  // namespace syzygy::sim
