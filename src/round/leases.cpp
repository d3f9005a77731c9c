// Time: leases, deadlines, grace after a restart, and when to look again.
#include <algorithm>

#include "round/planted.h"
#include "round/rules.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

void lapse(Draft& draft, Round& round) {
  for (Member& member : round.members) {
    if (member.standing != Standing::kLive) continue;
    const bool waited_enough = round.state == State::kGathering && member.deadline <= draft.now;
    if (!waited_enough && (member.lease_until > draft.now || PLANTED(lease_never_ends))) continue;
    member.standing = Standing::kLapsed;
    draft.note(EventKind::kPartyLapsed, &round, member).text =
        waited_enough ? "its deadline is over" : "its lease is over";
    if (PLANTED(dead_waiter_counts) && round.state == State::kApplying) draft.recover(round, "a waiter died");
  }
}

void end_grant(Draft& draft, Round& round) {
  if (!round.grant || round.grant->lease_until + lock_delay(round, draft.settings) > draft.now) return;
  if (round.grant->unsure) assume_run(draft, round);
  draft.recover(round, "the lease of the applier " + round.grant->party.value + " is over");
}

void end_unconfirmed_sever(Draft& draft, Round& round) {
  if (PLANTED(sever_never_times_out) || !round.sever || round.sever->confirm_by > draft.now ||
      !holds_target(round.state) || round.state == State::kIndeterminate) {
    return;
  }
  Outcome outcome;
  outcome.message = "severed by " + round.sever->actor + " (" + round.sever->reason +
                    "), but nobody confirmed that its run has ended; look at the database, then: syzygy resolve";
  if (round.last_run) {
    outcome.applier = round.last_run->party;
    outcome.token = round.last_run->token;
  }
  draft.conclude(round, State::kIndeterminate, std::move(outcome));
}

void expire_if_empty(Draft& draft, Round& round) {
  if (round.state != State::kGathering && !PLANTED(expires_while_applying) && !PLANTED(moves_unchecked)) return;
  if (std::ranges::any_of(round.members, [](const Member& m) { return m.standing == Standing::kLive; })) return;
  draft.end(round, State::kExpired, "nobody waits here any more");
}

void retire(Draft& draft, const Round& round) { draft.note(EventKind::kRoundRetired, &round).to = round.state; }

// Beyond the limit those that ended first retire early. Never one that ended just now: nobody has heard of that yet.
void make_room(Draft& draft) {
  auto& rounds = draft.record.rounds;
  const auto ended = [&](const Round& round) { return is_final(round.state) && round.ended_at < draft.now; };
  auto lingering =
      static_cast<std::size_t>(std::ranges::count_if(rounds, [](const Round& r) { return is_final(r.state); }));
  const auto heavy = [&] { return weight(draft.record) > draft.settings.record_bytes_max / 2; };
  for (; lingering > draft.settings.lingering_max || (lingering > 0 && heavy()); --lingering) {
    auto oldest = rounds.end();
    for (auto round = rounds.begin(); round != rounds.end(); ++round) {
      if (ended(*round) && (oldest == rounds.end() || round->ended_at < oldest->ended_at)) oldest = round;
    }
    if (oldest == rounds.end()) return;
    retire(draft, *oldest);
    rounds.erase(oldest);
  }
}

}  // namespace

Duration lock_delay(const Round& round, const Settings& settings) {
  // Nothing runs before the claim is complete, and a fenced run is kept out by its fence.
  const bool unfenced = round.grant && round.grant->claimed && !round.grant->fenced && !PLANTED(lock_delay_ignored);
  return unfenced ? settings.lock_delay_unfenced : Duration{0};
}

void end_what_is_over(Draft& draft) {
  Record& record = draft.record;
  bool excuse_ended = false;
  for (auto excuse = record.excuses.begin(); excuse != record.excuses.end();) {
    if (excuse->second.until > draft.now) {
      ++excuse;
      continue;
    }
    draft.note(EventKind::kExcuseEnded).party = excuse->first;
    excuse = record.excuses.erase(excuse);
    excuse_ended = true;
  }
  if (excuse_ended) supersede_requorumed(draft, "an excuse has ended, and with it the effective quorum changed");

  for (Round& round : record.rounds) {
    if (is_final(round.state)) continue;
    lapse(draft, round);
    end_grant(draft, round);
    end_unconfirmed_sever(draft, round);
    expire_if_empty(draft, round);
  }
  end_resync(draft);
  std::erase_if(record.guests, [&](const Member& guest) {
    if (guest.lease_until > draft.now) return false;
    draft.note(EventKind::kPartyLapsed, nullptr, guest).text = "it had come to look";
    return true;
  });
  std::erase_if(record.rounds, [&](const Round& round) {
    const bool over = is_final(round.state) || (round.state == State::kIndeterminate && PLANTED(indeterminate_retires));
    if (!over || round.linger_until > draft.now) return false;
    retire(draft, round);
    return true;
  });
  make_room(draft);
}

