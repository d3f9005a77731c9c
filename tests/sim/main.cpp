// The simulation from the command line: see --help.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "tests/sim/campaign.h"
#include "tests/sim/scenario.h"
#include "tests/sim/shrink.h"

namespace syzygy::sim {
namespace {

constexpr std::string_view kHelp =
    R"(sim: daemons, stores, clients, appliers and targets in one thread under one seed, with the real round and engine code.

  sim --rounds N [--jobs J] [--from SEED]   plays worlds until N rounds count (three joins reached it, a fault hit it)
  sim --rounds N --state FILE [--jobs J]    goes on from the seed, and with the counts, where FILE says that it stopped
  sim --seed N [--with CHANGES] [--story]   plays one world again, as a failure prints it; --story tells all of it
  sim --seed N [--with CHANGES] --shrink    makes it short first

Ends with 1 if an invariant broke, or if something that has to be reached was not.
)";

constexpr std::size_t kStoryLines = 120;

std::string revision() {
  std::string text;
  FILE* git = ::popen("git -C '" SYZYGY_SOURCE_DIR "' describe --always --dirty --abbrev=12 2>/dev/null", "r");
  if (git == nullptr) return "unknown";
  char line[128];
  while (std::fgets(line, sizeof(line), git) != nullptr) text += line;
  ::pclose(git);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() ? "unknown" : text;
}

void tell_failure(std::uint64_t seed, const std::string& changes, const std::string& broken) {
  std::cout << "\nBROKEN " << broken << "\n  seed " << seed << ", revision " << revision()
            << "\n  replay: build/dev/tests/sim/sim --seed " << seed << (changes.empty() ? "" : " --with " + changes)
            << " --story\n"
            << std::flush;
}

void tell_shrunk(std::uint64_t seed, const Shrunk& shrunk) {
  std::cout << "\nshortened in " << shrunk.tries << " tries to " << shrunk.played.struck
            << " faults: " << shrunk.played.broken << "\n  replay: build/dev/tests/sim/sim --seed " << seed
            << " --with " << shrunk.changes << " --story\n\n";
  const auto& story = shrunk.played.story;
  const std::size_t from = story.size() > kStoryLines ? story.size() - kStoryLines : 0;
  if (from > 0) std::cout << "  ... " << from << " lines before\n";
  for (std::size_t i = from; i < story.size(); ++i) std::cout << story[i] << "\n";
}

void tell_coverage(const Coverage& coverage) {
  std::cout << coverage.rounds << " rounds with three joins and a fault, of " << coverage.all_rounds << " in "
            << coverage.worlds << " worlds, " << coverage.events << " events\n";
  for (const auto& [what, times] : coverage.seen) std::cout << "  " << what << ": " << times << "\n";
  for (std::size_t kind = 0; kind < kFaults; ++kind) {
    std::cout << "  fault " << to_string(static_cast<Fault>(kind)) << ": " << coverage.faults[kind] << "\n";
  }
}

// What is kept between the runs of a long campaign: the next seed, and what was reached so far.
void save(const std::string& path, const Report& report) {
  const std::string written = path + ".new";
  {
    std::ofstream file(written, std::ios::trunc);
    file << "next " << report.next_seed << "\nrounds " << report.coverage.rounds << "\nall "
         << report.coverage.all_rounds << "\nworlds " << report.coverage.worlds << "\nevents " << report.coverage.events
         << "\n";
    for (std::size_t kind = 0; kind < kFaults; ++kind) {
      file << "fault " << to_string(static_cast<Fault>(kind)) << " " << report.coverage.faults[kind] << "\n";
    }
    for (const auto& [what, times] : report.coverage.seen) file << "seen " << times << " " << what << "\n";
  }
  if (std::rename(written.c_str(), path.c_str()) != 0) std::cerr << "sim: cannot write " << path << "\n";
}

Report restore(const std::string& path) {
  Report report;
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (word == "next") file >> report.next_seed;
    if (word == "rounds") file >> report.coverage.rounds;
    if (word == "all") file >> report.coverage.all_rounds;
    if (word == "worlds") file >> report.coverage.worlds;
    if (word == "events") file >> report.coverage.events;
    if (word == "fault") {
      std::string name;
      std::uint64_t times = 0;
      file >> name >> times;
      if (const auto fault = fault_of(name)) report.coverage.faults[static_cast<std::size_t>(*fault)] = times;
    }
    if (word == "seen") {
      std::uint64_t times = 0;
      std::string what;
      file >> times >> std::ws;
      std::getline(file, what);
      report.coverage.seen[what] = times;
    }
  }
  return report;
}

