#include "api/validation.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "base/name.h"

namespace syzygy::api {
namespace {

using Checked = Result<void>;

std::string shown(Duration d) {
  return d.count() % 1'000 == 0 ? std::to_string(d.count() / 1'000) + " s" : std::to_string(d.count()) + " ms";
}

std::unexpected<Error> refuse(std::string reason, const std::string& field, std::string message) {
  return failure(ErrorCode::kInvalidArgument, std::move(reason), std::move(message), {{"field", field}});
}

Checked name(const std::string& field, std::string_view word, std::string_view value) {
  auto checked = check_name(word, value);
  if (!checked) checked.error().metadata["field"] = field;
  return checked;
}

Checked optional_name(const std::string& field, std::string_view word, std::string_view value) {
  return value.empty() ? Checked{} : name(field, word, value);
}

Checked request(const round::RequestId& id) {
  if (auto ok = name("request.incarnation", "incarnation", id.incarnation.value); !ok) return ok;
  if (id.sequence == 0) {
    return refuse("FIELD_INVALID", "request.sequence",
                  "request.sequence is 0; a process numbers its requests from 1, rising, and keeps the number over "
                  "retries");
  }
  return {};
}

Checked duration(const std::string& field, Duration value, Duration least, Duration most) {
  if (value >= least && value <= most) return {};
  return refuse("DURATION_INVALID", field,
                field + " is " + shown(value) + "; it must be " + shown(least) + " to " + shown(most));
}

// 0 stands for the default.
Checked lease(Duration value, Duration usual, Duration most) {
  if (value.count() == 0) return {};
  return duration("lease", value, std::min(kLeaseMin, usual), most);
}

Checked quorum(const std::string& field, const round::Quorum& value, std::size_t most) {
  const auto no = [&](std::string why) { return refuse("QUORUM_INVALID", field, std::move(why)); };
  for (const PartyName& party : value.roster) {
    if (auto ok = name(field + ".roster", "party", party.value); !ok) return ok;
  }
  if (!value.roster.empty() && value.parties != value.roster.size()) {
    return no(field + " names " + std::to_string(value.roster.size()) + " parties and asks for " +
              std::to_string(value.parties) + "; give one of the two");
  }
  if (value.parties == 0 || value.parties > most) {
    return no("a quorum of " + std::to_string(value.parties) + " cannot be; say how many parties must be there, 1 to " +
              std::to_string(most));
  }
  return {};
}

Checked steps_done(const std::string& field, std::uint64_t value) {
  if (value <= kPlanStepsMax) return {};
  return refuse(
      "FIELD_INVALID", field,
      field + " is " + std::to_string(value) + "; a plan has at most " + std::to_string(kPlanStepsMax) + " steps");
}

Checked outcome(const std::string& field, const std::optional<round::TargetOutcome>& value) {
  if (!value) return {};
  if (auto ok = name(field + ".round_id", "round", value->round.value); !ok) return ok;
  if (value->state != round::State::kSucceeded && value->state != round::State::kFailed) {
    return refuse("FIELD_INVALID", field + ".state", field + ".state must be SUCCEEDED or FAILED");
  }
  return {};
}

Checked plan(const TargetName& target, Plan& value) {
  if (value.target.empty()) value.target = target;
  if (value.target != target) {
    return refuse("PLAN_INVALID", "plan.target",
                  "the plan is for target " + printable(value.target.value) + ", the request for " +
                      printable(target.value) + "; compute the plan for the target that you join");
  }
  auto checked = check_plan(value);
  if (!checked) checked.error().metadata.try_emplace("field", "plan");
  return checked;
}

// The database's own words for itself: compared as they are, so they are refused rather than cleaned.
Checked binding(const std::string& field, round::Binding& value) {
  if (value.application.empty()) value.application = "default";
  if (auto ok = optional_name(field + ".minted_id", "database id", value.minted_id); !ok) return ok;
  if (auto ok = optional_name(field + ".system_id", "database system id", value.system_id); !ok) return ok;
  if (auto ok = name(field + ".application", "application", value.application); !ok) return ok;
  // A database's name may be anything that its server allows, an SQLite path among them.
  if (value.database.size() > kTextBytesMax || !is_utf8(value.database)) {
    return refuse("FIELD_INVALID", field + ".database",
                  field + ".database is not up to " + std::to_string(kTextBytesMax) + " bytes of UTF-8");
  }
  return {};
}

Checked snapshot(round::Snapshot& value) {
  if (value.recent.size() > kSnapshotStepsMax) {
    return refuse("FIELD_INVALID", "snapshot.recent",
                  "snapshot.recent has " + std::to_string(value.recent.size()) + " steps; send the newest " +
                      std::to_string(kSnapshotStepsMax));
  }
  for (const Step& step : value.recent) {
    if (auto ok = name("snapshot.recent", "step", step.id.value); !ok) return ok;
    if (step.content.size() > kLabelBytesMax || !is_utf8(step.content)) {
      return refuse("FIELD_INVALID", "snapshot.recent",
                    "the content of step " + printable(step.id.value) + " in snapshot.recent is not a checksum");
    }
  }
  value.last_step = clean_text(value.last_step, kLabelBytesMax);
  return outcome("snapshot.last_outcome", value.last_outcome);
}

Checked memory(const TargetName& target, std::optional<round::Memory>& value) {
  if (!value) return {};
  if (auto ok = optional_name("memory.epoch", "epoch", value->epoch); !ok) return ok;
  if (!value->round) return {};
  round::RememberedRound& was = *value->round;
  if (auto ok = name("memory.round.id", "round", was.id.value); !ok) return ok;
  if (auto ok = plan(target, was.plan); !ok) {
    ok.error().metadata["field"] = "memory.round.plan";
    return ok;
  }
  for (const PartyName& party : was.quorum.roster) {
    if (auto ok = name("memory.round.quorum.roster", "party", party.value); !ok) return ok;
  }
  if (auto ok = optional_name("memory.round.applier", "incarnation", was.applier.value); !ok) return ok;
  return optional_name("memory.round.applier_party", "party", was.applier_party.value);
}

Checked finding(round::Finding& value) {
  if (auto ok = steps_done("finding.from_step", value.from_step); !ok) return ok;
  if (auto ok = optional_name("finding.step_id", "step", value.step.value); !ok) return ok;
  if (auto ok = steps_done("finding.committed", value.committed.size()); !ok) return ok;
  for (const StepId& step : value.committed) {
    if (auto ok = name("finding.committed", "step", step.value); !ok) return ok;
  }
  return outcome("finding.outcome", value.outcome);
}

Checked reason_given(std::string& reason, std::string_view what) {
  reason = clean_text(reason, kTextBytesMax);
  if (reason.find_first_not_of(' ') != std::string::npos) return {};
  return refuse("FIELD_MISSING", "reason",
                "reason is missing: " + std::string(what) + " is kept with who did it and why");
}

void actor_given(std::string& actor) {
  actor = clean_text(actor, kLabelBytesMax);
  if (actor.empty()) actor = "somebody";
}

Checked token_given(Token token) {
  if (token.value != 0) return {};
  return refuse("FIELD_MISSING", "token", "token is missing: it is the one that was granted with the election");
}

// ---- one function for each command ----

struct Checker {
  const TargetName& target;
  const round::Settings& settings;

