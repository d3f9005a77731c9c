// Resynchronisation: the store went back in time below this target, or began anew (PROTOCOL.md, "The store is in
// trouble").
//
// What was granted in the lost life may still be acted on for the longest lease and the lock delay. Until then the
// record takes evidence and grants nothing (invariant 15); then its token is above everything that anybody brought.
#include <algorithm>
#include <utility>

#include "base/sha256.h"
#include "round/history.h"
#include "round/planted.h"
#include "round/rules.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

// A break-glass run claims the row's token + 2^20: that, or a little less where grants were never claimed, is no sign
// of a lost life.
constexpr std::uint64_t kBreakGlass = 1 << 20;
constexpr std::uint64_t kUnclaimed = 1 << 16;
// Tokens of the lost life that nobody brought, because nobody claimed them: skipped.
constexpr std::uint64_t kLeap = 1'024;

bool claimed_in_a_lost_life(Token row, Token known) {
  if (row <= known || row >= kTokenMax) return false;
  const std::uint64_t above = (row.value - known.value) % kBreakGlass;
  return above != 0 && above <= kBreakGlass - kUnclaimed;
}

// Lives that were resynchronised, the newest kept: beyond them only a higher token is news.
constexpr std::size_t kFormerMax = 16;

struct Evidence {
  const Memory* memory = nullptr;
  const Snapshot* snapshot = nullptr;
  std::string from;
  bool joins = false;
};

Evidence evidence_of(const Record& record, const Command& command) {
  if (const auto* join = std::get_if<Join>(&command)) {
    const bool another = join->binding && record.binding && *join->binding != *record.binding;
    const bool looked = join->snapshot && (!another || PLANTED(resync_foreign_row));
    return {join->memory ? &*join->memory : nullptr, looked ? &*join->snapshot : nullptr, join->party.value, true};
  }
  if (const auto* renew = std::get_if<Renew>(&command)) {
    return {renew->memory ? &*renew->memory : nullptr, nullptr, renew->incarnation.value};
  }
  if (const auto* report = std::get_if<Report>(&command)) {
    return {report->memory ? &*report->memory : nullptr, nullptr, report->request.incarnation.value};
  }
  if (const auto* remind = std::get_if<Remind>(&command)) return {&remind->memory, nullptr, "a daemon"};
  return {};
}

// Nothing is lost of a target on which nothing was ever claimed.
bool never_claimed(const Evidence& evidence) {
  if (evidence.memory->token.value > 0 || evidence.memory->round) return false;
  return evidence.snapshot != nullptr ? evidence.snapshot->token.value == 0 : !evidence.joins;
}

// Why this record is of an older life than what `evidence` knows; empty: it is not.
std::string older_than(const Record& record, const Evidence& evidence) {
  if (const Memory* memory = evidence.memory; memory != nullptr && memory->token < kTokenMax) {
    const bool known = std::ranges::find(record.former, memory->epoch) != record.former.end();
    if (memory->epoch == record.epoch && memory->revision > record.revision) {
      return evidence.from + " saw revision " + std::to_string(memory->revision.value) + ", and the store has " +
             std::to_string(record.revision.value);
    }
    if (memory->epoch != record.epoch && (!known || PLANTED(resync_again)) && !never_claimed(evidence)) {
      return evidence.from + " saw revision " + std::to_string(memory->revision.value) + " and token " +
             std::to_string(memory->token.value) + " in a life of the store of which nothing is left";
    }
    if (memory->epoch != record.epoch && memory->token > record.token) {
      return evidence.from + " saw token " + std::to_string(memory->token.value) +
             " in an earlier life of the store, and this one has " + std::to_string(record.token.value);
    }
  }
  if (evidence.snapshot != nullptr && claimed_in_a_lost_life(evidence.snapshot->token, record.token)) {
    return "the target holds token " + std::to_string(evidence.snapshot->token.value) + ", and the store knows of " +
           std::to_string(record.token.value);
  }
  return {};
}

void remember_life(Record& record, const std::string& epoch) {
  if (epoch.empty() || epoch == record.epoch || std::ranges::find(record.former, epoch) != record.former.end()) return;
  if (record.former.size() == kFormerMax) record.former.erase(record.former.begin());
  record.former.push_back(epoch);
}

// Steps that we run in a database that we know are guarded there, or found begun.
bool guarded(const Record& record, const Round& round) { return record.binding && !round.plan.opaque; }

