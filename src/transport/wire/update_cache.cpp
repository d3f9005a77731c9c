#include "transport/wire/update_cache.h"

#include <string_view>

#include "transport/wire/json.h"
#include "transport/wire/response.h"

namespace syzygy::wire {
namespace {

Bytes constant(std::string_view text) { return std::make_shared<const std::string>(text); }

v1::WatchTargetResponse response_of(const engine::TargetState& state) {
  v1::WatchTargetResponse message;
  *message.mutable_target() = to_proto(state);
  return message;
}

v1::WatchTargetResponse response_of(const std::vector<round::Event>& events) {
  v1::WatchTargetResponse message;
  for (const round::Event& event : events) *message.add_events() = to_proto(event);
  return message;
}

// In binary, messages that are written one after the other are one message.
template <class Object>
std::string binary(const Object& object) {
  return response_of(object).SerializeAsString();
}

// {"target":{...}  - the brace at its end is left to whoever says more.
std::string open_json(const engine::TargetState& state) {
  std::string json = to_json(response_of(state));
  json.pop_back();
  return json;
}

// What stands within the brackets of {"events":[...]}.
std::string list_json(const std::vector<round::Event>& events) {
  constexpr std::string_view kBefore = R"({"events":[)";
  constexpr std::string_view kAfter = "]}";
  const std::string json = to_json(response_of(events));
  return json.substr(kBefore.size(), json.size() - kBefore.size() - kAfter.size());
}

Bytes gap_binary() {
  v1::WatchTargetResponse message;
  message.set_gap(true);
  return constant(message.SerializeAsString());
}

}  // namespace

std::vector<Bytes> UpdateCache::encode(const Untold& untold) {
  static const Bytes kGapBinary = gap_binary();
  static const Bytes kEvents = constant(R"(,"events":[)");
  static const Bytes kComma = constant(",");
  static const Bytes kEventsEnd = constant("]");
  static const Bytes kGap = constant(R"(,"gap":true)");
  static const Bytes kEnd = constant("}");

  std::vector<Bytes> pieces;
  if (form_ == Form::kBinary) {
    pieces.push_back(states_.of(untold.state, binary<engine::TargetState>));
    for (const EventsPtr& events : untold.events)
      pieces.push_back(events_.of(events, binary<std::vector<round::Event>>));
    if (untold.gap) pieces.push_back(kGapBinary);
    return pieces;
  }
  pieces.push_back(states_.of(untold.state, open_json));
  for (const EventsPtr& events : untold.events) {
    pieces.push_back(&events == &untold.events.front() ? kEvents : kComma);
    pieces.push_back(events_.of(events, list_json));
  }
  if (!untold.events.empty()) pieces.push_back(kEventsEnd);
  if (untold.gap) pieces.push_back(kGap);
  pieces.push_back(kEnd);
  return pieces;
}

}  // namespace syzygy::wire
