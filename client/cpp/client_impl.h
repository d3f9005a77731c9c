// client_impl.h - what stands behind Client. Internal: knows gRPC's types; the session builds on it, too.
#pragma once

#include <memory>

#include "client/cpp/backoff.h"
#include "client/cpp/client.h"
#include "client/cpp/link.h"

namespace syzygy {

// What a message says of time, in our terms: from nothing to a day.
Duration duration_of(const google::protobuf::Duration& d);

class Client::Impl {
 public:
  Impl(ClientOptions options, std::string ca, std::string token)
      : link(std::move(options), std::move(ca), std::move(token)) {}

  // Repeats the call until it is answered. `extra`: how long the daemon itself may take over it, by the request.
  template <class Response, class Request>
  Result<Response> call(const Request& request, const Bound& bound, Duration extra = Duration{0});

  template <class Response>
  using OnResponse = std::function<bool(const Response&)>;
  // One stream from its start to its end. A value: `on_response` wanted no more.
  template <class Response, class Start>
  std::expected<void, Failed> stream(Start start, const OnResponse<Response>& on_response, BootTime first_by,
                                     const Bound& bound, const std::function<void()>& on_first);
  // Streams again and again.
  template <class Response, class Start>
  Result<void> watch(Start start, const OnResponse<Response>& on_response, const Bound& bound,
                     const OnContact& on_contact);

  Link link;
};

}  // namespace syzygy
