// Joining: which round a join meets, and what it is told at once.
#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "round/election.h"
#include "round/history.h"
#include "round/planted.h"
#include "round/rules.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

// Where in the round's plan the joiner's begins: 0 for the same plan, i for a proper suffix whose earlier steps stand
// in the history that the joiner read together with what is pending. nullopt: another plan.
std::optional<std::size_t> meets(const Round& round, const Join& join, const PlanHash& hash) {
  if (round.hash == hash) return 0;
  const auto at = proper_suffix_at(round.plan, *join.plan);
  if (at && PLANTED(suffix_without_history)) return at;
  if (!at || !join.snapshot) return std::nullopt;
  for (std::size_t i = 0; i < *at; ++i) {
    const Step& step = round.plan.steps[i];
    // What a history records of a step: which, in which direction, with which text.
    const auto stands = [&](const Step& s) {
      return s.id == step.id && s.direction == step.direction && s.content == step.content;
    };
    if (std::ranges::none_of(join.snapshot->recent, stands)) return std::nullopt;
  }
  return at;
}

// A lingering SUCCEEDED answers what was read before its outcome stood in the target. Read after it (a revert, a
// redeploy), the steps are pending again.
bool answers(const Round& round, const Join& join) {
  if (join.again || join.checked) return false;
  if (!join.snapshot || PLANTED(success_answers_always))
    return true;  // it cannot have looked after, since it did not look
  if (round.outcome->in_target) {
    return !join.snapshot->last_outcome || join.snapshot->last_outcome->token < round.outcome->token;
  }
  return join.snapshot->token < round.outcome->token;
}

// The quorum that a newcomer asks for must be the round's, unless a pin decides.
std::optional<Reply> disagrees(const Record& record, const Round& round, const Join& join) {
  if (record.pin) return std::nullopt;
  if (!join.quorum && PLANTED(quorum_unasked)) return std::nullopt;
  if (!join.quorum) {
    return refused(
        ErrorCode::kInvalidArgument, "QUORUM_MISSING",
        "nobody said how many parties to wait for; pass --quorum N (or --expect), set SYZYGY_QUORUM or quorum in "
        "syzygy.toml, or pin it on the server: syzygy target set " +
            record.target.value + " --quorum N");
  }
  if (PLANTED(ignores_quorum_mismatch) || *join.quorum == round.asked || round.asked.parties == 0) return std::nullopt;
  std::string holders;
  for (const PartyName& party : counted(record, round)) holders += (holders.empty() ? "" : ", ") + party.value;
  return refused(
      ErrorCode::kFailedPrecondition, "QUORUM_MISMATCH",
      join.party.value + " asks for a quorum of " + describe(*join.quorum) + ", but round " + round.id.value +
          " was opened for " + describe(round.asked) + " (held by " + (holders.empty() ? "nobody now" : holders) +
          "); let all parties pass the same value, or pin it: syzygy target set " + record.target.value + " --quorum N",
      {{"asked", describe(*join.quorum)}, {"round", describe(round.asked)}, {"held_by", holders}});
}

Member make_member(Draft& draft, const Join& join, std::size_t has_from) {
  Member member;
  member.party = join.party;
  member.incarnation = join.request.incarnation;
  member.host = join.host;
  member.client_version = join.client_version;
  member.release = join.release;
  member.may_apply = join.may_apply;
  member.fail_on_divergence = join.fail_on_divergence;
  member.has_from = has_from;
  draft.record.order += 1;
  member.order = draft.record.order;
  if (join.snapshot) member.seen_token = join.snapshot->token;
  member.joined_at = draft.now;
  member.lease_ttl = std::min(join.lease.count() > 0 ? join.lease : draft.settings.lease, draft.settings.lease_max);
  member.lease_until = draft.now + member.lease_ttl;
  member.deadline = draft.now + (join.timeout.count() > 0 ? join.timeout : draft.settings.wait_default);
  return member;
}

Reply waits(const Round& round, const Member& member, std::string notice) {
  Reply reply;
  reply.verdict = Verdict::kWait;
  reply.round = round.id;
  reply.lease_until = member.lease_until;
  reply.notice = std::move(notice);
  return reply;
}

Reply told(Verdict verdict, const Round& round) {
  Reply reply;
  reply.verdict = verdict;
  reply.round = round.id;
  return reply;
}

