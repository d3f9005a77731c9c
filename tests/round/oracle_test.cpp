// Random stories, told to step() and to the oracle: after each step both must show the same picture.
//
// SYZYGY_SEED=N replays one story; SYZYGY_STORIES=N tells that many, SYZYGY_LONG=1 tells them for two minutes.
#include "oracle.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <sstream>

#include "commands.h"
#include "round/codec.h"
#include "round/step.h"
#include "round/transitions.h"
#include "round/view.h"

namespace syzygy::round {
namespace {

constexpr int kSteps = 70;
// Sanitizers and -O0 cost five times as much: they tell fewer stories.
#if defined(__SANITIZE_ADDRESS__) || !defined(__OPTIMIZE__)
constexpr bool kSlow = true;
#elif defined(__has_feature)
constexpr bool kSlow = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kSlow = false;
#endif
constexpr std::uint64_t kStories = kSlow ? 500 : 2'500;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

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

// Empty, or what went wrong and how to see it again.
std::string tell(std::uint64_t seed, std::set<std::pair<State, State>>& moves) {
  Chaos chaos(seed);
  const Settings settings = chaos.settings();
  Oracle oracle(settings);
  Record record;
  record.target = TargetName{"orders"};
  Instant now{1'000'000};
  std::optional<Instant> wake;
  std::ostringstream story;
  for (int i = 0; i < kSteps; ++i) {
    now = chaos.later(now, wake);
    const std::vector<Command> commands = chaos.batch(record);
    story << "at " << now.ms << "\n";
    for (const Command& command : commands) story << "  " << describe(command) << "\n";
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
    oracle.hear(decision.record.revision, outcomes);
    record = std::move(decision.record);
    wake = decision.wake_at;
  }
  return {};
}

TEST(Oracle, AgreesWithEveryStory) {
  std::set<std::pair<State, State>> moves;
  if (std::getenv("SYZYGY_SEED") != nullptr) {
    const std::string wrong = tell(from_environment("SYZYGY_SEED", 0), moves);
    ASSERT_TRUE(wrong.empty()) << wrong;
    return;
  }
  const bool long_run = std::getenv("SYZYGY_LONG") != nullptr;
  const std::uint64_t first = from_environment("SYZYGY_FIRST_SEED", long_run ? 1'000'000 : 1);
  const std::uint64_t stories = from_environment("SYZYGY_STORIES", long_run ? ~std::uint64_t{0} - first : kStories);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(long_run ? (kSlow ? 30 : 120) : 3'600);
  std::uint64_t seed = first;
  for (; seed < first + stories && std::chrono::steady_clock::now() < until; ++seed) {
    const std::string wrong = tell(seed, moves);
    ASSERT_TRUE(wrong.empty()) << wrong;
  }
  std::printf("%llu stories of %d steps, from seed %llu; %zu of %zu kinds of moves taken\n",
              static_cast<unsigned long long>(seed - first), kSteps, static_cast<unsigned long long>(first),
              moves.size(), std::size(kMoves));
  if (!kSlow && stories >= kStories) EXPECT_EQ(moves.size(), std::size(kMoves));
}

}  // namespace
}  // namespace syzygy::round
