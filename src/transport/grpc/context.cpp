#include "transport/grpc/context.h"

#include <algorithm>
#include <chrono>

namespace syzygy::transport {

Error shutting_down() {
  return {ErrorCode::kUnavailable,
          "SHUTTING_DOWN",
          "This daemon is shutting down. Ask again, here once it is back, or at another one.",
          {},
          Duration{1'000}};
}

api::Caller caller_of(const Context& context, const grpc::CallbackServerContext& call) {
  api::Caller caller{.address = call.peer(), .authorised = !context.bearer.configured()};
  if (caller.authorised) return caller;
  const auto& metadata = call.client_metadata();
  const auto [first, last] = metadata.equal_range("authorization");
  // Exactly one: which of two would count is a question nobody should have to ask.
  if (first != last && std::next(first) == last) {
    caller.authorised = context.bearer.accepts(std::string_view(first->second.data(), first->second.size()));
  }
  return caller;
}

Duration within_deadline(Duration wait, const grpc::CallbackServerContext& call) {
  const auto left =
      std::chrono::duration_cast<Duration>(call.deadline() - std::chrono::system_clock::now()) + Duration{1};
  return std::clamp(wait, Duration{0}, std::max(left, Duration{0}));
}

}  // namespace syzygy::transport
