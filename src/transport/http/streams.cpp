#include "transport/http/streams.h"

#include <fmt/format.h>

#include "syzygy/v1/syzygy.pb.h"
#include "transport/http/router.h"
#include "transport/wire/json.h"
#include "transport/wire/response.h"

namespace syzygy::http {

namespace {

// At once, so that proxies pass the header on and a browser knows how soon to come back.
Bytes greeting() {
  static const Bytes kGreeting = std::make_shared<const std::string>("retry: 2000\n\n");
  return kGreeting;
}

Bytes event_head(const engine::TargetState& state) {
  return std::make_shared<const std::string>(
      fmt::format("id: {}-{}\ndata: ", state.epoch, state.record.revision.value));
}

Bytes event_end() {
  static const Bytes kEnd = std::make_shared<const std::string>("\n\n");
  return kEnd;
}

}  // namespace

std::optional<Seen> parse_event_id(std::string_view id) {
  const std::size_t dash = id.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  const auto revision = parse_number(id.substr(dash + 1));
  if (!revision) return std::nullopt;
  return Seen{std::string(id.substr(0, dash)), Revision{*revision}};
}

Response StateCache::respond(const engine::TargetStatePtr& state) {
  Response response;
  response.body = whole_.of(state, [](const engine::TargetState& shown) {
    v1::GetTargetResponse message;
    *message.mutable_target() = wire::to_proto(shown);
    return wire::to_json(message);
  });
  return response;
}

void TargetStream::add(const engine::Update& update) {
  if (backlog_.put(update) > 0) counters_.gaps.fetch_add(1, std::memory_order_relaxed);
}

bool TargetStream::next(std::vector<Bytes>& pieces) {
  if (!greeted_) {
    greeted_ = true;
    pieces.push_back(greeting());
    return true;
  }
  const auto untold = backlog_.take();
  if (!untold) return false;
  pieces = cache_.encode(*untold);
  pieces.insert(pieces.begin(), event_head(*untold->state));
  pieces.push_back(event_end());
  return true;
}

void SummaryStream::add(const engine::Update& update) { pending_[update.state->record.target.value] = update.state; }

bool SummaryStream::next(std::vector<Bytes>& pieces) {
  if (!greeted_) {
    greeted_ = true;
    pieces.push_back(greeting());
    return true;
  }
  if (pending_.empty()) return false;
  const engine::TargetStatePtr state = std::move(pending_.begin()->second);
  pending_.erase(pending_.begin());
  v1::WatchTargetsResponse message;
  *message.mutable_target() = wire::to_summary(*state);
  // No id: there is nothing to resume from, a client that comes back asks for the list again.
  pieces = {std::make_shared<const std::string>(fmt::format("data: {}\n\n", wire::to_json(message)))};
  return true;
}

}  // namespace syzygy::http
