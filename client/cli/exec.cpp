// syzygy exec: any command, once, when every cluster is there.
#include <fmt/format.h>

#include <cstdlib>

#include "base/kill_point.h"
#include "base/name.h"
#include "client/cli/child.h"
#include "client/cli/commands.h"
#include "client/cli/convert.h"
#include "client/cli/driver.h"
#include "client/cli/exit_codes.h"
#include "client/cli/migrations.h"
#include "client/cli/stop_watch.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

constexpr Duration kTurn{50};            // between looks at the child and at the reasons to stop it
constexpr Duration kGrace{3'000};        // from SIGTERM to SIGKILL; less than the lock delay
constexpr Duration kSessionsMax{5'000};  // for the sessions of a stopped child to go

class ExecRunner : public Runner {
 public:
  ExecRunner(const Context& context, std::unique_ptr<migration::Target> target)
      : context_(context), target_(std::move(target)) {}

  void attach(Session& session) { session_ = &session; }

  Result<Pending> read_pending(ReadCause) override {
    const Settings& s = context_.settings;
    const PlanStage stage = s.pre_deploy    ? PlanStage::kPreDeploy
                            : s.post_deploy ? PlanStage::kPostDeploy
                                            : PlanStage::kAll;
    const OnApplierLost lost = s.on_applier_lost == "retry" ? OnApplierLost::kRetry : OnApplierLost::kStop;
    Pending pending;
    pending.plan = to_proto(opaque_plan(TargetName{s.target}, stage, s.plan_hash, lost));
    pending.checked = s.checked;
    if (target_ == nullptr) return pending;
    auto snapshot = target_->snapshot();
    if (!snapshot) return std::unexpected(snapshot.error());
    auto identity = target_->identity(*snapshot);
    if (!identity) return std::unexpected(identity.error());
    if (auto refusal = migration::refuses_other_name(target_->describe(), target_options(context_), identity->target)) {
      return std::unexpected(*refusal);
    }
    pending.binding = binding_of(*identity, s.application);
    pending.snapshot = snapshot_of(*snapshot, {}, std::nullopt);
    return pending;
  }

  std::optional<Error> joined() override { return target_ == nullptr ? std::nullopt : bind(*target_); }
  [[nodiscard]] std::optional<Error> barred() const override { return barred_; }

  Claimed claim(const happening::Elected& elected) override {
    Claimed claimed;
    claimed.finding.emplace().set_kind(v1::Finding::KIND_UNKNOWN);
    if (target_ == nullptr) return claimed;
    migration::ClaimRequest request;
    request.token = elected.token;
    request.incarnation = session_->incarnation();
    request.round = RoundId{elected.round.id()};
    request.fenced = false;
    const StopWatch stop(*session_, Duration{0}, heeded_by_unfenced);
    std::string told;
    const auto say = [&](const migration::Progress& p) {
      tell(p.text);
      if (p.text != told) context_.narrator.say(p.text);
      told = p.text;
    };
    auto result = target_->claim(request, say, stop.token());
    if (const Error* error = std::get_if<Error>(&result)) {
      if (error->reason == "TARGET_NAME_DIFFERS") barred_ = *error;
      claimed.claim = v1::ConfirmRequest::CLAIM_DECLINED;
      claimed.reason = error->message;
    } else if (const auto* refused = std::get_if<migration::ClaimRefused>(&result)) {
      claimed.claim = v1::ConfirmRequest::CLAIM_REFUSED;
      claimed.row_token = refused->row.token;
    } else if (const auto* complete = std::get_if<migration::Claimed>(&result)) {
      if (complete->snapshot.outcome) {
        claimed.finding = finding_of(migration::OutcomeInTarget{complete->snapshot.outcome->outcome}, request.round,
                                     complete->snapshot);
      } else if (elected.round.recovery() && !complete->previous.ended) {
        const auto left = target_->sessions_of(info_of(complete->previous.round, complete->previous.token));
        claimed.finding->set_sessions_gone(left && left->can_see && left->pids.empty());
      } else {
        claimed.finding->set_sessions_gone(complete->previous.ended);
      }
    } else {
      claimed.claim = v1::ConfirmRequest::CLAIM_DECLINED;
      claimed.reason = "blocked while it claimed";
    }
    return claimed;
  }

  RunEnd run(const v1::Round& round, Token token, std::size_t) override {
    const Settings& s = context_.settings;
    const migration::RunInfo info = info_of(RoundId{round.id()}, token);
    std::vector<std::pair<std::string, std::string>> environment{{"SYZYGY_ROUND", round.id()},
                                                                 {"SYZYGY_TOKEN", std::to_string(token.value)}};
    if (target_ != nullptr) {
      const char* pgoptions = std::getenv("PGOPTIONS");
      auto more = target_->exec_environment(info, pgoptions == nullptr ? "" : pgoptions);
      if (!more) return failed("the command was not started: " + more.error().message, kExitFailed);
      environment.insert(environment.end(), more->begin(), more->end());
    }
    Child child;
    SYZYGY_KILL_POINT("applier.before_step");
    // This process may have stood still since it was told to run: nothing is started under a token that is lost.
    if (const Session::MustStop why = session_->must_stop(); why != Session::MustStop::kNo) {
      return left_cleanly(token, reason_of(why) + " before the command was started; nothing was run");
    }
    if (const int code = child.start(s.child, environment); code != 0) {
      return failed("the command " + s.child.front() + (code == 127 ? " was not found" : " cannot be executed") +
                        "; nothing was run",
                    code);
    }
    context_.narrator.say(fmt::format("running {} (pid {})", s.child.front(), child.pid()));
    tell("runs " + s.child.front());
    const BootTime until = s.apply_timeout.count() > 0 ? BootClock::now() + s.apply_timeout : BootTime::max();
    while (!child.ended_within(kTurn)) {
      context_.narrator.tick();
      const Session::MustStop why = session_->must_stop();
      if (why != Session::MustStop::kNo) return stopped(child, info, why);
      if (BootClock::now() >= until) return stopped(child, info, Session::MustStop::kRequested);
    }
    SYZYGY_KILL_POINT("applier.after_step");
    if (target_ != nullptr) static_cast<void>(target_->mark_ended(token, session_->incarnation()));
    if (child.code() != 0)
      return failed(fmt::format("{} ended with code {}", s.child.front(), child.code()), child.code());
    RunReported done;
    done.result.result = v1::ReportRequest::RESULT_SUCCEEDED;
    done.result.message = s.child.front() + " ended well";
    done.result.steps_done = 1;
    done.result.session_ended = true;
    return done;
  }

 private:
  migration::RunInfo info_of(const RoundId& round, Token token) const {
    migration::RunInfo info;
    info.round = round;
    info.token = token;
    info.incarnation = session_->incarnation();
    info.who = context_.settings.party + " (" + actor_of(context_.settings) + ")";
    return info;
  }

  static RunEnd failed(std::string message, int code) {
    RunReported report;
    report.result.result = v1::ReportRequest::RESULT_FAILED;
    report.result.message = std::move(message);
    report.result.exit_code = code;
    report.result.session_ended = true;
    report.exit_code = code;
    return report;
  }

  static std::string reason_of(Session::MustStop why) {
    return why == Session::MustStop::kSevered     ? "severed"
           : why == Session::MustStop::kRequested ? "stopped"
                                                  : "the lease was lost";
  }

  // Nothing of it runs, and nothing of it can still happen.
  RunLeft left_cleanly(Token token, std::string reason) {
    if (target_ != nullptr) static_cast<void>(target_->mark_ended(token, session_->incarnation()));
    RunLeft clean;
    clean.signal = context_.stop.signal();
    clean.reason = std::move(reason);
    clean.finding.set_kind(v1::Finding::KIND_UNKNOWN);
    clean.finding.set_sessions_gone(true);
    return clean;
  }

  // A stopped child is not an ended one: its server session may go on. It counts as ended once no session of its name
  // is left.
  RunEnd stopped(Child& child, const migration::RunInfo& info, Session::MustStop why) {
    const std::string reason = reason_of(why);
    context_.narrator.say(reason + ": stopping " + context_.settings.child.front());
    child.stop(kGrace);
    if (target_ != nullptr) {
      const auto left = target_->end_sessions_of(info, kSessionsMax);
      if (left && left->can_see && left->pids.empty()) {
        return left_cleanly(info.token, reason + "; the command was stopped, and no session of it is left");
      }
    }
    RunReported report;
    report.result.result = v1::ReportRequest::RESULT_INDETERMINATE;
    report.result.message = reason +
                            ": the command was stopped, but whether its database sessions have ended cannot be seen" +
                            (target_ == nullptr ? " without --database" : "");
    report.exit_code = context_.stop.signal() > 0 ? kExitSignalBase + context_.stop.signal() : kExitIndeterminate;
    return report;
  }

  void tell(const std::string& note) {
    v1::StepProgress progress;
    progress.set_step_id(context_.settings.plan_hash);
    progress.set_note(note);
    session_->progress(progress);
  }

  const Context& context_;
  std::unique_ptr<migration::Target> target_;
  Session* session_ = nullptr;
  std::optional<Error> barred_;
};

// Why the target's guard of DDL does not do what --mode asks for; "" where it does.
std::string guard_lacks(const Settings& s, migration::Target& target) {
  const auto fencing = target.fencing();
  if (!fencing) return fencing.error().message;
  const auto guard = target.ddl_guard();
  if (!guard) return guard.error().message;
  const std::string install = "; let a superuser run: syzygy guard install --mode " + s.mode + " --database URL";
  if (guard->mode == migration::DdlGuard::Mode::kNone)
    return target.describe() + " has no guard of DDL, which --mode " + s.mode + " asks for" + install;
  if (!guard->enabled) return "the guard of DDL in " + target.describe() + " is disabled" + install;
  if (s.mode == "require" && guard->mode != migration::DdlGuard::Mode::kRequire)
    return "the guard of DDL in " + target.describe() + " lets DDL without a token pass" + install;
  if (!fencing->outside_transaction)
    return "a pooler stands between this host and " + target.describe() +
           ": it refuses or drops the session settings that carry the token, so --mode " + s.mode +
           " cannot work; give --database (and the command) the server's own address";
  return "";
}

}  // namespace

int run_exec(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.target, "--target", "orders-prod")) return code;
  if (const int code = require(context, s.party, "--party", "eu-west")) return code;
  if (const int code = require(context, s.plan_hash, "--plan-hash", "build-1234")) return code;
  if (!check_name("plan hash", s.plan_hash)) {
    return fail(context, kExitUsage,
                fmt::format("--plan-hash is \"{}\", {} bytes; it takes 1 to {} bytes of printable UTF-8, such as a "
                            "build's id or a hash of what the command would apply",
                            printable(s.plan_hash), s.plan_hash.size(), kNameBytesMax));
  }
  if (s.pre_deploy && s.post_deploy)
    return fail(context, kExitUsage, "--pre-deploy and --post-deploy exclude each other");
  std::unique_ptr<migration::Target> target;
  if (!s.database.empty()) {
    auto opened = migration::open_target(s.database, target_options(context));
    if (!opened) return fail(context, kExitDatabase, opened.error().message);
    target = std::move(*opened);
    if (auto prepared = target->prepare(); !prepared) return fail(context, kExitDatabase, prepared.error().message);
    if (s.mode != "settings") {
      if (const std::string lacks = guard_lacks(s, *target); !lacks.empty()) return fail(context, kExitDatabase, lacks);
    }
  } else if (s.mode != "settings") {
    return fail(context, kExitUsage, "--mode " + s.mode + " needs --database: the guard of DDL is looked for there");
  }
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  ExecRunner runner(context, std::move(target));
  SessionOptions options = session_options(s);
  options.read_pending = [&](ReadCause cause) { return runner.read_pending(cause); };
  Session session(client, std::move(options), &context.stop);
  runner.attach(session);
  return finish(drive(session, runner, context), context.narrator, s);
}

}  // namespace syzygy::cli