  Checked operator()(round::Join& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = name("party", "party", c.party.value); !ok) return ok;
    if (c.plan) {
      if (auto ok = plan(target, *c.plan); !ok) return ok;
    }
    if (c.quorum) {
      if (auto ok = quorum("quorum", *c.quorum, settings.parties_max); !ok) return ok;
    }
    if (auto ok = duration("timeout", c.timeout, Duration{0}, kTimeoutMax); !ok) return ok;
    if (auto ok = lease(c.lease, settings.lease, settings.lease_max); !ok) return ok;
    if (c.binding) {
      if (auto ok = binding("binding", *c.binding); !ok) return ok;
    }
    if (c.snapshot) {
      if (auto ok = snapshot(*c.snapshot); !ok) return ok;
    }
    c.host = clean_text(c.host, kLabelBytesMax);
    c.client_version = clean_text(c.client_version, kLabelBytesMax);
    if (auto ok = memory(target, c.memory); !ok) return ok;
    return optional_name("release", "release", c.release.value);
  }
  Checked operator()(round::Renew& c) const {
    if (auto ok = name("incarnation", "incarnation", c.incarnation.value); !ok) return ok;
    return memory(target, c.memory);
  }
  Checked operator()(round::Confirm& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = name("round_id", "round", c.round.value); !ok) return ok;
    if (auto ok = token_given(c.token); !ok) return ok;
    c.reason = clean_text(c.reason, kTextBytesMax);
    return finding(c.finding);
  }
  Checked operator()(round::Progressed& c) const {
    if (auto ok = name("round_id", "round", c.round.value); !ok) return ok;
    if (auto ok = name("incarnation", "incarnation", c.incarnation.value); !ok) return ok;
    if (auto ok = steps_done("progress.step_index", c.step_index); !ok) return ok;
    if (auto ok = optional_name("progress.step_id", "step", c.step.value); !ok) return ok;
    c.note = clean_text(c.note, kTextBytesMax);
    return {};
  }
  Checked operator()(round::Report& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = name("round_id", "round", c.round.value); !ok) return ok;
    if (auto ok = token_given(c.token); !ok) return ok;
    if (auto ok = optional_name("failed_step", "step", c.failed_step.value); !ok) return ok;
    if (auto ok = steps_done("steps_done", c.steps_done); !ok) return ok;
    c.message = clean_text(c.message, kTextBytesMax);
    return memory(target, c.memory);
  }
  Checked operator()(round::Leave& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = optional_name("party", "party", c.party.value); !ok) return ok;
    c.reason = clean_text(c.reason, kTextBytesMax);
    return c.finding ? finding(*c.finding) : Checked{};
  }
  Checked operator()(round::SeverRound& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = optional_name("round_id", "round", c.round.value); !ok) return ok;
    actor_given(c.actor);
    return reason_given(c.reason, "severing");
  }
  Checked operator()(round::ResolveBegin& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = name("round_id", "round", c.round.value); !ok) return ok;
    actor_given(c.actor);
    return reason_given(c.reason, "resolving");
  }
  Checked operator()(round::ResolveFinish& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (auto ok = name("round_id", "round", c.round.value); !ok) return ok;
    if (auto ok = token_given(c.token); !ok) return ok;
    if (c.verdict != round::State::kSucceeded && c.verdict != round::State::kFailed) {
      return refuse("FIELD_INVALID", "verdict", "verdict must be SUCCEEDED or FAILED");
    }
    if (auto ok = outcome("found", c.found); !ok) return ok;
    actor_given(c.actor);
    return reason_given(c.reason, "resolving");
  }
  Checked operator()(round::SetTarget& c) const {
    if (auto ok = request(c.request); !ok) return ok;
    if (!c.change_pin && !c.excuse && !c.rebind) {
      return refuse("FIELD_MISSING", "pin", "nothing to set: give a pin, an excuse or a binding");
    }
    if (c.pin) {
      if (auto ok = quorum("pin.quorum", *c.pin, settings.parties_max); !ok) return ok;
    }
    if (c.excuse) {
      if (auto ok = name("excuse.party", "party", c.excuse->value); !ok) return ok;
    }
    if (auto ok = duration("excuse_for", c.excuse_for, Duration{0}, kExcuseMax); !ok) return ok;
    if (c.rebind) {
      if (auto ok = binding("rebind", *c.rebind); !ok) return ok;
    }
    actor_given(c.actor);
    const bool audited = c.rebind || (c.excuse && c.excuse_for.count() > 0);
    if (audited) return reason_given(c.reason, c.rebind ? "rebinding" : "excusing a party");
    c.reason = clean_text(c.reason, kTextBytesMax);
    return {};
  }
  Checked operator()(round::Tick&) const { return not_a_request(); }
  Checked operator()(round::Grace&) const { return not_a_request(); }
  Checked operator()(round::Remind&) const { return not_a_request(); }

  static Checked not_a_request() {
    return refuse("FIELD_INVALID", "command", "this is not for callers: only the daemon tells the time");
  }
};

