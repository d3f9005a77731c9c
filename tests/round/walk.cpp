#include "walk.h"

#include <algorithm>
#include <bitset>
#include <cstring>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <unordered_set>

#include "round/codec.h"
#include "round/step.h"

namespace syzygy::round {
namespace {

struct Process {
  bool silent = false;
  bool left = false;
  int joins = 0;
  std::uint64_t claimed = 0;  // the token of its claim in the target
  RoundId running;
  std::uint64_t token = 0;
  std::size_t next = 0;
  std::shared_ptr<const Plan> plan;  // of the round that it runs, which the record may lose
  bool changed = false;
  std::uint64_t sequence = 0;
  std::optional<Memory> memory;  // of the life that was lost, until it was told
};

// Copied for every transition: what never changes in it is shared.
struct World {
  Record record;
  std::shared_ptr<const Record> backup;
  int backups = 0, lives = 0;
  std::uint64_t row = 0;
  int row_holder = -1;
  std::set<std::string> committed;
  std::map<RoundId, std::uint64_t> outcomes;
  RoundId newest_outcome;
  std::pair<std::string, RoundId> begun;
  std::map<RoundId, State> told;
  std::vector<Process> processes;
  int silences = 0, restarts = 0, severs = 0, leaves = 0, failures = 0, declines = 0;
  std::uint64_t operations = 0;
  std::bitset<kDimensions> met;  // no part of what tells states apart
  std::vector<int> opened;       // how often each plan was, by its number in plans_
};

constexpr std::size_t kStatesMax = 2'000'000;

struct Key {
  std::uint64_t a, b;
  friend bool operator==(const Key&, const Key&) = default;
};
struct KeyHash {
  std::size_t operator()(const Key& key) const { return key.a; }
};

// The values that were put in, and where each stands among them.
class Ranks {
 public:
  void insert(std::uint64_t value) {
    const auto at = std::ranges::lower_bound(values_, value);
    if (at == values_.end() || *at != value) values_.insert(at, value);
  }
  std::uint64_t of(std::uint64_t value) const {
    return static_cast<std::uint64_t>(std::ranges::lower_bound(values_, value) - values_.begin());
  }

