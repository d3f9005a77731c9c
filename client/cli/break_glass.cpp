// syzygy migrate --break-glass: the daemon and its store are down, and the deployment cannot wait. The fence still
// excludes.
#include <fmt/format.h>

#include <stop_token>

#include "client/cli/commands.h"
#include "client/cli/driver.h"
#include "client/cli/exit_codes.h"
#include "client/cli/migrations.h"
#include "client/cli/signal_token.h"
#include "client/cli/words.h"
#include "migration/target/compare.h"

namespace syzygy::cli {
namespace {

int left(const Context& context) {
  return fail(context, kExitSignalBase + context.stop.signal(),
              "stopped on a signal; the step that was running is rolled back");
}

int apply_all(const Context& context, Migrations& migrations, const MigrationPlan& plan, const migration::RunInfo& run,
              const migration::OnProgress& say, const std::stop_token& stop) {
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const PlannedStep& step = plan.steps[i];
    auto result = migrations.target().apply_step(run, step, {i + 1 == plan.steps.size()}, say, stop);
    if (const auto* applied = std::get_if<migration::Applied>(&result)) {
      context.narrator.say(fmt::format("applied {} ({})", step.step.id.value, duration_text(applied->took)));
      continue;
    }
    if (const auto* failed = std::get_if<migration::StepFailed>(&result))
      return fail(context, kExitFailed, failed->message);
    if (const auto* changed = std::get_if<migration::Changed>(&result))
      return fail(context, kExitFailed, changed->detail);
    if (std::holds_alternative<migration::FencedOut>(result)) {
      return fail(context, kExitFailed,
                  "another run claimed the target; nothing of step " + step.step.id.value + " was applied");
    }
    if (std::holds_alternative<migration::Cancelled>(result)) return left(context);
    return fail(context, kExitIndeterminate,
                "the connection was lost during step " + step.step.id.value + " (" +
                    std::get<migration::Lost>(result).error.message +
                    "); the run is over: look with syzygy history, then run again");
  }
  return kExitOk;
}

}  // namespace

int run_break_glass(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.reason, "--reason", "the daemon's host is down, INC-1234")) return code;
  auto opened = Migrations::open(context);
  if (!opened) return fail(context, plan_exit_code(opened.error()), opened.error().message);
  Migrations& migrations = *opened;
  if (auto prepared = migrations.target().prepare(); !prepared)
    return fail(context, kExitDatabase, prepared.error().message);
  auto looked = migrations.look();
  if (!looked) return fail(context, plan_exit_code(looked.error()), looked.error().message);
  if (looked->plan.steps.empty()) {
    context.narrator.say("nothing to do: no migration is pending");
    return kExitOk;
  }

  migration::BreakGlass request;
  request.incarnation = random_incarnation();
  request.round = RoundId{"break-glass-" + request.incarnation.value};
  request.who = (s.party.empty() ? "" : s.party + " ") + actor_of(s);
  request.reason = s.reason;
  request.attest_stopped = s.attest_stopped;
  request.policy = s.on_blocked == "terminate" ? migration::BlockedPolicy::kTerminate : migration::BlockedPolicy::kWait;
  const auto say = [&](const migration::Progress& p) {
    if (p.kind != migration::Progress::Kind::kStatement) context.narrator.say(p.text);
  };
  context.narrator.warn(
      "breaking the glass: this process applies alone, without the daemon; every other run of the target waits");
  auto begun = migrations.target().break_glass_begin(request, say, context.quit);
  if (const Error* error = std::get_if<Error>(&begun)) return fail(context, kExitDatabase, error->message);
  if (std::holds_alternative<migration::ClaimCancelled>(begun)) return left(context);
  if (const auto* blocked = std::get_if<migration::ClaimBlocked>(&begun)) {
    return fail(context, kExitElsewhere, "blocked by " + blocked->blocker.session);
  }
  const auto& started = std::get<migration::BreakGlassStarted>(begun);
  const auto give_up = [&](int code, const std::string& why) {
    static_cast<void>(migrations.target().break_glass_end());
    return fail(context, code, why);
  };
  auto plan = migrations.plan(started.snapshot);
  if (!plan) return give_up(kExitPlan, plan.error().message);
  for (const PlannedStep& step : plan->steps) {
    if (const auto* mark = migration::unfinished(started.snapshot, step.step.id)) {
      return give_up(kExitIndeterminate, migration::left_unfinished(*mark) + ". Nothing was applied.");
    }
    if (step.step.stage == Stage::kPostDeploy && !s.ignore_gate) {
      return give_up(kExitGate, "step " + step.step.id.value +
                                    " is post-deploy, and nobody checks without the daemon that old code is gone; pass "
                                    "--pre-deploy to leave it out, or --ignore-gate if you made sure");
    }
  }
  migration::RunInfo run;
  run.round = request.round;
  run.token = started.token;
  run.incarnation = request.incarnation;
  run.who = "break-glass: " + request.who;
  run.directory = migrations.known();
  const int code = apply_all(context, migrations, *plan, run, say, context.quit);
  if (auto ended = migrations.target().break_glass_end(); !ended && code == kExitOk) {
    return fail(context, kExitIndeterminate, ended.error().message);
  }
  if (code == kExitOk) {
    context.narrator.say(fmt::format("applied {} step{} under token {}; the daemon learns of it from the next join",
                                     plan->steps.size(), plan->steps.size() == 1 ? "" : "s", started.token.value));
  }
  return code;
}

}  // namespace syzygy::cli