std::string pin_notice(const Record& record, const Join& join) {
  if (!record.pin || !join.quorum || *join.quorum == record.pin->quorum) return {};
  return "the target is pinned to a quorum of " + describe(record.pin->quorum) + ", which wins over " +
         describe(*join.quorum);
}

std::string replaced_notice(const Round& round, const Join& join) {
  const Member* other = counting_member(round, join.party);
  if (other == nullptr || other->incarnation == join.request.incarnation) return {};
  return "two live processes call themselves " + join.party.value + " (hosts " + other->host + " and " + join.host +
         "); the newer one counts";
}

std::string and_also(std::string a, const std::string& b) {
  if (!a.empty() && !b.empty()) a += "; ";
  return a + b;
}

// Whether the parties of the round are as many as may be, and `party` is none of them.
bool too_many(const Round& round, const PartyName& party, const Settings& settings) {
  if (round.members.size() < settings.parties_max) return false;
  std::set<std::string_view> parties{party.value};
  for (const Member& member : round.members) {
    if (member.standing == Standing::kLive) parties.insert(member.party.value);
  }
  return parties.size() > settings.parties_max;
}

// Whether the record has room for one process more, and for the plan of the round that it opens, if any.
std::optional<Reply> full(const Draft& draft, const Plan* opens) {
  const std::size_t most = draft.settings.record_bytes_max;
  if (weight(draft.record) + weight_of_joining(opens) <= most || PLANTED(record_without_end)) return std::nullopt;
  return refused(ErrorCode::kResourceExhausted, "RECORD_LIMIT",
                 "target " + draft.record.target.value +
                     " holds as many rounds, steps and processes as fit into its record (" + std::to_string(most) +
                     " bytes); sever rounds that nobody needs, apply fewer steps at a time, or wait until finished "
                     "rounds have lingered",
                 {{"limit", std::to_string(most)}});
}

Reply enter(Draft& draft, Round& round, const Join& join, std::size_t has_from) {
  Record& record = draft.record;
  const std::string notice = and_also(pin_notice(record, join), replaced_notice(round, join));
  for (Member& member : round.members) {
    if (member.incarnation != join.request.incarnation || member.standing == Standing::kLeft) continue;
    if (PLANTED(rejoin_counts_anew)) break;
    // The same incarnation again: nothing changes but its lease, for this is a sign of life.
    member.lease_until = draft.now + member.lease_ttl;
    member.graced = false;
    if (member.standing == Standing::kLapsed) {
      member.standing = Standing::kLive;
      if (member.deadline <= draft.now) {
        member.deadline = draft.now + (join.timeout.count() > 0 ? join.timeout : draft.settings.wait_default);
      }
      draft.note(EventKind::kPartyRevived, &round, member);
    }
    return waits(round, member, notice);
  }
  if (auto refusal = full(draft, nullptr)) return *refusal;
  // Departed members that nobody needs to know of any more make room.
  const auto departed = [&](const Member& m) {
    return m.standing == Standing::kLeft && (!round.grant || round.grant->incarnation != m.incarnation);
  };
  const bool crowded = round.members.size() >= draft.settings.members_max;
  if ((too_many(round, join.party, draft.settings) && !PLANTED(parties_without_end)) ||
      (crowded && std::ranges::none_of(round.members, departed))) {
    return refused(ErrorCode::kResourceExhausted, "PARTIES_LIMIT",
                   "round " + round.id.value + " is full: the limit is " + std::to_string(draft.settings.parties_max) +
                       " parties and " + std::to_string(draft.settings.members_max) + " processes in one round",
                   {{"limit", std::to_string(draft.settings.parties_max)}});
  }
  if (crowded) std::erase_if(round.members, departed);
  const bool complete_before = quorum_complete(record, round);
  std::erase_if(round.members, [&](const Member& m) { return m.incarnation == join.request.incarnation; });
  const bool replaces = counting_member(round, join.party) != nullptr;
  const Member member = make_member(draft, join, has_from);
  round.members.push_back(member);
  draft.note(EventKind::kPartyJoined, &round, member).text = join.host;
  if (replaces) draft.note(EventKind::kPartyReplaced, &round, member).text = notice;
  if (round.state == State::kGathering && !complete_before && quorum_complete(record, round)) {
    round.completed_by = member.incarnation;
  }
  return waits(round, member, notice);
}

