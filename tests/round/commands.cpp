#include "commands.h"

#include <algorithm>
#include <sstream>
#include <type_traits>
#include <utility>

#include "base/sha256.h"

namespace syzygy::round {
namespace {

Plan plan_of(const std::string& steps, PlanStage stage, bool atomic = true) {
  Plan plan;
  plan.target = TargetName{"orders"};
  plan.stage = stage;
  for (char c : steps) {
    Step step;
    step.id = StepId{std::string(1, c)};
    step.stage = stage == PlanStage::kPostDeploy ? Stage::kPostDeploy : Stage::kPreDeploy;
    step.content = sha256_hex(step.id.value);
    step.atomic = atomic;
    plan.steps.push_back(std::move(step));
  }
  return plan;
}

void print(std::ostream& out, const Plan& plan) {
  out << "plan(" << (plan.opaque ? "opaque " : "") << to_string(plan.stage)
      << (plan.on_applier_lost == OnApplierLost::kRetry ? " retry" : "");
  for (const Step& step : plan.steps) {
    out << ' ' << step.id.value << (step.atomic ? "" : "!") << (step.direction == Direction::kDown ? "v" : "");
  }
  out << ')';
}

void print(std::ostream& out, const Quorum& quorum) {
  out << quorum.parties;
  for (const PartyName& party : quorum.roster) out << ',' << party.value;
}

void print(std::ostream& out, const TargetOutcome& outcome) {
  out << outcome.round.value << ':' << outcome.token.value << ':' << to_string(outcome.state);
}

void print(std::ostream& out, const Finding& finding) {
  static const char* const kKinds[] = {"whole", "nothing", "suffix", "outcome", "begun", "other", "unknown"};
  out << kKinds[static_cast<std::size_t>(finding.kind)] << " from=" << finding.from_step;
  if (finding.outcome) print(out << " outcome=", *finding.outcome);
  if (finding.sessions_gone) out << " gone";
}

void print(std::ostream& out, const Memory& memory) {
  out << " remembers " << memory.epoch.substr(0, 8) << ':' << memory.revision.value << ':' << memory.token.value;
  if (!memory.round) return;
  const RememberedRound& round = *memory.round;
  out << " was " << round.id.value << ' ' << to_string(round.state) << (round.fenced ? " fenced" : "") << " of "
      << round.applier.value << " under " << round.token.value << ' ';
  print(out, round.plan);
}

struct Printer {
  std::ostream& out;

  void request(const RequestId& id) const { out << ' ' << id.incarnation.value << '#' << id.sequence; }