// Whoever held a grant may have gone further than this record knows.
void begin(Draft& draft, const std::string& from, std::string why) {
  Record& record = draft.record;
  record.resync = Resync{draft.now, draft.now + draft.settings.resync(), why, {}};
  const std::string before = std::exchange(
      record.epoch,
      sha256_hex(record.epoch + "\n" + std::to_string(draft.now.ms) + "\n" + from + "\n" + why).substr(0, 32));
  remember_life(record, before);
  if (PLANTED(resync_token_reset)) record.token = Token{};
  draft.note(EventKind::kResyncBegun).text = std::move(why);
  Round* held = draft.holder();
  if (held == nullptr || held->state == State::kIndeterminate) return;
  assume_run(draft, *held);
  if (held->grant) draft.recover(*held, "the target resynchronises");
}

// A daemon saw more of this life, and another round than this one, or none, in its place: it had ended. How, only the
// target knows, whose fence keeps out what is left of it; one that no fence guards is not given up for that.
void end_if_forgotten(Draft& draft, const Memory& later) {
  const Round* held = draft.holder();
  if (held == nullptr || held->state == State::kIndeterminate || PLANTED(resync_keeps_ended)) return;
  if (!guarded(draft.record, *held) || (held->last_run && !held->last_run->fenced && !held->last_run->ended)) return;
  if (later.round && later.round->id == held->id) return;
  const RoundId gone = held->id;
  draft.note(EventKind::kRoundRetired, held).text = "it had ended before the store lost that";
  std::erase_if(draft.record.rounds, [&](const Round& round) { return round.id == gone; });
}

void open_again(Draft& draft, const RememberedRound& seen) {
  Record& record = draft.record;
  Round round;
  round.id = seen.id;
  round.effective = seen.quorum;  // what was asked for is not known, and nobody is refused for it
  record.generation = record.generation.next();
  round.generation = record.generation;
  round.plan = seen.plan;
  round.hash = plan_hash(seen.plan);
  round.opened_at = draft.now;
  record.rounds.push_back(std::move(round));
  Event& event = draft.note(EventKind::kRoundOpened, &record.rounds.back());
  event.data = opened_data(record.rounds.back());
  event.text = "again: the store had lost it";
}

// Somebody was told how this round ended: everybody is told the same.
void end_again(Draft& draft, const RememberedRound& seen) {
  Round* round = draft.find(seen.id);
  if (round == nullptr || is_final(round->state) || PLANTED(resync_outcome_lost)) return;
  if (round->state != State::kRecovering && round->state != State::kIndeterminate) {
    draft.recover(*round, "it had ended before the store lost that");
  }
  Outcome outcome;
  outcome.message = "as it was told before the store lost it";
  outcome.applier = seen.applier_party;
  outcome.token = seen.token;
  draft.conclude(*round, seen.state, std::move(outcome));
}

// A round that was seen beyond GATHERING holds its target again, to be judged when the resynchronisation ends.
void come_back(Draft& draft, const RememberedRound& seen) {
  if (seen.id.empty() || PLANTED(resync_forgets_round)) return;
  if (seen.state == State::kSucceeded || seen.state == State::kFailed) return end_again(draft, seen);
  if (!holds_target(seen.state)) return;
  if (const Round* held = draft.holder(); held != nullptr && held->id != seen.id) {
    if ((held->last_run ? held->last_run->token : Token{}) >= seen.token) return;
    // The lost life elected the newer one, so it had ended this one; how is not known here, only in the target.
    draft.note(EventKind::kRoundRetired, held).text = "its end was lost with the store";
    const RoundId gone = held->id;
    std::erase_if(draft.record.rounds, [&](const Round& round) { return round.id == gone; });
  }
  // Where two that remember contradict each other, what was given up in this very step stays so.
  const auto given_up = [&](const Event& event) {
    return event.kind == EventKind::kRoundRetired && event.round == seen.id;
  };
  if (draft.find(seen.id) == nullptr && std::ranges::none_of(draft.events, given_up)) {
    if (check_plan(seen.plan) &&
        weight(draft.record) + weight_of_joining(&seen.plan) <= draft.settings.record_bytes_max) {
      open_again(draft, seen);
    }
  }
  Round* round = draft.find(seen.id);
  if (round == nullptr || is_final(round->state) || round->state == State::kIndeterminate) return;
  if (!round->last_run || round->last_run->token <= seen.token) {
    const bool known = round->last_run && round->last_run->token == seen.token;
    const bool fenced = (seen.fenced || (known && round->last_run->fenced)) && !round->plan.opaque;
    round->last_run = Run{seen.applier, seen.applier_party, seen.token, fenced, false};
  }
  if (round->state == State::kGathering) draft.recover(*round, "it was seen further on");
}

}  // namespace

