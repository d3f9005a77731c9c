#include "migration/target/compare.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace syzygy::migration {
namespace {

const AppliedRow* applied(const Snapshot& snapshot, const StepId& id) {
  const auto it =
      std::ranges::find_if(snapshot.applied, [&](const AppliedRow& row) { return same_id(row.step.id, id); });
  return it == snapshot.applied.end() ? nullptr : &*it;
}

const BegunStep* begun(const Snapshot& snapshot, const StepId& id) {
  const auto it = std::ranges::find_if(snapshot.begun, [&](const BegunStep& one) { return same_id(one.id, id); });
  return it == snapshot.begun.end() ? nullptr : &*it;
}

std::string listed(const std::vector<StepId>& ids) {
  std::string text;
  for (const StepId& id : ids) text += (text.empty() ? "" : ", ") + id.value;
  return text.empty() ? "nothing" : text;
}

}  // namespace

const BegunStep* unfinished(const Snapshot& snapshot, const StepId& id) {
  const BegunStep* mark = begun(snapshot, id);
  return mark != nullptr && mark->ended.empty() ? mark : nullptr;
}

Comparison compare(const Plan& plan, const RoundId& round, const Snapshot& snapshot, const ClaimRow& last_run) {
  if (snapshot.outcome.has_value()) return OutcomeInTarget{snapshot.outcome->outcome};

  const bool ran_before = last_run.round == round;
  if (plan.opaque) {
    if (!ran_before) return SuffixLeft{0};
    if (plan.on_applier_lost != OnApplierLost::kRetry) {
      return CannotJudge{"what an opaque plan has done cannot be read from the target"};
    }
    if (!last_run.ended) return CannotJudge{"the sessions of the run before are not seen to be gone"};
    return SuffixLeft{0};
  }

  std::vector<StepId> done;
  std::vector<StepId> left;
  std::vector<StepId> by_this_round;
  std::optional<std::size_t> first_left;
  bool suffix = true;
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const AppliedRow* row = applied(snapshot, step.id);
    const bool stands = (row != nullptr) == (step.direction == Direction::kUp);
    if (!stands) {
      // Whoever began it: a round that the store has lost may have died in the middle.
      if (const BegunStep* mark = unfinished(snapshot, step.id)) return BegunUnfinished{step.id, mark->round};
      // A mark with words has ended, in an error or by an operator's word: of this round that is no suffix to go on
      // from.
      const BegunStep* mark = begun(snapshot, step.id);
      if (mark != nullptr && mark->round == round && !step.atomic) suffix = false;
      if (!first_left) first_left = i;
      left.push_back(step.id);
      continue;
    }
    if (first_left) suffix = false;
    done.push_back(step.id);
    if (row != nullptr && row->round == round) by_this_round.push_back(step.id);
    if (row != nullptr && !row->step.content.empty() && row->step.content != step.content) {
      return OtherLeft{by_this_round,
                       "step " + step.id.value +
                           " is applied, but with other content than this round's plan holds (checksum " +
                           row->step.content.substr(0, 12) + ", not " + step.content.substr(0, 12) + ")"};
    }
  }
  // A step that was reverted leaves no row that names the round: all that stands undone is its doing or another's.
  if (!plan.steps.empty() && plan.steps.front().direction == Direction::kDown) by_this_round = done;

  if (!first_left) return NothingLeft{};
  if (!suffix) {
    return OtherLeft{by_this_round, "of this round's plan " + listed(done) + " is done and stays; " + listed(left) +
                                        " is not, and is no plain rest of it to go on with"};
  }
  if (ran_before && !last_run.fenced && !last_run.ended) {
    return CannotJudge{"the run before was not fenced, and is not known to have ended"};
  }
  return SuffixLeft{*first_left};
}

}  // namespace syzygy::migration
