// compare.h - "Applier lost" (PROTOCOL.md): what becomes of a round, from its plan and what the target shows.
//
// Pure. REQUIRES: the snapshot that a completed claim gave, asked for this very round. It compares *the round's* steps
// with the target's history, never the claimer's own pending ones.
#pragma once

#include <cstddef>
#include <string>
#include <variant>

#include "base/plan.h"
#include "migration/target/target.h"

namespace syzygy::migration {

// This round's outcome stands in the target: it wins, whatever is pending now.
struct OutcomeInTarget {
  Outcome outcome = Outcome::kSucceeded;
  friend bool operator==(const OutcomeInTarget&, const OutcomeInTarget&) = default;
};
// Nothing of the round is pending: SUCCEEDED.
struct NothingLeft {
  friend bool operator==(const NothingLeft&, const NothingLeft&) = default;
};
// steps[from..] are left and may be applied: the whole plan where from is 0.
struct SuffixLeft {
  std::size_t from = 0;
  friend bool operator==(const SuffixLeft&, const SuffixLeft&) = default;
};
// INDETERMINATE: the step was begun outside a transaction, by this round or by one that is lost, and nobody knows how
// far it came.
struct BegunUnfinished {
  StepId step;
  RoundId by;
  friend bool operator==(const BegunUnfinished&, const BegunUnfinished&) = default;
};
// INDETERMINATE: the run before was unfenced and is not known to have ended, or the plan is opaque.
struct CannotJudge {
  std::string why;
  friend bool operator==(const CannotJudge&, const CannotJudge&) = default;
};
// FAILED where the round has been APPLYING, SUPERSEDED where it has not: `why` says what was committed and stays.
struct OtherLeft {
  std::vector<StepId> committed;  // by this round
  std::string why;
  friend bool operator==(const OtherLeft&, const OtherLeft&) = default;
};

using Comparison = std::variant<OutcomeInTarget, NothingLeft, SuffixLeft, BegunUnfinished, CannotJudge, OtherLeft>;

// The mark of that step, where it was begun outside a transaction and nobody knows how far it came; else null.
const BegunStep* unfinished(const Snapshot& snapshot, const StepId& id);

// `last_run`: the claim before this one (Claimed::previous); only one of this same round says something about it.
Comparison compare(const Plan& plan, const RoundId& round, const Snapshot& snapshot, const ClaimRow& last_run);

}  // namespace syzygy::migration
