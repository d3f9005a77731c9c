// apply.cpp - running steps under the fence, and finding out what became of one whose connection was lost.
//
// An atomic step is one transaction: lock the fence row where the claim is ours, look at the history, run the
// statements one by one, write the history, commit. A step outside a transaction has the step lock around it instead of
// the row's.
#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "base/kill_point.h"
#include "base/name.h"
#include "migration/target/foreign.h"
#include "migration/target/guarded_target.h"

namespace syzygy::migration {
namespace {

constexpr std::size_t kShownBytesMax = 160;  // of a statement, in messages

// On one line, cut for messages.
std::string shown(std::string_view statement) {
  std::string line;
  for (const char c : statement) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
    if (space && (line.empty() || line.back() == ' ')) continue;
    line += space ? ' ' : c;
  }
  if (line.size() <= kShownBytesMax) return line;
  std::size_t cut = kShownBytesMax;
  while (cut > 0 && (static_cast<unsigned char>(line[cut]) & 0xC0u) == 0x80u) --cut;  // never inside a character
  return line.substr(0, cut) + "…";
}

std::vector<std::string> first_words(std::string_view text, std::size_t count) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (std::isalpha(static_cast<unsigned char>(c)) != 0) {
      word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      continue;
    }
    if (!word.empty()) words.push_back(std::exchange(word, ""));
    if (words.size() == count || (c != ' ' && c != '\n' && c != '\t' && c != '\r')) break;
  }
  if (!word.empty() && words.size() < count) words.push_back(word);
  return words;
}

// A second look after the parser's: such a statement in an atomic step would end the transaction that guards it, and
// let the rest through.
bool ends_transaction(std::string_view statement) {
  const std::vector<std::string> words = first_words(statement, 3);
  if (words.empty()) return false;
  if (words[0] == "rollback") return std::ranges::find(words, "to") == words.end();
  if (words[0] == "prepare") return words.size() > 1 && words[1] == "transaction";
  constexpr std::array kWords = {"commit", "end", "abort", "begin", "start"};
  return std::ranges::find(kWords, words[0]) != kWords.end();
}

bool builds_concurrently(const PlannedStep& step, std::size_t index) {
  return index < step.meanings.size() &&
         std::ranges::any_of(step.meanings[index].actions, [](const Action& action) { return action.concurrently; });
}

}  // namespace

ApplyResult GuardedTarget::result_of(const Refused& refused, const PlannedStep& step, bool nothing_left) {
  nothing_left = nothing_left && !refused.committed;
  const SqlError& error = refused.error;
  if (error.kind == SqlError::Kind::kLost) {
    db_->disconnect();
    return Lost{to_error(error, *db_, "finish step " + step.step.id.value)};
  }
  if (error.kind == SqlError::Kind::kCancelled) {
    db_->disconnect();
    return Cancelled{nothing_left};
  }
  StepFailed failed;
  failed.file = step.file;
  failed.words = error.words;
  failed.sql_state = error.state;
  failed.nothing_left = nothing_left;
  std::string place = step.file;
  if (refused.statement.has_value()) {
    const Statement& statement = step.statements[*refused.statement];
    failed.line = statement.place.line + (error.line == 0 ? 0 : error.line - 1);
    failed.statement = statement.text;
    place += ":" + std::to_string(failed.line);
  }
  failed.message = place + ": " + describe() + " refuses " +
                   (refused.statement.has_value() ? "a statement of step " + step.step.id.value
                                                  : refused.what + " of step " + step.step.id.value) +
                   ": " + error.words;
  if (refused.statement.has_value()) failed.message += "\nThe statement: " + shown(failed.statement);
  failed.message += nothing_left
                        ? "\nNothing of this step is left in the database: its transaction was rolled back. Mend the "
                          "cause and run the same command again."
                        : "\nWhat ran of this step before stays in the database, for no transaction held all of it. "
                          "Look at it, undo or finish it by hand where needed, mend the cause, and run the "
                          "same command again.";
  return failed;
}

// Best effort: by now the holder may be another one, or none.
std::optional<Blocker> GuardedTarget::holder(const Refused& refused, const PlannedStep& step) {
  if (!refused.statement || *refused.statement >= step.meanings.size()) return std::nullopt;
  auto held = db_->holder_of(step.meanings[*refused.statement]);
  return held ? *held : std::nullopt;
}

