// One line for people about a target.
#include <algorithm>

#include "api/service.h"
#include "round/view.h"

namespace syzygy::api {
namespace {

constexpr std::size_t kNamesShown = 8;

template <class Names>
std::string listed(const Names& names) {
  std::string text;
  std::size_t shown = 0;
  for (const PartyName& party : names) {
    if (shown++ == kNamesShown) return text + " and " + std::to_string(names.size() - kNamesShown) + " more";
    text += (text.empty() ? "" : ", ") + party.value;
  }
  return text;
}

std::string steps(std::size_t n) { return std::to_string(n) + (n == 1 ? " step" : " steps"); }

std::string gathering(const round::Record& record, const round::Round& r) {
  const std::vector<PartyName> here = round::counted(record, r);
  std::string text = std::to_string(here.size()) + " of " + std::to_string(r.effective.parties) + " here";
  if (!here.empty()) text += ": " + listed(here);
  const std::vector<PartyName> missing = round::missing(record, r);
  if (!missing.empty()) {
    text += "; missing " + listed(missing);
  } else if (here.size() < r.effective.parties) {
    text += "; missing " + std::to_string(r.effective.parties - here.size());
  }
  if (!r.diverged.empty()) text += "; another plan is gathering too";
  if (const std::string why = round::waits_for(record, r, record.now); !why.empty()) text += "; " + why;
  return text;
}

std::string applying(const round::Round& r) {
  const std::string who = r.grant ? r.grant->party.value : "somebody";
  if (!r.progress) return who + " applies " + steps(r.plan.steps.size());
  return who + " applies " + r.progress->step.value + " (" + std::to_string(r.progress->step_index + 1) + " of " +
         std::to_string(r.plan.steps.size()) + ")";
}

std::string outcome(const round::Round& r, std::string text) {
  if (r.outcome && !r.outcome->message.empty()) text += ": " + r.outcome->message;
  return text;
}

std::string of_round(const round::Record& record, const round::Round& r) {
  switch (r.state) {
    case round::State::kGathering:
      return gathering(record, r);
    case round::State::kElected:
      return (r.grant ? r.grant->party.value : "somebody") +
             (r.grant && r.grant->settle ? " looks at what the lost applier left" : " is elected and about to apply");
    case round::State::kApplying:
      return applying(r) + (r.sever ? "; severed, waiting for it to stop" : "");
    case round::State::kRecovering:
      return "the applier is lost; waiting for somebody who can go on";
    case round::State::kSucceeded:
      return r.outcome && !r.outcome->applier.empty()
                 ? "applied by " + r.outcome->applier.value + ": " + steps(r.plan.steps.size())
                 : "applied: " + steps(r.plan.steps.size());
    case round::State::kFailed:
      return outcome(r, "failed");
    case round::State::kIndeterminate:
      return outcome(r, "indeterminate");
    case round::State::kExpired:
      return "expired: the quorum was not reached in time";
    case round::State::kDissolved:
      return r.sever ? "severed: " + r.sever->reason : "dissolved";
    case round::State::kSuperseded:
      return "superseded by another plan or quorum";
  }
  return {};
}

}  // namespace

std::string summary(const round::Record& record) {
  if (record.resync) return "resynchronises, nothing is granted until that is over: " + record.resync->why;
  if (const round::Round* holds = round::holder(record)) return of_round(record, *holds);
  // Of those that gather, the one that is nearest to its quorum; else the newest.
  const round::Round* shown = nullptr;
  std::size_t here = 0;
  for (const round::Round& r : record.rounds) {
    if (r.state != round::State::kGathering) continue;
    const std::size_t counted = round::counted(record, r).size();
    if (shown != nullptr && counted < here) continue;
    shown = &r;
    here = counted;
  }
  if (shown == nullptr && !record.rounds.empty()) shown = &record.rounds.back();
  if (shown != nullptr) return of_round(record, *shown);
  const auto last = std::ranges::max_element(record.visits, {}, [](const auto& visit) { return visit.second.at; });
  if (last == record.visits.end()) return "nobody is here";
  return "nobody is here; last came " + last->first.value + ", with nothing pending";
}

}  // namespace syzygy::api
