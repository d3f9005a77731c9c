#include "transport/listen/address.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <charconv>

#include "base/name.h"

namespace syzygy::transport {

Result<Address> parse_address(std::string_view text) {
  const auto bad = [&] {
    return failure(
        ErrorCode::kInvalidArgument, "ADDRESS_INVALID",
        fmt::format("\"{}\" is no address to listen on. Write host:port, for example 127.0.0.1:7411 or [::1]:7411.",
                    printable(text, 200)),
        {{"address", printable(text, 200)}});
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return bad();
  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error != std::errc{} || end != digits.data() + digits.size()) return bad();
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[')) {
    if (!host.ends_with(']') || host.size() < 4) return bad();
    host = host.substr(1, host.size() - 2);
    in6_addr parsed{};
    if (inet_pton(AF_INET6, std::string(host).c_str(), &parsed) != 1) return bad();
  } else if (host.contains(':')) {
    return bad();  // an IPv6 address without brackets: where its port begins is a guess
  }
  if (host.find_first_of(" \t\r\n/@") != std::string_view::npos || host.contains('\0')) return bad();
  return Address{std::string(host), port};
}

bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "localhost.") return true;
  const std::string text(host);
  if (in_addr v4{}; inet_pton(AF_INET, text.c_str(), &v4) == 1) return ntohl(v4.s_addr) >> 24U == 127;
  if (in6_addr v6{}; inet_pton(AF_INET6, text.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6);
  return false;
}

std::string to_string(const Address& address) {
  return address.host.contains(':') ? fmt::format("[{}]:{}", address.host, address.port)
                                    : fmt::format("{}:{}", address.host, address.port);
}

}  // namespace syzygy::transport