// An incarnation gathers in one round at a time: joining with another plan takes it out of the one before.
void leave_other_gatherings(Draft& draft, const RoundId& stays, const IncarnationId& incarnation) {
  for (Round& round : draft.record.rounds) {
    if (round.state != State::kGathering || round.id == stays) continue;
    for (Member& member : round.members) {
      if (member.incarnation != incarnation || member.standing != Standing::kLive) continue;
      member.standing = Standing::kLeft;
      draft.note(EventKind::kPartyLeft, &round, member).text = "joined with another plan";
    }
  }
}

// Where it is refused it stays where it was.
Reply move_in(Draft& draft, Round& round, const Join& join, std::size_t has_from) {
  Reply reply = enter(draft, round, join, has_from);
  if (reply.verdict == Verdict::kWait) leave_other_gatherings(draft, round.id, join.request.incarnation);
  return reply;
}

Reply open(Draft& draft, const Join& join, PlanHash hash) {
  Record& record = draft.record;
  const auto gathering = std::ranges::count(record.rounds, State::kGathering, &Round::state);
  if (!PLANTED(limits_ignored) && static_cast<std::size_t>(gathering) >= draft.settings.gathering_max) {
    return refused(ErrorCode::kResourceExhausted, "GATHERING_LIMIT",
                   "target " + record.target.value + " has " + std::to_string(gathering) +
                       " gathering rounds, each with another plan; the limit is " +
                       std::to_string(draft.settings.gathering_max) + ": see syzygy status --target " +
                       record.target.value,
                   {{"limit", std::to_string(draft.settings.gathering_max)}});
  }
  if (auto refusal = full(draft, &*join.plan)) return *refusal;
  // Executed before, under a commit that nobody was sure of, and forgotten since the clock leapt.
  if (std::ranges::find(record.rounds, join.fresh_round, &Round::id) != record.rounds.end() &&
      !PLANTED(round_named_twice)) {
    return refused(ErrorCode::kUnavailable, "ROUND_ENDED_MEANWHILE",
                   "the clock of the store leapt, and the round that this join had opened ended; join again");
  }
  Round round;
  round.id = join.fresh_round;
  if (record.pin == std::nullopt && !join.quorum && !PLANTED(quorum_unasked)) return *disagrees(record, round, join);
  round.asked = join.quorum.value_or(Quorum{});
  round.effective = effective_quorum(record, round.asked);
  if (!round.asked.roster.empty() && !record.pin && round.effective.roster.empty() && !PLANTED(roster_excused_away)) {
    return refused(ErrorCode::kFailedPrecondition, "ROSTER_EMPTY",
                   "every party of the " + describe(round.asked) + " is excused on target " + record.target.value +
                       ", so that no quorum could ever be complete; end an excuse (syzygy target excuse " +
                       record.target.value + " PARTY --end), or let all parties expect others, too",
                   {{"asked", describe(round.asked)}});
  }
  if (!PLANTED(generation_reused)) record.generation = record.generation.next();
  round.generation = record.generation;
  round.plan = *join.plan;
  round.hash = std::move(hash);
  round.opened_at = draft.now;
  record.rounds.push_back(std::move(round));
  Event& event = draft.note(EventKind::kRoundOpened, &record.rounds.back());
  event.data = opened_data(record.rounds.back());
  event.text = "quorum " + describe(record.rounds.back().effective);
  return move_in(draft, record.rounds.back(), join, 0);
}