  void operator()(const Join& c) const {
    out << "join";
    request(c.request);
    out << " party=" << c.party.value << ' ';
    if (c.plan) print(out, *c.plan);
    if (c.quorum) print(out << " quorum=", *c.quorum);
    out << " timeout=" << c.timeout.count() << " lease=" << c.lease.count();
    if (!c.may_apply) out << " voter";
    if (c.again) out << " again";
    if (c.checked) out << " checked";
    if (c.binding) out << " database=" << c.binding->database;
    if (c.snapshot) {
      out << " seen=" << c.snapshot->token.value << " history=";
      for (const Step& step : c.snapshot->recent) out << step.id.value;
      if (c.snapshot->last_outcome) print(out << " outcome=", *c.snapshot->last_outcome);
    }
  }
  void operator()(const Renew& c) const { out << "renew " << c.incarnation.value << " token=" << c.token.value; }
  void operator()(const Confirm& c) const {
    static const char* const kClaims[] = {"complete", "refused", "declined"};
    out << "confirm";
    request(c.request);
    out << ' ' << c.round.value << " token=" << c.token.value << ' ' << kClaims[static_cast<std::size_t>(c.claim)]
        << (c.fenced ? " fenced " : " unfenced ");
    print(out, c.finding);
    out << " row=" << c.row_token.value;
  }
  void operator()(const Progressed& c) const {
    out << "progress " << c.incarnation.value << ' ' << c.round.value << " token=" << c.token.value
        << " step=" << c.step.value;
  }
  void operator()(const Report& c) const {
    static const char* const kResults[] = {"succeeded", "failed", "indeterminate", "changed", "fenced-out"};
    out << "report";
    request(c.request);
    out << ' ' << c.round.value << " token=" << c.token.value << ' ' << kResults[static_cast<std::size_t>(c.result)]
        << (c.in_target ? " in-target" : "") << (c.session_ended ? " ended" : "") << " row=" << c.row_token.value;
  }
  void operator()(const Leave& c) const {
    out << "leave";
    request(c.request);
    out << " token=" << c.token.value << (c.session_ended ? " ended " : " ");
    if (c.finding) print(out, *c.finding);
    out << " acknowledge=" << c.acknowledge.value << " party=" << c.party.value << " " << c.reason;
  }
  void operator()(const SeverRound& c) const {
    out << "sever";
    request(c.request);
    out << ' ' << c.round.value;
  }
  void operator()(const ResolveBegin& c) const {
    out << "resolve-begin";
    request(c.request);
    out << ' ' << c.round.value << " seen=" << c.seen.value;
  }
  void operator()(const ResolveFinish& c) const {
    out << "resolve";
    request(c.request);
    out << ' ' << c.round.value << " token=" << c.token.value << ' ' << to_string(c.verdict)
        << (c.attest_stopped ? " stopped" : "") << (c.attest_database_gone ? " gone" : "")
        << (c.claimed ? " claimed" : "");
    if (c.found) print(out << " found=", *c.found);
  }
  void operator()(const SetTarget& c) const {
    out << "set";
    request(c.request);
    if (c.change_pin) out << " pin=";
    if (c.change_pin && c.pin) print(out, *c.pin);
    if (c.excuse) out << " excuse=" << c.excuse->value << " for=" << c.excuse_for.count();
    if (c.rebind) out << " rebind=" << c.rebind->database;
  }
  void operator()(const Tick&) const { out << "tick"; }
  void operator()(const Grace& c) const { out << "grace " << c.boot; }
  void operator()(const Remind& c) const { print(out << "remind", c.memory); }
};

// Which memory came with it, if any: no part of the body that tells repeated requests apart.
const Memory* memory_of(const Command& command) {
  return std::visit(
      [](const auto& c) -> const Memory* {
        if constexpr (requires { c.memory->token; }) {
          return c.memory ? &*c.memory : nullptr;
        } else {
          return nullptr;
        }
      },
      command);
}

}  // namespace

std::string describe(const Command& command) {
  std::ostringstream out;
  std::visit(Printer{out}, command);
  return out.str();
}

std::string describe_all(const Command& command) {
  std::ostringstream out(describe(command), std::ios::ate);
  if (const Memory* memory = memory_of(command)) print(out, *memory);
  return out.str();
}

Chaos::Chaos(std::uint64_t seed) : random_(seed * 0x9E3779B97F4A7C15ULL + 1) {
  parties_ = 2 + static_cast<int>(below(3));
  settings_.linger = Duration{chance(50) ? 60'000 : 600'000};
  settings_.wait_default = Duration{chance(50) ? 40'000 : 1'800'000};
  if (chance(25)) {
    settings_.parties_max = 1 + below(3);
    settings_.members_max = 2 + below(3);
    settings_.gathering_max = 1 + below(2);
    settings_.lingering_max = 1 + below(3);
  }
  if (chance(10)) settings_.requests_max = 2 + below(4);
  if (chance(10)) settings_.quiet_until = Instant{1'000'000 + static_cast<std::int64_t>(below(30'000))};
  forgetful_ = chance(50);
  if (!forgetful_ && chance(70)) settings_.lease_max = settings_.lease_unfenced = Duration{20'000};
  const PlanStage all = PlanStage::kAll;
  plans_ = {plan_of("123", all), plan_of("123", all), plan_of("23", all),
            plan_of("3", all),   plan_of("34", all),  plan_of("56", all)};
  plans_.push_back(plan_of("123", all, false));
  plans_.push_back(plan_of("123", PlanStage::kPostDeploy));
  plans_.push_back(opaque_plan(TargetName{"orders"}, all, "build-7", OnApplierLost::kStop));
  plans_.push_back(opaque_plan(TargetName{"orders"}, all, "build-7", OnApplierLost::kRetry));
  plans_.push_back(opaque_plan(TargetName{"orders"}, PlanStage::kPreDeploy, "build-7", OnApplierLost::kStop));
  // A story has few plans: its parties should meet.
  std::shuffle(plans_.begin() + 1, plans_.end(), random_);
  plans_.resize(1 + below(4));
}

bool Chaos::chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
std::size_t Chaos::below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

PartyName Chaos::party() {
  return PartyName{std::string(1, static_cast<char>('a' + below(static_cast<std::size_t>(parties_))))};
}

IncarnationId Chaos::incarnation(const PartyName& party) {
  return IncarnationId{party.value + std::to_string(chance(75) ? 1 : 2 + below(2))};
}

Token Chaos::token(const Record& record, Token right) {
  if (chance(85)) return right;
  if (chance(50)) return Token{right.value - (right.value > 0 ? 1 : 0)};
  return chance(50) ? right.next() : record.token;
}

Instant Chaos::later(Instant now, std::optional<Instant> wake) {
  if (wake && chance(15)) return Instant{wake->ms + static_cast<std::int64_t>(below(3)) - 1};
  if (chance(50)) return now;
  if (chance(3)) return now - Duration{static_cast<std::int64_t>(below(10'000))};
  if (chance(8)) return now + Duration{static_cast<std::int64_t>(below(70'000))};
  return now + Duration{static_cast<std::int64_t>(below(5'000))};
}

std::vector<Command> Chaos::batch(const Record& record) {
  std::vector<Command> commands;
  for (std::size_t left = chance(80) ? 1 : 2 + below(3); left > 0; --left) commands.push_back(draw(record));
  return commands;
}

Command Chaos::with_request(Command command, const IncarnationId& who) {
  const auto before = last_.find(who);
  const bool altered = before != last_.end() && chance(3);
  if (before != last_.end() && chance(4)) {
    Command again = before->second;
    if (Join* join = std::get_if<Join>(&again)) join->fresh_round = RoundId{"again" + std::to_string(++rounds_)};
    return again;
  }
  std::uint64_t& sequence = sequence_[who];
  std::uint64_t mine = sequence;
  if (chance(2) && sequence > 1) {
    mine = sequence - 1;
  } else if (!altered) {
    mine = ++sequence;
  }
  std::visit(
      [&](auto& c) {
        if constexpr (requires { c.request; }) c.request = RequestId{who, mine};
      },
      command);
  if (mine == sequence && !altered) last_.insert_or_assign(who, command);
  return command;
}

Finding Chaos::finding(const Round& round) {
  using Kind = Finding::Kind;
  Finding found;
  const std::size_t steps = round.plan.steps.size();
  if (round.plan.opaque) {
    found.kind = chance(80) ? Kind::kUnknown : chance(50) ? Kind::kOutcome : Kind::kNothing;
  } else if (!round.last_run) {
    found.kind = chance(80) ? Kind::kWhole : static_cast<Kind>(below(7));
  } else {
    found.kind = static_cast<Kind>(below(7));
  }
  if (found.kind == Kind::kSuffix) found.from_step = chance(95) ? below(steps) : steps;
  if (found.kind == Kind::kOutcome && chance(90)) {
    const Token token = round.last_run ? round.last_run->token : Token{1};
    found.outcome =
        TargetOutcome{chance(85) ? round.id : RoundId{"other"}, token, chance(85) ? State::kSucceeded : State::kFailed};
  }
  found.sessions_gone = chance(40);
  for (std::size_t i = 0; i < found.from_step && i < steps; ++i) found.committed.push_back(round.plan.steps[i].id);
  return found;
}

// What somebody saw before the store went back, or just now, or long ago.
Memory Chaos::memory(const Record& record) {
  Memory memory;
  if (record.revision > newest_.revision || chance(1)) newest_ = record;
  const Record& seen = chance(70) ? newest_ : record;
  memory.epoch = chance(95)              ? seen.epoch
                 : chance(50)            ? "elsewhere"
                 : record.former.empty() ? ""
                                         : record.former.front();
  memory.revision = Revision{chance(80) ? seen.revision.value : below(seen.revision.value + 3)};
  memory.token = Token{chance(80) ? seen.token.value : below(seen.token.value + 3)};
  if (chance(1)) memory.token = Token{std::uint64_t{1} << 62};
  if (seen.rounds.empty() || chance(30)) return memory;
  const Round& round = one_of(seen.rounds);
  RememberedRound& was = memory.round.emplace();
  was.id = chance(95) ? round.id : RoundId{"gone" + std::to_string(below(3))};
  was.plan = round.plan;
  was.quorum = round.effective;
  was.state = chance(80) ? round.state : static_cast<State>(below(10));
  was.applier = round.grant ? round.grant->incarnation : round.last_run ? round.last_run->incarnation : IncarnationId{};
  was.applier_party = round.grant ? round.grant->party : round.last_run ? round.last_run->party : PartyName{};
  was.token = round.grant ? round.grant->token : round.last_run ? round.last_run->token : Token{below(3)};
  was.fenced = round.grant ? round.grant->fenced : round.last_run && round.last_run->fenced;
  if (chance(3)) was.plan.steps.clear();
  return memory;
}

Join Chaos::join(const Record& record) {
  Join join;
  join.party = party();
  join.request.incarnation = incarnation(join.party);
  if (chance(90)) join.plan = chance(60) ? plans_.front() : one_of(plans_);
  const auto usual = static_cast<std::uint32_t>(1 + (parties_ > 2 && plans_.size() % 2 == 0 ? 1 : 0));
  if (chance(93)) {
    join.quorum = Quorum{chance(90) ? usual : static_cast<std::uint32_t>(1 + below(3)), {}};
    if (chance(6)) {
      join.quorum->roster = {PartyName{"a"}, PartyName{"b"}};
      join.quorum->parties = 2;
    }
  }
  if (chance(30)) join.timeout = Duration{static_cast<std::int64_t>(1 + below(90'000))};
  if (chance(20)) join.lease = Duration{static_cast<std::int64_t>(1 + below(400'000))};
  join.may_apply = chance(85);
  join.again = chance(5);
  join.checked = chance(5);
  if (chance(10)) join.binding = Binding{"id", "system", chance(85) ? "orders" : "clone", "default"};
  if (chance(75)) {
    Snapshot& seen = join.snapshot.emplace();
    const std::uint64_t top = record.token.value;
    seen.token = Token{chance(60) ? top : chance(60) ? top / 2 : chance(80) || forgetful_ ? 0 : top + below(4)};
    if (forgetful_ && chance(5)) seen.token = Token{top + (1 << 20) - below(top + 1)};
    if (chance(2)) seen.token = Token{(std::uint64_t{1} << 62) - (chance(50) ? 1 : 0)};
    for (const char c : std::string("123").substr(0, below(4))) {
      seen.recent.push_back(plan_of(std::string(1, c), join.plan ? join.plan->stage : PlanStage::kAll).steps.front());
      if (join.plan && !join.plan->steps.empty()) seen.recent.back().stage = Stage::kPreDeploy;
    }
    if (!record.rounds.empty() && chance(35)) {
      const Round& round = one_of(record.rounds);
      Token token = round.outcome ? round.outcome->token : round.last_run ? round.last_run->token : Token{1};
      if (chance(20)) token = Token{token.value / 2};
      seen.last_outcome = TargetOutcome{round.id, token, State::kSucceeded};
    }
  }
  if (!forgetful_ && chance(20)) join.memory = memory(record);
  join.host = "host";
  join.fresh_round = RoundId{"r" + std::to_string(++rounds_)};
  return join;
}

Confirm Chaos::confirm(const Record& record, const Round& round) {
  Confirm confirm;
  confirm.round = round.id;
  confirm.token = token(record, round.grant->token);
  const std::size_t kind = below(100);
  confirm.claim = kind < 85 ? Claim::kComplete : kind < 92 ? Claim::kRefused : Claim::kDeclined;
  confirm.fenced = chance(70);
  confirm.finding = finding(round);
  confirm.row_token = Token{record.token.value + (forgetful_ ? below(2) << 20 : below(3))};
  if (chance(2)) confirm.row_token = Token{std::uint64_t{1} << 62};
  confirm.reason = "no route";
  return confirm;
}

Report Chaos::report(const Record& record, const Round& round) {
  Report report;
  report.round = round.id;
  report.token = token(record, round.grant ? round.grant->token : round.last_run->token);
  const std::size_t kind = below(100);
  report.result = kind < 45   ? RunResult::kSucceeded
                  : kind < 70 ? RunResult::kFailed
                  : kind < 80 ? RunResult::kIndeterminate
                  : kind < 90 ? RunResult::kChanged
                              : RunResult::kFencedOut;
  report.message = "as reported";
  report.in_target = report.result == RunResult::kSucceeded && chance(70);
  report.session_ended = chance(50);
  report.row_token = Token{record.token.value + (forgetful_ ? 0 : below(3))};
  if (!forgetful_ && chance(10)) report.memory = memory(record);
  return report;
}

Command Chaos::draw(const Record& record) {
  const Round* held = nullptr;
  for (const Round& round : record.rounds) {
    if (holds_target(round.state)) held = &round;
  }
  const auto holder_or_other = [&](const IncarnationId& right) { return chance(90) ? right : incarnation(party()); };
  if (held != nullptr && chance(55)) {
    switch (held->state) {
      case State::kElected:
        if (chance(70)) return with_request(confirm(record, *held), holder_or_other(held->grant->incarnation));
        break;
      case State::kApplying:
        if (chance(10)) {
          Progressed progress;
          progress.round = held->id;
          progress.incarnation = holder_or_other(held->grant->incarnation);
          progress.token = token(record, held->grant->token);
          progress.step = held->plan.steps.front().id;
          return progress;
        }
        if (chance(40)) return with_request(report(record, *held), holder_or_other(held->grant->incarnation));
        break;
      case State::kRecovering:
        if (held->last_run && chance(25)) {
          return with_request(report(record, *held), holder_or_other(held->last_run->incarnation));
        }
        break;
      default: {
        const IncarnationId operator_id{chance(95) ? "op" : "op2"};
        if (!held->resolution || chance(20)) {
          ResolveBegin begin;
          begin.round = held->id;
          begin.seen = Revision{chance(90) ? record.revision.value : held->outcome->revision.value - 1};
          begin.actor = "ann";
          return with_request(begin, operator_id);
        }
        ResolveFinish finish;
        finish.round = held->id;
        finish.token = token(record, held->resolution->token);
        finish.verdict = chance(50) ? State::kSucceeded : chance(90) ? State::kFailed : State::kExpired;
        finish.attest_stopped = chance(60);
        finish.attest_database_gone = chance(20);
        finish.claimed = chance(60);
        if (chance(30)) {
          finish.found = TargetOutcome{chance(80) ? held->id : RoundId{"other"},
                                       held->last_run ? held->last_run->token : Token{1}, State::kSucceeded};
        }
        finish.actor = "ann";
        return with_request(finish, held->resolution->incarnation == operator_id || chance(50)
                                        ? held->resolution->incarnation
                                        : operator_id);
      }
    }
  }
  const std::size_t kind = below(100);
  if (kind < 40) {
    Join drawn = join(record);
    const IncarnationId who = drawn.request.incarnation;
    return with_request(std::move(drawn), who);
  }
  if (kind < 60) {
    Renew renew;
    renew.incarnation = incarnation(party());
    if (held != nullptr && held->grant && chance(50)) {
      renew.incarnation = holder_or_other(held->grant->incarnation);
      renew.token = token(record, held->grant->token);
    }
    if (!forgetful_ && chance(20)) renew.memory = memory(record);
    return renew;
  }
  if (kind < 70) {
    Leave leave;
    const PartyName from = party();
    IncarnationId who = incarnation(from);
    leave.reason = "SIGTERM";
    if (held != nullptr && (held->grant || held->last_run) && chance(60)) {
      who = held->grant ? held->grant->incarnation : held->last_run->incarnation;
      leave.token = token(record, held->grant ? held->grant->token : held->last_run->token);
      leave.session_ended = chance(60);
      if (chance(40)) leave.finding = finding(*held);
    }
    return with_request(leave, who);
  }
  if (kind < 76) {
    Leave leave;
    leave.party = chance(90) ? party() : PartyName{};
    for (const Round& round : record.rounds) {
      if (round.outcome && (leave.acknowledge.value == 0 || chance(30))) leave.acknowledge = round.outcome->revision;
    }
    if (chance(5)) leave.acknowledge = Revision{leave.acknowledge.value + 1};
    return with_request(leave, incarnation(leave.party.empty() ? party() : leave.party));
  }
  if (kind < 80) {
    SeverRound sever;
    if (!record.rounds.empty() && chance(40)) sever.round = one_of(record.rounds).id;
    if (chance(3)) sever.round = RoundId{"unknown"};
    sever.actor = "ann";
    sever.reason = "wrong plan";
    return with_request(sever, IncarnationId{"op"});
  }
  if (kind < 87) {
    SetTarget set;
    set.actor = "ann";
    if (chance(40)) {
      set.change_pin = true;
      if (chance(70)) {
        set.pin = Quorum{static_cast<std::uint32_t>(1 + below(3)), {}};
        if (chance(40)) {
          set.pin->roster = {PartyName{"a"}};
          if (chance(60)) set.pin->roster.insert(PartyName{"b"});
          set.pin->parties = static_cast<std::uint32_t>(set.pin->roster.size());
        }
      }
    }
    if (chance(60)) {
      set.excuse = party();
      set.excuse_for = Duration{chance(70) ? static_cast<std::int64_t>(1 + below(60'000)) : 0};
    }
    if (chance(10)) set.rebind = Binding{"id", "system", "clone", "default"};
    return with_request(set, IncarnationId{"op"});
  }
  if (!forgetful_ && kind < 89) return Remind{memory(record)};
  if (kind < 92) return Grace{"boot" + std::to_string(below(6))};
  return Tick{};
}

}  // namespace syzygy::round
