// endpoints.h - where daemons are: "127.0.0.1:7411,[2001:db8::1]:7411,syzygy.example" as values.
//
// Pure. Errors: kInvalidArgument, reason ENDPOINT_INVALID, metadata "endpoint"; the message says what was expected.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace syzygy {

inline constexpr std::uint16_t kGrpcPortDefault = 7411;
inline constexpr std::size_t kEndpointsMax = 32;

struct Endpoint {
  std::string host;  // a name or a literal address, without brackets
  std::uint16_t port = kGrpcPortDefault;

  [[nodiscard]] std::string text() const;  // "host:port", with brackets around an IPv6 address
  // 127.0.0.0/8, ::1 or "localhost": what stays on this machine.
  [[nodiscard]] bool loopback() const;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// One to kEndpointsMax endpoints, separated by commas; blanks around them are ignored, a repeated one counts once. A
// URL is refused: the scheme would promise something (HTTP, no TLS) that the flag does not decide.
Result<std::vector<Endpoint>> parse_endpoints(std::string_view list);

}  // namespace syzygy
