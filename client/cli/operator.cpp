// syzygy sever, leave, resolve: what an operator does about a round.
#include <fmt/format.h>

#include <algorithm>

#include "base/shown.h"
#include "client/cli/commands.h"
#include "client/cli/convert.h"
#include "client/cli/driver.h"
#include "client/cli/exit_codes.h"
#include "client/cli/json.h"
#include "client/cli/migrations.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

Bound bound(const Context& context) { return {BootClock::now() + context.settings.connect_timeout, &context.stop}; }

void show(const Context& context, const v1::Target& target) {
  fmt::print("{}", context.settings.output == "json" ? to_json(target) + "\n" : target_report(target));
}

const v1::Round* indeterminate(const v1::Target& target, const std::string& id) {
  for (const auto& round : target.rounds()) {
    if (round.state() == v1::ROUND_STATE_INDETERMINATE && (id.empty() || round.id() == id)) return &round;
  }
  return nullptr;
}

// Only the database that the target is bound to can say how its round ended.
Result<void> is_the_targets(const Context& context, migration::Target& target, const v1::Target& seen) {
  const auto identity = target.identity();
  if (!identity) return std::unexpected(identity.error());
  const v1::Binding mine = binding_of(*identity, context.settings.application);
  if (mine.minted_id().empty()) {
    return failure(ErrorCode::kFailedPrecondition, "TARGET_NOT_BOUND",
                   target.describe() + " holds nothing of Syzygy's, so it cannot say how the round ended; give " +
                       context.settings.target + "'s own database, or, where it has none, --attest-stopped alone");
  }
  const v1::Binding& bound = seen.binding();
  if (!seen.has_binding() || (mine.minted_id() == bound.minted_id() && mine.system_id() == bound.system_id() &&
                              mine.database() == bound.database())) {
    return {};
  }
  return failure(ErrorCode::kFailedPrecondition, "TARGET_BOUND_ELSEWHERE",
                 context.settings.target + " is bound to the database " + bound.database() + " (system " +
                     bound.system_id() + "), and " + target.describe() +
                     " is another one; give --database the target's own");
}

// Claims the fence with the operator's token and reads whether the round's outcome stands there.
Result<void> claim_and_read(const Context& context, migration::Target& target, const std::string& round,
                            v1::ResolveRequest& finish) {
  migration::ClaimRequest request;
  request.token = Token{finish.token()};
  request.incarnation = IncarnationId{finish.request().incarnation()};
  request.round = RoundId{round};
  request.wait_max = Duration{60'000};
  const auto result =
      target.claim(request, [&](const migration::Progress& p) { context.narrator.say(p.text); }, context.quit);
  if (const Error* error = std::get_if<Error>(&result)) return std::unexpected(*error);
  if (const auto* refused = std::get_if<migration::ClaimRefused>(&result)) {
    return failure(ErrorCode::kAborted, "CLAIM_REFUSED",
                   "the target's row holds token " + std::to_string(refused->row.token.value) +
                       ", above this resolution's " + std::to_string(finish.token()) + "; run syzygy resolve again");
  }
  if (const auto* blocked = std::get_if<migration::ClaimBlocked>(&result)) {
    return failure(
        ErrorCode::kUnavailable, "CLAIM_BLOCKED",
        "a session still runs in the target (" + blocked->blocker.session + "); end it, then run syzygy resolve again");
  }
  const auto* claimed = std::get_if<migration::Claimed>(&result);
  if (claimed == nullptr) return failure(ErrorCode::kCancelled, "STOPPED", "stopped while it claimed the target");
  finish.set_claimed(true);
  if (claimed->snapshot.outcome) {
    auto& found = *finish.mutable_found();
    found.set_round_id(round);
    found.set_token(claimed->snapshot.outcome->token.value);
    found.set_state(claimed->snapshot.outcome->outcome == migration::Outcome::kSucceeded ? v1::ROUND_STATE_SUCCEEDED
                                                                                         : v1::ROUND_STATE_FAILED);
  }
  return {};
}

// The operator has looked: what the round left half-way may run again, and so may what a round left half-way that the
// store has lost. REQUIRES: claimed and attested.
Result<void> settle_begun(const Context& context, migration::Target& target, const v1::Round& round,
                          const v1::ResolveRequest& finish) {
  migration::RunInfo run;
  run.round = RoundId{round.id()};
  run.token = Token{finish.token()};
  run.incarnation = IncarnationId{finish.request().incarnation()};
  run.who = finish.actor();
  std::vector<StepId> steps;
  for (const auto& step : round.plan().steps()) steps.emplace_back(step.id());
  const auto settled = target.settle_begun(run, steps, finish.reason());
  if (!settled) return std::unexpected(settled.error());
  for (const migration::BegunStep& mark : *settled) {
    const std::string& id = mark.id.value;
    context.narrator.say("step " + id +
                         " is not in the history, and will be done again; if it is done: syzygy history "
                         "adopt --at " +
                         id);
  }
  return {};
}

bool in_a_round(const v1::Target& target, const std::string& incarnation) {
  return std::ranges::any_of(target.rounds(), [&](const v1::Round& round) {
    return std::ranges::any_of(round.members(),
                               [&](const v1::Member& one) { return one.incarnation() == incarnation; });
  });
}

}  // namespace

