#include "story.h"

#include <map>
#include <sstream>

#include "commands.h"
#include "oracle.h"
#include "round/codec.h"
#include "round/step.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

std::string first_difference_of(const std::string& real, const std::string& oracle) {
  std::istringstream a(real);
  std::istringstream b(oracle);
  std::string x;
  std::string y;
  do {
    x = y = "(nothing more)";
    std::getline(a, x);
    std::getline(b, y);
  } while (x == y && (a || b));
  return "  step():     " + x + "\n  the oracle: " + y;
}

}  // namespace

std::string tell(std::uint64_t seed, std::set<std::pair<State, State>>& moves) {
  Chaos chaos(seed);
  const Settings settings = chaos.settings();
  Oracle oracle(settings);
  Record record;
  record.target = TargetName{"orders"};
  record.epoch = "a life";
  oracle.hear({}, {}, record.epoch);
  std::pair<Record, Oracle> backup{record, oracle};
  Instant now{1'000'000};
  std::optional<Instant> wake;
  std::ostringstream story;
  for (int i = 0; i < kStorySteps; ++i) {
    if (!chaos.forgetful() && i == static_cast<int>(10 + seed % 13)) backup = {record, oracle};
    if (!chaos.forgetful() && i == static_cast<int>(30 + seed % 11)) {
      story << (seed % 2 == 0 ? "the store goes back\n" : "the store begins anew\n");
      if (seed % 2 == 1) {
        backup = {Record{}, Oracle(settings)};
        backup.first.target = record.target;
        backup.first.epoch = "another life";
        backup.second.hear({}, {}, backup.first.epoch);
      }
      record = backup.first;
      oracle = backup.second;
    }
    now = chaos.later(now, wake);
    const std::vector<Command> commands = chaos.batch(record);
    story << "at " << now.ms << "\n";
    for (const Command& command : commands) story << "  " << describe_all(command) << "\n";
    Decision decision = step(record, commands, now, settings);
    std::string wrong;
    if (!decision.broken.empty()) wrong = "a broken invariant: " + decision.broken;
    const std::vector<Reply> expected = oracle.step(commands, now);
    for (std::size_t c = 0; c < commands.size() && wrong.empty(); ++c) {
      const std::string theirs = picture(decision.replies[c]);
      if (theirs != picture(expected[c])) {
        wrong =
            "another answer to: " + describe(commands[c]) + "\n" + first_difference_of(theirs, picture(expected[c]));
      }
    }
    const std::string theirs = picture(decision.record);
    if (wrong.empty() && theirs != oracle.picture()) {
      wrong = "another picture\n" + first_difference_of(theirs, oracle.picture());
    }
    if (wrong.empty() && !decision.changed && decision.record.revision != record.revision) wrong = "changed is false";
    if (wrong.empty() && decision.wake_at && *decision.wake_at <= decision.record.now) {
      wrong = "it asks to be woken at " + std::to_string(decision.wake_at->ms) + ", which has passed";
    }
    if (wrong.empty()) {
      const auto again = decode(encode(decision.record));
      if (!again || *again != decision.record) wrong = "the record does not survive its codec";
    }
    if (wrong.empty() && encode(decision.record).size() > weight(decision.record))
      wrong = "it weighs more than it says";
    if (!wrong.empty()) {
      return "seed " + std::to_string(seed) + ", step " + std::to_string(i) + ": " + wrong + "\n" + story.str() +
             "replay: SYZYGY_SEED=" + std::to_string(seed) + " oracle_test";
    }
    std::map<RoundId, Revision> outcomes;
    for (const Round& round : decision.record.rounds) {
      if (round.outcome) outcomes[round.id] = round.outcome->revision;
    }
    for (const Event& event : decision.events) {
      if (event.kind == EventKind::kRoundMoved) moves.emplace(event.from, event.to);
    }
    oracle.hear(decision.record.revision, outcomes, decision.record.epoch);
    record = std::move(decision.record);
    wake = decision.wake_at;
  }
  return {};
}

}  // namespace syzygy::round
