#include "tests/sim/campaign.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <thread>

#include "round/command.h"
#include "round/transitions.h"
#include "tests/sim/scenario.h"

namespace syzygy::sim {

Report wage(const Campaign& campaign, const std::function<void(const Report&)>& progress) {
  constexpr std::uint64_t kTellEvery = 500;
  std::mutex mutex;
  Report report;
  std::uint64_t taken = campaign.first_seed;
  std::set<std::uint64_t> playing;
  std::uint64_t told = 0;
  const auto work = [&] {
    for (;;) {
      std::uint64_t seed = 0;
      {
        const std::lock_guard lock(mutex);
        const bool enough = report.coverage.rounds >= campaign.rounds ||
                            taken - campaign.first_seed >= campaign.worlds_max || report.failure.has_value();
        if (enough) return;
        seed = taken++;
        playing.insert(seed);
      }
      const Played played = play(draw_shape(seed), false);
      const std::lock_guard lock(mutex);
      playing.erase(seed);
      report.coverage.add(played.coverage);
      report.next_seed = playing.empty() ? taken : *playing.begin();
      if (!played.broken.empty() && (!report.failure || seed < report.failure->seed)) {
        report.failure = Failure{seed, played.broken};
      }
      if (progress && !report.failure && ++told % kTellEvery == 0) progress(report);
    }
  };
  std::vector<std::thread> others;
  for (unsigned i = 1; i < campaign.jobs; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  report.next_seed = taken;
  return report;
}

std::vector<std::string> missed(const Coverage& coverage) {
  std::vector<std::string> wanted;
  for (int state = 0; state <= static_cast<int>(round::State::kSuperseded); ++state) {
    wanted.push_back("state " + std::string(round::to_string(static_cast<round::State>(state))));
  }
  for (const round::Move& move : round::kMoves) {
    wanted.push_back("move " + std::string(round::to_string(move.from)) + " -> " +
                     std::string(round::to_string(move.to)));
  }
  for (int verdict = 0; verdict < static_cast<int>(round::Verdict::kRefused); ++verdict) {
    wanted.push_back("verdict " + std::to_string(verdict));
  }
  for (int kind = 0; kind <= static_cast<int>(round::Finding::Kind::kUnknown); ++kind) {
    wanted.push_back("finding " + std::to_string(kind));
  }
  for (const char* what : {"grant",
                           "grant to settle",
                           "grace",
                           "resynchronisation",
                           "resynchronised",
                           "diverged",
                           "replaced",
                           "evidence",
                           "fenced out",
                           "changed",
                           "resolve",
                           "end applied",
                           "end already-applied",
                           "end nothing-pending",
                           "end failed",
                           "end indeterminate",
                           "end dissolved",
                           "end deadline",
                           "end stopped",
                           "end refused",
                           "end unread",
                           "end unreachable",
                           "end lost"}) {
    wanted.emplace_back(what);
  }
  std::vector<std::string> missed;
  for (const std::string& what : wanted) {
    if (!coverage.seen.contains(what)) missed.push_back(what);
  }
  for (std::size_t kind = 0; kind < kFaults; ++kind) {
    if (coverage.faults[kind] == 0) missed.push_back("fault " + std::string(to_string(static_cast<Fault>(kind))));
  }
  return missed;
}

}  // namespace syzygy::sim
