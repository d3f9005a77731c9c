#include "client/cli/driver.h"

#include <unistd.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <stop_token>
#include <thread>
#include <utility>

#include "base/kill_point.h"
#include "base/name.h"
#include "base/version.h"
#include "client/cli/convert.h"
#include "client/cli/exit_codes.h"
#include "client/cli/words.h"
#include "migration/target/pacing.h"

namespace syzygy::cli {
namespace {

constexpr std::chrono::seconds kTick{1};
constexpr std::chrono::minutes kReportBound{10};  // for a report over an outage of the daemon
constexpr std::chrono::seconds kReportQuiet{3};   // that such an outage is not spoken of
constexpr std::chrono::seconds kReportSpeaks{60};

// Delivers a report. That blocks, and CI systems kill silent jobs: so it says what it waits for, from another thread,
// for as long as nobody else speaks.
Result<v1::ReportResponse> deliver(Session& session, const RunResult& result, Narrator& narrator) {
  const std::jthread speaks([&narrator](const std::stop_token& told) {
    for (Duration quiet = kReportQuiet; migration::pause(quiet, told); quiet = kReportSpeaks) {
      narrator.warn("the run is over, and the daemon does not answer to hear how it ended; trying for " +
                    duration_text(kReportBound) + " in all");
    }
  });
  return session.report(result, BootClock::now() + kReportBound);
}

const char* name_of(happening::Ending ending) {
  switch (ending) {
    case happening::Ending::kApplied:
      return "applied";
    case happening::Ending::kNothingPending:
      return "nothing_pending";
    case happening::Ending::kAlreadyApplied:
      return "already_applied";
    case happening::Ending::kFailed:
      return "failed";
    case happening::Ending::kIndeterminate:
      return "indeterminate";
    case happening::Ending::kDissolved:
      return "severed";
  }
  return "unknown";
}

Ended of_error(const Error& error, const char* outcome) {
  Ended ended;
  ended.exit_code = exit_code(error);
  ended.outcome = outcome;
  ended.message = error.message;
  return ended;
}

// The loop's state: what a happening changes for the ones after it.
struct Way {
  Session& session;
  Runner& runner;
  Narrator& narrator;
  const Settings& settings;
  const StopSource& stop;
  std::optional<RunReported> reported;  // of this process's own run
  std::optional<Ended> ended;
  int left_on = 0;            // the signal that ended this process's own run before it was done
  bool bound = false;         // the target knows its name
  std::string dissolved_why;  // only the event tells
  bool resynchronises = false;

  void show(const happening::View& view, const RoundId& round_id) const {
    if (view == nullptr) return;
    const v1::Round* round = find_round(*view, round_id);
    if (round == nullptr || round->has_outcome() || round->state() == v1::ROUND_STATE_DISSOLVED ||
        round->state() == v1::ROUND_STATE_EXPIRED)
      return;  // the last line tells the outcome
    narrator.now(round_line(*view, *round));
  }

  void leave_because(const Error& error) {
    static_cast<void>(session.leave(error.reason, false, std::nullopt));
    ended = of_error(error, "refused");
    ended->exit_code = plan_exit_code(error);
  }

  void on(const happening::Changed& changed) {
    if (!changed.round.empty() && !std::exchange(bound, true)) {
      if (const auto error = runner.joined()) return leave_because(*error);
    }
    for (const auto& event : changed.events) {
      if (!event.round_id().empty() && event.round_id() != changed.round.value) continue;
      if (event.kind() == v1::EVENT_KIND_ROUND_MOVED && event.state_to() == v1::ROUND_STATE_DISSOLVED)
        dissolved_why = legible(event.text());
      if (event.kind() == v1::EVENT_KIND_PARTY_REPLACED || event.kind() == v1::EVENT_KIND_SEVERED ||
          event.kind() == v1::EVENT_KIND_APPLIER_DECLINED || event.kind() == v1::EVENT_KIND_PARTY_VISITED) {
        narrator.say(event_line(event, *changed.view));
      }
    }
    say_resync(*changed.view);
    show(changed.view, changed.round);
  }
  // From the view, not from its event: who was out of contact meanwhile hears of it too.
  void say_resync(const v1::Target& target) {
    if (target.has_resync() == resynchronises) return;
    resynchronises = target.has_resync();
    narrator.say(resynchronises ? resync_line(target.resync()) : "the target has resynchronised; it goes on");
  }
  void on(const happening::Notice& notice) const { narrator.say(notice.text); }
  void on(const happening::Diverged& diverged) {
    std::string text;
    for (const auto& d : diverged.with) {
      const auto others = joined({d.other_parties().begin(), d.other_parties().end()});
      text += (text.empty() ? "" : "; ") +
              (others.empty() ? "somebody came with another plan, and left" : others + " hold another plan") + ": " +
              d.first_difference();
    }
    narrator.warn(text);
    if (settings.on_divergence != "fail") return;
    static_cast<void>(session.leave("parties hold different plans", false, std::nullopt));
    ended = Ended{kExitDisagree, "diverged", text, {}, {}, {}, 0, false};
  }
  void on(const happening::ContactLost& lost) const {
    narrator.warn(lost.member ? "lost the daemon (" + lost.why.message +
                                    "); trying again, the place in the round is kept by its lease"
                              : "no daemon has taken this process in yet (" + lost.why.message + "); trying again");
  }
  void on(const happening::ContactRegained&) const { narrator.say("the daemon answers"); }
  void on(const happening::LeaseOver&) const {
    narrator.warn("the lease is over: nothing more is started under this token");
  }
  void on(const happening::TokenLost&) const { narrator.warn("another process was elected in our place"); }
  void on(const happening::Severed& severed) const {
    narrator.warn("the round was severed: " + legible(severed.reason));
  }
  void on(const happening::StopWanted&) const { narrator.say("stopping"); }
  void on(const happening::RereadFailed& failed) const {
    narrator.warn("what is pending could not be read again: " + failed.why.message);
  }

