// transitions.h - the only moves that a round can make. move() refuses any other, naming both states.
//
//  GATHERING ──▶ ELECTED ──▶ APPLYING ──▶ SUCCEEDED | FAILED
//      │            │  ▲        │
//      │            ▼  │token+1 ▼
//      │          RECOVERING ◀──┘ ──────▶ SUCCEEDED | FAILED | INDETERMINATE ──▶ SUCCEEDED | FAILED
//      └──▶ EXPIRED | DISSOLVED | SUPERSEDED        (resynchronising: GATHERING ──▶ RECOVERING)
#pragma once

#include <string_view>

#include "round/round.h"

namespace syzygy::round {

struct Move {
  State from;
  State to;
  std::string_view when;
};

inline constexpr Move kMoves[] = {
    {State::kGathering, State::kElected, "quorum complete, one able to apply, target free, gate clear"},
    {State::kGathering, State::kExpired, "every member's deadline or lease is over"},
    {State::kGathering, State::kDissolved, "severed"},
    {State::kGathering, State::kSuperseded, "obsolete, or the effective N, roster or excuses changed"},
    {State::kGathering, State::kRecovering,
     "resynchronising: somebody saw it further on, or its outcome in the target"},
    {State::kElected, State::kApplying, "claim complete, pending is the gathered plan, or in recovery a suffix of it"},
    {State::kElected, State::kSucceeded, "claimed, and nothing is pending, or the outcome stands in the target"},
    {State::kElected, State::kSuperseded, "claimed, anything else is pending, and nothing was applied"},
    {State::kElected, State::kFailed, "in recovery, under a completed claim; or severed"},
    {State::kElected, State::kIndeterminate, "in recovery, under a completed claim; or severed and not confirmed"},
    {State::kElected, State::kRecovering, "the applier's lease is over; it declines, cannot claim, or left"},
    {State::kApplying, State::kRecovering,
     "the applier's lease and the lock delay are over; changed; fenced out; left"},
    {State::kApplying, State::kSucceeded, "the applier's report"},
    {State::kApplying, State::kFailed, "the applier's report; or severed, and its end confirmed"},
    {State::kApplying, State::kIndeterminate, "the applier cannot know; or severed and not confirmed"},
    {State::kRecovering, State::kElected, "somebody can resume or settle; token + 1"},
    {State::kRecovering, State::kSucceeded, "the old applier's report, or the outcome as it stands in the target"},
    {State::kRecovering, State::kFailed,
     "the old applier's report; nobody able is left; severed, and its end confirmed"},
    {State::kRecovering, State::kIndeterminate,
     "the lost run was unfenced and cannot be judged; severed and not confirmed"},
    {State::kIndeterminate, State::kSucceeded, "this round's outcome in the target, or an operator's resolution"},
    {State::kIndeterminate, State::kFailed, "this round's outcome in the target, or an operator's resolution"},
};

constexpr bool may_move(State from, State to) {
  for (const Move& move : kMoves) {
    if (move.from == from && move.to == to) return true;
  }
  return false;
}

}  // namespace syzygy::round