Reply on_renew(Draft& draft, const Renew& renew) {
  Reply reply;
  bool known = false;
  const auto keep = [&](Member& member) {
    member.lease_until = draft.now + member.lease_ttl;
    member.graced = false;
    if (PLANTED(old_pushes_back)) member.order = ++draft.record.order;
    reply.lease_until = member.lease_until;
  };
  for (Round& round : draft.record.rounds) {
    for (Member& member : round.members) {
      if (member.incarnation != renew.incarnation) continue;
      known = true;
      if (is_final(round.state) || member.standing == Standing::kLeft) continue;
      if (member.standing == Standing::kLapsed) {
        if (round.state == State::kGathering && member.deadline <= draft.now) continue;
        member.standing = Standing::kLive;
        draft.note(EventKind::kPartyRevived, &round, member);
      }
      keep(member);
      reply.round = round.id;
    }
  }
  for (Member& guest : draft.record.guests) {
    if (guest.incarnation != renew.incarnation) continue;
    known = true;
    keep(guest);
  }
  for (Round& round : draft.record.rounds) {
    // A lease that has ended may revive the member, never the applier.
    if (!round.grant || round.grant->incarnation != renew.incarnation ||
        (round.grant->token != renew.token && !PLANTED(stale_renewal_counts)) ||
        (round.grant->lease_until <= draft.now && !PLANTED(applier_revived))) {
      continue;
    }
    round.grant->lease_until = draft.now + round.grant->lease_ttl;
    round.grant->graced = false;
    reply.token = round.grant->token;
    reply.lease_until = round.grant->lease_until;
    reply.round = round.id;
  }
  if (!known) {
    return refused(ErrorCode::kNotFound, "MEMBER_UNKNOWN",
                   "no round of target " + draft.record.target.value + " knows this process; join again",
                   {{"target", draft.record.target.value}});
  }
  reply.verdict = Verdict::kDone;
  return reply;
}

void on_grace(Draft& draft, const Grace& grace) {
  if (draft.record.graced_boot == grace.boot) return;
  draft.record.graced_boot = grace.boot;
  std::size_t extended = 0;
  const auto extend = [&](auto& holder) {
    // Once per lease: only a real renewal earns the next grace, so that a crash loop cannot keep the dead alive.
    if ((holder.graced && !PLANTED(grace_every_time)) || holder.lease_until >= draft.now + holder.lease_ttl) return;
    holder.lease_until = draft.now + holder.lease_ttl;
    holder.graced = true;
    ++extended;
  };
  for (Round& round : draft.record.rounds) {
    if (is_final(round.state)) continue;
    for (Member& member : round.members) {
      if (member.standing == Standing::kLive) extend(member);
    }
    if (round.grant) extend(*round.grant);
  }
  for (Member& guest : draft.record.guests) extend(guest);
  // Whoever began anew may have begun with an old copy of the store: in truth a round may be further than it is here.
  if (Round* held = draft.holder()) {
    if (held->grant) held->grant->unsure = true;
    if (held->state == State::kRecovering) assume_run(draft, *held);
  }
  if (extended > 0)
    draft.note(EventKind::kGraceGiven).text = "after a restart; leases extended: " + std::to_string(extended);
}

std::optional<Instant> next_wake(const Record& record, const Settings& settings) {
  std::optional<Instant> next;
  const auto at = [&](Instant when) {
    if (!next || when < *next) next = when;
  };
  const auto at_future = [&](Instant when) {
    if (when > record.now) at(when);
  };
  for (const auto& [party, excuse] : record.excuses) at(excuse.until);
  if (record.resync) at(record.resync->until);
  if (std::ranges::any_of(record.rounds, [](const Round& r) { return !is_final(r.state); })) {
    at_future(settings.quiet_until);
  }
  for (const Round& round : record.rounds) {
    if (is_final(round.state)) {
      at(round.linger_until);
      continue;
    }
    for (const Member& member : round.members) {
      if (member.standing != Standing::kLive) continue;
      at(member.lease_until);
      if (round.state == State::kGathering) at(member.deadline);
      at_future(member.declined_until);
    }
    if (round.grant) at(round.grant->lease_until + lock_delay(round, settings));
    if (round.sever && round.state != State::kIndeterminate) at(round.sever->confirm_by);
  }
  for (const Member& guest : record.guests) {
    at(guest.lease_until);
    at_future(guest.declined_until);
  }
  return next;
}

}  // namespace syzygy::round
