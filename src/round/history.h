// history.h - state equals the fold of its history: what the events alone say of a target.
//
// A View holds everything that a watcher may rely on. project() takes it from a record, fold() grows it event by event;
// after each step both must agree (invariant 14). Leases, deadlines and remembered requests are no part of it: they
// move without events.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "round/effect.h"
#include "round/round.h"

namespace syzygy::round {

struct RoundView {
  Generation generation;
  PlanHash hash;
  Quorum effective;
  State state = State::kGathering;
  std::map<IncarnationId, PartyName> live;  // members whose lease runs
  std::optional<Token> grant;
  bool severed = false;
  std::optional<Outcome> outcome;
  std::set<PartyName> acknowledged;
  std::set<RoundId> diverged;
  std::string step;  // the one that the applier last named

  friend bool operator==(const RoundView&, const RoundView&) = default;
};

struct View {
  Revision revision;
  Token token;
  std::optional<Binding> binding;
  std::optional<Quorum> pin;
  std::set<PartyName> excused;
  std::map<RoundId, RoundView> rounds;
  bool resynchronising = false;

  friend bool operator==(const View&, const View&) = default;
};

View project(const Record& record);
void fold(View& view, const Event& event);

// What an Event's `data` holds, by kind: RoundOpened, RoundMoved with an outcome, PinSet, Bound, Diverged and
// Converged.
std::string opened_data(const Round& round);
std::string outcome_data(const Outcome& outcome);
std::string pin_data(const std::optional<Quorum>& pin);
std::string binding_data(const Binding& binding);

}  // namespace syzygy::round
