#include "tests/sim/world.h"

#include <utility>

namespace syzygy::sim {
namespace {

template <std::size_t... I>
std::array<Random, kFaults> streams(std::uint64_t seed, std::index_sequence<I...>) {
  return {Random(seed * 1'000'003 + I * 7'919 + 11)...};
}

}  // namespace

void Coverage::add(const Coverage& other) {
  for (std::size_t i = 0; i < kFaults; ++i) faults[i] += other.faults[i];
  for (const auto& [what, times] : other.seen) seen[what] += times;
  rounds += other.rounds;
  all_rounds += other.all_rounds;
  worlds += other.worlds;
  events += other.events;
}

World::World(Shape s, bool traced)
    : shape(std::move(s)),
      traced_(traced),
      chance_(shape.seed),
      faults_(streams(shape.seed, std::make_index_sequence<kFaults>())) {}

// ---- time ----

void World::at(Ms when, std::function<void()> what) {
  events_.push_back(Event{std::max(when, now_), ++order_, std::move(what)});
  std::ranges::push_heap(events_, after_it);
}

void World::run_until(Ms until) {
  while (broken_.empty() && !events_.empty() && events_.front().at <= until) {
    std::ranges::pop_heap(events_, after_it);
    Event event = std::move(events_.back());
    events_.pop_back();
    now_ = std::max(now_, event.at);
    ++coverage.events;
    event.what();
  }
  if (broken_.empty()) now_ = std::max(now_, until);
}

void World::sleep(Ms duration) {
  if (duration > 0) run_until(now_ + duration);
}

// ---- chance and faults ----

bool World::strikes(Fault fault, const std::string& of) {
  if (is_calm()) return shape.hints_never && fault == Fault::kHintLost;
  const auto kind = static_cast<std::size_t>(fault);
  const bool never = shape.hints_never && fault == Fault::kHintLost;
  if (!never && !faults_[kind].chance(shape.rate[kind])) return false;
  if (shape.skips(++struck_)) return false;
  count(fault, of);
  return true;
}

void World::count(Fault fault, const std::string& of) {
  ++coverage.faults[static_cast<std::size_t>(fault)];
  if (traced_) tell("  !! #" + std::to_string(struck_) + " " + std::string(to_string(fault)) + ": " + of);
}

void World::calm() {
  calm_at_ = now_;
  heal();
  tell("-- from here on nothing goes wrong any more");
}

// ---- network ----

bool World::open(Node from, Node to) const {
  const auto found = cut_.find({from, to});
  return found == cut_.end() || found->second <= now_;
}

void World::cut(Node from, Node to, Ms for_how_long) {
  Ms& until = cut_[{from, to}];
  until = std::max(until, now_ + for_how_long);
}

void World::heal() { cut_.clear(); }

Ms World::latency() { return chance_.between(0, 8); }

void World::send(Node from, Node to, const std::string& what, std::function<void()> deliver) {
  if (!open(from, to)) {
    if (traced_) tell("     cut off: " + what);
    return;
  }
  if (strikes(Fault::kMessageLost, what)) return;
  Ms delay = latency();
  if (strikes(Fault::kMessageLate, what)) delay += chance_.between(50, 9'000);
  if (strikes(Fault::kMessageTwice, what)) after(delay + chance_.between(0, 6'000), deliver);
  after(delay, std::move(deliver));
}

// ---- the story ----

void World::tell(const std::string& line) {
  if (!traced_) return;
  std::string at = std::to_string(now_);
  at.insert(at.begin(), at.size() < 8 ? 8 - at.size() : 0, ' ');
  story_.push_back(at + " " + line);
}

void World::broke(const std::string& what) {
  if (!broken_.empty()) return;
  broken_ = what;
  tell("## BROKEN " + what);
}

// ---- processes ----

void Process::stop_for(Ms duration) {
  const Ms until = world_.now() + duration;
  if (until <= stopped_until_) return;
  stopped_in_all_ += until - std::max(stopped_until_, world_.now());
  stopped_until_ = until;
  world_.at(until, [this, there = there_, until] {
    if (!*there || stopped_until_ != until) return;
    for (auto& what : std::exchange(backlog_, {})) {
      if (alive_) what();
    }
  });
}

void Process::deliver(std::function<void()> what) {
  if (!alive_) return;
  if (stopped()) {
    backlog_.push_back(std::move(what));
  } else {
    what();
  }
}

void Process::later(Ms delay, std::function<void()> what) {
  world_.after(delay, [this, what = std::move(what)]() mutable { deliver(std::move(what)); });
}

}  // namespace syzygy::sim
