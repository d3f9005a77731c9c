// origin.h - whom a browser may speak for.
//
// A daemon on loopback without a token trusts whoever can connect. A web page in a browser on the same machine can,
// too: by a name of its own that it points at 127.0.0.1 (DNS rebinding), or by a request across origins. So there the
// Host must be a loopback name (or one that the operator allowed), and everywhere an Origin that is sent must be the
// Host itself. With a token the Host is free: a page that does not know the token gets nowhere. Pure; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "transport/http/problem.h"

namespace syzygy::http {

// The host of a Host header, without brackets and port; nullopt: not a Host.
std::optional<std::string> host_of(std::string_view header);

// What is wrong with where the request says it was sent, and from; nullopt: nothing. `guarded`: on loopback, without a
// token.
std::optional<Problem> refuse_origin(std::string_view host_header, std::string_view origin, bool guarded,
                                     std::span<const std::string> allowed_hosts);

}  // namespace syzygy::http
