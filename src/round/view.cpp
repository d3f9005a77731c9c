#include "round/view.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "round/election.h"
#include "round/planted.h"

namespace syzygy::round {

std::string_view to_string(State state) {
  switch (state) {
    case State::kGathering:
      return "GATHERING";
    case State::kElected:
      return "ELECTED";
    case State::kApplying:
      return "APPLYING";
    case State::kRecovering:
      return "RECOVERING";
    case State::kSucceeded:
      return "SUCCEEDED";
    case State::kFailed:
      return "FAILED";
    case State::kIndeterminate:
      return "INDETERMINATE";
    case State::kExpired:
      return "EXPIRED";
    case State::kDissolved:
      return "DISSOLVED";
    case State::kSuperseded:
      return "SUPERSEDED";
  }
  return "UNKNOWN";
}

const Member* counting_member(const Round& round, const PartyName& party) {
  const Member* newest = nullptr;
  for (const Member& member : round.members) {
    if (member.party == party && member.standing == Standing::kLive &&
        (newest == nullptr || member.order > newest->order)) {
      newest = &member;
    }
  }
  return newest;
}

MemberStanding standing_of(const Record& record, const Round& r, const Member& member) {
  if (member.standing == Standing::kLeft) return MemberStanding::kLeft;
  if (member.standing == Standing::kLapsed) return MemberStanding::kLapsed;
  if (counting_member(r, member.party) != &member) return MemberStanding::kReplaced;
  if (record.excuses.contains(member.party)) return MemberStanding::kExcused;
  if (!r.effective.roster.empty() && !r.effective.roster.contains(member.party)) return MemberStanding::kSurplus;
  return MemberStanding::kCounted;
}

std::vector<PartyName> counted(const Record& record, const Round& r) {
  std::vector<const Member*> members;
  for (const Member& member : r.members) {
    const bool live =
        member.standing == Standing::kLive || (member.standing == Standing::kLapsed && PLANTED(counts_lapsed));
    if (!live || (record.excuses.contains(member.party) && !PLANTED(counts_excused))) continue;
    if (!r.effective.roster.empty() && !r.effective.roster.contains(member.party) && !PLANTED(counts_off_roster))
      continue;
    members.push_back(&member);
  }
  std::ranges::sort(members, {}, [](const Member* m) { return m->order; });
  std::set<std::string_view> seen;
  std::vector<PartyName> parties;
  for (const Member* member : members) {
    if (seen.insert(member->party.value).second || PLANTED(counts_replaced)) parties.push_back(member->party);
  }
  return parties;
}

std::vector<PartyName> missing(const Record& record, const Round& r) {
  std::set<PartyName> absent = r.effective.roster;
  for (const PartyName& party : counted(record, r)) absent.erase(party);
  return {absent.begin(), absent.end()};
}

bool quorum_complete(const Record& record, const Round& r) {
  // The roster's members are distinct, so that all of it is there exactly when as many count as it has.
  // The cheap comparison first: a large round is asked this with every join.
  return r.effective.parties > 0 && r.members.size() >= r.effective.parties &&
         counted(record, r).size() + (PLANTED(quorum_off_by_one) ? 1 : 0) >= r.effective.parties;
}

std::string waits_for(const Record& record, const Round& r, Instant now) {
  if (record.resync && !is_final(r.state) && r.state != State::kIndeterminate) {
    return "the target resynchronises: " + record.resync->why;
  }
  if (r.state == State::kRecovering) {
    return r.sever ? "it was severed; its end is not confirmed yet"
                   : "the applier was lost; somebody able to look is awaited";
  }
  if (r.state != State::kGathering || !quorum_complete(record, r)) return {};
  if (const Round* holding = holder(record)) {
    return "the target is held by round " + holding->id.value + ", which is " + std::string(to_string(holding->state));
  }
  if (first_applier(record, r, now) != nullptr) return {};
  return "nobody who is here may apply";
}

std::string lost_applier(const Round& round) {
  const PartyName& party = round.last_run->party;
  return party.empty() ? "an applier that is not known any more" : "the applier " + party.value;
}

std::string first_difference(const Plan& a, const Plan& b) {
  if (a.stage != b.stage) {
    return "stage " + std::string(to_string(a.stage)) + " against " + std::string(to_string(b.stage));
  }
  if (a.opaque != b.opaque) return "one of the plans is opaque";
  if (a.on_applier_lost != b.on_applier_lost) return "what becomes of the plan when its applier is lost";
  const std::size_t common = std::min(a.steps.size(), b.steps.size());
  for (std::size_t i = 0; i < common; ++i) {
    const Step& x = a.steps[i];
    const Step& y = b.steps[i];
    if (x == y) continue;
    if (x.id != y.id) return "step " + std::to_string(i + 1) + ": " + x.id.value + " against " + y.id.value;
    if (x.content != y.content) return "step " + x.id.value + ": its text differs";
    return "step " + x.id.value + ": its direction, stage or transaction mode differs";
  }
  if (a.steps.size() == b.steps.size()) return "no step";
  const Plan& longer = a.steps.size() > b.steps.size() ? a : b;
  return "step " + longer.steps[common].id.value + ": only one of the plans has it";
}

namespace {
// Upper bounds of one of each, encoded: names of 200 bytes, texts of 4 kB.
constexpr std::size_t kStepBytes = 450;
constexpr std::size_t kMemberBytes = 1'200;
constexpr std::size_t kAnsweredBytes = 400;
constexpr std::size_t kVisitBytes = 850;
constexpr std::size_t kExcuseBytes = 4'600;
constexpr std::size_t kRoundBytes = 20'000;  // outcome, sever, progress, whom it is at odds with
constexpr std::size_t kPartyBytes = 210;     // of a roster, or one that acknowledged
}  // namespace

std::size_t weight(const Record& record) {
  std::size_t bytes = kRoundBytes + record.guests.size() * kMemberBytes + record.answered.size() * kAnsweredBytes +
                      record.visits.size() * kVisitBytes + record.excuses.size() * kExcuseBytes;
  if (record.pin) bytes += record.pin->quorum.roster.size() * kPartyBytes;
  for (const Round& round : record.rounds) {
    bytes += kRoundBytes + round.plan.steps.size() * kStepBytes + round.members.size() * kMemberBytes;
    bytes += (round.asked.roster.size() + round.effective.roster.size() + round.acknowledged.size()) * kPartyBytes;
  }
  return bytes;
}

std::size_t weight_of_joining(const Plan* opens) {
  return (opens != nullptr ? kRoundBytes + opens->steps.size() * kStepBytes : 0) + kMemberBytes + kAnsweredBytes;
}

const Round* holder(const Record& record) {
  for (const Round& round : record.rounds) {
    if (holds_target(round.state)) return &round;
  }
  return nullptr;
}

}  // namespace syzygy::round
