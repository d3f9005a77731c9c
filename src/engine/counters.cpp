#include "engine/counters.h"

namespace syzygy::engine {

void Counters::committed_in(std::uint64_t micros) {
  std::size_t bucket = 0;
  while (bucket < std::size(kCommitMicrosBuckets) && micros > kCommitMicrosBuckets[bucket]) ++bucket;
  add(commit_micros[bucket]);
  commit_micros_sum.fetch_add(micros, std::memory_order_relaxed);
}

void Counters::answered_after(std::uint64_t attempts_made, std::uint64_t commands_answered) {
  std::size_t bucket = 0;
  while (bucket < std::size(kAttemptsBuckets) && attempts_made > kAttemptsBuckets[bucket]) ++bucket;
  add(attempts[bucket], commands_answered);
  add(attempts_sum, attempts_made * commands_answered);
}

Stats Counters::read() const {
  const auto of = [](const auto& count) { return count.load(std::memory_order_relaxed); };
  Stats stats;
  stats.commands = of(commands);
  stats.commits = of(commits);
  stats.committed_records = of(committed_records);
  stats.conflicts = of(conflicts);
  stats.unknown_commits = of(unknown_commits);
  stats.store_errors = of(store_errors);
  stats.events = of(events);
  stats.updates_sent = of(updates_sent);
  stats.renewals = of(renewals);
  stats.turns = of(turns);
  stats.rounds_opened = of(rounds_opened);
  stats.rounds_succeeded = of(rounds_succeeded);
  stats.rounds_failed = of(rounds_failed);
  stats.rounds_indeterminate = of(rounds_indeterminate);
  stats.tokens_granted = of(tokens_granted);
  stats.targets_cached = of(targets_cached);
  stats.waiters = of(waiters);
  stats.commit_micros_sum = of(commit_micros_sum);
  stats.attempts_sum = of(attempts_sum);
  for (const Count& count : attempts) stats.attempts_histogram.push_back(of(count));
  for (const Count& count : commit_micros) stats.commit_micros_histogram.push_back(of(count));
  return stats;
}

Place Place::take(std::shared_ptr<Counters> counters, std::size_t most) {
  Place place;
  if (counters->waiters.fetch_add(1, std::memory_order_relaxed) < most) {
    place.counters_ = std::move(counters);
  } else {
    counters->waiters.fetch_sub(1, std::memory_order_relaxed);
  }
  return place;
}

}  // namespace syzygy::engine
