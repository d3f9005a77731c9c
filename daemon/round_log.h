// round_log.h - one line in the log for each move of a round, from what the engine announces.
//
// Called on the engine's threads, several at a time; never blocks on anything but its own short lock.
#pragma once

#include <map>
#include <mutex>

#include "engine/engine.h"

namespace syzygy::daemon {

class RoundLog {
 public:
  void see(const engine::Update& update);

 private:
  std::mutex mutex_;
  std::map<TargetName, std::map<RoundId, round::State>> known_;
};

}  // namespace syzygy::daemon
