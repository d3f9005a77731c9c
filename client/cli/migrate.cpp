// syzygy migrate: the native applier, and --plan.
#include <fmt/format.h>

#include "base/kill_point.h"
#include "client/cli/commands.h"
#include "client/cli/convert.h"
#include "client/cli/driver.h"
#include "client/cli/exit_codes.h"
#include "client/cli/migrations.h"
#include "client/cli/plan.h"
#include "client/cli/stop_watch.h"
#include "client/cli/words.h"
#include "migration/target/compare.h"
#include "migration/target/pacing.h"

namespace syzygy::cli {
namespace {

constexpr std::chrono::hours kSettleMax{24};
constexpr int kLossesMax = 5;  // connections that one step may cost: it may be what ends them
constexpr Duration kLossPauseMin{200};
constexpr Duration kLossPauseMax{5'000};

class NativeRunner : public Runner {
 public:
  NativeRunner(const Context& context, Migrations migrations) : context_(context), migrations_(std::move(migrations)) {}

  void attach(Session& session) { session_ = &session; }

  Result<Pending> read_pending(ReadCause) override {
    auto looked = migrations_.look();
    if (!looked) return std::unexpected(looked.error());
    auto identity = migrations_.target().identity(looked->snapshot);
    if (!identity) return std::unexpected(identity.error());
    Pending pending;
    if (!looked->plan.plan.steps.empty()) pending.plan = to_proto(looked->plan.plan);
    pending.binding = binding_of(*identity, context_.settings.application);
    pending.snapshot = snapshot_of(looked->snapshot, looked->snapshot.recent, looked->plan.last_known);
    return pending;
  }

  std::optional<Error> joined() override { return bind(migrations_.target()); }
  [[nodiscard]] std::optional<Error> barred() const override { return barred_; }

  Claimed claim(const happening::Elected& elected) override {
    Claimed claimed;
    const auto decline = [&](std::string why) {
      claimed.claim = v1::ConfirmRequest::CLAIM_DECLINED;
      claimed.reason = std::move(why);
      return claimed;
    };
    const auto fencing = migrations_.target().fencing();
    if (!fencing) return decline(fencing.error().message);
    fenced_ = true;
    for (const auto& step : elected.round.plan().steps())
      fenced_ = fenced_ && (step.atomic() || fencing->outside_transaction);
    if (!fenced_) context_.narrator.warn("steps outside a transaction run unfenced here: " + fencing->why_not);

    migration::ClaimRequest request;
    request.token = elected.token;
    request.incarnation = session_->incarnation();
    request.round = RoundId{elected.round.id()};
    request.fenced = fenced_;
    request.policy = context_.settings.on_blocked == "terminate" ? migration::BlockedPolicy::kTerminate
                                                                 : migration::BlockedPolicy::kWait;
    const StopWatch stop(*session_, Duration{0}, heeded_by_unfenced);
    auto result = migrations_.target().claim(request, progress_of({}, 0), stop.token());
    if (const Error* error = std::get_if<Error>(&result)) {
      if (error->reason == "TARGET_NAME_DIFFERS") barred_ = *error;
      return decline(error->message);
    }
    if (const auto* refused = std::get_if<migration::ClaimRefused>(&result)) {
      claimed.claim = v1::ConfirmRequest::CLAIM_REFUSED;
      claimed.row_token = refused->row.token;
      return claimed;
    }
    if (const auto* blocked = std::get_if<migration::ClaimBlocked>(&result))
      return decline("blocked by " + blocked->blocker.session);
    if (std::holds_alternative<migration::ClaimCancelled>(result)) return decline("stopped while it claimed");

    SYZYGY_KILL_POINT("applier.claimed");
    const auto& complete = std::get<migration::Claimed>(result);
    claimed.claim = v1::ConfirmRequest::CLAIM_COMPLETE;
    claimed.fenced = fenced_;
    const Plan plan = from_proto(TargetName{context_.settings.target}, elected.round.plan());
    claimed.finding = finding_of(migration::compare(plan, request.round, complete.snapshot, complete.previous),
                                 request.round, complete.snapshot);
    // The plan is computed again from what the claim showed: what is applied is what is pending now, or nothing.
    auto again = migrations_.plan(complete.snapshot);
    if (!again) return decline("the plan cannot be made any more: " + again.error().message);
    steps_ = std::move(again->steps);
    if (!elected.round.recovery() && claimed.finding->kind() == v1::Finding::KIND_WHOLE && again->plan != plan) {
      claimed.finding->set_kind(v1::Finding::KIND_OTHER);
    }
    return claimed;
  }

  RunEnd run(const v1::Round& round, Token token, std::size_t from_step) override {
    const Plan plan = from_proto(TargetName{context_.settings.target}, round.plan());
    migration::RunInfo info;
    info.round = RoundId{round.id()};
    info.token = token;
    info.incarnation = session_->incarnation();
    info.who = context_.settings.party + " (" + actor_of(context_.settings) + ")";
    info.directory = migrations_.known();
    const StopWatch stop(*session_, context_.settings.apply_timeout, fenced_ ? heeded_by_fenced : heeded_by_unfenced);
    bool outcome_stands = false;
    for (std::size_t i = from_step; i < plan.steps.size(); ++i) {
      const PlannedStep* step = find(plan.steps[i]);
      if (step == nullptr) {
        return failed(
            plan, i,
            "step " + plan.steps[i].id.value + " of the round is not pending here any more; nothing of it was run",
            true);
      }
      if (auto end = apply(info, plan, *step, i, stop, outcome_stands)) return *end;
      SYZYGY_KILL_POINT("applier.after_step");
    }
    ended_by_itself(info);
    RunReported done;
    done.result.result = v1::ReportRequest::RESULT_SUCCEEDED;
    done.result.steps_done = static_cast<std::uint32_t>(plan.steps.size());
    done.result.in_target = outcome_stands;
    done.result.session_ended = true;
    done.outcome_stands = outcome_stands;
    return done;
  }

 private:
  // Each statement was answered: whoever claims after an unfenced run need not ask what became of it.
  void ended_by_itself(const migration::RunInfo& info) {
    if (!fenced_) static_cast<void>(migrations_.target().mark_ended(info.token, info.incarnation));
  }

  // nullopt: the step stands in the history.
  std::optional<RunEnd> apply(const migration::RunInfo& info, const Plan& plan, const PlannedStep& step,
                              std::size_t index, const StopWatch& stop, bool& outcome_stands) {
    tell(step.step.id.value, index, "");
    SYZYGY_KILL_POINT("applier.before_step");
    const migration::ApplyOptions options{index + 1 == plan.steps.size()};
    migration::Backoff pauses(kLossPauseMin, kLossPauseMax);
    for (int losses = 0;;) {
      auto result =
          migrations_.target().apply_step(info, step, options, progress_of(step.step.id.value, index), stop.token());
      if (const auto* applied = std::get_if<migration::Applied>(&result)) {
        outcome_stands = applied->outcome_written;
        context_.narrator.say(fmt::format("{} {} ({})", step.step.direction == Direction::kUp ? "applied" : "reverted",
                                          step.step.id.value + (step.name.empty() ? "" : "_" + step.name),
                                          duration_text(applied->took)));
        return std::nullopt;
      }
      if (const auto* changed = std::get_if<migration::Changed>(&result)) {
        RunReported report;
        report.result.result = v1::ReportRequest::RESULT_CHANGED;
        report.result.message = changed->detail;
        report.result.session_ended = true;
        return report;
      }
      if (const auto* out = std::get_if<migration::FencedOut>(&result)) return fenced_out(out->by);
      if (const auto* failure = std::get_if<migration::StepFailed>(&result)) {
        ended_by_itself(info);
        return failed(plan, index, failure->message, true);
      }
      if (std::holds_alternative<migration::Cancelled>(result)) return cancelled(plan, info.round, index, stop);
      const Error lost = std::get<migration::Lost>(result).error;
      context_.narrator.warn("the connection to the database was lost during " + step.step.id.value + " (" +
                             lost.message + "); finding out what became of it");
      auto settled = migrations_.target().settle(info, step.step, kSettleMax, progress_of(step.step.id.value, index),
                                                 stop.token());
      const auto* known = std::get_if<migration::Settled>(&settled);
      if (known == nullptr && context_.stop.signal() != 0) {
        // Behind a fence that is no riddle: whoever claims next waits for the old session, and looks.
        return RunLost{"left while the database did not answer; step " + step.step.id.value +
                           " is rolled back unless its COMMIT had arrived, and the next syzygy migrate finds out",
                       kExitSignalBase + context_.stop.signal()};
      }
      if (known == nullptr) {
        return RunLost{"what became of step " + step.step.id.value + " is not known: the database " +
                           (stop.timed_out() ? "did not answer when --apply-timeout was over" : "cannot be reached") +
                           "; the next syzygy migrate finds out",
                       std::nullopt};
      }
      switch (known->what) {
        case migration::Settled::What::kApplied:
          outcome_stands = known->snapshot.outcome.has_value();
          return std::nullopt;
        case migration::Settled::What::kNotApplied:
          if (++losses < kLossesMax) {
            static_cast<void>(migration::pause(pauses.next(), stop.token()));  // stopped: the step itself says so
            continue;
          }
          ended_by_itself(info);
          return failed(
              plan, index,
              fmt::format("the connection was lost {} times during step {}, and each time it was rolled back ({}); "
                          "see the server's log for why it ended, and whether the step itself ends it",
                          losses, step.step.id.value, lost.message),
              true);
        case migration::Settled::What::kBegun: {
          RunReported report;
          report.result.result = v1::ReportRequest::RESULT_INDETERMINATE;
          report.result.message =
              "step " + step.step.id.value +
              " runs outside a transaction, and its connection was lost: nobody knows how far it came";
          report.result.failed_step = step.step.id.value;
          report.result.steps_done = static_cast<std::uint32_t>(index);
          report.exit_code = kExitIndeterminate;
          return report;
        }
        case migration::Settled::What::kFencedOut:
          return fenced_out(known->snapshot.claim.token);
      }
    }
  }

  static RunEnd fenced_out(Token by) {
    RunReported report;
    report.result.result = v1::ReportRequest::RESULT_FENCED_OUT;
    report.result.message = "fenced out by token " + std::to_string(by.value);
    report.result.row_token = by;
    report.result.session_ended = true;
    return report;
  }

  static RunEnd failed(const Plan& plan, std::size_t index, std::string message, bool ended) {
    RunReported report;
    report.result.result = v1::ReportRequest::RESULT_FAILED;
    report.result.message = std::move(message);
    report.result.failed_step = plan.steps[index].id.value;
    report.result.steps_done = static_cast<std::uint32_t>(index);
    report.result.session_ended = ended;
    report.exit_code = kExitFailed;
    return report;
  }

  RunEnd cancelled(const Plan& plan, const RoundId& round, std::size_t index, const StopWatch& stop) {
    if (stop.timed_out()) {
      return failed(plan, index,
                    "stopped after --apply-timeout " + duration_text(context_.settings.apply_timeout) + ", rolled back",
                    true);
    }
    auto snapshot = migrations_.target().snapshot(round);
    RunLeft left;
    left.reason = session_->must_stop() == Session::MustStop::kSevered ? "severed" : "stopped on a signal";
    left.signal = context_.stop.signal();
    if (snapshot)
      left.finding = finding_of(migration::compare(plan, round, *snapshot, snapshot->claim), round, *snapshot);
    return left;
  }

  const PlannedStep* find(const Step& step) const {
    for (const PlannedStep& planned : steps_) {
      if (planned.step == step) return &planned;
    }
    return nullptr;
  }

  void tell(const std::string& step, std::size_t index, const std::string& note) {
    v1::StepProgress progress;
    progress.set_step_id(step);
    progress.set_step_index(static_cast<std::uint32_t>(index));
    progress.set_note(note);
    session_->progress(progress);
  }

  migration::OnProgress progress_of(std::string step, std::size_t index) {
    return [this, step = std::move(step), index](const migration::Progress& p) {
      if (p.kind == migration::Progress::Kind::kStatement && p.total <= 1) return;
      if (p.kind != migration::Progress::Kind::kStatement)
        context_.narrator.say((step.empty() ? "" : step + ": ") + p.text);
      tell(step, index, p.text);
    };
  }

  const Context& context_;
  Migrations migrations_;
  Session* session_ = nullptr;
  bool fenced_ = true;
  std::optional<Error> barred_;
  std::vector<PlannedStep> steps_;
};

}  // namespace

int run_migrate(const Context& context) {
  const Settings& s = context.settings;
  for (const auto& [value, flag, example] : {std::tuple(s.target, "--target", "orders-prod"),
                                             std::tuple(s.database, "--database", "postgresql://orders@db/orders"),
                                             std::tuple(s.dir, "--dir", "migrations")}) {
    if (const int code = require(context, value, flag, example)) return code;
  }
  if (s.pre_deploy && s.post_deploy) {
    return fail(context, kExitUsage,
                "--pre-deploy and --post-deploy exclude each other; leave both out to apply whatever is pending");
  }
  if (!s.plan_only && !s.break_glass) {
    if (const int code = require(context, s.party, "--party", "eu-west")) return code;
  }
  auto opened = Migrations::open(context);
  if (!opened) return fail(context, plan_exit_code(opened.error()), opened.error().message);
  if (s.break_glass) return run_break_glass(context);
  if (s.plan_only) {
    auto looked = opened->look();
    if (!looked) return fail(context, plan_exit_code(looked.error()), looked.error().message);
    return show_plan(context, opened->describe(), looked->plan);
  }
  // It connects to the daemon while the database is read.
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  if (auto prepared = opened->target().prepare(); !prepared)
    return fail(context, kExitDatabase, prepared.error().message);
  NativeRunner runner(context, std::move(*opened));
  SessionOptions options = session_options(s);
  options.read_pending = [&](ReadCause cause) { return runner.read_pending(cause); };
  Session session(client, std::move(options), &context.stop);
  runner.attach(session);
  return finish(drive(session, runner, context), context.narrator, s);
}

}  // namespace syzygy::cli
