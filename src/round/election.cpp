#include "round/election.h"

#include <algorithm>
#include <tuple>

#include "round/planted.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

bool able(const Member& member, Instant now) {
  return member.standing == Standing::kLive && (member.may_apply || PLANTED(elects_voter)) &&
         (member.declined_until <= now || PLANTED(elects_declined));
}

void grant(Draft& draft, Round& round, const Member& member, bool settle) {
  if (!PLANTED(token_reused)) draft.record.token = draft.record.token.next();
  Grant given;
  given.incarnation = member.incarnation;
  given.party = member.party;
  given.token = draft.record.token;
  given.settle = settle;
  given.lease_ttl = member.lease_ttl;
  // The member's own lease, not a fresh one: an applier that died before it heard of this is found out no later than as
  // a member.
  given.lease_until = member.lease_until;
  given.graced = member.graced;
  const std::string why = settle                              ? "to settle: nobody who could resume is here"
                          : round.state == State::kRecovering ? "takes over"
                                                              : "the quorum is complete";
  const IncarnationId incarnation = member.incarnation;
  draft.move(round, State::kElected, why);
  if (!draft.broken.empty()) return;
  round.grant = std::move(given);
  if (!round.elected_at) round.elected_at = draft.now;
  Event& event = draft.note(EventKind::kApplierGranted, &round);
  event.party = round.grant->party;
  event.incarnation = incarnation;
  event.token = draft.record.token;
  event.text = settle ? "settle" : "";
}

Outcome judged(std::string message, const Round& round) {
  Outcome outcome;
  outcome.message = std::move(message);
  if (round.last_run) {
    outcome.applier = round.last_run->party;
    outcome.token = round.last_run->token;
  }
  return outcome;
}

bool anybody_able_ever(const Round& round) {
  return std::ranges::any_of(round.members,
                             [](const Member& m) { return m.standing == Standing::kLive && m.may_apply; });
}

// A round in RECOVERING: hands it to an heir, else to somebody who looks, else ends it where it can end.
void recover(Draft& draft, Round& round) {
  const Member* next = round.sever ? nullptr : heir(round, draft.now);
  if (next != nullptr) return grant(draft, round, *next, false);
  if (!round.last_run && PLANTED(waits_for_ever)) return;
  if (!round.last_run) {
    // Nothing of it ever ran: nobody has to look.
    const std::string why =
        anybody_able_ever(round) ? "everybody who could apply it has declined" : "nobody who could apply it is left";
    draft.conclude(round, State::kFailed, judged(why + "; nothing was applied", round));
    return;
  }
  if (round.sever && round.last_run->ended) {
    draft.conclude(round, State::kFailed,
                   judged("severed by " + round.sever->actor + ": " + round.sever->reason, round));
    return;
  }
  // A severed round's heir only looks, and so does everybody else's member.
  const Member* looks = round.sever ? heir(round, draft.now) : nullptr;
  if (looks == nullptr) looks = settler(draft.record, round, draft.now);
  if (looks != nullptr) return grant(draft, round, *looks, true);
  if (round.last_run->ended && !anybody_able_ever(round)) {
    draft.conclude(round, State::kFailed,
                   judged("the applier " + round.last_run->party.value +
                              " left cleanly, and nobody is here to take over; what it had committed stays",
                          round));
    return;
  }
  if (!round.last_run->fenced && !round.last_run->ended && !round.sever) {
    draft.conclude(
        round, State::kIndeterminate,
        judged(lost_applier(round) +
                   " was lost during a run that no fence guards, and nobody is here who could see whether its "
                   "sessions are gone; look at the database, then: syzygy resolve",
               round));
  }
}

}  // namespace

const Member* first_applier(const Record& record, const Round& round, Instant now) {
  const Member* best = nullptr;
  for (const Member& member : round.members) {
    if (!able(member, now)) continue;
    const MemberStanding standing = standing_of(record, round, member);
    if (standing != MemberStanding::kCounted && !(standing == MemberStanding::kExcused && PLANTED(elects_excused)))
      continue;
    if (round.completed_by == member.incarnation && !PLANTED(newest_not_favoured)) return &member;
    if (best == nullptr || member.order > best->order) best = &member;
  }
  return best;
}

const Member* heir(const Round& round, Instant now) {
  const Member* best = nullptr;
  const auto rank = [&](const Member& m) {
    const bool was_lost = round.last_run && round.last_run->incarnation == m.incarnation;
    return std::tuple(!was_lost, -static_cast<std::int64_t>(m.has_from), m.order);
  };
  for (const Member& member : round.members) {
    if (!able(member, now)) continue;
    if (round.remaining_from && member.has_from > *round.remaining_from && !PLANTED(heir_lacks_steps)) continue;
    if (best == nullptr || rank(member) > rank(*best)) best = &member;
  }
  return best;
}

const Member* settler(const Record& record, const Round& round, Instant now) {
  const Member* best = nullptr;
  const auto consider = [&](const Member& member) {
    if (able(member, now) && (best == nullptr || member.order > best->order)) best = &member;
  };
  for (const Member& guest : record.guests) consider(guest);
  for (const Round& other : record.rounds) {
    if (other.id == round.id || other.state != State::kGathering) continue;
    for (const Member& member : other.members) consider(member);
  }
  // Last, a member of its own that lacks a remaining step: it can still look.
  if (best == nullptr) {
    for (const Member& member : round.members) consider(member);
  }
  return best;
}

void elect(Draft& draft) {
  // Invariant 15: whoever was granted something in the lost life may still act on it.
  if (draft.record.resync && !PLANTED(resync_elects)) return;
  if (draft.now < draft.settings.quiet_until && !PLANTED(suspicion_ignored)) return;
  if (Round* round = draft.holder()) {
    if (round->state == State::kRecovering) recover(draft, *round);
    const Round* held = draft.holder();
    const bool freed = PLANTED(indeterminate_frees_target) && held != nullptr && held->state == State::kIndeterminate;
    if (held != nullptr && !freed && !PLANTED(two_holders)) return;
  }
  for (Round& round : draft.record.rounds) {
    if (round.state != State::kGathering || !quorum_complete(draft.record, round)) continue;
    if (const Member* chosen = first_applier(draft.record, round, draft.now))
      return grant(draft, round, *chosen, false);
  }
}

}  // namespace syzygy::round