 private:
  std::vector<std::uint64_t> values_;
};

class Walk {
 public:
  Walk(const Bounds& bounds, Coverage& coverage) : bounds_(bounds), coverage_(coverage) {
    settings_.lease = Duration{15'000};
    settings_.linger = Duration{40'000};
    if (bounds.backups + bounds.losses > 0) {
      settings_.lease_max = settings_.lease_unfenced = settings_.lease;
      settings_.lock_delay_unfenced = Duration{1'000};
    }
  }

  // Empty, or what is wrong and the way there.
  std::string run() {
    World first;
    first.record.target = TargetName{"orders"};
    first.record.now = Instant{1'000'000};
    first.record.epoch = "first";
    first.processes.resize(bounds_.processes.size());
    add(first, -1, "start");
    while (!queue_.empty() && wrong_.empty()) {
      if (seen_.size() > kStatesMax) fail("it does not end: " + std::to_string(kStatesMax) + " states", "and so on");
      at_ = queue_.front().second;
      const World world = std::move(queue_.front().first);
      queue_.pop_front();
      expand(world);
    }
    return wrong_;
  }

  std::size_t states() const { return seen_.size(); }
  std::size_t transitions() const { return transitions_; }

 private:
  PartyName party(std::size_t i) const { return PartyName{bounds_.processes[i].substr(0, 1)}; }
  IncarnationId who(std::size_t i) const { return IncarnationId{"p" + std::to_string(i)}; }

  Step step_of(char c) const {
    Step step;
    step.id = StepId{std::string(1, c)};
    step.content = std::string(64, c);
    step.atomic = bounds_.atomic;
    return step;
  }

  static Key key_of(std::string bytes) {
    bytes += static_cast<char>(bytes.size() % sizeof(std::uint64_t));  // what fills the last word is no part of it
    bytes.resize((bytes.size() + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t) * sizeof(std::uint64_t));
    Key key{0xcbf29ce484222325ULL, 0x9E3779B97F4A7C15ULL};
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof word);
      key.a = (key.a ^ word) * 0xff51afd7ed558ccdULL;
      key.a ^= key.a >> 29;
      key.b = (key.b + word) * 0xD6E8FEB86659FD93ULL;
      key.b ^= key.b >> 32;
    }
    return key;
  }

  Key key_of(const World& world) const {
    Record r = world.record;
    Ranks tokens;
    Ranks orders;
    for (const std::uint64_t token : {std::uint64_t{0}, world.row, r.token.value}) tokens.insert(token);
    const auto all_members = [&](auto&& visit) {
      for (Round& round : r.rounds) {
        for (Member& member : round.members) visit(member, is_final(round.state));
      }
      for (Member& guest : r.guests) visit(guest, false);
    };
    const auto all_tokens = [&](auto&& visit) {
      visit(r.token);
      if (r.resync) visit(r.resync->seen);
      for (Round& round : r.rounds) {
        if (round.grant) visit(round.grant->token);
        if (round.last_run) visit(round.last_run->token);
        if (round.outcome) visit(round.outcome->token);
        if (round.resolution) visit(round.resolution->token);
      }
    };
    all_tokens([&](Token& token) { tokens.insert(token.value); });
    for (const Process& process : world.processes) {
      tokens.insert(process.claimed);
      tokens.insert(process.token);
    }
    for (const auto& [round, token] : world.outcomes) tokens.insert(token);
    for (const Process& process : world.processes) {
      if (!process.memory) continue;
      tokens.insert(process.memory->token.value);
      tokens.insert(process.memory->round->token.value);
    }
    all_members([&](Member& member, bool) { orders.insert(member.order); });
    const Instant now = r.now;
    const auto left = [&](Instant& at) { at = Instant{std::max<std::int64_t>(0, at.ms - now.ms)}; };
    all_tokens([&](Token& token) { token = Token{tokens.of(token.value)}; });
    all_members([&](Member& member, bool over) {
      member.order = orders.of(member.order);
      member.seen_token = Token{};
      member.joined_at = Instant{};
      left(member.lease_until);
      left(member.deadline);
      left(member.declined_until);
      if (over) member.lease_until = member.deadline = member.declined_until = Instant{};
    });
    for (Round& round : r.rounds) {
      round.opened_at = round.ended_at = Instant{};
      round.elected_at.reset();
      left(round.linger_until);
      if (round.grant) left(round.grant->lease_until);
      if (round.sever) {
        round.sever->at = Instant{};
        left(round.sever->confirm_by);
        if (is_final(round.state)) round.sever->confirm_by = Instant{};
      }
      if (round.outcome) {
        round.outcome->at = Instant{};
        round.outcome->revision = Revision{};
        round.outcome->message.clear();
      }
      round.progress.reset();
      round.plan.target = TargetName{};
    }
    r.visits.clear();
    r.revision = Revision{};
    r.order = 0;
    r.now = Instant{};
    r.graced_boot.clear();
    r.epoch.clear();
    r.former.clear();
    if (r.resync) {
      r.resync->why.clear();
      r.resync->since = Instant{};
      left(r.resync->until);
    }
    std::string bytes = encode(r);
    const auto put = [&](const auto& value) { bytes += std::to_string(value) + ","; };
    put(tokens.of(world.row));
    put(world.row_holder);
    for (const auto& step : world.committed) bytes += step;
    for (const auto& [round, token] : world.outcomes) bytes += round.value + "=" + std::to_string(tokens.of(token));
    bytes += world.newest_outcome.value + world.begun.first + world.begun.second.value;
    for (const Process& process : world.processes) {
      put(process.silent);
      put(process.left);
      put(process.joins);
      put(tokens.of(process.claimed));
      put(tokens.of(process.token));
      put(process.next);
      put(process.changed);
      bytes += process.running.value;
      if (!process.memory) continue;
      put(tokens.of(process.memory->token.value));
      bytes += process.memory->round->id.value + std::string(to_string(process.memory->round->state));
    }
    put(world.lives);
    put(world.backups);
    // One backup is as good as another that was taken in the same state.
    if (world.backup) bytes += std::to_string(world.backup->revision.value) + "/" + world.backup->epoch;
    for (int used : {world.silences, world.restarts, world.severs, world.leaves, world.failures, world.declines})
      put(used);
    return key_of(std::move(bytes));
  }

  void add(World world, long from, const std::string& how) {
    ++transitions_;
    for (std::size_t a = 0; a < kDimensions; ++a) {
      for (std::size_t b = 0; b < kDimensions; ++b) coverage_.pairs[a][b] += world.met[a] && world.met[b] ? 1 : 0;
    }
    if (!wrong_.empty() || !seen_.insert(key_of(world)).second) return;
    path_.emplace_back(from, how);
    queue_.emplace_back(std::move(world), static_cast<long>(path_.size()) - 1);
  }

  void fail(const std::string& why, const std::string& last) {
    if (!wrong_.empty()) return;
    std::vector<std::string> way{last};
    for (long at = at_; at >= 0; at = path_[static_cast<std::size_t>(at)].first) {
      way.push_back(path_[static_cast<std::size_t>(at)].second);
    }
    wrong_ = std::string("walk ") + bounds_.name + ": " + why + ", by";
    for (auto line = way.rbegin(); line != way.rend(); ++line) wrong_ += "\n  " + *line;
  }

  // One step of the real thing, and everything that must hold after it.
  std::optional<Reply> tell(World& world, const std::vector<Command>& commands, Instant now, const std::string& how) {
    Decision decision = step(std::move(world.record), commands, now, settings_);
    world.record = std::move(decision.record);
    if (!decision.broken.empty()) {
      fail("broken invariant " + decision.broken, how);
      return std::nullopt;
    }
    for (const Event& event : decision.events) {
      if (event.kind == EventKind::kRoundMoved) ++coverage_.moves[{event.from, event.to}];
    }
    // Whatever ran without a fence has stopped itself by then: its lease is over.
    const auto resynchronised = [](const Event& event) { return event.kind == EventKind::kResyncEnded; };
    if (!bounds_.fenced && std::ranges::any_of(decision.events, resynchronised)) {
      for (Process& process : world.processes) process.running = RoundId{};
    }
    world.record.answered.clear();  // no request is repeated here
    note_met(world, decision.events);
    bool live = false;
    for (const Round& round : world.record.rounds) {
      if (!is_final(round.state)) {
        for (const Member& member : round.members) live = live || member.standing == Standing::kLive;
      }
      if (round.state != State::kSucceeded && round.state != State::kFailed) continue;
      const auto before = world.told.find(round.id);
      if (before != world.told.end() && before->second != round.state) fail("7: another outcome is told", how);
      if (before == world.told.end() && round.state == State::kSucceeded) {
        for (const Step& step : round.plan.steps) {
          if (!world.committed.contains(step.id.value)) fail("9: SUCCEEDED, but a step does not stand", how);
        }
      }
      if (before == world.told.end() && round.state == State::kFailed && world.outcomes.contains(round.id)) {
        fail("9: FAILED, but its outcome stands in the target", how);
      }
      if (before == world.told.end() && world.begun.second == round.id) {
        fail("applier lost: " + std::string(to_string(round.state)) + ", but nobody knows what its step " +
                 world.begun.first + " has done",
             how);
      }
      world.told[round.id] = round.state;
    }
    if (live && !decision.wake_at) fail("20: somebody waits, and nothing will ever wake the record", how);
    if (decision.wake_at && *decision.wake_at <= world.record.now) fail("it asks to be woken in the past", how);
    elected(world, how);
    return commands.empty() ? Reply{} : decision.replies.front();
  }

  // Which dimensions this history has met by now.
  void note_met(World& world, const std::vector<Event>& events) {
    for (const Event& event : events) {
      if (event.kind == EventKind::kRoundOpened) {
        const std::size_t plan = plans_.try_emplace(round_of(world, event.round)->hash, plans_.size()).first->second;
        if (world.opened.size() <= plan) world.opened.resize(plan + 1);
        if (++world.opened[plan] > 1) world.met.set(kTwoGenerations);
        if (std::ranges::count_if(world.opened, [](int times) { return times > 0; }) > 1) world.met.set(kTwoPlans);
      }
      if (event.kind == EventKind::kPartyLapsed) world.met.set(kLeaseExpiry);
    }
    if (world.restarts > 0) world.met.set(kRestart);
    std::set<PartyName> joined;
    for (std::size_t i = 0; i < world.processes.size(); ++i) {
      if (world.processes[i].joins > 0 && !joined.insert(party(i)).second) world.met.set(kTwoIncarnations);
    }
    if (joined.size() > 2) world.met.set(kThreeParties);
  }

  // 18: a complete quorum with somebody able and a free target is elected in the same step.
  void elected(const World& world, const std::string& how) {
    if (world.record.resync) return;
    for (const Round& round : world.record.rounds) {
      if (holds_target(round.state)) return;
    }
    for (const Round& round : world.record.rounds) {
      if (round.state != State::kGathering) continue;
      std::set<PartyName> parties;
      bool able = false;
      for (const Member& member : round.members) {
        if (member.standing != Standing::kLive) continue;
        parties.insert(member.party);
        able = able || (member.may_apply && member.declined_until <= world.record.now);
      }
      if (able && parties.size() >= bounds_.quorum) fail("18: complete, able, free, and not elected", how);
    }
  }

  RequestId request(World& world, std::size_t i) const { return {who(i), ++world.processes[i].sequence}; }

  // What a process reads in the target, in one snapshot.
  Join join_of(World& world, std::size_t i) const {
    Join join;
    join.request = request(world, i);
    join.party = party(i);
    Plan plan;
    plan.target = world.record.target;
    for (const char c : bounds_.processes[i].substr(1)) {
      if (!world.committed.contains(std::string(1, c))) plan.steps.push_back(step_of(c));
    }
    if (!plan.steps.empty()) join.plan = plan;
    join.quorum = Quorum{bounds_.quorum, {}};
    join.timeout = Duration{40'000};
    Snapshot& seen = join.snapshot.emplace();
    seen.token = Token{world.row};
    for (const std::string& step : world.committed) seen.recent.push_back(step_of(step.front()));
    if (!world.newest_outcome.empty()) {
      seen.last_outcome =
          TargetOutcome{world.newest_outcome, Token{world.outcomes.at(world.newest_outcome)}, State::kSucceeded};
    }
    join.fresh_round = RoundId{std::string(static_cast<std::size_t>(world.lives), 'n') + "r" +
                               std::to_string(world.record.generation.value + 1)};
    if (bounds_.fenced) join.binding = Binding{"id", "system", "orders", "default"};
    join.memory = std::exchange(world.processes[i].memory, std::nullopt);
    return join;
  }

  Finding find(const World& world, const Round& round) const {
    Finding found;
    found.sessions_gone = bounds_.sessions_seen;
    if (const auto outcome = world.outcomes.find(round.id); outcome != world.outcomes.end()) {
      found.kind = Finding::Kind::kOutcome;
      found.outcome = TargetOutcome{round.id, Token{outcome->second}, State::kSucceeded};
      return found;
    }
    std::size_t prefix = 0;
    std::size_t all = 0;
    for (const Step& step : round.plan.steps) {
      if (!world.committed.contains(step.id.value)) continue;
      found.committed.push_back(step.id);
      if (prefix == all && round.plan.steps[prefix] == step) ++prefix;
      ++all;
    }
    using Kind = Finding::Kind;
    if (all == round.plan.steps.size()) {
      found.kind = Kind::kNothing;
    } else if (std::ranges::find(round.plan.steps, StepId{world.begun.first}, &Step::id) != round.plan.steps.end()) {
      found.kind = Kind::kBegun;
      found.step = StepId{world.begun.first};
      found.begun_by = world.begun.second;
    } else if (all == 0) {
      found.kind = Kind::kWhole;
    } else if (prefix == all) {
      found.kind = Kind::kSuffix;
      found.from_step = prefix;
    } else {
      found.kind = Kind::kOther;
    }
    return found;
  }

  const Round* round_of(const World& world, const RoundId& id) const {
    for (const Round& round : world.record.rounds) {
      if (round.id == id) return &round;
    }
    return nullptr;
  }

  void expand(const World& world) {
    const Instant now = world.record.now;
    const Round* held = nullptr;
    for (const Round& round : world.record.rounds) {
      if (holds_target(round.state)) held = &round;
    }
    for (std::size_t i = 0; i < world.processes.size() && wrong_.empty(); ++i) act(world, held, i);
    if (world.restarts < bounds_.restarts) {
      World next = world;
      ++next.restarts;
      tell(next, {Grace{"boot" + std::to_string(next.restarts)}}, now, "restart");
      add(std::move(next), at_, "restart");
    }
    if (world.severs < bounds_.severs) {
      World next = world;
      ++next.severs;
      SeverRound sever;
      sever.request = {IncarnationId{"op"}, ++next.operations};
      sever.actor = "ann";
      tell(next, {sever}, now, "sever");
      add(std::move(next), at_, "sever");
    }
    if (held != nullptr && held->state == State::kIndeterminate && !world.record.resync) resolve(world, *held);
    if (world.backups < bounds_.backups) {
      World next = world;
      ++next.backups;
      next.backup = std::make_shared<const Record>(world.record);
      add(std::move(next), at_, "a copy of the store is taken");
    }
    if (world.backup && world.lives == 0) lose(world, *world.backup, "the copy is put back");
    if (world.lives < bounds_.losses) {
      Record anew;
      anew.target = world.record.target;
      anew.epoch = "anew";
      lose(world, std::move(anew), "the store begins anew");
    }
    pass_time(world);
    check_stale(world, held);
    check_retry(world, held);
  }

  // The store goes back. Its time does not; and everybody who was in a round remembers it.
  void lose(const World& world, Record record, const std::string& how) {
    World next = world;
    ++next.lives;
    next.backup.reset();
    for (std::size_t i = 0; i < next.processes.size(); ++i) {
      for (const Round& round : world.record.rounds) {
        const auto mine = [&](const Member& m) { return m.incarnation == who(i) && m.standing != Standing::kLeft; };
        if (std::ranges::none_of(round.members, mine)) continue;
        // Who heard how his round ended stops; who still runs it has not heard.
        if (is_final(round.state) && next.processes[i].running == round.id) continue;
        Memory& memory = next.processes[i].memory.emplace();
        memory.epoch = world.record.epoch;
        memory.revision = world.record.revision;
        memory.token = world.record.token;
        RememberedRound& was = memory.round.emplace();
        was.id = round.id;
        was.plan = round.plan;
        was.quorum = round.effective;
        was.state = round.state;
        was.fenced = bounds_.fenced;
        if (round.grant) {
          was.applier = round.grant->incarnation;
          was.applier_party = round.grant->party;
          was.token = round.grant->token;
        } else if (round.last_run) {
          was.applier = round.last_run->incarnation;
          was.applier_party = round.last_run->party;
          was.token = round.last_run->token;
        }
      }
    }
    // Nothing tells the lives apart that go on from an old copy: a failure that no daemon remembers may be tried again
    // under its name. A success never becomes one.
    if (!bounds_.daemon_remembers && record.epoch == world.record.epoch) {
      std::erase_if(next.told, [](const auto& told) { return told.second == State::kFailed; });
    }
    record.now = world.record.now;
    next.record = std::move(record);
    next.met.set(kRestore);
    std::vector<Command> first{Grace{"life" + std::to_string(next.lives)}};
    if (bounds_.daemon_remembers) first.emplace_back(Remind{memory_of(world.record)});
    tell(next, first, world.record.now, how);
    add(std::move(next), at_, how);
  }

  void pass_time(const World& world) {
    World next = world;
    const std::string how = "time passes";
    std::vector<Command> renewals;
    for (std::size_t i = 0; i < world.processes.size(); ++i) {
      if (!world.processes[i].silent && !world.processes[i].left && world.processes[i].joins > 0) {
        renewals.push_back(
            Renew{who(i), Token{world.processes[i].token}, std::exchange(next.processes[i].memory, std::nullopt)});
      }
    }
    if (!renewals.empty()) tell(next, renewals, world.record.now, "the living renew");
    const Decision look = step(next.record, {}, next.record.now, settings_);
    if (!look.wake_at) return;
    tell(next, {Tick{}}, *look.wake_at, how);
    add(std::move(next), at_, how);
  }

  // An operator looks, and tells the truth.
  void resolve(const World& world, const Round& round) {
    World next = world;
    ResolveBegin begin;
    begin.request = {IncarnationId{"op"}, ++next.operations};
    begin.round = round.id;
    begin.seen = world.record.revision;
    begin.actor = "ann";
    const auto reply = tell(next, {begin}, world.record.now, "resolve begins");
    if (!reply || reply->verdict != Verdict::kDone) return fail("a resolution was refused", "resolve begins");
    next.row = reply->token.value;  // it claims, which ends every session
    next.row_holder = -1;
    for (Process& process : next.processes) process.running = RoundId{};
    ResolveFinish finish;
    finish.request = {IncarnationId{"op"}, ++next.operations};
    finish.round = round.id;
    finish.token = reply->token;
    finish.claimed = finish.attest_stopped = true;
    const Finding found = find(next, round);
    finish.found = found.outcome;
    finish.verdict = found.kind == Finding::Kind::kNothing ? State::kSucceeded : State::kFailed;
    finish.actor = "ann";
    next.begun = {};
    const auto done = tell(next, {finish}, world.record.now, "resolve");
    if (!done || done->verdict != Verdict::kDone) return fail("a resolution was refused", "resolve");
    add(std::move(next), at_, "resolve");
  }

  // 16: what a stale token says changes nothing.
  void check_stale(const World& world, const Round* held) {
    if (held == nullptr || world.record.token.value == 0) return;
    const IncarnationId someone = held->grant ? held->grant->incarnation : IncarnationId{"p0"};
    Report report;
    report.request = {someone, 1'000'000};
    report.round = held->id;
    report.result = RunResult::kSucceeded;
    Confirm confirm;
    confirm.request = {someone, 1'000'001};
    confirm.round = held->id;
    confirm.finding.kind = Finding::Kind::kNothing;
    const Token right = held->grant ? held->grant->token : Token{};
    for (const std::uint64_t token : {right.value - 1, right.value + 1, std::uint64_t{0}}) {
      if (held->last_run && held->last_run->token.value == token) continue;
      report.token = confirm.token = Token{token};
      const std::vector<Command> both{report, confirm};
      const Decision decision = step(world.record, both, world.record.now, settings_);
      if (decision.record.rounds != world.record.rounds || decision.record.token != world.record.token) {
        fail("16: a stale token changed something", "stale report and claim");
      }
    }
  }

  // 23: where every round has ended, whoever comes anew waits or is answered.
  void check_retry(const World& world, const Round* held) {
    if (held != nullptr) return;
    World next = world;
    next.processes[0].sequence = 2'000'000;
    Join join = join_of(next, 0);
    join.request.incarnation = IncarnationId{"fresh"};
    join.party = PartyName{"fresh"};
    join.memory.reset();
    const Decision decision = step(next.record, std::vector<Command>{join}, next.record.now, settings_);
    const Verdict verdict = decision.replies.front().verdict;
    if (verdict != Verdict::kWait && verdict != Verdict::kApplied && verdict != Verdict::kFailed &&
        verdict != Verdict::kNothingPending) {
      fail("23: a newcomer is neither told nor let in", "a fresh join");
    }
  }

  void act(const World& world, const Round* held, std::size_t i) {
    const Process& process = world.processes[i];
    const Instant now = world.record.now;
    const std::string name = bounds_.processes[i].substr(0, 1) + std::to_string(i);
    if (process.left) return;
    if (process.joins < bounds_.joins && !process.silent && process.running.empty()) {
      World next = world;
      ++next.processes[i].joins;
      std::vector<Command> commands;
      for (const Round& round : world.record.rounds) {  // it has heard of the failure
        if (round.state != State::kFailed || process.joins == 0) continue;
        Leave heard;
        heard.request = request(next, i);
        heard.acknowledge = round.outcome->revision;
        heard.party = party(i);
        tell(next, {heard}, now, name + " acknowledges");
      }
      const Join join = join_of(next, i);
      const bool opens = tell(next, {join}, now, name + " joins").has_value();
      if (opens && next.record.generation.value <= static_cast<std::uint64_t>(bounds_.generations)) {
        add(std::move(next), at_, name + " joins");
      }
    }
    if (process.joins == 0) return;
    if (!process.silent && world.silences < bounds_.silences) {
      World next = world;
      next.processes[i].silent = true;
      ++next.silences;
      add(std::move(next), at_, name + " falls silent");
    }
    if (!process.running.empty()) return run(world, i, name);
    const bool elected = held != nullptr && held->state == State::kElected && held->grant->incarnation == who(i);
    const bool heard =
        elected && process.memory && process.memory->round->id == held->id && is_final(process.memory->round->state);
    if (elected && !heard) claim(world, *held, i, name);
    if (world.leaves < bounds_.leaves && !process.silent) {
      World next = world;
      ++next.leaves;
      next.processes[i].left = true;
      Leave leave;
      leave.request = request(next, i);
      tell(next, {leave}, now, name + " leaves");
      add(std::move(next), at_, name + " leaves");
    }
  }

  void claim(const World& world, const Round& round, std::size_t i, const std::string& name) {
    const std::uint64_t token = round.grant->token.value;
    if (world.declines < bounds_.declines) {
      World next = world;
      ++next.declines;
      Confirm confirm;
      confirm.request = request(next, i);
      confirm.round = round.id;
      confirm.token = round.grant->token;
      confirm.claim = Claim::kDeclined;
      tell(next, {confirm}, world.record.now, name + " declines");
      add(std::move(next), at_, name + " declines");
    }
    World next = world;
    // The claim in the target: a commit of its own. A row that stands higher, or as high for somebody else, refuses.
    if (world.processes[i].claimed != token && world.row < token) {
      next.row = token;
      next.row_holder = static_cast<int>(i);
      next.processes[i].claimed = token;
      return add(std::move(next), at_, name + " claims");
    }
    Confirm confirm;
    confirm.request = request(next, i);
    confirm.round = round.id;
    confirm.token = round.grant->token;
    confirm.fenced = bounds_.fenced;
    confirm.finding = find(world, round);
    if (world.row != token || world.row_holder != static_cast<int>(i)) {
      confirm.claim = Claim::kRefused;
      confirm.row_token = Token{world.row};
    }
    const auto reply = tell(next, {confirm}, world.record.now, name + " confirms");
    if (reply && reply->verdict == Verdict::kProceed) {
      next.processes[i].running = round.id;
      next.processes[i].token = token;
      next.processes[i].next = reply->from_step;
      next.processes[i].plan = std::make_shared<const Plan>(round.plan);
    }
    add(std::move(next), at_, name + " confirms");
  }

  void report(const World& world, std::size_t i, RunResult result, const std::string& how) {
    World next = world;
    Report report;
    report.request = request(next, i);
    report.round = world.processes[i].running;
    report.token = Token{world.processes[i].token};
    report.result = result;
    report.in_target = result == RunResult::kSucceeded && bounds_.fenced;
    report.session_ended = true;
    report.row_token = Token{world.row};
    report.memory = std::exchange(next.processes[i].memory, std::nullopt);
    next.processes[i].running = RoundId{};
    if (result == RunResult::kFailed || result == RunResult::kIndeterminate) ++next.failures;
    tell(next, {report}, world.record.now, how);
    add(std::move(next), at_, how);
  }

  // The process runs: one action at a time, whether or not anybody still believes in it.
  void run(const World& world, std::size_t i, const std::string& name) {
    const Process& process = world.processes[i];
    const Round* round = round_of(world, process.running);
    const std::vector<Step>& steps = process.plan->steps;
    if (round == nullptr && world.lives == 0) {  // retired: its report would be refused
      World next = world;
      next.processes[i].running = RoundId{};
      return add(std::move(next), at_, name + " gives up");
    }
    const bool guarded = world.row == process.token && world.row_holder == static_cast<int>(i);
    if (process.next == steps.size()) {
      report(world, i, RunResult::kSucceeded, name + " reports success");
    } else if (bounds_.fenced && !guarded) {
      report(world, i, RunResult::kFencedOut, name + " reports that it is fenced out");
    } else {
      const std::string step = steps[process.next].id.value;
      World next = world;
      if (bounds_.fenced && world.committed.contains(step)) {
        report(world, i, RunResult::kChanged, name + " reports a change");
      } else if (!bounds_.atomic && world.begun != std::pair(step, process.running)) {
        if (world.begun.first == step) fail("10: the statement of step " + step + " runs twice", name + " begins it");
        next.begun = {step, process.running};
        add(std::move(next), at_, name + " begins step " + step);
      } else {
        if (!next.committed.insert(step).second) fail("5: a step was applied twice", name + " commits " + step);
        next.begun = {};
        ++next.processes[i].next;
        if (next.processes[i].next == steps.size() && bounds_.fenced) {
          next.outcomes[process.running] = process.token;
          next.newest_outcome = process.running;
        }
        add(std::move(next), at_, name + " commits step " + step);
      }
      if (world.failures < bounds_.failures) {
        if (world.begun.first.empty()) report(world, i, RunResult::kFailed, name + " reports failure");
        report(world, i, RunResult::kIndeterminate, name + " cannot know");
      }
    }
    if (world.leaves < bounds_.leaves && round != nullptr) {
      World next = world;
      ++next.leaves;
      next.processes[i].left = true;
      Leave leave;
      leave.request = request(next, i);
      leave.token = Token{process.token};
      leave.session_ended = true;
      leave.finding = find(world, *round);
      next.processes[i].running = RoundId{};
      tell(next, {leave}, world.record.now, name + " leaves, its run ended");
      add(std::move(next), at_, name + " leaves, its run ended");
    }
  }

  const Bounds bounds_;
  Coverage& coverage_;
  Settings settings_;
  std::unordered_set<Key, KeyHash> seen_;
  std::deque<std::pair<World, long>> queue_;
  std::vector<std::pair<long, std::string>> path_;
  std::map<PlanHash, std::size_t> plans_;
  std::size_t transitions_ = 0;
  long at_ = -1;
  std::string wrong_;
};

}  // namespace

const char* name_of(Dimension dimension) {
  static const char* const kNames[] = {"three parties", "two plans", "two incarnations", "two generations of one plan",
                                       "lease expiry",  "restart",   "restore"};
  return kNames[dimension];
}

Walked walk(const Bounds& bounds, Coverage& coverage) {
  Walk walk(bounds, coverage);
  Walked walked;
  walked.wrong = walk.run();
  walked.states = walk.states();
  walked.transitions = walk.transitions();
  return walked;
}

std::vector<Bounds> short_walks() {
  return {
      {.name = "lease expiry, restart", .processes = {"a12", "b12", "c12"}, .quorum = 3, .silences = 1, .restarts = 1},
      {.name = "two plans, lease expiry",
       .processes = {"a12", "b12", "c13"},
       .generations = 2,
       .silences = 1,
       .failures = 1},
      {.name = "two plans of quorum one",
       .processes = {"a12", "b13", "c13"},
       .quorum = 1,
       .generations = 2,
       .failures = 1},
      {.name = "two incarnations, lease expiry, restart",
       .processes = {"a1", "a1", "b1"},
       .silences = 1,
       .restarts = 1},
      {.name = "two incarnations, two plans", .processes = {"a12", "a13", "b12"}, .generations = 2, .silences = 1},
      {.name = "two plans, restart", .processes = {"a1", "b12", "c12"}, .generations = 2, .silences = 1, .restarts = 1},
      {.name = "unfenced",
       .processes = {"a1", "b1", "c1"},
       .fenced = false,
       .silences = 1,
       .failures = 1,
       .sessions_seen = false},
      {.name = "unfenced, sever",
       .processes = {"a1", "b1", "c1"},
       .quorum = 3,
       .fenced = false,
       .severs = 1,
       .leaves = 1},
      {.name = "outside transactions", .processes = {"a12", "b12", "c12"}, .atomic = false, .silences = 1, .severs = 1},
      {.name = "outside transactions, sever, leave",
       .processes = {"a12", "b12"},
       .atomic = false,
       .silences = 1,
       .severs = 1,
       .leaves = 1},
      {.name = "declines", .processes = {"a1", "b1", "c1"}, .quorum = 3, .declines = 2},
      {.name = "two generations of one plan, three parties",
       .processes = {"a1", "b1", "c1"},
       .quorum = 3,
       .generations = 2,
       .joins = 2,
       .failures = 1},
      {.name = "two generations of one plan, lease expiry, restart",
       .processes = {"a1", "b1"},
       .generations = 2,
       .silences = 1,
       .restarts = 1,
       .joins = 2,
       .failures = 1},
      {.name = "two generations of one plan, two incarnations",
       .processes = {"a1", "a1"},
       .quorum = 1,
       .generations = 2,
       .joins = 2,
       .failures = 1},
      {.name = "two generations of one plan, two plans",
       .processes = {"a1", "b2"},
       .quorum = 1,
       .generations = 3,
       .joins = 2,
       .failures = 1},
      {.name = "three parties, two incarnations", .processes = {"a1", "a1", "b1", "c1"}, .quorum = 3},
      {.name = "restore", .processes = {"a1", "b1"}, .backups = 1, .daemon_remembers = true},
      {.name = "restore, unfenced, lease expiry",
       .processes = {"a1", "b1"},
       .quorum = 1,
       .fenced = false,
       .silences = 1,
       .backups = 1,
       .daemon_remembers = true,
       .sessions_seen = false},
      {.name = "an old copy under a new daemon, lease expiry",
       .processes = {"a1", "b1"},
       .quorum = 1,
       .silences = 1,
       .backups = 1},
      {.name = "an old copy under a new daemon, sever, leave",
       .processes = {"a1", "b1"},
       .severs = 1,
       .leaves = 1,
       .backups = 1},
      {.name = "an old copy under a new daemon, unfenced",
       .processes = {"a1", "b1"},
       .quorum = 1,
       .fenced = false,
       .silences = 1,
       .backups = 1,
       .sessions_seen = false},
      {.name = "the store begins anew, three parties", .processes = {"a1", "b1", "c1"}, .losses = 1},
      {.name = "the store begins anew, lease expiry",
       .processes = {"a12", "b12"},
       .silences = 1,
       .joins = 2,
       .losses = 1},
      {.name = "the store begins anew, restart", .processes = {"a1", "b1"}, .restarts = 1, .joins = 2, .losses = 1},
      {.name = "the store begins anew, two incarnations",
       .processes = {"a1", "a1"},
       .quorum = 1,
       .generations = 2,
       .joins = 2,
       .losses = 1},
      {.name = "the store begins anew, two plans, unfenced",
       .processes = {"a1", "b2"},
       .quorum = 1,
       .fenced = false,
       .generations = 2,
       .joins = 2,
       .losses = 1,
       .sessions_seen = false},
  };
}

std::vector<Bounds> tiny_walks() {
  return {
      {.name = "tiny: lease expiry, restart", .processes = {"a12", "b12"}, .silences = 1, .restarts = 1},
      {.name = "tiny: two plans", .processes = {"a12", "b13"}, .quorum = 1, .generations = 2, .failures = 1},
      {.name = "tiny: two incarnations", .processes = {"a1", "a1", "b1"}, .silences = 1},
      {.name = "tiny: two generations", .processes = {"a1", "b1"}, .generations = 2, .joins = 2, .failures = 1},
      {.name = "tiny: unfenced, sever",
       .processes = {"a1", "b1"},
       .fenced = false,
       .silences = 1,
       .severs = 1,
       .sessions_seen = false},
      {.name = "tiny: fenced, sever", .processes = {"a1", "b1"}, .silences = 1, .severs = 1, .leaves = 1},
      {.name = "tiny: outside transactions", .processes = {"a12", "b12"}, .atomic = false, .silences = 1},
      {.name = "tiny: outside transactions, sever",
       .processes = {"a1", "b1"},
       .atomic = false,
       .silences = 1,
       .severs = 1,
       .leaves = 1},
      {.name = "tiny: declines", .processes = {"a1", "b1"}, .declines = 2},
      {.name = "tiny: the store begins anew", .processes = {"a1", "b1"}, .quorum = 1, .joins = 2, .losses = 1},
  };
}

std::vector<Bounds> long_walks() {
  return {
      {.name = "long: two generations of one plan, three parties, lease expiry",
       .processes = {"a1", "b1", "c1"},
       .quorum = 3,
       .generations = 2,
       .silences = 1,
       .joins = 2,
       .failures = 1},
      {.name = "long: two generations of one plan, three parties, restart",
       .processes = {"a1", "b1", "c1"},
       .quorum = 3,
       .generations = 2,
       .restarts = 1,
       .joins = 2,
       .failures = 1},
      {.name = "long: two generations of one plan, two incarnations",
       .processes = {"a1", "a1", "b1"},
       .generations = 2,
       .joins = 2,
       .failures = 1},
      {.name = "long: two incarnations, two plans, lease expiry, restart",
       .processes = {"a12", "a13", "b12"},
       .generations = 2,
       .silences = 1,
       .restarts = 1},
      {.name = "long: two generations of one plan, two plans",
       .processes = {"a1", "b12"},
       .quorum = 1,
       .generations = 3,
       .joins = 2,
       .failures = 1},
  };
}

}  // namespace syzygy::round
