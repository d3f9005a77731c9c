// streams.h - what server-sent events say: updates of one target, or summaries of many. One thread, a connection's.
//
// An event's id is EPOCH-REVISION: a client that comes back with it as Last-Event-ID goes on from there. What happens
// while one is on its way is told with the next (backlog.h); a reader that is slower still loses the events in between,
// never the newest state, and is told so (`gap`).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "transport/http/counters.h"
#include "transport/http/exchange.h"
#include "transport/wire/backlog.h"
#include "transport/wire/update_cache.h"

namespace syzygy::http {

struct Seen {
  std::string epoch;
  Revision revision;
};

// nullopt: not EPOCH-REVISION.
std::optional<Seen> parse_event_id(std::string_view id);

// Serialises each state once for all who are shown it. Any thread.
class StateCache {
 public:
  Response respond(const engine::TargetStatePtr& state);  // a GetTargetResponse
  std::vector<Bytes> encode(const wire::Untold& untold) { return cache_.encode(untold); }

 private:
  wire::Encoded<engine::TargetState> whole_;
  wire::UpdateCache cache_{wire::UpdateCache::Form::kJson};
};

class TargetStream final : public Stream {
 public:
  TargetStream(StateCache& cache, Counters& counters) : cache_(cache), counters_(counters) {}
  void add(const engine::Update& update);
  bool next(std::vector<Bytes>& pieces) override;

 private:
  StateCache& cache_;
  Counters& counters_;
  bool greeted_ = false;
  wire::Backlog backlog_;
};

// Holds at most the newest state of each target, however slow its reader is.
class SummaryStream final : public Stream {
 public:
  void add(const engine::Update& update);
  bool next(std::vector<Bytes>& pieces) override;

 private:
  bool greeted_ = false;
  std::map<std::string, engine::TargetStatePtr> pending_;
};

}  // namespace syzygy::http
