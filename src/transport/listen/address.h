// address.h - where to listen: "127.0.0.1:7411", "[::1]:7411", "localhost:0", ":7411" (every interface).
//
// Pure; any thread. Whether the address can be had is found out by the listener.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace syzygy::transport {

struct Address {
  std::string host;  // without brackets; empty: every interface
  std::uint16_t port = 0;

  friend bool operator==(const Address&, const Address&) = default;
};

// Errors: kInvalidArgument ADDRESS_INVALID.
Result<Address> parse_address(std::string_view text);

// localhost, 127.0.0.0/8, ::1.
bool is_loopback(std::string_view host);

// "127.0.0.1:7411", "[::1]:7411".
std::string to_string(const Address& address);

}  // namespace syzygy::transport
