// What step() left, drawn as the oracle draws itself.
#include <set>
#include <sstream>

#include "oracle.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

std::string written(const Quorum& quorum) {
  std::string text = std::to_string(quorum.parties);
  for (const PartyName& party : quorum.roster) text += "," + party.value;
  return text;
}

}  // namespace

std::string picture(const Record& record) {
  std::ostringstream out;
  out << "now " << record.now.ms << " token " << record.token.value << " rounds " << record.generation.value
      << " arrivals " << record.order << "\npin " << (record.pin ? written(record.pin->quorum) : "none") << " bound "
      << (record.binding ? record.binding->database : "no") << " excused";
  for (const auto& [party, excuse] : record.excuses) out << ' ' << party.value << '@' << excuse.until.ms;
  if (record.resync) out << "\nlooking back since " << record.resync->since.ms;
  out << "\nopaque";
  for (const auto& [stage, hash] : record.opaque_applied) out << ' ' << to_string(stage) << '=' << hash.value;
  const auto seat_line = [&](const Member& member) {
    static const char* const kStandings[] = {"live", "lapsed", "left"};
    out << "\n    " << member.incarnation.value << " of " << member.party.value << ' '
        << kStandings[static_cast<std::size_t>(member.standing)] << " until " << member.lease_until.ms << " deadline "
        << member.deadline.ms << " from " << member.has_from << " arrival " << member.order << " declined "
        << member.declined_until.ms;
  };
  for (const Round& round : record.rounds) {
    out << "\nround " << round.id.value << " generation " << round.generation.value << ' ' << to_string(round.state)
        << " of " << written(round.effective) << " counts";
    const auto counts = counted(record, round);
    for (const PartyName& party : std::set<PartyName>(counts.begin(), counts.end())) out << ' ' << party.value;
    if (round.grant) {
      out << "\n  granted " << round.grant->incarnation.value << " token " << round.grant->token.value
          << (round.grant->settle ? " settle" : "") << (round.grant->claimed ? " claimed" : "")
          << (round.grant->fenced ? " fenced" : "") << (round.grant->unsure ? " unsure" : "") << " until "
          << round.grant->lease_until.ms;
    }
    if (round.last_run) {
      out << "\n  ran " << round.last_run->incarnation.value << " token " << round.last_run->token.value
          << (round.last_run->fenced ? " fenced" : "") << (round.last_run->ended ? " ended" : "");
    }
    if (round.remaining_from) out << "\n  left from " << *round.remaining_from;
    if (round.sever && round.state != State::kDissolved) out << "\n  severed until " << round.sever->confirm_by.ms;
    if (round.resolution) out << "\n  resolving " << round.resolution->token.value;
    if (round.outcome) {
      out << "\n  outcome of " << round.outcome->token.value << (round.outcome->in_target ? " in target" : "")
          << " heard";
      for (const PartyName& party : round.acknowledged) out << ' ' << party.value;
    }
    if (is_final(round.state)) out << "\n  lingers until " << round.linger_until.ms;
    for (const RoundId& id : round.diverged) out << "\n  at odds with " << id.value;
    for (const Member& member : round.members) seat_line(member);
  }
  out << "\nguests";
  for (const Member& guest : record.guests) seat_line(guest);
  return out.str();
}

}  // namespace syzygy::round