Checked barrier_quorum(std::uint32_t value, const barrier::Settings& settings) {
  return quorum("quorum", round::Quorum{value, {}}, settings.parties_max);
}

}  // namespace

std::string clean_text(std::string_view text, std::size_t bytes_max) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  const auto escape = [&](unsigned char byte) { out.append({'\\', 'x', kDigits[byte >> 4], kDigits[byte & 15]}); };
  std::size_t may_end_at = 0;  // whole characters up to here leave room for the dots
  for (std::size_t i = 0; i < text.size() && out.size() <= bytes_max;) {
    const auto byte = static_cast<unsigned char>(text[i]);
    std::size_t size = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    const std::string_view point = text.substr(i, size);
    if (byte >= 0x20 && byte < 0x7F) {
      out.push_back(text[i]);
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte == '\r') {
      out += "\\r";
    } else if (point.size() < size || !is_utf8(point)) {
      size = 1;
      escape(byte);
    } else if (!check_name("text", "x" + std::string(point) + "x")) {  // C0, DEL, C1, U+2028, U+2029
      for (const char c : point) escape(static_cast<unsigned char>(c));
    } else {
      out += point;
    }
    i += size;
    if (out.size() + 3 <= bytes_max) may_end_at = out.size();
  }
  if (out.size() > bytes_max) {
    out.resize(may_end_at);
    out += "...";
  }
  return out;
}

