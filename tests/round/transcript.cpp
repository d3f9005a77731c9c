#include "transcript.h"

#include <charconv>
#include <map>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "base/sha256.h"
#include "round/codec.h"
#include "round/step.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

const char* name_of(EventKind kind) {
  static const char* const kNames[] = {
      "?",       "opened",       "moved",        "joined",       "replaced",  "lapsed",    "revived",      "left",
      "visited", "granted",      "claimed",      "declined",     "progress",  "severed",   "acknowledged", "pinned",
      "excused", "excuse-ended", "bound",        "diverged",     "converged", "resolving", "evidence",     "retired",
      "graced",  "token-raised", "resync-begun", "resync-ended",
  };
  return kNames[static_cast<std::size_t>(kind)];
}

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kWait:
      return "wait";
    case Verdict::kNothingPending:
      return "nothing pending";
    case Verdict::kApplied:
      return "applied";
    case Verdict::kFailed:
      return "failed";
    case Verdict::kIndeterminate:
      return "indeterminate";
    case Verdict::kSettle:
      return "settle";
    case Verdict::kProceed:
      return "proceed";
    case Verdict::kStop:
      return "stop";
    case Verdict::kDone:
      return "done";
    case Verdict::kEvidence:
      return "evidence";
    case Verdict::kRefused:
      return "refused";
  }
  return "?";
}

[[noreturn]] void unknown(const std::string& word) {
  throw std::runtime_error("transcript: \"" + word + "\" is not understood");
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) parts.push_back(part);
  return parts;
}

std::int64_t number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) unknown(text);
  return value;
}

std::int64_t millis(const std::string& text) {
  if (text.ends_with("ms")) return number(text.substr(0, text.size() - 2));
  const char unit = text.back();
  const std::int64_t value = number(text.substr(0, text.size() - 1));
  if (unit == 's') return value * 1'000;
  if (unit == 'm') return value * 60'000;
  if (unit == 'h') return value * 3'600'000;
  unknown(text);
}

Step step_named(const std::string& name) {  // "3", "3!" outside a transaction, "3v" down
  Step step;
  std::string id = name;
  if (id.ends_with('!')) {
    step.atomic = false;
    id.pop_back();
  }
  if (id.ends_with('v')) {
    step.direction = Direction::kDown;
    id.pop_back();
  }
  step.id = StepId{id};
  step.content = sha256_hex(id);
  return step;
}

class Story {
 public:
  Story() {
    record_.target = TargetName{"orders"};
    now_.ms = 1'000'000;
  }

  std::string say(const std::string& line) {
    std::istringstream in(line);
    std::string verb;
    in >> verb;
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    if (verb == "at") {
      now_.ms = 1'000'000 + millis(words.at(0));
      return step_with(Tick{});
    }
    if (verb == "show") return show();
    if (verb == "limit") {  // "limit lingering 1", "limit members 2", "limit record 60000"
      (words.at(0) == "lingering" ? settings_.lingering_max
       : words.at(0) == "record"  ? settings_.record_bytes_max
                                  : settings_.members_max) = static_cast<std::size_t>(number(words.at(1)));
      return {};
    }
    if (verb == "quiet") {  // another server answers for the store: nothing is granted until then
      settings_.quiet_until.ms = 1'000'000 + millis(words.at(0));
      return {};
    }
    if (verb == "backup") {
      backup_ = record_;
      return {};
    }
    if (verb == "restore") {  // the store goes back to its backup; or, "restore nothing", begins anew
      if (!words.empty()) {
        backup_ = Record{};
        backup_.target = record_.target;
        backup_.epoch = "another";
      }
      record_ = backup_;
      return {};
    }
    if (verb == "repeat") return step_with(last_.at(words.at(0)));
    if (verb == "both") return both(line.substr(5));
    return step_with(parse(verb, words));
  }

 private:
  std::string both(const std::string& rest) {  // "both A && B": one batch
    std::vector<Command> commands;
    for (std::size_t from = 0; from <= rest.size();) {
      std::size_t to = rest.find(" && ", from);
      if (to == std::string::npos) to = rest.size();
      std::istringstream in(rest.substr(from, to - from));
      std::string verb;
      in >> verb;
      std::vector<std::string> words;
      for (std::string word; in >> word;) words.push_back(word);
      commands.push_back(parse(verb, words));
      from = to + 4;
    }
    return step_with(commands);
  }

  RequestId request(const std::string& who) { return {IncarnationId{who}, ++sequence_[who]}; }
  static std::string party_of(const std::string& who) { return who.substr(0, who.find('/')); }

