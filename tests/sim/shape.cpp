#include "tests/sim/shape.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "tests/sim/random.h"

namespace syzygy::sim {
namespace {

struct Kind {
  Fault fault;
  std::string_view name;
  unsigned most;  // per mille, where the run has this kind
};

constexpr Kind kKinds[] = {
    {Fault::kMessageLost, "message-lost", 80},
    {Fault::kMessageTwice, "message-twice", 80},
    {Fault::kMessageLate, "message-late", 80},
    {Fault::kStreamBroken, "stream-broken", 60},
    {Fault::kPartition, "partition", 120},
    {Fault::kPartitionOneWay, "partition-one-way", 120},
    {Fault::kDaemonKilled, "daemon-killed", 100},
    {Fault::kDaemonKilledInTurn, "daemon-killed-in-turn", 8},
    {Fault::kDaemonStopped, "daemon-stopped", 100},
    {Fault::kDaemonSuspended, "daemon-suspended", 60},
    {Fault::kDaemonRestarted, "daemon-restarted", 80},
    {Fault::kClientKilled, "client-killed", 60},
    {Fault::kClientStopped, "client-stopped", 60},
    {Fault::kClientToldToStop, "client-told-to-stop", 60},
    {Fault::kApplierKilled, "applier-killed", 400},
    {Fault::kApplierStopped, "applier-stopped", 300},
    {Fault::kStoreSlow, "store-slow", 40},
    {Fault::kStoreRefuses, "store-refuses", 40},
    {Fault::kStoreAway, "store-away", 60},
    {Fault::kForeignCommit, "foreign-commit", 60},
    {Fault::kCommitUnknownDone, "commit-unknown-done", 60},
    {Fault::kCommitUnknownLost, "commit-unknown-lost", 60},
    {Fault::kCommitUnknownLate, "commit-unknown-late", 60},
    {Fault::kHintLost, "hint-lost", 400},
    {Fault::kHintTwice, "hint-twice", 200},
    {Fault::kHintLate, "hint-late", 300},
    {Fault::kClockForward, "clock-forward", 40},
    {Fault::kClockBack, "clock-back", 40},
    {Fault::kDatabaseLost, "database-lost", 60},
    {Fault::kDatabaseCommitLost, "database-commit-lost", 150},
    {Fault::kDatabaseAway, "database-away", 60},
    {Fault::kStepFails, "step-fails", 120},
    {Fault::kStepByHand, "step-by-hand", 250},
    {Fault::kStepReverted, "step-reverted", 500},
    {Fault::kRequestAltered, "request-altered", 40},
    {Fault::kOperator, "operator", 120},
    {Fault::kStoreRestored, "store-restored", 25},
    {Fault::kStoreEmptied, "store-emptied", 12},
};
static_assert(std::size(kKinds) == kFaults);

}  // namespace

std::string_view to_string(Fault fault) { return kKinds[static_cast<std::size_t>(fault)].name; }

std::optional<Fault> fault_of(std::string_view name) {
  const auto found = std::ranges::find(kKinds, name, &Kind::name);
  return found == std::end(kKinds) ? std::nullopt : std::optional(found->fault);
}

Shape draw_shape(std::uint64_t seed) {
  Random random(seed * 0x2545F4914F6CDD1DULL + 7);
  Shape shape;
  shape.seed = seed;
  shape.daemons = 2 + random.below(2);
  shape.parties = 3 + random.below(3);
  shape.quorum = random.chance(300) ? 2 + random.below(shape.parties - 1) : 3;
  shape.deployments = 4 + random.below(5);
  shape.lease = random.chance(700) ? 15'000 : random.between(4'000, 20'000);
  shape.linger = random.between(40'000, 180'000);
  shape.hints_never = random.chance(150);
  shape.many_lanes = random.chance(200);
  shape.chaos_every = random.between(800, 4'000);
  // Most runs have some kinds of faults and not others: a fault that never rests hides what only a calm world reaches.
  const unsigned kinds = static_cast<unsigned>(random.between(200, 800));
  for (const Kind& kind : kKinds) {
    const bool there = random.chance(kinds);
    const unsigned rate = 1 + static_cast<unsigned>(random.below(kind.most));
    shape.rate[static_cast<std::size_t>(kind.fault)] = there ? rate : 0;
  }
  // Not drawn: what came later must not change what the other half of the seeds mean.
  shape.answers_tell = seed % 2 == 1;
  if (seed % 3 == 0) shape.lease_unfenced = shape.lease;
  // In one world of five: what a lost life makes lawful hides what nothing else does.
  shape.goes_back = seed % 5 == 0;
  if (!shape.goes_back) {
    shape.rate[static_cast<std::size_t>(Fault::kStoreRestored)] = 0;
    shape.rate[static_cast<std::size_t>(Fault::kStoreEmptied)] = 0;
  }
  return shape;
}

bool apply_changes(Shape& shape, std::string_view changes) {
  const auto number = [](std::string_view text, auto& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc() && end == text.data() + text.size();
  };
  while (!changes.empty()) {
    const auto comma = changes.find(',');
    const std::string_view one = changes.substr(0, comma);
    changes.remove_prefix(comma == std::string_view::npos ? changes.size() : comma + 1);
    const auto equals = one.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view what = one.substr(0, equals);
    const std::string_view value = one.substr(equals + 1);
    bool good = false;
    if (what == "daemons") good = number(value, shape.daemons) && shape.daemons > 0;
    if (what == "parties") good = number(value, shape.parties) && shape.parties >= shape.quorum;
    if (what == "deployments") good = number(value, shape.deployments);
    if (what == "lanes") good = value == "1" && ((shape.many_lanes = false), true);
    if (what == "answers") good = value == "bare" && ((shape.answers_tell = false), true);
    if (what == "hints") good = value == "come" && ((shape.hints_never = false), true);
    if (what == "off") {
      const auto fault = fault_of(value);
      good = fault.has_value();
      if (fault) shape.rate[static_cast<std::size_t>(*fault)] = 0;
    }
    if (what == "skip") {
      const auto dash = value.find('-');
      std::pair<std::uint64_t, std::uint64_t> range;
      good = dash != std::string_view::npos && number(value.substr(0, dash), range.first) &&
             number(value.substr(dash + 1), range.second);
      shape.skipped.push_back(range);
    }
    if (!good) return false;
  }
  return true;
}

}  // namespace syzygy::sim