Result<void> check_target(std::string_view target) { return name("target", "target", target); }

Result<void> check(const TargetName& target, round::Command& command, const round::Settings& settings) {
  if (auto ok = check_target(target.value); !ok) return ok;
  return std::visit(Checker{target, settings}, command);
}

Result<void> check(std::string_view barrier_name, barrier::Command& command, Duration wait,
                   const barrier::Settings& settings) {
  if (auto ok = name("namespace", "barrier", barrier_name); !ok) return ok;
  if (wait.count() < 0) return duration("wait", wait, Duration{0}, kWaitMax);
  if (auto* enter = std::get_if<barrier::Enter>(&command)) {
    if (auto ok = barrier_quorum(enter->quorum, settings); !ok) return ok;
    if (auto ok = name("party", "party", enter->party.value); !ok) return ok;
    if (auto ok = name("incarnation", "incarnation", enter->incarnation.value); !ok) return ok;
    if (auto ok = lease(enter->lease, settings.lease, settings.lease_max); !ok) return ok;
    if (enter->lease.count() == 0 && wait.count() > 0) {
      // The engine answers a wait after two thirds of the lease at the latest.
      enter->lease = std::min(settings.lease_max, std::max(settings.lease, std::min(wait, kWaitMax) * 3 / 2));
    }
    return {};
  }
  if (auto* await = std::get_if<barrier::Await>(&command)) {
    if (await->generation.value == 0) {
      return refuse("FIELD_MISSING", "generation", "generation is missing: it is the one that entering answered with");
    }
    return name("incarnation", "incarnation", await->incarnation.value);
  }
  if (auto* sever = std::get_if<barrier::Sever>(&command)) {
    if (auto ok = barrier_quorum(sever->quorum, settings); !ok) return ok;
    if (auto ok = name("party", "party", sever->party.value); !ok) return ok;
    if (auto ok = name("incarnation", "incarnation", sever->incarnation.value); !ok) return ok;
    sever->reason = clean_text(sever->reason, kTextBytesMax);
    if (sever->reason.empty()) sever->reason = "severed by " + sever->party.value;
    return {};
  }
  return Checker::not_a_request();
}

}  // namespace syzygy::api