void assume_run(Draft& draft, Round& round) {
  if (PLANTED(restart_knows_all) || (round.last_run && !round.last_run->ended)) return;
  const bool fenced = guarded(draft.record, round);
  if (round.grant) {
    round.last_run = Run{round.grant->incarnation, round.grant->party, round.grant->token, fenced, false};
  } else if (round.last_run) {
    round.last_run->fenced = fenced;
    round.last_run->ended = false;
  } else {
    round.last_run = Run{{}, {}, draft.record.token, fenced, false};
  }
}

void take_evidence(Draft& draft, const Command& command) {
  Record& record = draft.record;
  const Evidence evidence = evidence_of(record, command);
  if (evidence.memory == nullptr && evidence.snapshot == nullptr) return;
  if (!record.resync) {
    std::string why = PLANTED(resync_skipped) ? "" : older_than(record, evidence);
    if (why.empty()) return;
    const bool later = std::holds_alternative<Remind>(command) && evidence.memory->epoch == record.epoch;
    begin(draft, evidence.from, std::move(why));
    if (later) end_if_forgotten(draft, *evidence.memory);
  }
  if (evidence.memory != nullptr) remember_life(record, evidence.memory->epoch);
  const auto saw = [&](Token token) {
    if (token >= kTokenMax) return;
    record.resync->seen = std::max(record.resync->seen, token);
    if (!PLANTED(resync_token_low)) draft.raise_token(token, nullptr);
  };
  if (evidence.memory != nullptr) {
    saw(evidence.memory->token);
    if (evidence.memory->round) {
      saw(evidence.memory->round->token);
      if (evidence.memory->round->token < kTokenMax) come_back(draft, *evidence.memory->round);
    }
  }
  if (evidence.snapshot == nullptr) return;
  saw(evidence.snapshot->token);
  // Its outcome stands in the target: then it had gone further than GATHERING, whatever this record says.
  const auto& outcome = evidence.snapshot->last_outcome;
  Round* round = outcome ? draft.find(outcome->round) : nullptr;
  if (round != nullptr && round->state == State::kGathering && draft.holder() == nullptr) {
    round->last_run = Run{{}, {}, outcome->token, true, true};
    draft.recover(*round, "its outcome stands in the target");
  }
}

Memory memory_of(const Record& record) {
  Memory memory;
  memory.epoch = record.epoch;
  memory.revision = record.revision;
  memory.token = record.token;
  const Round* shown = holder(record);
  for (const Round& round : record.rounds) {
    if (shown != nullptr && holds_target(shown->state)) break;
    if (round.state != State::kSucceeded && round.state != State::kFailed) continue;
    if (shown == nullptr || round.ended_at >= shown->ended_at) shown = &round;
  }
  if (shown == nullptr) return memory;
  RememberedRound& was = memory.round.emplace();
  was.id = shown->id;
  was.plan = shown->plan;
  was.quorum = shown->effective;
  was.state = shown->state;
  if (shown->grant) {
    was.applier = shown->grant->incarnation;
    was.applier_party = shown->grant->party;
    was.token = shown->grant->token;
    was.fenced = shown->grant->fenced;
  } else if (shown->last_run) {
    was.applier = shown->last_run->incarnation;
    was.applier_party = shown->last_run->party;
    was.token = shown->last_run->token;
    was.fenced = shown->last_run->fenced;
  } else if (shown->outcome) {
    was.applier_party = shown->outcome->applier;
    was.token = shown->outcome->token;
  }
  return memory;
}

void look_at_row(Draft& draft, Token row, Token known, const PartyName& party) {
  if (draft.record.resync || !claimed_in_a_lost_life(row, known) || PLANTED(resync_row_unread)) return;
  begin(
      draft, party.value,
      "the target holds token " + std::to_string(row.value) + ", and the store knew of " + std::to_string(known.value));
  draft.record.resync->seen = row;
}

void end_resync(Draft& draft) {
  Record& record = draft.record;
  if (!record.resync || record.resync->until > draft.now) return;
  if (record.token.value > 0 && !PLANTED(resync_token_low)) {
    draft.raise_token(Token{record.token.value + kLeap}, nullptr);
  }
  record.resync.reset();
  draft.note(EventKind::kResyncEnded);
  Round* held = draft.holder();
  if (held == nullptr || held->state != State::kRecovering) return;
  if (!held->last_run || held->last_run->fenced || held->last_run->ended) return;
  Outcome outcome;
  outcome.message =
      "the store lost what became of this round, and no fence guards its run; look at the database, then: syzygy "
      "resolve";
  outcome.applier = held->last_run->party;
  outcome.token = held->last_run->token;
  draft.conclude(*held, State::kIndeterminate, std::move(outcome));
}

}  // namespace syzygy::round
