#include "tests/sim/checker.h"

#include <algorithm>
#include <ranges>

#include "round/codec.h"
#include "round/invariants.h"
#include "round/rules.h"
#include "round/transitions.h"

namespace syzygy::sim {
namespace {

std::vector<std::pair<RoundId, round::State>> states_of(const round::Record& record) {
  std::vector<std::pair<RoundId, round::State>> states;
  states.reserve(record.rounds.size());
  for (const round::Round& r : record.rounds) states.emplace_back(r.id, r.state);
  return states;
}

std::string number(auto n) { return std::to_string(n.value); }

const round::RequestId* request_of(const round::Command& command) {
  return std::visit(
      [](const auto& c) -> const round::RequestId* {
        if constexpr (requires { c.request; }) {
          return &c.request;
        } else {
          return nullptr;
        }
      },
      command);
}

// Whose sign of life it is; null: of nobody whose lease it could extend.
const IncarnationId* asker_of(const round::Command& command) {
  if (const auto* renew = std::get_if<round::Renew>(&command)) return &renew->incarnation;
  const round::RequestId* request = request_of(command);
  return request == nullptr ? nullptr : &request->incarnation;
}

std::pair<IncarnationId, std::uint64_t> key_of(const round::RequestId& request) {
  return {request.incarnation, request.sequence};
}

// The longest lease that each has, in whatever it waits for or applies.
std::map<IncarnationId, Instant> leases_of(const round::Record& record) {
  std::map<IncarnationId, Instant> leases;
  const auto add = [&](const IncarnationId& who, Instant until) {
    Instant& longest = leases[who];
    longest = std::max(longest, until);
  };
  for (const round::Member& guest : record.guests) add(guest.incarnation, guest.lease_until);
  for (const round::Round& r : record.rounds) {
    for (const round::Member& member : r.members) add(member.incarnation, member.lease_until);
    if (r.grant) add(r.grant->incarnation, r.grant->lease_until);
  }
  return leases;
}

// An answer that says nothing about what became of the request: it is asked again.
bool passing(const Error& error) {
  return error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kResourceExhausted;
}

}  // namespace

Checker::Checker(World& world, Truth& truth) : world_(world), truth_(truth) {
  truth_.on_commit = [this](const Change& change, const std::string& by, const Truth::Entry& now) {
    committed(change, by, now);
  };
  truth_.on_gone_back = [this] { gone_back(); };
}

// ---- what is durable ----

void Checker::committed(const Change& change, const std::string& by, const Truth::Entry& now) {
  auto decoded = round::decode(now.bytes);
  if (!decoded) return broke("14: a record was committed that cannot be read: " + decoded.error().message);
  const round::Record before = std::move(record_);
  record_ = *std::move(decoded);
  if (record_ == before) return;

  std::vector<round::Event> events;
  for (const HistoryRow& row : change.history) {
    auto event = round::decode_event(row.bytes);
    if (!event) return broke("14: a row of history cannot be read: " + event.error().message);
    events.push_back(*std::move(event));
  }
  if (record_.revision.value != before.revision.value + events.size()) {
    return broke("14: revision " + number(record_.revision) + " after " + number(before.revision) + " with " +
                 std::to_string(events.size()) + " events in the history");
  }
  if (record_.now > truth_.latest()) {
    return broke("time: the record's now is " + std::to_string(record_.now.ms - truth_.latest().ms) +
                 " ms beyond what the store ever said");
  }
  if (record_.token < before.token) {
    return broke("4: the target's token fell from " + number(before.token) + " to " + number(record_.token));
  }
  for (const round::Event& event : events) {
    if (world_.traced()) {
      std::string line = "   * " + number(event.revision) + " kind " + std::to_string(static_cast<int>(event.kind));
      if (event.kind == round::EventKind::kRoundMoved) {
        line += " " + std::string(round::to_string(event.from)) + " -> " + std::string(round::to_string(event.to));
      }
      if (!event.round.empty()) line += " round " + event.round.value;
      if (!event.party.empty()) line += " " + event.party.value;
      if (!event.incarnation.empty()) line += "/" + event.incarnation.value;
      if (event.token != Token{}) line += " token " + number(event.token);
      if (!event.text.empty()) line += ": " + event.text;
      world_.tell(line);
    }
    check_event(event, before, record_);
    check_over(event, before, record_);
    events_.emplace(event.revision, event);
    round::fold(view_, event);
  }
  if (!events.empty() && view_ != round::project(record_)) {
    return broke("14: the state at revision " + number(record_.revision) + " is not the fold of its history");
  }
  if (const std::string why = round::broken_invariant(before, record_, events); !why.empty()) return broke(why);
  check_requests(before, record_);
  check_leases(before, record_, events, by);
  check_elsewhere(record_, events);
  if (!events.empty()) {
    revisions_.emplace_back(world_.now(), record_.revision);
    states_.emplace(std::pair(record_.epoch, record_.revision), states_of(record_));
  }
}

// What is durable now is what was durable then. What is known of the lost life stays: nobody may apply anything twice,
// or tell it otherwise, save where PROTOCOL.md says that nobody can find it out.
void Checker::gone_back() {
  const Truth::Entry* entry = truth_.find("t/" + kTarget.value);
  record_ = round::Record{};
  if (entry != nullptr) {
    auto decoded = round::decode(entry->bytes);
    if (!decoded) return broke("14: a backup cannot be read: " + decoded.error().message);
    record_ = *std::move(decoded);
  }
  view_ = round::project(record_);
  highest_ = record_.token;
  world_.tell("== the store has gone back to revision " + number(record_.revision));
  std::erase_if(generations_, [&](const auto& entry) { return entry.first > record_.generation; });
  for (auto& [id, life] : rounds_) {
    const auto is = std::ranges::find(record_.rounds, id, &round::Round::id);
    life.lost = is == record_.rounds.end();
    if (life.ended) life.ended_before.insert(*life.ended);
    if (life.ended && !life.lost && !round::is_final(is->state)) life.ended.reset();
  }
  revisions_.clear();  // nobody has to show what is lost
  revisions_.emplace_back(world_.now(), record_.revision);
  verdicts_.clear();
  remembered_until_.clear();
  joined_until_.clear();
  graced_.clear();
  commands_.clear();
}

// What each commit must leave behind, whatever it was for.
void Checker::check_elsewhere(const round::Record& after, std::span<const round::Event> events) {
  std::set<IncarnationId> gathers;
  for (const round::Round& r : after.rounds) {
    if (r.state != round::State::kGathering) continue;
    for (const round::Member& member : r.members) {
      if (member.standing != round::Standing::kLive || gathers.insert(member.incarnation).second) continue;
      return broke("2: " + member.incarnation.value + " gathers in two rounds at a time");
    }
    if (const auto effective = round::effective_quorum(after, r.asked); effective != r.effective) {
      return broke("11: round " + r.id.value + " gathers for a quorum of " + round::describe(r.effective) +
                   ", and the pin and the excuses make it " + round::describe(effective));
    }
  }
  for (const round::Round& r : after.rounds) {
    if (!r.last_run || !r.last_run->ended || r.last_run->incarnation.empty() ||
        said_ended_.contains({r.last_run->incarnation, r.last_run->token})) {
      continue;
    }
    return broke("5: the run of round " + r.id.value + " under token " + number(r.last_run->token) +
                 " is taken for ended, and its applier has not said so");
  }
  // Who comes with an old view after the success, though in the same commit, is told so when its plan is confirmed.
  std::set<RoundId> opened;
  for (const round::Event& event : std::views::reverse(events)) {
    if (event.kind == round::EventKind::kRoundOpened) opened.insert(event.round);
    if (event.kind != round::EventKind::kRoundMoved || event.to != round::State::kSucceeded) continue;
    const auto ended = std::ranges::find(after.rounds, event.round, &round::Round::id);
    if (ended == after.rounds.end()) continue;
    for (const round::Round& r : after.rounds) {
      if (r.state != round::State::kGathering || opened.contains(r.id)) continue;
      for (const Step& step : ended->plan.steps) {
        if (std::ranges::find(r.plan.steps, step) == r.plan.steps.end() || r.plan.opaque) continue;
        return broke("23: round " + r.id.value + " gathers on for step " + step.id.value + ", which round " +
                     event.round.value + " has applied");
      }
    }
  }
}

void Checker::check_event(const round::Event& event, const round::Record&, const round::Record& after) {
  using round::EventKind;
  const auto of_record = std::ranges::find(after.rounds, event.round, &round::Round::id);
  if (event.kind == EventKind::kRoundOpened) {
    const auto known = rounds_.find(event.round);
    // Who comes late with the memory of a lost life brings back a round that has ended and retired meanwhile.
    const bool comes_back = after.resync && lost_something();
    if (known != rounds_.end() && !known->second.lost && !comes_back) {
      return broke("12: round " + event.round.value + " was opened twice");
    }
    if (of_record == after.rounds.end()) return broke("14: a round was opened that the record lacks");
    if (const auto taken = generations_.find(of_record->generation); taken != generations_.end()) {
      return broke("12: generation " + number(of_record->generation) + " belongs to round " + taken->second.value +
                   " and to round " + event.round.value);
    }
    generations_[of_record->generation] = event.round;
    Life& life = rounds_[event.round];
    life.lost = false;
    life.ended.reset();
    life.hash = of_record->hash.value;
    life.plan = of_record->plan;
    life.generation = of_record->generation;
    life.struck_before = world_.struck();
    life.since[round::State::kGathering] = world_.now();
    world_.saw("state GATHERING");
    const auto last = commands_.find(life.plan.stage);
    if (life.plan.opaque && last != commands_.end() && last->second == life.hash) {
      broke("10: round " + event.round.value +
            " gathers for the command that has succeeded last, and nobody asked for it again");
    }
    return;
  }
  const bool grants = event.kind == EventKind::kApplierGranted || event.kind == EventKind::kResolutionBegun;
  if (grants) {
    if (event.token <= highest_) {
      return broke("4: token " + number(event.token) + " was granted when " + number(highest_) + " was known");
    }
    highest_ = event.token;
    granted_[event.token] = event.incarnation;
    if (event.kind == EventKind::kApplierGranted) world_.saw(event.text.empty() ? "grant" : "grant to settle");
  }
  if (event.kind == EventKind::kTokenRaised) highest_ = std::max(highest_, event.token);
  if (event.kind == EventKind::kGraceGiven) world_.saw("grace");
  if (event.kind == EventKind::kResyncBegun) world_.saw("resynchronisation");
  if (event.kind == EventKind::kResyncEnded) world_.saw("resynchronised");
  if (event.kind == EventKind::kDiverged) world_.saw("diverged");
  if (event.kind == EventKind::kPartyReplaced) world_.saw("replaced");
  if (event.kind == EventKind::kEvidence) world_.saw("evidence");
  const auto found = rounds_.find(event.round);
  if (found == rounds_.end()) return;
  Life& life = found->second;
  if (event.kind == EventKind::kPartyJoined) {
    life.joined.insert(event.incarnation);
    return;
  }
  if (event.kind != EventKind::kRoundMoved) return;
  world_.saw("state " + std::string(round::to_string(event.to)));
  world_.saw("move " + std::string(round::to_string(event.from)) + " -> " + std::string(round::to_string(event.to)));
  if (life.ended) {
    return broke("6: round " + event.round.value + " had ended as " + std::string(round::to_string(*life.ended)) +
                 " and moved to " + std::string(round::to_string(event.to)));
  }
  life.since[event.to] = world_.now();
  if (event.to == round::State::kElected) life.elected = true;
  if (event.to == round::State::kSucceeded) {
    const bool by_operator = !event.actor.empty();
    if (!by_operator && stands && !stands(life.plan, event.round)) {
      return broke("9: round " + event.round.value + " SUCCEEDED, but its plan does not stand in the target");
    }
    if (life.plan.opaque) commands_[life.plan.stage] = life.hash;
  } else if (round::is_final(event.to) && !lost_something() && recorded && recorded(event.round)) {
    return broke("7: round " + event.round.value + " became " + std::string(round::to_string(event.to)) +
                 ", and the target's own row says that it has SUCCEEDED");
  }
  // A fence keeps the lost run out, and a transaction is whole or not at all: that calls no operator.
  if (event.to == round::State::kIndeterminate && of_record != after.rounds.end() && of_record->last_run &&
      of_record->last_run->fenced && !of_record->sever && !lost_something() && !unseen_.contains(event.round) &&
      std::ranges::all_of(life.plan.steps, &Step::atomic)) {
    return broke("19: round " + event.round.value +
                 " is INDETERMINATE, though its run was fenced and each of its steps is a transaction");
  }
  if (event.actor.empty() && (event.to == round::State::kSucceeded || event.to == round::State::kFailed) &&
      !lost_something() && child_runs && child_runs(event.round)) {
    return broke("7: round " + event.round.value + " became " + std::string(round::to_string(event.to)) +
                 " while its command runs on, and nobody has stopped it");
  }
  const bool by_report = event.from == round::State::kApplying &&
                         (event.to == round::State::kSucceeded || event.to == round::State::kFailed);
  if (by_report && of_record != after.rounds.end() && of_record->outcome && !of_record->sever &&
      of_record->outcome->token != highest_ && of_record->outcome->token != Token{}) {
    return broke("16: round " + event.round.value + " ended by a report under token " +
                 number(of_record->outcome->token) + " when " + number(highest_) + " was granted");
  }
  if (round::is_final(event.to)) count_round(event.round, event.to);
}

void Checker::count_round(const RoundId& id, round::State state) {
  Life& life = rounds_.at(id);
  life.ended = state;
  ++world_.coverage.all_rounds;
  if (life.joined.size() >= 3 && world_.struck() > life.struck_before) ++world_.coverage.rounds;
}

bool Checker::executed(const round::RequestId& request) const {
  const auto answered = record_.answered.find(request.incarnation);
  return answered != record_.answered.end() && answered->second.sequence == request.sequence;
}

// An incarnation's last request is kept for as long as a round lingers, and not before the deadline of its joins is as
// long ago.
bool Checker::must_remember(const round::RequestId& request) const {
  const auto until = remembered_until_.find(key_of(request));
  const auto joined = joined_until_.find(request.incarnation);
  return (until != remembered_until_.end() && until->second > record_.now) ||
         (joined != joined_until_.end() && joined->second > record_.now);
}

// 13: what was answered once is never answered otherwise.
void Checker::check_requests(const round::Record& before, const round::Record& after) {
  for (const auto& [incarnation, answered] : after.answered) {
    const auto was = before.answered.find(incarnation);
    if (was == before.answered.end()) continue;
    // Where the store's clock has just leapt, the daemon that answered may have counted from the time before it.
    const bool forgets = truth_.clock_blurred() || !must_remember({incarnation, was->second.sequence});
    if (was->second.keep_until <= after.now && forgets) continue;
    if (answered.sequence == was->second.sequence) {
      round::Answered same = answered;
      same.keep_until = was->second.keep_until;
      if (same == was->second) continue;
      return broke("13: request " + std::to_string(answered.sequence) + " of " + incarnation.value +
                   " was executed twice");
    }
    if (answered.sequence < was->second.sequence) {
      return broke("13: request " + std::to_string(answered.sequence) + " of " + incarnation.value +
                   " was executed after " + std::to_string(was->second.sequence));
    }
  }
}

// A lease that has ended may revive the member, never the applier. And nobody loses one to a daemon that could not hear
// him: once that hears again, each lease has a full term before it is judged.
void Checker::check_leases(const round::Record& before, const round::Record& after,
                           std::span<const round::Event> events, const std::string& by) {
  const bool graced = std::ranges::any_of(
      events, [](const round::Event& event) { return event.kind == round::EventKind::kGraceGiven; });
  for (const round::Round& was : before.rounds) {
    const auto is = std::ranges::find(after.rounds, was.id, &round::Round::id);
    if (is == after.rounds.end()) continue;
    if (was.grant && is->grant && was.grant->token == is->grant->token && was.state == is->state && !graced &&
        was.grant->lease_until <= after.now && is->grant->lease_until > was.grant->lease_until) {
      return broke("16: the lease of the applier of round " + was.id.value + " was over, and was renewed");
    }
  }
  if (graced) check_grace(before, after);
  check_extended(before, after, graced, by);

  const Ms since = std::max(truth_.stepped_at(), by.empty() ? 0 : listens_since_[by]);
  const Ms back = truth_.back_from_outage().value_or(0);
  const auto in_world = [&](Instant at) { return at.ms - (truth_.now().ms - world_.now()); };
  // Judged before, committed after; or nobody can say when it was judged.
  const bool judged_after =
      !by.empty() && !truth_.clock_blurred() && after.now > before.now && in_world(after.now) >= std::max(since, back);
  // Since when a daemon must know that it could not be heard. A lane that asked the store nothing meanwhile gives half
  // a term to try again in, and no more (engine/sight.h).
  const auto deaf_until = [&](const auto& lease) {
    const bool must_know = !world_.shape.many_lanes || in_world(lease.lease_until) - lease.lease_ttl.count() / 2 < back;
    return must_know ? std::max(since, back) : since;
  };
  const auto deaf = [&](const auto& lease, Ms moved) {
    constexpr Ms kInexact = 200;
    const Ms until = deaf_until(lease);
    return judged_after && !lease.graced && moved < until &&
           in_world(lease.lease_until) + kInexact < until + lease.lease_ttl.count();
  };
  const auto unheard = [&](const round::Member& member) {
    return member.standing == round::Standing::kLive && deaf(member, lease_moved_[member.incarnation]);
  };
  for (const round::Event& event : events) {
    if (event.kind != round::EventKind::kPartyLapsed || event.text == "its deadline is over") continue;
    const auto judge = [&](const std::vector<round::Member>& members) {
      for (const round::Member& member : members) {
        if (member.incarnation != event.incarnation || !unheard(member)) continue;
        broke("19: the lease of " + event.incarnation.value + " was judged by " + by +
              ", which could hear nobody until " + std::to_string(in_world(after.now) - deaf_until(member)) +
              " ms before, without grace");
      }
    };
    for (const round::Round& was : before.rounds) {
      if (was.id == event.round) judge(was.members);
    }
    if (event.round.empty()) judge(before.guests);
  }
  for (const round::Round& was : before.rounds) {
    const auto is = std::ranges::find(after.rounds, was.id, &round::Round::id);
    const bool over = std::ranges::any_of(events, [&](const round::Event& event) {
      return event.round == was.id && event.to == round::State::kRecovering &&
             event.text.starts_with("the lease of the applier");
    });
    if (over && was.grant && deaf(*was.grant, grant_moved_[was.grant->token])) {
      broke("19: the lease of the applier " + was.grant->incarnation.value + " was judged by " + by +
            ", which could hear nobody until " + std::to_string(in_world(after.now) - deaf_until(*was.grant)) +
            " ms before, without grace");
    }
    if (is == after.rounds.end() || !is->grant) continue;
    if (!was.grant || was.grant->lease_until != is->grant->lease_until) grant_moved_[is->grant->token] = world_.now();
  }
  const auto move = [&](const std::vector<round::Member>& old, const std::vector<round::Member>& now) {
    for (const round::Member& member : now) {
      const auto same = std::ranges::find(old, member.incarnation, &round::Member::incarnation);
      if (same == old.end() || same->lease_until != member.lease_until) lease_moved_[member.incarnation] = world_.now();
    }
  };
  move(before.guests, after.guests);
  for (const round::Round& is : after.rounds) {
    const auto was = std::ranges::find(before.rounds, is.id, &round::Round::id);
    move(was == before.rounds.end() ? std::vector<round::Member>{} : was->members, is.members);
  }
}

// Only a word from its holder makes a lease longer, or grace, and neither gives more than a whole term.
void Checker::check_extended(const round::Record& before, const round::Record& after, bool graced,
                             const std::string& by) {
  if (graced) return;
  const auto earlier = leases_of(before);
  for (const auto& [incarnation, until] : leases_of(after)) {
    const auto was = earlier.find(incarnation);
    if (was == earlier.end() || was->second >= until) continue;
    const auto open = unanswered_.find(incarnation);
    const bool said =
        by.empty() ? heard(incarnation) >= world_.now() : open != unanswered_.end() && open->second.contains(by);
    if (said) continue;
    return broke("19: the lease of " + incarnation.value + " was made longer, and it has said nothing");
  }
}

// What is over is over: nobody is given up, and no run taken from its applier, before.
void Checker::check_over(const round::Event& event, const round::Record& before, const round::Record& after) {
  const auto was = std::ranges::find(before.rounds, event.round, &round::Round::id);
  if (was == before.rounds.end()) return;
  const round::Settings settings;
  if (event.kind == round::EventKind::kPartyLapsed && event.text == "its deadline is over" &&
      was->state != round::State::kGathering) {
    return broke("20: the deadline of " + event.incarnation.value + " was held against it in round " +
                 event.round.value + ", which gathers no more");
  }
  if (event.kind != round::EventKind::kRoundMoved || event.to != round::State::kRecovering || !was->grant ||
      !event.text.starts_with("the lease of the applier") || was->grant->token != event.token) {
    return;
  }
  const Duration delay = was->grant->claimed && !was->grant->fenced ? settings.lock_delay_unfenced : Duration{0};
  if (was->grant->lease_until + delay > after.now) {
    broke("19: the run of " + was->grant->incarnation.value + " was taken for lost " +
          std::to_string((was->grant->lease_until + delay - after.now).count()) + " ms before it was");
  }
}

Ms Checker::heard(const IncarnationId& incarnation) const {
  const auto open = unanswered_.find(incarnation);
  if (open != unanswered_.end() && !open->second.empty()) return world_.now();
  const auto heard = heard_.find(incarnation);
  return heard == heard_.end() ? world_.now() : heard->second;
}

// The latest counts: a commit that comes late is not undone by a later word that was answered at once.
void Checker::hear(const IncarnationId& incarnation, Ms until) {
  Ms& heard = heard_.try_emplace(incarnation, until).first->second;
  heard = std::max(heard, until);
}

// Once per lease: only a word from its holder earns the next. One who is in two rounds has a lease in each.
void Checker::check_grace(const round::Record& before, const round::Record& after) {
  std::set<IncarnationId> extended;
  for (const round::Round& is : after.rounds) {
    const auto was = std::ranges::find(before.rounds, is.id, &round::Round::id);
    if (was == before.rounds.end()) continue;
    for (const round::Member& member : is.members) {
      const auto same = std::ranges::find(was->members, member.incarnation, &round::Member::incarnation);
      if (same == was->members.end() || same->standing != round::Standing::kLive ||
          same->lease_until >= member.lease_until) {
        continue;
      }
      const auto earlier = graced_.find(member.incarnation);
      if (earlier != graced_.end() && heard(member.incarnation) < earlier->second) {
        return broke("19: the lease of " + member.incarnation.value +
                     " was extended again, and nobody has heard of it since it was extended before");
      }
      extended.insert(member.incarnation);
    }
  }
  for (const IncarnationId& incarnation : extended) graced_[incarnation] = world_.now();
}

// ---- what anybody was told ----

void Checker::ends(const std::string& daemon) {
  for (auto& [incarnation, daemons] : unanswered_) {
    if (daemons.erase(daemon) > 0) hear(incarnation, world_.now() + Truth::kLateMost);
  }
}

Checker::Asked Checker::asked(const round::Command& command, bool altered, const std::string& daemon) {
  Asked asked;
  asked.daemon = daemon;
  asked.revision = record_.revision;
  asked.altered = altered;
  asked.at = world_.now();
  if (const auto* leave = std::get_if<round::Leave>(&command); leave != nullptr && leave->session_ended) {
    said_ended_.emplace(leave->request.incarnation, leave->token);
  }
  if (const auto* confirm = std::get_if<round::Confirm>(&command);
      confirm != nullptr && confirm->finding.kind == round::Finding::Kind::kUnknown) {
    unseen_.insert(confirm->round);
  }
  if (const auto* report = std::get_if<round::Report>(&command); report != nullptr && report->session_ended) {
    said_ended_.emplace(report->request.incarnation, report->token);
  }
  if (const IncarnationId* who = asker_of(command); who != nullptr && !altered) {
    hear(*who, world_.now());
    unanswered_[*who].insert(daemon);
  }
  if (const round::RequestId* request = request_of(command)) {
    // Counted from when it first came: a join that is asked again puts off nobody's deadline.
    const Instant until = std::max(truth_.now(), record_.now) + Duration{world_.shape.linger};
    const bool first = !altered && remembered_until_.emplace(key_of(*request), until).second;
    if (const auto* join = std::get_if<round::Join>(&command); join != nullptr && first) {
      Instant& others_too = joined_until_[request->incarnation];
      others_too = std::max(others_too, until + join->timeout);
    }
    const auto answered = record_.answered.find(request->incarnation);
    asked.executed = executed(*request) && answered->second.keep_until > truth_.latest();
    if (asked.executed) asked.kept_until = answered->second.keep_until;
  }
  return asked;
}

void Checker::answered(const Asked& asked, const round::Command& command, const Result<engine::TargetAnswer>& answer) {
  const round::RequestId* request = request_of(command);
  if (const IncarnationId* who = asker_of(command); who != nullptr && !asked.altered) {
    auto& open = unanswered_[*who];
    if (const auto one = open.find(asked.daemon); one != open.end()) open.erase(one);
    // It was executed between the two, or, of an error, by a commit that comes late.
    hear(*who, world_.now() + (answer ? 0 : Truth::kLateMost));
  }
  const auto named = [&] {
    return "request " + std::to_string(request->sequence) + " of " + request->incarnation.value;
  };
  const auto is_answered_now = [&] { return executed(*request); };
  // The store's clock may have been put forward beyond it meanwhile.
  const bool lost = truth_.gone_back_at().value_or(-1) >= asked.at;
  const bool was_executed = !lost && asked.executed && asked.kept_until > truth_.latest();
  if (!answer && answer.error().reason == "TARGET_FROZEN") {
    return broke("a daemon's own check: " + answer.error().message);
  }
  if (!answer) {
    if (request != nullptr && !passing(answer.error()) && (was_executed || is_answered_now())) {
      broke("13: " + named() + " was executed, and is answered with " + answer.error().reason);
    }
    return;
  }
  const engine::TargetState& state = *answer->state;
  shown(state);
  if (lost) return;
  if (state.record.revision < asked.revision) {
    return broke("13: an answer shows revision " + number(state.record.revision) + ", but " + number(asked.revision) +
                 " was durable when it was asked: it is not the present state");
  }
  const round::Reply& reply = answer->reply;
  if (request != nullptr) {
    if (asked.altered) {
      if (was_executed && reply.verdict != round::Verdict::kRefused) {
        broke("13: " + named() + " was answered under another body");
      }
      return;
    }
    if (reply.verdict == round::Verdict::kRefused) {
      if (was_executed && is_answered_now()) {
        broke("13: " + named() + " was executed, and is refused with " + reply.error->reason);
      }
      return;
    }
    const auto [first, is_new] = verdicts_.emplace(std::pair(request->incarnation, request->sequence), reply.verdict);
    if (!is_new && first->second != reply.verdict && must_remember(*request)) {
      broke("13: " + named() + " was answered with two verdicts");
    }
    world_.saw("verdict " + std::to_string(static_cast<int>(reply.verdict)));
    return;
  }
  // The lease that a renewal is told is the stored one.
  if (const auto* renew = std::get_if<round::Renew>(&command); renew != nullptr && reply.lease_until) {
    for (const round::Round& r : record_.rounds) {
      if (reply.round != r.id || round::is_final(r.state)) continue;
      const bool of_grant = reply.token != Token{};
      if (of_grant) {
        if (r.grant && r.grant->token == reply.token && r.grant->lease_until < *reply.lease_until) {
          broke("19: the applier was told of a lease that is not stored");
        }
        continue;
      }
      for (const round::Member& member : r.members) {
        if (member.incarnation == renew->incarnation && member.standing == round::Standing::kLive &&
            member.lease_until < *reply.lease_until) {
          broke("1: " + member.incarnation.value + " was told of a lease that is not stored");
        }
      }
    }
  }
}

void Checker::shown(const engine::TargetState& state) {
  const round::Record& seen = state.record;
  if (seen.revision == Revision{}) return;
  const auto [first, last] = states_.equal_range({seen.epoch, seen.revision});
  if (first == last) {
    return broke("8: revision " + number(seen.revision) + " was shown, but only " + number(record_.revision) +
                 " is durable");
  }
  const auto alike = [&](const auto& durable) {
    return std::ranges::equal(durable.second, seen.rounds, [](const auto& known, const round::Round& r) {
      return known.first == r.id && known.second == r.state;
    });
  };
  if (std::none_of(first, last, alike)) {
    broke("8: revision " + number(seen.revision) + " was shown otherwise than it is durable");
  }
}

void Checker::watched(std::optional<Watched>& last, const engine::Update& update) {
  shown(*update.state);
  check_told(update);
  const Revision now = update.state->record.revision;
  const auto& events = *update.events;
  // A gap says that something is missing, never that what was told is not so any more: that is another life.
  if (last && last->epoch == update.state->epoch && now < last->revision && !lost_something()) {
    return broke("14: a watch went back from revision " + number(last->revision) + " to " + number(now));
  }
  if (last && !update.gap && (last->epoch == update.state->epoch || !lost_something())) {
    Revision expected = last->revision;
    for (const round::Event& event : events) {
      expected = expected.next();
      if (event.revision != expected) {
        return broke("14: a watch was told revision " + number(event.revision) + " where " + number(expected) +
                     " comes next, and no word of a gap");
      }
    }
    if (expected != now) {
      return broke("14: a watch was told events up to revision " + number(expected) + " of a state at " + number(now) +
                   ", and no word of a gap");
    }
  }
  last = Watched{now, update.state->epoch};
}

// What a watch is told of a revision is what the history says of it, in this life of the store or in an earlier one.
void Checker::check_told(const engine::Update& update) {
  for (const round::Event& event : *update.events) {
    const auto [first, last] = events_.equal_range(event.revision);
    if (std::none_of(first, last, [&](const auto& known) { return known.second == event; })) {
      return broke("14: a watch was told of revision " + number(event.revision) + " what no history says");
    }
  }
}

void Checker::told(const std::string& who, const RoundId& id, round::State state) {
  const auto life = rounds_.find(id);
  if (life == rounds_.end()) return broke("8: " + who + " was told of round " + id.value + ", which is not durable");
  // A failure that was told and lost is not remembered, and no target tells of what no fence guards.
  const auto [first, is_new] = told_.emplace(id, state);
  const bool forgotten = lost_something() && (first->second == round::State::kFailed || life->second.plan.opaque);
  if (!is_new && first->second != state && !forgotten) {
    return broke("7: " + who + " was told " + std::string(round::to_string(state)) + " of round " + id.value +
                 ", others " + std::string(round::to_string(first->second)));
  }
  if (life->second.ended != state && !life->second.ended_before.contains(state)) {
    broke("8: " + who + " was told " + std::string(round::to_string(state)) + " of round " + id.value +
          ", which is not how it ended");
  }
}

void Checker::told_applied(const std::string& who, const Plan& plan, Ms read_at) {
  if (plan.opaque) return;
  for (const Step& step : plan.steps) {
    const auto at = stood_.find(step.id);
    if (at != stood_.end() && at->second >= read_at) continue;
    return broke("9: " + who + " was told that its plan is applied, but step " + step.id.value +
                 " was pending when it looked and has not been applied since");
  }
}

// ---- the target ----

void Checker::claim_complete(Token token) { complete_ = std::max(complete_, token); }

void Checker::took_effect(const RoundId& id, Token token, bool fenced, const std::string& what) {
  if (world_.traced()) world_.tell("   # in the target: " + what + " under token " + number(token));
  if (fenced && token < complete_) {
    return broke("5: " + what + " took effect under token " + number(token) + " after the claim of " +
                 number(complete_) + " was complete");
  }
  const auto life = rounds_.find(id);
  if (life != rounds_.end() && life->second.ended && (fenced || !lost_something())) {
    broke("7: " + what + " took effect after its round " + id.value + " had ended as " +
          std::string(round::to_string(*life->second.ended)));
  }
}

void Checker::applied(const RoundId& id, const Step& step, const std::vector<StepId>& before) {
  const auto found = rounds_.find(id);
  if (found == rounds_.end() || !found->second.elected) {
    return broke("10: step " + step.id.value + " was applied for round " + id.value + ", which has no quorum");
  }
  const Plan& plan = found->second.plan;
  const auto at = std::ranges::find(plan.steps, step);
  if (at == plan.steps.end()) {
    return broke("10: step " + step.id.value + " was applied, but is not in the plan of round " + id.value +
                 " as it was gathered");
  }
  for (auto earlier = plan.steps.begin(); earlier != at; ++earlier) {
    if (std::ranges::find(before, earlier->id) == before.end()) {
      return broke("10: step " + step.id.value + " was applied before step " + earlier->id.value);
    }
  }
  stood(step.id);
  if (++times_applied_[step.id] > 1) broke("10: step " + step.id.value + " was applied twice");
}

void Checker::statement_ran(const StepId& step) {
  if (++times_run_[step] > 1) broke("10: the statement of step " + step.value + " ran twice");
}

// ---- what it knows ----

Revision Checker::revision_at(Ms when) const {
  const auto after = std::ranges::upper_bound(revisions_, when, {}, [](const auto& entry) { return entry.first; });
  return after == revisions_.begin() ? Revision{} : std::prev(after)->second;
}

std::optional<Ms> Checker::became(round::State state, const RoundId& id) const {
  const auto found = rounds_.find(id);
  if (found == rounds_.end()) return std::nullopt;
  const auto since = found->second.since.find(state);
  return since == found->second.since.end() ? std::nullopt : std::optional(since->second);
}

}  // namespace syzygy::sim
