// stepped.h - an engine without threads: whoever made it calls its turns. For the simulation, which owns time.
//
// It is the same engine, turn for turn; only who calls the turns differs. Everything is called from one thread, and a
// callback of a turn may submit, but not turn.
#pragma once

#include <memory>
#include <optional>

#include "engine/clock.h"
#include "engine/engine.h"

namespace syzygy::engine {

class SteppedEngine : public Engine {
 public:
  // When turn() has something to do; nullopt: not before something comes. Ask again after every call of the engine.
  virtual std::optional<Steady> due() = 0;
  // What the lanes that are due would do if they woke now.
  virtual void turn() = 0;
};

// Store and clock must outlive the engine.
std::unique_ptr<SteppedEngine> make_stepped_engine(Store& store, Options options, const Clock& clock);

}  // namespace syzygy::engine