// A party with nothing pending: noted, and kept only where somebody is needed to look.
Reply visit(Draft& draft, const Join& join) {
  Record& record = draft.record;
  if (!record.visits.contains(join.party) && record.visits.size() >= draft.settings.parties_max) {
    record.visits.erase(std::ranges::min_element(record.visits, {}, [](const auto& entry) { return entry.second.at; }));
  }
  Visit& seen = record.visits[join.party];
  seen.at = draft.now;
  seen.last_step = join.snapshot ? join.snapshot->last_step : "";
  seen.release = join.release;
  seen.host = join.host;
  Event& event = draft.note(EventKind::kPartyVisited);
  event.party = join.party;
  event.incarnation = join.request.incarnation;
  event.text = seen.last_step.empty() ? "nothing pending" : "nothing pending, knows up to " + seen.last_step;

  Round* held = draft.holder();
  if (PLANTED(visit_believed) && held != nullptr && held->state == State::kRecovering) {
    draft.conclude(*held, State::kSucceeded, Outcome{});
  }
  std::erase_if(record.guests, [&](const Member& m) { return m.incarnation == join.request.incarnation; });
  if (held != nullptr && held->state == State::kRecovering && held->last_run && !PLANTED(visit_never_settles) &&
      join.may_apply && join.snapshot && record.guests.size() < draft.settings.parties_max) {
    record.guests.push_back(make_member(draft, join, held->plan.steps.size()));
    Reply reply = told(Verdict::kSettle, *held);
    reply.lease_until = record.guests.back().lease_until;
    return reply;
  }
  Reply reply;
  reply.verdict = Verdict::kNothingPending;
  if (held != nullptr && held->state == State::kIndeterminate) {
    reply.round = held->id;
    reply.notice = "round " + held->id.value + " of this target is INDETERMINATE; see syzygy status --target " +
                   record.target.value;
  }
  return reply;
}

std::optional<Reply> check_binding(Draft& draft, const Join& join) {
  if (!join.binding) return std::nullopt;
  Record& record = draft.record;
  if (!record.binding) {
    record.binding = join.binding;
    Event& event = draft.note(EventKind::kBound);
    event.party = join.party;
    event.data = binding_data(*join.binding);
    event.text = "to database " + join.binding->database + ", application " + join.binding->application;
    return std::nullopt;
  }
  if (*record.binding == *join.binding || PLANTED(binding_ignored)) return std::nullopt;
  const auto named = [](const Binding& b) {
    return b.database + " (system " + b.system_id + ", application " + b.application + ", id " + b.minted_id + ")";
  };
  return refused(
      ErrorCode::kFailedPrecondition, "TARGET_MISMATCH",
      "the target " + record.target.value + " is bound to the database " + named(*record.binding) + ", but " +
          join.party.value + " came with " + named(*join.binding) +
          "; give the other database a target name of its own, or, after a restore or a clone: syzygy target rebind " +
          record.target.value,
      {{"bound", named(*record.binding)}, {"presented", named(*join.binding)}});
}

}  // namespace

Quorum effective_quorum(const Record& record, const Quorum& asked) {
  Quorum effective = record.pin && !PLANTED(pin_ignored) ? record.pin->quorum : asked;
  if (!effective.roster.empty()) {
    for (const auto& [party, excuse] : record.excuses) effective.roster.erase(party);
    effective.parties = static_cast<std::uint32_t>(effective.roster.size());
    return effective;
  }
  if (effective.parties == 0) return effective;
  const auto excused = static_cast<std::uint32_t>(record.excuses.size());
  effective.parties = effective.parties > excused ? effective.parties - excused : (PLANTED(excuse_below_one) ? 0 : 1);
  return effective;
}

void supersede_requorumed(Draft& draft, const std::string& why) {
  for (Round& round : draft.record.rounds) {
    if (!PLANTED(pin_keeps_gatherings) && round.state == State::kGathering &&
        effective_quorum(draft.record, round.asked) != round.effective) {
      draft.end(round, State::kSuperseded, why + "; join again");
    }
  }
}

