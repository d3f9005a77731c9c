// world.h - time, network and chance of one simulated world, in one thread, under one seed.
//
// Everything that happens is an event at an instant; of two at the same instant the one that was planned first comes
// first. Code that blocks in the real world (a call of the store) calls sleep(), which lets the others go on meanwhile.
// Faults happen only by strikes(), which numbers them: a number that the shape skips does not happen. Once something is
// broken, the world stands still.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "tests/sim/random.h"
#include "tests/sim/shape.h"
#include "tests/sim/task.h"

namespace syzygy::sim {

// Who sends and receives.
using Node = int;
inline constexpr Node kStoreNode = 0;
inline constexpr Node kDatabaseNode = 1;

struct Coverage {
  std::array<std::uint64_t, kFaults> faults{};
  std::map<std::string, std::uint64_t> seen;  // states, moves, verdicts, endings
  std::uint64_t rounds = 0;                   // that count: three joins, and a fault
  std::uint64_t all_rounds = 0;
  std::uint64_t worlds = 0;
  std::uint64_t events = 0;

  void add(const Coverage& other);
};

class World {
 public:
  World(Shape shape, bool traced);

  const Shape shape;
  Coverage coverage;

  // ---- time
  [[nodiscard]] Ms now() const { return now_; }
  void at(Ms when, std::function<void()> what);
  void after(Ms delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  void run_until(Ms until);
  // For code that blocks: the others go on for so long.
  void sleep(Ms duration);

  // ---- chance and faults
  Random& chance() { return chance_; }
  std::uint64_t next_number() { return ++number_; }  // for whatever needs an order
  // Whether this opportunity for `fault` strikes; `of` says whom, for the story.
  bool strikes(Fault fault, const std::string& of);
  void count(Fault fault, const std::string& of);  // one that was decided elsewhere
  [[nodiscard]] std::uint64_t struck() const { return struck_; }
  // From here on faults no longer happen, except hints that get lost where the shape says never().
  void calm();
  [[nodiscard]] bool is_calm() const { return calm_at_.has_value(); }
  [[nodiscard]] Ms calm_since() const { return *calm_at_; }

  // ---- network
  [[nodiscard]] bool open(Node from, Node to) const;
  void cut(Node from, Node to, Ms for_how_long);
  void heal();
  Ms latency();
  // Delivers, or does not, or late, or twice.
  void send(Node from, Node to, const std::string& what, std::function<void()> deliver);

  // ---- the story
  [[nodiscard]] bool traced() const { return traced_; }
  void tell(const std::string& line);
  [[nodiscard]] const std::vector<std::string>& story() const { return story_; }
  void saw(const std::string& what) { ++coverage.seen[what]; }
  void broke(const std::string& what);
  [[nodiscard]] const std::string& broken() const { return broken_; }

 private:
  struct Event {
    Ms at;
    std::uint64_t order;
    std::function<void()> what;
  };

  static bool after_it(const Event& a, const Event& b) { return a.at != b.at ? a.at > b.at : a.order > b.order; }

  const bool traced_;
  Ms now_ = 1'000;
  std::uint64_t order_ = 0;
  std::uint64_t number_ = 0;
  std::vector<Event> events_;  // a heap
  Random chance_;
  std::array<Random, kFaults> faults_;
  std::uint64_t struck_ = 0;
  std::optional<Ms> calm_at_;
  std::map<std::pair<Node, Node>, Ms> cut_;
  std::vector<std::string> story_;
  std::string broken_;
};

// A process that can be killed, and stopped for a while (SIGSTOP): what comes meanwhile waits.
class Process {
 public:
  Process(World& world, Node node, std::string name) : world_(world), node_(node), name_(std::move(name)) {}
  virtual ~Process() = default;
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] Node node() const { return node_; }
  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] bool alive() const { return alive_; }
  [[nodiscard]] bool stopped() const { return world_.now() < stopped_until_; }
  [[nodiscard]] Ms stopped_until() const { return stopped_until_; }
  [[nodiscard]] Ms stopped_in_all() const { return stopped_in_all_; }
  void stop_for(Ms duration);
  // Runs `what` in this process: now, or once it goes on; never once it is dead.
  void deliver(std::function<void()> what);
  void later(Ms delay, std::function<void()> what);

 protected:
  World& world_;
  bool alive_ = true;

 private:
  const Node node_;
  const std::string name_;
  Ms stopped_until_ = 0;
  Ms stopped_in_all_ = 0;
  std::vector<std::function<void()>> backlog_;
  std::shared_ptr<bool> there_ = std::make_shared<bool>(true);
};

}  // namespace syzygy::sim
