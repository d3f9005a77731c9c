#include "round/history.h"

#include "round/fields.h"

namespace syzygy::round {
namespace {

// What ROUND_OPENED says beyond the event's fields: enough to rebuild the round that opened.
struct Opened {
  Generation generation;
  PlanHash hash;
  Quorum effective;
  Plan plan;
};

template <class Io>
void fields(Io& io, Opened& v) {
  io(v.generation, v.hash, v.effective, v.plan);
}

template <class T>
std::string pack(const T& value) {
  Writer out;
  write_fields(out, value);
  return std::move(out).bytes();
}

template <class T>
T unpack(const std::string& data) {
  Decoder decoder{.in = Reader(data)};
  T value;
  decoder.get(value);
  return value;
}

}  // namespace

std::string opened_data(const Round& round) {
  return pack(Opened{round.generation, round.hash, round.effective, round.plan});
}
std::string outcome_data(const Outcome& outcome) { return pack(outcome); }
std::string pin_data(const std::optional<Quorum>& pin) { return pack(pin); }
std::string binding_data(const Binding& binding) { return pack(binding); }

View project(const Record& record) {
  View view;
  view.revision = record.revision;
  view.token = record.token;
  view.binding = record.binding;
  view.resynchronising = record.resync.has_value();
  if (record.pin) view.pin = record.pin->quorum;
  for (const auto& [party, excuse] : record.excuses) view.excused.insert(party);
  for (const Round& round : record.rounds) {
    RoundView& seen = view.rounds[round.id];
    seen.generation = round.generation;
    seen.hash = round.hash;
    seen.effective = round.effective;
    seen.state = round.state;
    for (const Member& member : round.members) {
      if (member.standing == Standing::kLive) seen.live[member.incarnation] = member.party;
    }
    if (round.grant) seen.grant = round.grant->token;
    seen.severed = round.sever.has_value();
    seen.outcome = round.outcome;
    seen.acknowledged = round.acknowledged;
    seen.diverged = round.diverged;
    if (round.progress) seen.step = round.progress->step.value;
  }
  return view;
}

void fold(View& view, const Event& event) {
  view.revision = event.revision;
  const auto round = [&]() -> RoundView& { return view.rounds[event.round]; };
  switch (event.kind) {
    case EventKind::kRoundOpened: {
      const auto opened = unpack<Opened>(event.data);
      round().generation = opened.generation;
      round().hash = opened.hash;
      round().effective = opened.effective;
      break;
    }
    case EventKind::kRoundMoved:
      round().state = event.to;
      if (event.to != State::kElected && event.to != State::kApplying) round().grant.reset();
      if (is_final(event.to)) round().diverged.clear();
      if (event.to == State::kDissolved) round().severed = true;
      if (!event.data.empty()) {
        round().outcome = unpack<Outcome>(event.data);
        round().outcome->revision = event.revision;
      }
      break;
    case EventKind::kPartyJoined:
    case EventKind::kPartyRevived:
      round().live[event.incarnation] = event.party;
      break;
    case EventKind::kPartyLapsed:
    case EventKind::kPartyLeft:
      if (!event.round.empty()) round().live.erase(event.incarnation);
      break;
    case EventKind::kApplierGranted:
      view.token = event.token;
      round().grant = event.token;
      break;
    case EventKind::kResolutionBegun:
    case EventKind::kTokenRaised:
      view.token = event.token;
      break;
    case EventKind::kStepProgress:
      round().step = event.data;
      break;
    case EventKind::kSevered:
      round().severed = true;
      break;
    case EventKind::kAcknowledged:
      round().acknowledged.insert(event.party);
      break;
    case EventKind::kPinSet:
      view.pin = unpack<std::optional<Quorum>>(event.data);
      break;
    case EventKind::kExcused:
      view.excused.insert(event.party);
      break;
    case EventKind::kExcuseEnded:
      view.excused.erase(event.party);
      break;
    case EventKind::kBound:
      view.binding = unpack<Binding>(event.data);
      break;
    case EventKind::kDiverged:
      round().diverged.insert(RoundId{event.data});
      break;
    case EventKind::kConverged:
      round().diverged.erase(RoundId{event.data});
      break;
    case EventKind::kRoundRetired:
      view.rounds.erase(event.round);
      break;
    case EventKind::kResyncBegun:
      view.resynchronising = true;
      break;
    case EventKind::kResyncEnded:
      view.resynchronising = false;
      break;
    case EventKind::kPartyReplaced:
    case EventKind::kPartyVisited:
    case EventKind::kApplierClaimed:
    case EventKind::kApplierDeclined:
    case EventKind::kEvidence:
    case EventKind::kGraceGiven:
      break;
  }
}

}  // namespace syzygy::round