bool GuardedTarget::wait_for_lock(const Refused& refused, const PlannedStep& step, int attempt, Backoff& backoff,
                                  const OnProgress& progress, const std::stop_token& stop) {
  if (attempt >= options_.lock_attempts) return false;
  const Duration delay = backoff.next();
  const std::optional<Blocker> by = progress ? holder(refused, step) : std::nullopt;
  const std::string what = refused.statement ? shown(step.statements[*refused.statement].text) : refused.what;
  tell(progress, {.kind = Progress::Kind::kLockTimeout,
                  .text = (refused.error.state == "40P01" ? "a deadlock with another session was broken here"
                                                          : "a lock was not given within " +
                                                                std::to_string(options_.lock_timeout.count()) + " ms") +
                          (by ? ", " + by->session + " holds one" : "") + ": " + what + "; attempt " +
                          std::to_string(attempt + 1) + " of " + std::to_string(options_.lock_attempts) + " in " +
                          std::to_string(delay.count()) + " ms",
                  .attempt = attempt,
                  .blocker = by});
  return pause(delay, stop);
}

std::expected<GuardedTarget::Ended, GuardedTarget::Refused> GuardedTarget::one_attempt(
    const RunInfo& run, Guard guard, [[maybe_unused]] const CommitPoints& points, int attempt,
    const Driver::RunOptions& waits, const Body& body) {
  const auto ours = [](SqlError error, std::string what) {
    return std::unexpected(Refused{std::move(error), std::nullopt, std::move(what)});
  };
  db_->present(options_.application, run);
  auto begun = db_->begin_write();
  if (!begun && begun.error().kind == SqlError::Kind::kLost && !break_glass_ && guard == Guard::kClaim) {
    // The session died while it was idle; nothing of this attempt has been sent on it.
    db_->disconnect();
    if (auto again = db_->connect(); !again) {
      return ours({SqlError::Kind::kLost, again.error().message, "", 0}, "the begin");
    }
    begun = db_->begin_write();
  }
  if (!begun) return ours(begun.error(), "the begin");
  if (guard != Guard::kStepLock) {
    auto fence = ledger_.lock_fence(false);
    if (!fence) return ours(fence.error(), "the fence");
    if (!fence->has_value()) return Ended{Changed{"the fence row is gone: the tables that Syzygy keeps were removed"}};
    const ClaimRow& claim = (*fence)->claim;
    if (claim.token != run.token || claim.incarnation != run.incarnation) return Ended{FencedOut{claim.token, false}};
  }
  auto ended = body(attempt);
  if (!ended || ended->has_value()) return ended;
  SYZYGY_KILL_POINT(points.before);
  if (auto done = db_->commit(waits, true); !done) return ours(done.error(), "the COMMIT");
  SYZYGY_KILL_POINT(points.after);
  return Ended{};
}

GuardedTarget::Ended GuardedTarget::in_transaction(const RunInfo& run, const PlannedStep& step, Guard guard,
                                                   bool nothing_left, const CommitPoints& points,
                                                   const OnProgress& progress, const std::stop_token& stop,
                                                   const Body& body) {
  Backoff backoff(options_.retry_delay_min, options_.retry_delay_max);
  for (int attempt = 1;; ++attempt) {
    if (stop.stop_requested()) return Cancelled{nothing_left};
    if (!db_->connected() && (break_glass_ || guard != Guard::kClaim)) {
      return Lost{{ErrorCode::kUnavailable,
                   "DATABASE_UNREACHABLE",
                   describe() + ": the connection was lost, and the lock that it held with it",
                   {},
                   std::nullopt}};
    }
    if (auto connected = db_->connect(); !connected) return Lost{connected.error()};
    auto ended = one_attempt(run, guard, points, attempt, waits_of("COMMIT", progress, stop), body);
    if (ended && !ended->has_value()) return std::nullopt;
    db_->rollback();
    if (ended) return std::move(*ended);
    if (ended.error().error.kind != SqlError::Kind::kLockTimeout) return result_of(ended.error(), step, nothing_left);
    if (wait_for_lock(ended.error(), step, attempt, backoff, progress, stop)) continue;
    if (stop.stop_requested()) {
      db_->disconnect();
      return Cancelled{nothing_left};
    }
    const std::optional<Blocker> by = holder(ended.error(), step);
    ended.error().error.words += " (" + std::to_string(attempt) + " attempts; the lock is held by " +
                                 (by ? by->session : "another session") + ")";
    return result_of(ended.error(), step, nothing_left);
  }
}

