#include "daemon/round_log.h"

#include <utility>
#include <vector>

#include "api/service.h"
#include "daemon/log.h"

namespace syzygy::daemon {

void RoundLog::see(const engine::Update& update) {
  const round::Record& record = update.state->record;
  std::vector<const round::Round*> moved;
  {
    const std::lock_guard lock(mutex_);
    std::map<RoundId, round::State> now;
    auto& before = known_[record.target];
    for (const round::Round& r : record.rounds) {
      const auto old = before.find(r.id);
      if (old == before.end() || old->second != r.state) moved.push_back(&r);
      now.emplace(r.id, r.state);
    }
    before = std::move(now);
    if (before.empty()) known_.erase(record.target);
  }
  for (const round::Round* r : moved) {
    const LogLevel level = r->state == round::State::kFailed || r->state == round::State::kIndeterminate
                               ? LogLevel::kWarning
                               : LogLevel::kInfo;
    log::write(level, "round moved",
               {{"target", record.target.value},
                {"round", r->id.value},
                {"state", std::string(round::to_string(r->state))},
                {"revision", std::to_string(record.revision.value)},
                {"token", std::to_string(record.token.value)},
                {"summary", r->outcome ? r->outcome->message : api::summary(record)}});
  }
}

}  // namespace syzygy::daemon