  void on(const happening::Elected& elected) {
    narrator.say(elected.settle ? "elected to look how the lost run ended" : "elected: this process applies");
    SYZYGY_KILL_POINT("applier.before_claim");
    const Claimed claimed = runner.claim(elected);
    SYZYGY_KILL_POINT("applier.after_claim");
    if (claimed.claim == v1::ConfirmRequest::CLAIM_DECLINED && stop.signal() == 0) {
      narrator.warn("this process cannot apply, and another one is asked: " + claimed.reason);
    }
    const auto answer = session.confirm(claimed, session.lease_until() + kReportBound);
    if (!answer && answer.error().reason == "STOPPED") {
      // The daemon may have heard the claim all the same; nothing was run under it.
      left_on = stop.signal();
      narrator.say("stopping: nothing was applied under this claim");
      static_cast<void>(session.leave("stopped while it confirmed its claim", true, claimed.finding));
      return;
    }
    if (!answer) {
      narrator.warn("the claim could not be confirmed: " + answer.error().message);
      return;
    }
    if (const auto error = runner.barred()) return leave_because(*error);
    SYZYGY_KILL_POINT("applier.after_confirm");
    if (answer->verdict() != v1::VERDICT_PROCEED) return;
    const RunEnd end = runner.run(elected.round, elected.token, answer->from_step());
    SYZYGY_KILL_POINT("applier.after_run");
    std::visit([&](const auto& how) { ran(how, elected); }, end);
  }

  void ran(const RunReported& how, const happening::Elected& elected) {
    reported = how;
    const auto told = deliver(session, how.result, narrator);
    SYZYGY_KILL_POINT("applier.after_report");
    if (told) return;
    // The daemon may never hear it from here. What stands in the target is true all the same.
    Ended undelivered;
    undelivered.round_id = elected.round.id();
    undelivered.token = elected.token.value;
    undelivered.by_this_process = true;
    if (how.result.result == v1::ReportRequest::RESULT_SUCCEEDED && how.outcome_stands) {
      undelivered.exit_code = kExitOk;
      undelivered.outcome = "applied";
      undelivered.message =
          "applied, and the outcome stands in the target; the daemon could not be told: " + told.error().message;
    } else {
      undelivered.exit_code = kExitIndeterminate;
      undelivered.outcome = "indeterminate";
      undelivered.message = how.result.message + "; the daemon could not be told: " + told.error().message;
    }
    ended = undelivered;
  }
  void ran(const RunLeft& how, const happening::Elected&) {
    left_on = how.signal;
    static_cast<void>(session.leave(how.reason, true, how.finding));
  }
  void ran(const RunLost& how, const happening::Elected& elected) {
    ended = Ended{how.exit_code.value_or(kExitIndeterminate),
                  "indeterminate",
                  how.message,
                  elected.round.id(),
                  {},
                  {},
                  elected.token.value,
                  true};
  }