int replay(std::uint64_t seed, const std::string& changes, bool story, bool shorten) {
  Shape shape = draw_shape(seed);
  if (!apply_changes(shape, changes)) {
    std::cerr << "sim: --with " << changes << " is not what a failure prints\n";
    return 2;
  }
  const Played played = play(shape, story);
  for (const std::string& line : played.story) std::cout << line << "\n";
  if (played.broken.empty()) {
    std::cout << "seed " << seed << ": nothing breaks; " << played.coverage.rounds << " rounds count\n";
    return 0;
  }
  tell_failure(seed, changes, played.broken);
  if (shorten) tell_shrunk(seed, shrink(seed, changes, played.broken));
  return 1;
}

int campaign(Campaign wanted, const std::string& state) {
  const Report before = state.empty() ? Report{} : restore(state);
  if (!state.empty()) {
    wanted.first_seed = before.next_seed;
    wanted.rounds = wanted.rounds > before.coverage.rounds ? wanted.rounds - before.coverage.rounds : 0;
    std::cout << "goes on from seed " << before.next_seed << " with " << before.coverage.rounds << " rounds\n"
              << std::flush;
  }
  const auto together = [&](Report report) {
    report.coverage.add(before.coverage);
    return report;
  };
  const auto began = std::chrono::steady_clock::now();
  const auto progress = [&](const Report& report) {
    if (state.empty()) return;
    const Report all = together(report);
    save(state, all);
    std::cout << all.coverage.rounds << " rounds, seed " << all.next_seed << "\n" << std::flush;
  };
  const Report report = together(wage(wanted, progress));
  const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (!state.empty() && !report.failure) save(state, report);
  tell_coverage(report.coverage);
  std::printf("took %.1f s\n", took);
  if (report.failure) {
    tell_failure(report.failure->seed, "", report.failure->broken);
    tell_shrunk(report.failure->seed, shrink(report.failure->seed, "", report.failure->broken));
    return 1;
  }
  const auto never = missed(report.coverage);
  for (const std::string& what : never) std::cout << "NEVER REACHED: " << what << "\n";
  return never.empty() ? 0 : 1;
}

int run(int argc, char** argv) {
  Campaign wanted;
  std::optional<std::uint64_t> seed;
  std::string changes;
  std::string state;
  bool story = false;
  bool shorten = false;
  try {
    for (int i = 1; i < argc; ++i) {
      const std::string_view flag = argv[i];
      const auto value = [&]() -> std::string {
        if (i + 1 >= argc) throw std::invalid_argument("a value is missing");
        return argv[++i];
      };
      if (flag == "--rounds") {
        wanted.rounds = std::stoull(value());
      } else if (flag == "--jobs") {
        wanted.jobs = static_cast<unsigned>(std::clamp(std::stoi(value()), 1, 256));
      } else if (flag == "--from") {
        wanted.first_seed = std::stoull(value());
      } else if (flag == "--state") {
        state = value();
      } else if (flag == "--seed") {
        seed = std::stoull(value());
      } else if (flag == "--with") {
        changes = value();
      } else if (flag == "--story") {
        story = true;
      } else if (flag == "--shrink") {
        shorten = true;
      } else if (flag == "--help") {
        std::cout << kHelp;
        return 0;
      } else {
        throw std::invalid_argument("it is not known");
      }
    }
  } catch (const std::exception& wrong) {
    std::cerr << "sim: a flag is wrong (" << wrong.what() << "); see sim --help\n";
    return 2;
  }
  return seed ? replay(*seed, changes, story, shorten) : campaign(wanted, state);
}

}  // namespace
}  // namespace syzygy::sim

int main(int argc, char** argv) { return syzygy::sim::run(argc, argv); }
