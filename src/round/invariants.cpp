#include "round/invariants.h"

#include <algorithm>
#include <set>

#include "round/history.h"
#include "round/transitions.h"

namespace syzygy::round {
namespace {

const Round* find(const Record& record, const RoundId& id) {
  const auto found = std::ranges::find(record.rounds, id, &Round::id);
  return found == record.rounds.end() ? nullptr : &*found;
}

// Counts anew, sharing nothing with the election's own rule: 1 and 2.
std::string quorum_was_there(const Record& record, const Round& round) {
  std::set<PartyName> parties;
  for (const Member& member : round.members) {
    const bool on_roster = round.effective.roster.empty() || round.effective.roster.contains(member.party);
    if (member.standing == Standing::kLive && member.lease_until > record.now && on_roster &&
        !record.excuses.contains(member.party)) {
      parties.insert(member.party);
    }
  }
  if (round.effective.parties == 0 || parties.size() < round.effective.parties) {
    return "1: elected with " + std::to_string(parties.size()) + " of " + std::to_string(round.effective.parties) +
           " parties";
  }
  return {};
}

std::string coherent(const Round& round, Token token) {
  const bool granted = round.state == State::kElected || round.state == State::kApplying;
  if (round.grant.has_value() != granted) return "4: a grant exactly while ELECTED or APPLYING";
  if (granted && round.grant->claimed != (round.state == State::kApplying)) return "4: claimed exactly while APPLYING";
  if (granted && round.grant->token > token) return "4: a grant above the target's token";
  if (round.state == State::kApplying && round.grant->settle) return "10: a settler applies nothing";
  if (round.state == State::kApplying && (!round.last_run || round.last_run->token != round.grant->token)) {
    return "10: the run that reached APPLYING is remembered";
  }
  const bool told =
      round.state == State::kSucceeded || round.state == State::kFailed || round.state == State::kIndeterminate;
  if (round.outcome.has_value() != told) return "7: an outcome exactly when SUCCEEDED, FAILED or INDETERMINATE";
  return {};
}

// 6 and 11: what may not change in a round once it is there.
std::string kept(const Round& before, const Round& after) {
  if (before.plan != after.plan || before.hash != after.hash || before.asked != after.asked ||
      before.effective != after.effective || before.generation != after.generation) {
    return "11: N, roster, plan and policy do not change within a round";
  }
  if (before.last_run && !after.last_run) return "6: a run that reached APPLYING is not forgotten";
  if (!is_final(before.state)) return {};
  Round allowed = before;
  allowed.acknowledged = after.acknowledged;  // who has heard of it is not part of the outcome
  return allowed == after ? std::string() : "6: a finished round never changes";
}

}  // namespace

std::string broken_invariant(const Record& before, const Record& after, std::span<const Event> events) {
  std::size_t holders = 0;
  std::set<RoundId> ids;
  Generation newest;
  for (const Round& round : after.rounds) {
    holders += holds_target(round.state) ? 1 : 0;
    if (!ids.insert(round.id).second) return "12: two rounds share the id " + round.id.value;
    if (round.generation <= newest || round.generation > after.generation)
      return "12: generations rise with each round";
    newest = round.generation;
    if (std::string why = coherent(round, after.token); !why.empty()) return why + " (round " + round.id.value + ")";
    const Round* was = find(before, round.id);
    if (was != nullptr) {
      if (std::string why = kept(*was, round); !why.empty()) return why + " (round " + round.id.value + ")";
    } else if (round.generation <= before.generation) {
      return "12: a new round has a new generation";
    }
  }
  if (holders > 1) return "3: " + std::to_string(holders) + " rounds hold the target";
  for (const Round& round : before.rounds) {
    // Resynchronising, a newer round of the lost life proves that this one had ended.
    if (!is_final(round.state) && find(after, round.id) == nullptr && !before.resync && !after.resync)
      return "6: round " + round.id.value + " vanished unfinished";
  }

  if (after.token < before.token) return "4: the token fell";
  if (after.now < before.now) return "time ran backwards in the record";
  bool resynchronising = before.resync.has_value();
  if (after.epoch != before.epoch && !before.epoch.empty() &&
      std::ranges::none_of(events, [](const Event& e) { return e.kind == EventKind::kResyncBegun; })) {
    return "15: the epoch changed without a resynchronisation";
  }
  if (before.resync && !after.resync && after.token <= before.resync->seen && before.resync->seen.value > 0) {
    return "15: the token is not above everything seen";
  }
  Token highest = before.token;
  Revision revision = before.revision;
  View view = project(before);
  for (const Event& event : events) {
    revision = revision.next();
    if (event.revision != revision) return "14: revisions have a gap at " + std::to_string(event.revision.value);
    const bool grants = event.kind == EventKind::kApplierGranted || event.kind == EventKind::kResolutionBegun;
    if (event.kind == EventKind::kResyncBegun) resynchronising = true;
    if (event.kind == EventKind::kResyncEnded) resynchronising = false;
    if (grants && resynchronising)
      return "15: token " + std::to_string(event.token.value) + " during resynchronisation";
    if (grants && event.token <= highest) return "4: token " + std::to_string(event.token.value) + " was granted again";
    if (grants || event.kind == EventKind::kTokenRaised) highest = event.token;
    if (event.kind == EventKind::kRoundMoved) {
      if (!may_move(event.from, event.to)) return "no such move";
      const Round* round = find(after, event.round);
      if (event.from == State::kGathering && event.to == State::kElected && round != nullptr) {
        if (std::string why = quorum_was_there(after, *round); !why.empty())
          return why + " (round " + event.round.value + ")";
      }
      if (event.to == State::kSucceeded && event.from == State::kGathering) return "9: succeeded without a claim";
    }
    fold(view, event);
  }
  if (revision != after.revision) return "14: the revision moved without events";
  if (highest != after.token) return "4: the token moved without an event";
  if (view != project(after)) return "14: the state is not the fold of its history";
  return {};
}

}  // namespace syzygy::round