Reply on_join(Draft& draft, const Join& join) {
  Record& record = draft.record;
  if (join.snapshot && join.snapshot->token >= kTokenMax && !PLANTED(token_believed)) {
    return refused(ErrorCode::kInvalidArgument, "TOKEN_IMPLAUSIBLE",
                   "the target's fence row holds the token " + std::to_string(join.snapshot->token.value) +
                       ", which no run can have claimed; look at the row before anything else is applied");
  }
  if (auto refusal = check_binding(draft, join)) return *refusal;
  if (join.snapshot && !PLANTED(resync_token_low)) draft.raise_token(join.snapshot->token, nullptr);

  // Whoever looked after the lost run's commit knows how it ended.
  Round* held = draft.holder();
  if (held != nullptr && held->state == State::kRecovering && join.snapshot && join.snapshot->last_outcome &&
      join.snapshot->last_outcome->round == held->id) {
    Outcome outcome;
    outcome.message = "found in the target by " + join.party.value;
    outcome.applier = held->last_run ? held->last_run->party : PartyName{};
    outcome.token = join.snapshot->last_outcome->token;
    outcome.in_target = true;
    outcome.steps_done = static_cast<std::uint32_t>(held->plan.steps.size());
    draft.conclude(*held, join.snapshot->last_outcome->state, std::move(outcome));
    held = nullptr;
  }
  if (!join.plan) return visit(draft, join);

  PlanHash hash = plan_hash(*join.plan);
  if (join.plan->opaque && !join.checked && !join.again) {
    const auto remembered = record.opaque_applied.find(join.plan->stage);
    if (remembered != record.opaque_applied.end() && !PLANTED(forgets_opaque) && remembered->second == hash) {
      Reply reply;
      reply.verdict = Verdict::kApplied;
      for (const Round& round : record.rounds) {
        if (round.hash == hash && round.state == State::kSucceeded) reply.round = round.id;
      }
      reply.notice = "this plan was the last that succeeded here; --again applies it once more";
      return reply;
    }
  }

  // The order is the protocol's: a success that answers, a failure not yet heard, the round that holds the target, a
  // gathering one.
  for (auto round = record.rounds.rbegin(); round != record.rounds.rend(); ++round) {
    if (round->state == State::kSucceeded && meets(*round, join, hash) && answers(*round, join)) {
      return told(Verdict::kApplied, *round);
    }
  }
  for (auto round = record.rounds.rbegin(); round != record.rounds.rend(); ++round) {
    if (round->state == State::kFailed && (!round->acknowledged.contains(join.party) || PLANTED(failure_told_again)) &&
        meets(*round, join, hash)) {
      return told(Verdict::kFailed, *round);
    }
  }
  if (held != nullptr) {
    if (held->state == State::kIndeterminate && !PLANTED(indeterminate_not_told))
      return told(Verdict::kIndeterminate, *held);
    if (const auto at = meets(*held, join, hash)) {
      if (auto refusal = disagrees(record, *held, join)) return *refusal;
      return move_in(draft, *held, join, *at);
    }
  }
  for (Round& round : record.rounds) {
    if (round.state != State::kGathering || round.hash != hash) continue;
    if (auto refusal = disagrees(record, round, join)) return *refusal;
    return move_in(draft, round, join, 0);
  }
  return open(draft, join, std::move(hash));
}

void compare_gatherings(Draft& draft) {
  Record& record = draft.record;
  std::vector<Round*> gathering;
  for (Round& round : record.rounds) {
    if (round.state == State::kGathering && !quorum_complete(record, round)) gathering.push_back(&round);
  }
  const auto lacks_one_of = [&](const Round& a, const Round& b) {
    const auto here = counted(record, a);
    return std::ranges::any_of(counted(record, b),
                               [&](const PartyName& p) { return std::ranges::find(here, p) == here.end(); });
  };
  for (Round& round : record.rounds) {
    if (is_final(round.state)) continue;
    std::set<RoundId> odds;  // nobody's, for a round that was elected just now
    if (std::ranges::find(gathering, &round) != gathering.end()) {
      for (const Round* other : gathering) {
        if (other != &round && lacks_one_of(round, *other) && lacks_one_of(*other, round)) odds.insert(other->id);
      }
    }
    for (const RoundId& id : odds) {
      if (round.diverged.contains(id)) continue;
      Event& event = draft.note(EventKind::kDiverged, &round);
      event.data = id.value;
      event.text = first_difference(round.plan, draft.find(id)->plan);
    }
    for (const RoundId& id : round.diverged) {
      if (!odds.contains(id)) draft.note(EventKind::kConverged, &round).data = id.value;
    }
    round.diverged = std::move(odds);
  }
}

std::string describe(const Quorum& quorum) {
  if (quorum.roster.empty()) return std::to_string(quorum.parties);
  std::string text = "roster";
  for (const PartyName& party : quorum.roster) text += (text == "roster" ? " " : ", ") + party.value;
  return text;
}

Reply refused(ErrorCode code, std::string reason, std::string message, std::map<std::string, std::string> metadata) {
  Reply reply;
  reply.verdict = Verdict::kRefused;
  reply.error = Error{code, std::move(reason), std::move(message), std::move(metadata), std::nullopt};
  return reply;
}

}  // namespace syzygy::round