std::expected<void, GuardedTarget::Refused> GuardedTarget::run_statement(const PlannedStep& step, std::size_t index,
                                                                         int attempt, const OnProgress& progress,
                                                                         const std::stop_token& stop) {
  const Statement& statement = step.statements[index];
  const auto refused = [&](SqlError error) { return std::unexpected(Refused{std::move(error), index, ""}); };
  if (stop.stop_requested()) return refused({SqlError::Kind::kCancelled, "stopped", "", 0});
  tell(progress, {.kind = Progress::Kind::kStatement,
                  .text = shown(statement.text),
                  .index = static_cast<int>(index) + 1,
                  .total = static_cast<int>(step.statements.size()),
                  .attempt = attempt,
                  .blocker = std::nullopt});
  if (auto done = db_->run(statement.text, waits_of(shown(statement.text), progress, stop)); !done) {
    return refused(done.error());
  }
  return {};
}

Driver::RunOptions GuardedTarget::waits_of(const std::string& what, const OnProgress& progress,
                                           const std::stop_token& stop) {
  Driver::RunOptions waits;
  waits.stop = stop;
  waits.on_notice = [&progress](const std::string& words) {
    tell(progress, {.kind = Progress::Kind::kNotice, .text = words, .blocker = std::nullopt});
  };
  waits.on_waiting = [this, what, &progress](Duration waited, bool answers) {
    const std::string time = std::to_string(waited.count() / 1'000) + " s";
    tell(progress,
         {.kind = Progress::Kind::kWaiting,
          .text = answers ? "still running, for " + time + ": " + what
                          : describe() + " has not answered for " + time +
                                ", and takes no new connection either (it is frozen, overloaded or cut off); " +
                                "still waiting for: " + what,
          .blocker = std::nullopt});
  };
  return waits;
}

Sql<GuardedTarget::Ended> GuardedTarget::check_history(const Step& step) {
  auto applied = ledger_.is_applied(step.id);
  if (!applied) return std::unexpected(applied.error());
  if (*applied != (step.direction == Direction::kDown)) {
    return Ended{Changed{step.direction == Direction::kUp
                             ? "step " + step.id.value + " is in the history already"
                             : "step " + step.id.value + " is not in the history: there is nothing to revert"}};
  }
  auto mark = ledger_.begun(step.id);
  if (!mark) return std::unexpected(mark.error());
  if (!*mark || !(*mark)->ended.empty()) return Ended{};
  return Ended{Changed{left_unfinished(**mark)}};
}

Sql<void> GuardedTarget::keep_foreign(const RunInfo& run, const Step& step, Duration took) {
  auto fence = ledger_.fence();
  if (!fence) return std::unexpected(fence.error());
  const auto kept = fence->has_value() ? kept_table((*fence)->kept_table) : std::nullopt;
  if (!kept) return {};
  auto there = db_->has_table(kept->table);
  if (!there) return std::unexpected(there.error());
  if (!*there) return {};  // the other tool was given up, and its table dropped: nothing to keep
  auto applied = ledger_.applied_ids();
  if (!applied) return std::unexpected(applied.error());
  return keep(*db_, *kept, step, run.directory, *applied, took, run.who);
}

Sql<void> GuardedTarget::write_done(const RunInfo& run, const Step& step, const ApplyOptions& options, Duration took) {
  auto done = ledger_.write_history(run, step, took);
  if (done && options.last) done = ledger_.write_outcome(run, Outcome::kSucceeded);
  if (done) done = keep_foreign(run, step, took);
  return done;
}

ApplyResult GuardedTarget::apply_step(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                                      const OnProgress& progress, std::stop_token stop) {
  return step.step.atomic ? apply_atomic(run, step, options, progress, stop)
                          : apply_outside(run, step, options, progress, stop);
}

ApplyResult GuardedTarget::apply_atomic(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                                        const OnProgress& progress, const std::stop_token& stop) {
  for (std::size_t i = 0; i < step.statements.size(); ++i) {
    if (!ends_transaction(step.statements[i].text)) continue;
    return result_of({{SqlError::Kind::kRefused,
                       "transaction control in a step that is to run in one transaction (it would end the transaction "
                       "that guards it); take it out, or mark the file with -- syzygy:no-transaction",
                       "", 0},
                      i,
                      ""},
                     step, true);
  }
  Duration took{0};
  const Body body = [&](int attempt) -> std::expected<Ended, Refused> {
    const auto ours = [](SqlError error) {
      return std::unexpected(Refused{std::move(error), std::nullopt, "the history"});
    };
    const auto started = Steady::now();
    auto changed = check_history(step.step);
    if (!changed) return ours(changed.error());
    if (changed->has_value()) return std::move(*changed);
    auto before = db_->transaction_mark();
    if (!before) return ours(before.error());
    for (std::size_t i = 0; i < step.statements.size(); ++i) {
      if (auto done = run_statement(step, i, attempt, progress, stop); !done) return std::unexpected(done.error());
    }
    auto after = db_->transaction_mark();
    if (!after) return ours(after.error());
    if (*before != *after) {
      return std::unexpected(
          Refused{{SqlError::Kind::kRefused, "the step's statements ended the transaction that guards them", "", 0},
                  std::nullopt,
                  "the end",
                  true});
    }
    if (auto reset = db_->reset_session(); !reset) return ours(reset.error());
    took = since(started);
    if (auto done = write_done(run, step.step, options, took); !done) return ours(done.error());
    if (stop.stop_requested()) return ours({SqlError::Kind::kCancelled, "stopped", "", 0});
    return Ended{};
  };
  auto ended = in_transaction(run, step, Guard::kClaim, true, {"target_step_before_commit", "target_step_after_commit"},
                              progress, stop, body);
  if (ended) return std::move(*ended);
  return Applied{took, options.last};
}

ApplyResult GuardedTarget::apply_outside(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                                         const OnProgress& progress, const std::stop_token& stop) {
  if (break_glass_) return run_outside(run, step, options, true, progress, stop);  // the step lock is held already
  if (auto connected = db_->connect(); !connected) return Lost{connected.error()};
  if (!db_->why_no_step_lock().empty()) return run_outside(run, step, options, false, progress, stop);

  Backoff backoff(options_.retry_delay_min, options_.retry_delay_max);
  for (int attempt = 1;; ++attempt) {
    if (stop.stop_requested()) return Cancelled{true};
    auto held = db_->try_step_lock(StepLock::kShared);
    if (!held && held.error().kind == SqlError::Kind::kLost && attempt == 1) {
      // The session died while it was idle.
      db_->disconnect();
      if (auto again = db_->connect(); !again) return Lost{again.error()};
      continue;
    }
    if (!held) return result_of({held.error(), std::nullopt, "the step lock"}, step, true);
    if (*held) break;
    const Refused busy{{SqlError::Kind::kRefused, "another run holds it", "", 0}, std::nullopt, "the step lock"};
    if (wait_for_lock(busy, step, attempt, backoff, progress, stop)) continue;
    if (stop.stop_requested()) return Cancelled{true};
    return result_of(busy, step, true);
  }
  ApplyResult result = run_outside(run, step, options, true, progress, stop);
  if (!db_->connected()) return result;
  // The session must not keep the lock: where it cannot be given back, the session goes.
  if (auto released = db_->release_step_lock(); !released) db_->disconnect();
  return result;
}

std::expected<void, GuardedTarget::Refused> GuardedTarget::without_invalid_indexes(const PlannedStep& step,
                                                                                   std::size_t index,
                                                                                   const OnProgress& progress) {
  if (index >= step.meanings.size()) return {};
  auto dropped = db_->drop_invalid_indexes(step.meanings[index]);
  if (!dropped) return std::unexpected(Refused{std::move(dropped.error()), index, ""});
  for (const std::string& name : *dropped) {
    tell(progress, {.kind = Progress::Kind::kIndexDropped,
                    .text = "dropped the INVALID index " + name + " that an earlier build left; building it anew",
                    .blocker = std::nullopt});
  }
  return {};
}

std::expected<void, GuardedTarget::Refused> GuardedTarget::statements_outside(const PlannedStep& step,
                                                                              const OnProgress& progress,
                                                                              const std::stop_token& stop,
                                                                              std::size_t& finished) {
  bool own_transaction = false;  // the file has begun one itself: a statement of it cannot be tried again alone
  for (std::size_t i = 0; i < step.statements.size(); ++i) {
    const auto refused = [&](SqlError error) { return std::unexpected(Refused{std::move(error), i, ""}); };
    const bool concurrently = builds_concurrently(step, i);
    // A CONCURRENTLY takes a lock that blocks nobody's reads and writes, and then waits for everybody else's
    // transactions: with a lock timeout it would fail there, and leave an INVALID index behind. Two of them on one
    // table wait for each other, until the server breaks the deadlock.
    auto limited = db_->prepare_outside(concurrently ? Duration{0} : options_.lock_timeout);
    if (!limited) return refused(limited.error());
    own_transaction = own_transaction || ends_transaction(step.statements[i].text);
    Backoff backoff(options_.retry_delay_min, options_.retry_delay_max);
    for (int attempt = 1;; ++attempt) {
      auto done = without_invalid_indexes(step, i, progress);
      if (done) done = run_statement(step, i, attempt, progress, stop);
      if (done) break;
      const bool again = done.error().error.kind == SqlError::Kind::kLockTimeout && !own_transaction;
      if (!again || !wait_for_lock(done.error(), step, attempt, backoff, progress, stop)) {
        if (stop.stop_requested() && done.error().error.kind == SqlError::Kind::kLockTimeout) {
          done.error().error.kind = SqlError::Kind::kCancelled;
        }
        return done;
      }
    }
    finished = i + 1;
  }
  return {};
}

ApplyResult GuardedTarget::run_outside(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                                       bool fenced, const OnProgress& progress, const std::stop_token& stop) {
  const auto ours = [](SqlError error) {
    return std::unexpected(Refused{std::move(error), std::nullopt, "the history"});
  };
  const auto started = Steady::now();
  auto ended = in_transaction(run, step, fenced && !break_glass_ ? Guard::kClaimAndStepLock : Guard::kClaim, true,
                              {"target_begun_before_commit", "target_begun_after_commit"}, progress, stop,
                              [&](int) -> std::expected<Ended, Refused> {
                                auto changed = check_history(step.step);
                                if (!changed) return ours(changed.error());
                                if (changed->has_value()) return std::move(*changed);
                                if (auto done = ledger_.write_begun(run, step.step); !done) return ours(done.error());
                                return Ended{};
                              });
  if (ended) return std::move(*ended);

  std::size_t finished = 0;
  auto done = statements_outside(step, progress, stop, finished);
  if (!done) {
    const SqlError& error = done.error().error;
    if (error.kind == SqlError::Kind::kLost) return result_of(done.error(), step, false);
    const bool untouched = finished == 0 && error.kind == SqlError::Kind::kCancelled && error.words == "stopped";
    db_->rollback();  // of a transaction that the file itself began
    // A mark that cannot be written is left as "begun": the next claimer then knows less, and says so.
    static_cast<void>(in_transaction(run, step, fenced ? Guard::kStepLock : Guard::kClaim, false,
                                     {"target_mark_before_commit", "target_mark_after_commit"}, {}, {},
                                     [&](int) -> std::expected<Ended, Refused> {
                                       auto reset = db_->reset_session();
                                       if (!reset) return ours(reset.error());
                                       auto written = untouched ? ledger_.forget_begun(step.step.id)
                                                                : ledger_.write_begun_ended(step.step.id, error.words);
                                       if (!written) return ours(written.error());
                                       return Ended{};
                                     }));
    return result_of(done.error(), step, untouched);
  }
  SYZYGY_KILL_POINT("target_outside_statements_done");

  const Duration took = since(started);
  ended = in_transaction(run, step, fenced ? Guard::kStepLock : Guard::kClaim, false,
                         {"target_history_before_commit", "target_history_after_commit"}, progress, {},
                         [&](int) -> std::expected<Ended, Refused> {
                           if (auto reset = db_->reset_session(); !reset) return ours(reset.error());
                           if (auto written = write_done(run, step.step, options, took); !written) {
                             return ours(written.error());
                           }
                           return Ended{};
                         });
  if (!ended) return Applied{took, options.last};
  if (auto* fenced_out = std::get_if<FencedOut>(&*ended)) fenced_out->after_effect = true;
  return std::move(*ended);
}

SettleResult GuardedTarget::settle(const RunInfo& run, const Step& step, Duration wait_max, const OnProgress& progress,
                                   std::stop_token stop) {
  const Deadline deadline(wait_max);
  Backoff backoff(options_.retry_delay_min, options_.retry_delay_max);

  // One look: the truth, or who is in the way.
  const auto look = [&]() -> Sql<std::variant<Settled, NotGiven>> {
    const bool locks = db_->why_no_step_lock().empty();
    if (break_glass_) {
      auto held = db_->try_step_lock(StepLock::kExclusive);
      if (!held) return std::unexpected(held.error());
      if (!*held) {
        auto holder = db_->step_lock_holder();
        if (!holder) return std::unexpected(holder.error());
        return NotGiven{std::move(*holder)};
      }
    }
    auto taken = take_row();
    if (!taken) return std::unexpected(taken.error());
    if (auto* blocked = std::get_if<NotGiven>(&*taken)) return std::move(*blocked);
    if (!step.atomic && locks && !break_glass_) {
      auto free = db_->step_lock_free(StepLock::kExclusive);
      if (!free || !*free) {
        db_->rollback();
        if (!free) return std::unexpected(free.error());
        auto holder = db_->step_lock_holder();
        if (!holder) return std::unexpected(holder.error());
        return NotGiven{std::move(*holder)};
      }
    }
    auto snap = read_snapshot(run.round);
    db_->rollback();
    if (!snap) return std::unexpected(snap.error());
    Settled settled;
    const bool in_history =
        std::ranges::any_of(snap->applied, [&](const AppliedRow& row) { return same_id(row.step.id, step.id); });
    const bool begun = std::ranges::any_of(snap->begun, [&](const BegunStep& one) {
      return same_id(one.id, step.id) && one.round == run.round && one.ended.empty();
    });
    if (snap->claim.token != run.token || snap->claim.incarnation != run.incarnation) {
      settled.what = Settled::What::kFencedOut;
    } else if (in_history == (step.direction == Direction::kUp)) {
      settled.what = Settled::What::kApplied;
    } else {
      settled.what = begun ? Settled::What::kBegun : Settled::What::kNotApplied;
    }
    settled.snapshot = std::move(*snap);
    return settled;
  };

  for (;;) {
    if (stop.stop_requested()) return SettleCancelled{};
    auto connected = db_->connect();
    std::optional<Error> trouble;
    if (!connected) {
      trouble = connected.error();
      tell(progress, {.kind = Progress::Kind::kReconnecting, .text = trouble->message, .blocker = std::nullopt});
    } else {
      auto seen = look();
      if (!seen) {
        db_->rollback();
        trouble = to_error(seen.error(), *db_, "find out what became of step " + step.id.value);
        if (seen.error().kind != SqlError::Kind::kLost && seen.error().kind != SqlError::Kind::kLockTimeout) {
          return *trouble;
        }
        tell(progress, {.kind = Progress::Kind::kReconnecting, .text = trouble->message, .blocker = std::nullopt});
      } else if (auto* settled = std::get_if<Settled>(&*seen)) {
        return std::move(*settled);
      } else {
        const auto& blocker = std::get<NotGiven>(*seen).blocker;
        const std::string by = blocker ? blocker->session : "a session that cannot be seen";
        tell(progress, {.kind = Progress::Kind::kBlocked,
                        .text = "waiting for the old session to end: " + by,
                        .blocker = blocker});
        if (deadline.over()) {
          return Error{ErrorCode::kUnavailable,
                       "OLD_SESSION_RUNS",
                       describe() + ": the session whose connection was lost is still running: " + by +
                           ". End it (select pg_terminate_backend(pid)), or wait, and try again.",
                       {},
                       std::nullopt};
        }
      }
    }
    if (trouble && deadline.over()) return *trouble;
    const Duration delay = trouble ? backoff.next() : options_.poll_interval;
    if (!pause(std::min(delay, deadline.left() + Duration{1}), stop)) return SettleCancelled{};
  }
}

}  // namespace syzygy::migration
