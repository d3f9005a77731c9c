#include "client/cli/words.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "base/name.h"

namespace syzygy::cli {
namespace {

// Text of others on our terminal.
std::string safe(const std::string& text) { return legible(text); }

std::vector<std::string> counted(const v1::Round& round) {
  std::vector<std::string> names;
  for (const auto& member : round.members()) {
    if (member.standing() == v1::Member::STANDING_COUNTED) names.push_back(safe(member.party()));
  }
  return names;
}

std::string missing_text(const v1::Round& round) {
  if (round.missing_size() > 0) return "missing " + joined({round.missing().begin(), round.missing().end()});
  const auto needed = round.quorum().parties();
  return round.present() < needed ? fmt::format("missing {}", needed - round.present()) : "";
}

std::string step_text(const v1::Round& round) {
  if (!round.has_progress()) return {};
  const auto& p = round.progress();
  std::string text = fmt::format("step {} of {}", p.step_index() + 1, std::max<int>(round.plan().steps_size(), 1));
  if (!p.step_id().empty()) text += " (" + safe(p.step_id()) + ")";
  if (!p.note().empty()) text += ": " + safe(p.note());
  return text;
}

std::string gathering_line(const v1::Target& target, const v1::Round& round) {
  const auto names = counted(round);
  std::string line = fmt::format("{} of {} here", round.present(), round.quorum().parties());
  if (!names.empty()) line += ": " + joined(names);
  if (const std::string absent = missing_text(round); !absent.empty()) line += "; " + absent;
  std::vector<std::string> visitors;
  for (const auto& visit : target.visits()) {
    if (std::ranges::find(names, safe(visit.party())) == names.end() &&
        visit.at().seconds() >= round.opened_at().seconds()) {
      visitors.push_back(safe(visit.party()) +
                         (visit.last_step().empty() ? "" : " (knows up to " + safe(visit.last_step()) + ")"));
    }
  }
  if (!visitors.empty()) line += "; came with nothing pending: " + joined(visitors);
  for (const auto& d : round.diverged()) {
    line += "; at odds with " + joined({d.other_parties().begin(), d.other_parties().end()}) + ": " +
            safe(d.first_difference());
  }
  if (!round.waits_for().empty()) line += "; waits: " + safe(round.waits_for());
  return line;
}

std::string hash_text(const std::string& hash) { return hash.substr(0, 12); }

}  // namespace

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + safe(name);
  return text;
}

std::string duration_text(Duration duration) {
  const auto ms = duration.count();
  if (ms < 1'000) return fmt::format("{} ms", ms);
  if (ms < 10'000) return fmt::format("{:.1f} s", static_cast<double>(ms) / 1'000);
  const auto seconds = ms / 1'000;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7'200) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {} min", seconds / 3'600, seconds / 60 % 60);
}

std::string time_text(const google::protobuf::Timestamp& at) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(at.seconds())));
}

std::string state_text(v1::RoundState state) {
  std::string name = v1::RoundState_Name(state);
  constexpr std::string_view kPrefix = "ROUND_STATE_";
  return name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : name;
}

std::string outcome_line(const v1::Round& round) {
  const auto& outcome = round.outcome();
  const std::string by = outcome.applier_party().empty() ? "" : " by " + safe(outcome.applier_party());
  std::string line;
  switch (round.state()) {
    case v1::ROUND_STATE_SUCCEEDED:
      line = "applied" + by;
      if (outcome.steps_done() > 0)
        line += fmt::format(": {} step{}", outcome.steps_done(), outcome.steps_done() == 1 ? "" : "s");
      break;
    case v1::ROUND_STATE_FAILED:
      line = "failed" + by;
      if (!outcome.failed_step().empty()) line += " at step " + safe(outcome.failed_step());
      break;
    case v1::ROUND_STATE_INDETERMINATE:
      line = "indeterminate: nobody knows how the run" + by + " ended";
      break;
    default:
      return state_text(round.state());
  }
  if (outcome.exit_code() != 0) line += fmt::format(" (exit code {})", outcome.exit_code());
  if (!outcome.message().empty()) line += ": " + safe(outcome.message());
  return line;
}

std::string round_line(const v1::Target& target, const v1::Round& round) {
  switch (round.state()) {
    case v1::ROUND_STATE_GATHERING:
      return gathering_line(target, round);
    case v1::ROUND_STATE_ELECTED:
      return safe(round.applier().party()) + " was elected" +
             (round.applier().settling() ? " to look how the lost run ended" : " and claims the target") +
             (round.has_progress() && !round.progress().note().empty() ? "; " + safe(round.progress().note()) : "");
    case v1::ROUND_STATE_APPLYING: {
      const std::string step = step_text(round);
      return safe(round.applier().party()) + " applies" + (step.empty() ? "" : ", " + step) +
             (round.sever_reason().empty() ? ""
                                           : "; severed (" + safe(round.sever_reason()) + "), waiting for it to stop");
    }
    case v1::ROUND_STATE_RECOVERING:
      return "recovering: " +
             (round.waits_for().empty() ? std::string("the applier was lost") : safe(round.waits_for()));
    default:
      return outcome_line(round);
  }
}