  void on(const happening::Finished& finished) {
    Ended out;
    out.exit_code = exit_code(finished);
    out.outcome = name_of(finished.ending);
    out.by_this_process = finished.by_this_process;
    if (finished.round) {
      out.round_id = finished.round->id();
      out.plan_hash = finished.round->plan_hash();
      out.applier_party = finished.round->outcome().applier_party();
      out.token = finished.round->outcome().token();
      out.message = outcome_line(*finished.round);
      if (finished.ending == happening::Ending::kIndeterminate) {
        out.message += "; next: syzygy resolve --target " + settings.target +
                       (settings.database.empty() ? " --attest-stopped --as succeeded|failed" : " --database URL") +
                       " --reason \"...\"";
      }
    }
    if (finished.ending == happening::Ending::kNothingPending) out.message = "nothing to do: no migration is pending";
    if (finished.ending == happening::Ending::kAlreadyApplied && out.message.empty()) {
      out.message = "already applied: this plan was the last that succeeded here (--again applies it once more)";
    }
    if (finished.ending == happening::Ending::kDissolved && finished.round) {
      out.message = dissolved_why.empty() ? "severed while it gathered" : dissolved_why + ", while it gathered";
    }
    if (!finished.warning.empty()) narrator.warn(finished.warning);
    if (finished.by_this_process && reported && reported->exit_code) out.exit_code = *reported->exit_code;
    // It failed because this process was told to stop, and nobody was here to take over.
    if (left_on > 0 && out.exit_code == kExitFailed) out.exit_code = kExitSignalBase + left_on;
    ended = out;
  }
  void on(const happening::Refused& refused) {
    ended = of_error(refused.error, "refused");
    if (refused.error.reason != "REQUEST_OLD") return;
    const auto executed = refused.error.metadata.find("executed");
    if (executed == refused.error.metadata.end() ||
        std::strtoull(executed->second.c_str(), nullptr, 10) < kOperatorSequence) {
      ended->exit_code = kExitLimit;
      ended->message += "; run the command again";
      return;
    }
    ended->exit_code = kExitSevered;
    ended->message = "an operator took this process out of its round; syzygy history --target " + settings.target +
                     " says who and why; run the command again to come back";
  }
  void on(const happening::Unreachable& unreachable) { ended = of_error(unreachable.error, "unreachable"); }
  void on(const happening::PendingFailed& failed) {
    ended = of_error(failed.error, "plan_failed");
    ended->exit_code = stop.signal() != 0 ? kExitSignalBase + stop.signal() : plan_exit_code(failed.error);
  }
  void on(const happening::DeadlineReached& reached) {
    Ended out;
    // What keeps the daemon from taking it in may be a limit.
    const bool kept_out = reached.waits_for == WaitsFor::kDaemon && reached.contact.has_value();
    out.exit_code = kept_out ? exit_code(*reached.contact) : exit_code(reached.waits_for);
    out.round_id = reached.round.value;
    out.outcome = out.exit_code == kExitElsewhere       ? "still_applying"
                  : out.exit_code == kExitDisagree      ? "diverged"
                  : out.exit_code == kExitIndeterminate ? "indeterminate"
                  : out.exit_code == kExitDaemon        ? "unreachable"
                                                        : "timeout";
    out.message = "gave up after " + duration_text(settings.timeout);
    if (reached.view != nullptr) {
      if (const v1::Round* round = find_round(*reached.view, reached.round))
        out.message += ": " + round_line(*reached.view, *round);
    }
    if (reached.waits_for == WaitsFor::kDaemon && !reached.contact) {
      out.message += " (--timeout), before the daemon had taken this process in; nothing is known of the others";
    }
    if (reached.waits_for == WaitsFor::kOperator) {
      out.message +=
          ": a round of this target is INDETERMINATE, and nothing goes on before somebody has looked; see "
          "syzygy status --target " +
          settings.target + ", then: syzygy resolve";
    }
    if (reached.contact) {
      const bool away = reached.contact->code == ErrorCode::kUnavailable;
      out.message +=
          (away ? "; the daemon is out of reach: " : "; the daemon does not take it in: ") + reached.contact->message;
    }
    ended = out;
  }
  void on(const happening::Stopped& stopped) {
    Ended out;
    out.exit_code = stopped.signal > 0 ? kExitSignalBase + stopped.signal : kExitSevered;
    out.outcome = "left";
    out.message = stopped.told ? "left the round; the others go on without this process"
                               : "left; the daemon could not be told, so the lease has to run out";
    ended = out;
  }
};

}  // namespace

SessionOptions session_options(const Settings& settings) {
  SessionOptions options;
  options.target = TargetName{settings.target};
  options.party = PartyName{settings.party};
  options.quorum = quorum_of(settings);
  options.timeout = settings.timeout;
  options.lease = settings.lease;
  options.voter_only = settings.voter_only;
  options.fail_on_divergence = settings.on_divergence == "fail";
  options.again = settings.again;
  char host[256] = "";
  if (::gethostname(host, sizeof(host) - 1) == 0) options.host = host;
  options.client_version = kVersion;
  options.release = settings.release;
  return options;
}

Ended drive(Session& session, Runner& runner, const Context& context) {
  Narrator& narrator = context.narrator;
  Way way{session, runner, narrator, context.settings, context.stop, std::nullopt, std::nullopt, 0, false, {}};
  while (!way.ended) {
    const auto happened = session.next(BootClock::now() + kTick);
    narrator.tick();
    if (happened) std::visit([&](const auto& h) { way.on(h); }, *happened);
  }
  narrator.now("");
  session.close();
  return *way.ended;
}

int finish(const Ended& ended, Narrator& narrator, const Settings& settings) {
  narrator.say(ended.message);
  if (settings.result_file.empty()) return ended.exit_code;
  boost::json::object result{
      {"outcome", ended.outcome},     {"exit_code", ended.exit_code},
      {"message", ended.message},     {"target", settings.target},
      {"party", settings.party},      {"round", ended.round_id},
      {"plan_hash", ended.plan_hash}, {"applier", ended.applier_party},
      {"token", ended.token},         {"by_this_process", ended.by_this_process},
  };
  std::ofstream file(settings.result_file, std::ios::trunc);
  file << boost::json::serialize(result) << "\n";
  file.flush();
  if (!file) narrator.warn("the result could not be written to " + settings.result_file);
  return ended.exit_code;
}

}  // namespace syzygy::cli
