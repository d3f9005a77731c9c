// metrics.h - /metrics: the engine's statistics, the HTTP port's counters and whatever else is collected, as text for
// Prometheus. docs/metrics.md names every family; a test holds it to that. Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/engine.h"
#include "transport/http/counters.h"

namespace prometheus {
class Collectable;
}

namespace syzygy::http {

struct Measured {
  const engine::Stats& stats;
  const engine::Health& health;
  const Counters& counters;
  const std::vector<std::shared_ptr<prometheus::Collectable>>& collectables;
};

std::string metrics_text(const Measured& measured);

}  // namespace syzygy::http