int run_sever(const Context& context) {
  if (const int code = require(context, context.settings.target, "--target", "orders-prod")) return code;
  if (const int code = require(context, context.settings.reason, "--reason", "wrong plan")) return code;
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  v1::SeverRequest request;
  *request.mutable_request() = fresh_request();
  request.set_target(context.settings.target);
  request.set_round_id(context.settings.round);
  request.set_reason(context.settings.reason);
  request.set_actor(actor_of(context.settings));
  const auto answer = client->sever(request, bound(context));
  if (!answer) return fail(context, answer.error());
  show(context, answer->target());
  return kExitOk;
}

int run_leave(const Context& context) {
  if (const int code = require(context, context.settings.target, "--target", "orders-prod")) return code;
  if (const int code =
          require(context, context.settings.incarnation, "--incarnation", "as syzygy status --output json names it"))
    return code;
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  v1::LeaveRequest request;
  request.mutable_request()->set_incarnation(context.settings.incarnation);
  request.mutable_request()->set_sequence(kOperatorSequence);
  request.set_target(context.settings.target);
  request.set_reason("taken out by " + actor_of(context.settings) +
                     (context.settings.reason.empty() ? "" : ": " + context.settings.reason));
  const auto answer = client->leave(request, bound(context));
  if (!answer) return fail(context, answer.error());
  if (!in_a_round(answer->target(), context.settings.incarnation)) {
    return fail(context, kExitUsage,
                "no process " + shown(context.settings.incarnation) + " is in a round of " + context.settings.target +
                    "; syzygy status --target " + context.settings.target + " --output json names those that are");
  }
  show(context, answer->target());
  return kExitOk;
}

int run_resolve(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.target, "--target", "orders-prod")) return code;
  if (const int code = require(context, s.reason, "--reason", "looked: the index is built")) return code;
  if (s.database.empty() && !s.attest_database_gone && !s.attest_stopped) {
    return fail(context, kExitUsage,
                "pass --database, so that the target itself can say how the round ended; or --attest-database-gone if "
                "it no longer exists");
  }
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  v1::GetTargetRequest get;
  get.set_target(s.target);
  const auto seen = client->get_target(get, bound(context));
  if (!seen) return fail(context, seen.error());
  const v1::Round* round = indeterminate(seen->target(), s.round);
  if (round == nullptr)
    return fail(context, kExitUsage,
                "no round of " + s.target + " is INDETERMINATE; see syzygy status --target " + s.target);

  const auto refused = [&](const Error& error) {
    return fail(context, error.reason.starts_with("DATABASE_") ? kExitDatabase : exit_code(error), error.message);
  };
  std::unique_ptr<migration::Target> target;
  if (!s.database.empty()) {
    auto opened = migration::open_target(s.database, target_options(context));
    if (!opened) return refused(opened.error());
    target = std::move(*opened);
    if (auto own = is_the_targets(context, *target, seen->target()); !own) return refused(own.error());
  }

  v1::ResolveRequest begin;
  *begin.mutable_request() = fresh_request();
  begin.set_target(s.target);
  begin.set_round_id(round->id());
  begin.set_revision(s.revision != 0 ? s.revision : seen->target().revision());
  begin.set_actor(actor_of(s));
  begin.set_reason(s.reason);
  begin.set_phase(v1::ResolveRequest::PHASE_BEGIN);
  const auto begun = client->resolve(begin, bound(context));
  if (!begun) return fail(context, begun.error());

  v1::ResolveRequest finish = begin;
  finish.mutable_request()->set_sequence(begin.request().sequence() + 1);
  finish.set_phase(v1::ResolveRequest::PHASE_FINISH);
  finish.set_token(begun->token());
  finish.set_attest_stopped(s.attest_stopped);
  finish.set_attest_database_gone(s.attest_database_gone);
  finish.set_verdict(s.verdict == "succeeded" ? v1::ROUND_STATE_SUCCEEDED
                     : s.verdict == "failed"  ? v1::ROUND_STATE_FAILED
                                              : v1::ROUND_STATE_UNSPECIFIED);
  if (target != nullptr) {
    if (auto claimed = claim_and_read(context, *target, round->id(), finish); !claimed) return refused(claimed.error());
  }
  const bool attested = s.attest_stopped || s.attest_database_gone;
  if (!finish.has_found() && (s.verdict.empty() || !attested)) {
    return fail(context, kExitUsage,
                "the target does not say how the round ended; look at the database, make sure that processes and "
                "sessions of the lost run are gone, then pass --as succeeded or --as failed, and --attest-stopped");
  }
  if (target != nullptr && !finish.has_found()) {
    if (auto settled = settle_begun(context, *target, *round, finish); !settled) return refused(settled.error());
  }
  const auto answer = client->resolve(finish, bound(context));
  if (!answer) return fail(context, answer.error());
  if (finish.verdict() == v1::ROUND_STATE_FAILED && !finish.has_found()) {
    context.narrator.say(
        "each party of the round is told once that it failed; its run after that applies what is pending");
  }
  show(context, answer->target());
  return kExitOk;
}

}  // namespace syzygy::cli
