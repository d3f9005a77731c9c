// effect.h - what follows from a step: the events that the history keeps, the answers, and when to look again.
//
// Effects are released only after the record they came with is durable. Events are facts: folding them over the View of
// a target (history.h) gives the View of the record they led to.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "round/round.h"

namespace syzygy::round {

enum class EventKind : std::uint8_t {
  kRoundOpened = 1,
  kRoundMoved = 2,
  kPartyJoined = 3,
  kPartyReplaced = 4,
  kPartyLapsed = 5,
  kPartyRevived = 6,
  kPartyLeft = 7,
  kPartyVisited = 8,
  kApplierGranted = 9,
  kApplierClaimed = 10,
  kApplierDeclined = 11,
  kStepProgress = 12,
  kSevered = 13,
  kAcknowledged = 14,
  kPinSet = 15,
  kExcused = 16,
  kExcuseEnded = 17,
  kBound = 18,
  kDiverged = 19,
  kConverged = 20,
  kResolutionBegun = 21,
  kEvidence = 22,
  kRoundRetired = 23,
  kGraceGiven = 24,
  kTokenRaised = 25,
  kResyncBegun = 26,
  kResyncEnded = 27,
};

struct Event {
  Revision revision;
  Instant at;
  EventKind kind = EventKind::kRoundOpened;
  RoundId round;
  PartyName party;
  IncarnationId incarnation;
  State from = State::kGathering;  // kRoundMoved
  State to = State::kGathering;    // kRoundMoved
  Token token;
  std::string text;   // for people: why, or what
  std::string actor;  // of an operator's action
  std::string data;   // for the fold: what the event says beyond the fields above (history.h)

  friend bool operator==(const Event&, const Event&) = default;
};

std::string encode(const Event& event);
Result<Event> decode_event(std::string_view bytes);

// The answer to one command. The present state is that of the record that the step returned.
struct Reply {
  Verdict verdict = Verdict::kDone;
  std::optional<Error> error;  // with kRefused
  std::optional<RoundId> round;
  std::vector<RoundId> rounds;  // of a sever: all that it reached
  std::size_t from_step = 0;    // kProceed
  Token token;                  // ResolveBegin: the one granted; Renew: the one still held
  std::optional<Instant> lease_until;
  std::string notice;

  friend bool operator==(const Reply&, const Reply&) = default;
};

}  // namespace syzygy::round