  Round* round(const std::string& name) {
    for (Round& r : record_.rounds) {
      if (r.id.value == name) return &r;
    }
    return nullptr;
  }

  Quorum quorum_of(const std::string& text) {
    Quorum quorum;
    if (text.find_first_not_of("0123456789") == std::string::npos) {
      quorum.parties = static_cast<std::uint32_t>(number(text));
      return quorum;
    }
    for (const auto& party : split(text, ',')) quorum.roster.insert(PartyName{party});
    quorum.parties = static_cast<std::uint32_t>(quorum.roster.size());
    return quorum;
  }

  Command parse(const std::string& verb, const std::vector<std::string>& words) {
    std::map<std::string, std::string> options;
    std::vector<std::string> plain;
    for (const auto& word : words) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos) {
        plain.push_back(word);
        options[word] = "";
      } else {
        options[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
    const auto has = [&](const char* key) { return options.contains(key); };
    const auto token = [&](const RoundId& id) {
      if (has("token")) return Token{static_cast<std::uint64_t>(number(options["token"]))};
      const Round* r = round(id.value);
      return r != nullptr && r->grant ? r->grant->token : r != nullptr && r->last_run ? r->last_run->token : Token{};
    };
    const auto remembered = [&](const std::string& who, Command command) {
      last_.insert_or_assign(who, command);
      return command;
    };
    if (verb == "join") {
      const std::string& who = plain.at(0);
      Join join;
      join.request = request(who);
      join.party = PartyName{party_of(who)};
      if (has("plan")) {
        Plan plan;
        plan.target = record_.target;
        for (const auto& name : split(options["plan"], ',')) plan.steps.push_back(step_named(name));
        join.plan = plan;
      } else if (has("opaque")) {
        join.plan = opaque_plan(record_.target, PlanStage::kAll, options["opaque"],
                                has("retry") ? OnApplierLost::kRetry : OnApplierLost::kStop);
      }
      if (has("quorum")) join.quorum = quorum_of(options["quorum"]);
      if (has("timeout")) join.timeout = Duration{millis(options["timeout"])};
      join.may_apply = !has("voter");
      join.again = has("again");
      join.checked = has("checked");
      join.host = "host-" + who;
      if (has("database")) {
        join.binding = Binding{"id-" + options["database"], "system-1", options["database"], "default"};
      }
      if (has("seen") || has("outcome") || has("history") || has("last")) {
        join.snapshot.emplace();
        if (has("seen")) join.snapshot->token = Token{static_cast<std::uint64_t>(number(options["seen"]))};
        if (has("outcome")) {
          const auto parts = split(options["outcome"], ':');
          join.snapshot->last_outcome = TargetOutcome{
              RoundId{parts.at(0)}, Token{static_cast<std::uint64_t>(number(parts.at(1)))}, State::kSucceeded};
        }
        for (const auto& name : split(options["history"], ',')) join.snapshot->recent.push_back(step_named(name));
        join.snapshot->last_step = options["last"];
      }
      join.memory = memory_of(options);
      join.fresh_round = RoundId{"r" + std::to_string(record_.generation.value + 1)};
      return remembered(who, join);
    }
    if (verb == "renew")
      return Renew{IncarnationId{plain.at(0)},
                   has("token") ? Token{static_cast<std::uint64_t>(number(options["token"]))} : Token{},
                   memory_of(options)};
    if (verb == "remind") return Remind{*memory_of(options)};
    if (verb == "confirm") {
      Confirm confirm;
      confirm.request = request(plain.at(0));
      confirm.round = RoundId{plain.at(1)};
      confirm.token = token(confirm.round);
      confirm.fenced = !has("unfenced");
      confirm.finding = finding_of(plain.at(2), confirm.round);
      confirm.finding.sessions_gone = has("gone");
      if (plain.at(2).starts_with("refused:")) {
        confirm.claim = Claim::kRefused;
        confirm.row_token = Token{static_cast<std::uint64_t>(number(plain[2].substr(8)))};
      } else if (plain.at(2) == "declined") {
        confirm.claim = Claim::kDeclined;
        confirm.reason = "no route to the database";
      }
      return remembered(plain[0], confirm);
    }
    if (verb == "progress") {
      Progressed p;
      p.incarnation = IncarnationId{plain.at(0)};
      p.round = RoundId{plain.at(1)};
      p.token = token(p.round);
      p.step = StepId{plain.at(2)};
      return p;
    }
    if (verb == "report") {
      Report report;
      report.request = request(plain.at(0));
      report.round = RoundId{plain.at(1)};
      report.token = token(report.round);
      const std::string& how = plain.at(2);
      report.message = "as reported";
      if (how == "ok") {
        report.result = RunResult::kSucceeded;
      } else if (how == "failed") {
        report.result = RunResult::kFailed;
      } else if (how == "indeterminate") {
        report.result = RunResult::kIndeterminate;
      } else if (how == "changed") {
        report.result = RunResult::kChanged;
      } else if (how.starts_with("fenced-out:")) {
        report.result = RunResult::kFencedOut;
        report.row_token = Token{static_cast<std::uint64_t>(number(how.substr(11)))};
      } else {
        unknown(how);
      }
      report.in_target = has("in-target");
      report.session_ended = has("ended");
      return remembered(plain[0], report);
    }
    if (verb == "leave") {
      Leave leave;
      leave.request = request(plain.at(0));
      leave.reason = "SIGTERM";
      leave.session_ended = has("ended");
      if (has("round")) leave.token = token(RoundId{options["round"]});
      if (has("found")) leave.finding = finding_of(options["found"], RoundId{options["round"]});
      if (has("ack")) leave.acknowledge = Revision{static_cast<std::uint64_t>(number(options["ack"]))};
      leave.party = PartyName{party_of(plain[0])};
      return remembered(plain[0], leave);
    }
    if (verb == "sever") return SeverRound{request("op"), RoundId{plain.empty() ? "" : plain[0]}, "ann", "wrong plan"};
    if (verb == "resolve-begin") {
      return ResolveBegin{
          request(plain.at(0)), RoundId{plain.at(1)},
          has("seen") ? Revision{static_cast<std::uint64_t>(number(options["seen"]))} : record_.revision, "ann",
          "looked"};
    }
    if (verb == "resolve") {
      ResolveFinish finish;
      finish.request = request(plain.at(0));
      finish.round = RoundId{plain.at(1)};
      const Round* r = round(plain[1]);
      finish.token = has("token")                    ? Token{static_cast<std::uint64_t>(number(options["token"]))}
                     : r != nullptr && r->resolution ? r->resolution->token
                                                     : Token{};
      finish.verdict = plain.at(2) == "succeeded" ? State::kSucceeded : State::kFailed;
      finish.attest_stopped = has("attest");
      finish.attest_database_gone = has("gone");
      finish.claimed = has("claimed") || has("found");
      if (has("found"))
        finish.found = TargetOutcome{finish.round, r->last_run ? r->last_run->token : Token{1}, State::kSucceeded};
      finish.actor = "ann";
      finish.reason = "looked";
      return remembered(plain[0], finish);
    }
    if (verb == "pin") {
      SetTarget set;
      set.request = request("op");
      set.actor = "ann";
      set.change_pin = true;
      if (plain.at(0) != "none") set.pin = quorum_of(plain[0]);
      return set;
    }
    if (verb == "excuse") {
      SetTarget set;
      set.request = request("op");
      set.actor = "ann";
      set.reason = "region down";
      set.excuse = PartyName{plain.at(0)};
      set.excuse_for = Duration{plain.at(1) == "no" ? 0 : millis(plain[1])};
      return set;
    }
    if (verb == "rebind") {
      SetTarget set;
      set.request = request("op");
      set.actor = "ann";
      set.reason = "restored";
      set.rebind = Binding{"id-" + plain.at(0), "system-1", plain[0], "default"};
      return set;
    }
    if (verb == "grace") return Grace{plain.at(0)};
    if (verb == "tick") return Tick{};
    unknown(verb);
  }

  // "remembers=REVISION:TOKEN" of this life, "remembers=REVISION:TOKEN:LIFE" of another; "was=ROUND:STATE[:fenced]"
  // with "ran=WHO" and the plan of this very line for its round.
  std::optional<Memory> memory_of(std::map<std::string, std::string>& options) {
    if (!options.contains("remembers")) return std::nullopt;
    const auto parts = split(options["remembers"], ':');
    Memory memory;
    memory.epoch = parts.size() > 2 ? parts[2] : record_.epoch;
    memory.revision = Revision{static_cast<std::uint64_t>(number(parts.at(0)))};
    memory.token = Token{static_cast<std::uint64_t>(number(parts.at(1)))};
    if (options.contains("was")) {
      const auto was = split(options["was"], ':');
      RememberedRound& seen = memory.round.emplace();
      seen.id = RoundId{was.at(0)};
      seen.state = was.at(1) == "applying"    ? State::kApplying
                   : was.at(1) == "succeeded" ? State::kSucceeded
                                              : State::kElected;
      seen.fenced = was.size() > 2;
      seen.token = memory.token;
      seen.applier = IncarnationId{options["ran"]};
      seen.applier_party = PartyName{party_of(options["ran"])};
      seen.quorum = Quorum{2, {}};
      seen.plan.target = record_.target;
      for (const auto& name : split(options["of"], ',')) seen.plan.steps.push_back(step_named(name));
    }
    return memory;
  }

  Finding finding_of(const std::string& text, const RoundId& id) {
    Finding finding;
    if (text == "whole") {
      finding.kind = Finding::Kind::kWhole;
    } else if (text == "nothing") {
      finding.kind = Finding::Kind::kNothing;
    } else if (text.starts_with("suffix:")) {
      finding.kind = Finding::Kind::kSuffix;
      finding.from_step = static_cast<std::size_t>(number(text.substr(7)));
    } else if (text == "outcome") {
      finding.kind = Finding::Kind::kOutcome;
      const Round* r = round(id.value);
      finding.outcome =
          TargetOutcome{id, r != nullptr && r->last_run ? r->last_run->token : Token{1}, State::kSucceeded};
    } else if (text.starts_with("begun:")) {
      const auto parts = split(text.substr(6), '@');  // begun:STEP or begun:STEP@ROUND
      finding.kind = Finding::Kind::kBegun;
      finding.step = StepId{parts.at(0)};
      if (parts.size() > 1) finding.begun_by = RoundId{parts[1]};
    } else if (text == "other") {
      finding.kind = Finding::Kind::kOther;
    }
    return finding;
  }

  std::string step_with(const Command& command) { return step_with(std::vector<Command>{command}); }

  std::string step_with(const std::vector<Command>& commands) {
    Decision decision = step(record_, commands, now_, settings_);
    std::string out;
    if (!decision.broken.empty()) throw std::runtime_error("broken invariant: " + decision.broken);
    const auto again = decode(encode(decision.record));
    if (!again || *again != decision.record) throw std::runtime_error("the record does not survive its codec");
    for (std::size_t i = 0; i < commands.size(); ++i) {
      if (std::holds_alternative<Tick>(commands[i]) || std::holds_alternative<Grace>(commands[i])) continue;
      const Reply& reply = decision.replies[i];
      out += std::string("  = ") + name_of(reply.verdict);
      if (reply.round) out += " " + reply.round->value;
      if (reply.verdict == Verdict::kProceed) out += " from " + std::to_string(reply.from_step);
      if (reply.token.value > 0) out += " token " + std::to_string(reply.token.value);
      if (reply.lease_until) out += " lease " + std::to_string((*reply.lease_until - now_).count() / 1'000) + "s";
      if (reply.error) out += ": " + reply.error->reason + ": " + reply.error->message;
      if (!reply.notice.empty()) out += " (" + reply.notice + ")";
      out += "\n";
    }
    for (const Event& event : decision.events) {
      out += "  " + std::to_string(event.revision.value) + " " + name_of(event.kind);
      if (!event.round.empty()) out += " " + event.round.value;
      if (event.kind == EventKind::kRoundMoved)
        out += " " + std::string(to_string(event.from)) + " -> " + std::string(to_string(event.to));
      if (!event.incarnation.empty()) {
        out += " " + event.incarnation.value;
      } else if (!event.party.empty()) {
        out += " " + event.party.value;
      }
      if (event.token.value > 0) out += " token " + std::to_string(event.token.value);
      if (!event.actor.empty()) out += " by " + event.actor;
      if (!event.text.empty()) out += ": " + event.text;
      out += "\n";
    }
    record_ = std::move(decision.record);
    return out;
  }

  std::string show() {
    std::string out;
    for (const Round& r : record_.rounds) {
      out += "  " + r.id.value + " " + std::string(to_string(r.state));
      std::string parties;
      for (const PartyName& party : counted(record_, r)) parties += " " + party.value;
      out += " counts" + (parties.empty() ? std::string(" nobody") : parties) + " of " +
             std::to_string(r.effective.parties);
      const std::string why = waits_for(record_, r, now_);
      if (!why.empty()) out += "; waits: " + why;
      out += "\n";
    }
    return out;
  }

  Record record_;
  Record backup_;
  Settings settings_;
  Instant now_;
  std::map<std::string, std::uint64_t> sequence_;
  std::map<std::string, Command> last_;
};

}  // namespace

std::string run_transcript(const std::string& text) {
  Story story;
  std::string out;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("> ")) {
      out += line + "\n" + story.say(line.substr(2));
    } else if (line.starts_with("#") || line.empty()) {
      out += line + "\n";
    }
  }
  return out;
}

}  // namespace syzygy::round