std::string event_line(const v1::Event& event, const v1::Target&) {
  const std::string party = safe(event.party());
  std::string text = safe(event.text());
  const auto because = [&] { return text.empty() ? std::string() : " (" + text + ")"; };
  switch (event.kind()) {
    case v1::EVENT_KIND_PARTY_JOINED:
      return party + " is here";
    case v1::EVENT_KIND_PARTY_REPLACED:
      return text.empty() ? party + " was replaced by a newer process of its own" : text;
    case v1::EVENT_KIND_PARTY_LAPSED:
      return party + " is gone" + because();
    case v1::EVENT_KIND_PARTY_REVIVED:
      return party + " is back";
    case v1::EVENT_KIND_PARTY_LEFT:
      return party + " left" + because();
    case v1::EVENT_KIND_PARTY_VISITED:
      return party + " came with nothing pending" + because();
    case v1::EVENT_KIND_APPLIER_GRANTED:
      return fmt::format("{} is elected{}, token {}", party, event.text() == "settle" ? " to look" : "", event.token());
    case v1::EVENT_KIND_APPLIER_DECLINED:
      return party + " declined" + because();
    case v1::EVENT_KIND_STEP_PROGRESS:
      return text.empty() ? "" : party + ": " + text;
    case v1::EVENT_KIND_BOUND:
      return "bound " + text + (event.actor().empty() ? "" : ", by " + safe(event.actor()));
    case v1::EVENT_KIND_SEVERED:
      return "severed by " + safe(event.actor()) + because();
    case v1::EVENT_KIND_PIN_SET:
      return "the pin changed: " + text;
    case v1::EVENT_KIND_EXCUSED:
      return party + " is excused by " + safe(event.actor()) + because();
    case v1::EVENT_KIND_EXCUSE_ENDED:
      return party + " is excused no longer" + (event.actor().empty() ? "" : ", by " + safe(event.actor()) + because());
    case v1::EVENT_KIND_DIVERGED:
      return "parties disagree: " + text;
    case v1::EVENT_KIND_CONVERGED:
      return "a disagreement is over";
    case v1::EVENT_KIND_RESOLUTION_BEGUN:
      return safe(event.actor()) + " resolves it" + because();
    case v1::EVENT_KIND_EVIDENCE:
      return text;
    case v1::EVENT_KIND_GRACE_GIVEN:
      return "leases were extended" + because();
    case v1::EVENT_KIND_RESYNC_BEGUN:
      return "the target resynchronises" + because();
    case v1::EVENT_KIND_RESYNC_ENDED:
      return "the target has resynchronised";
    case v1::EVENT_KIND_ROUND_MOVED:
      return state_text(event.state_from()) + " -> " + state_text(event.state_to()) + because();
    default:
      return {};
  }
}

std::string resync_line(const v1::Resync& resync) {
  return "the daemon's store went back in time, or began anew (" + safe(resync.why()) +
         "); whoever was granted something before may still act on it, so nothing is granted until " +
         time_text(resync.until());
}

std::string target_report(const v1::Target& target) {
  std::string out = safe(target.name());
  if (target.has_pin()) {
    const auto& pin = target.pin();
    out += "  pinned to " +
           (pin.roster_size() > 0 ? joined({pin.roster().begin(), pin.roster().end()}) : std::to_string(pin.parties()));
    if (!target.pin_reason().empty()) out += " (" + safe(target.pin_reason()) + ")";
  }
  out += fmt::format("  revision {}  token {}\n", target.revision(), target.token());
  if (target.frozen())
    out +=
        "  FROZEN: the daemon cannot go on from its record (of a newer version, damaged, or an invariant failed): see "
        "its log\n";
  if (target.has_resync()) {
    out += "  RESYNCHRONISES until " + time_text(target.resync().until()) + ": " + safe(target.resync().why()) +
           "\n    The store went back in time, or began anew. Nothing is granted until then: whoever was granted "
           "something "
           "before may still act on it.\n    Parties that wait may go on waiting. A run that no fence guards ends as "
           "INDETERMINATE: look at the database, then syzygy resolve.\n";
  }
  for (const auto& excuse : target.excuses()) {
    out += "  excused: " + safe(excuse.party()) + " until " + time_text(excuse.until()) + " (" + safe(excuse.reason()) +
           ")\n";
  }
  if (target.rounds().empty()) out += "  no round gathers, applies or lingers\n";
  for (const auto& round : target.rounds()) {
    out += fmt::format("  round {}  generation {}  {}  plan {} ({} step{})\n", safe(round.id()), round.generation(),
                       state_text(round.state()), hash_text(round.plan_hash()), round.plan().steps_size(),
                       round.plan().steps_size() == 1 ? "" : "s");
    out += "    " + round_line(target, round) + "\n";
    for (const auto& member : round.members()) {
      std::string standing = v1::Member::Standing_Name(member.standing());
      standing = standing.substr(std::string_view("STANDING_").size());
      std::ranges::transform(standing, standing.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      out += fmt::format("    {:<16} {:<9} {}{}\n", safe(member.party()), standing, safe(member.host()),
                         member.may_apply() ? "" : "  (voter only)");
    }
  }
  for (const auto& visit : target.visits()) {
    out += "  nothing pending: " + safe(visit.party()) + " at " + time_text(visit.at()) +
           (visit.last_step().empty() ? "" : ", knows up to " + safe(visit.last_step())) + "\n";
  }
  return out;
}

}  // namespace syzygy::cli
