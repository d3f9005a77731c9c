#include "transport/http/origin.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ranges>

#include "base/name.h"
#include "transport/http/router.h"
#include "transport/listen/address.h"

namespace syzygy::http {

namespace {

bool same(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool names_loopback(std::string host) {
  for (char& c : host) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return transport::is_loopback(host);
}

}  // namespace

std::optional<std::string> host_of(std::string_view header) {
  if (header.starts_with('[')) {
    const std::size_t end = header.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view rest = header.substr(end + 1);
    if (!rest.empty() && (rest[0] != ':' || !parse_number(rest.substr(1)))) return std::nullopt;
    return std::string(header.substr(1, end - 1));
  }
  const std::size_t colon = header.find(':');
  if (colon != std::string_view::npos && colon + 1 < header.size() && !parse_number(header.substr(colon + 1))) {
    return std::nullopt;
  }
  const std::string_view host = header.substr(0, colon);
  if (host.empty() || host.find_first_of("/@?# \t") != std::string_view::npos) return std::nullopt;
  return std::string(host);
}

std::optional<Problem> refuse_origin(std::string_view host_header, std::string_view origin, bool guarded,
                                     std::span<const std::string> allowed_hosts) {
  const auto host = host_of(host_header);
  if (guarded) {
    const bool known =
        host && (names_loopback(*host) ||
                 std::ranges::any_of(allowed_hosts, [&](const std::string& allowed) { return same(*host, allowed); }));
    if (!known) {
      return Problem{
          421,
          "HOST_REFUSED",
          fmt::format("This daemon listens on loopback and asks for no token, so it answers only to localhost, "
                      "127.0.0.1 and [::1], and the request was sent to \"{}\" (a web page could do that). "
                      "Call it by one of those names, configure a token, or allow this name.",
                      printable(host_header, 200)),
          {{"host", printable(host_header, 200)}},
          {},
          {}};
    }
  }
  if (!origin.empty()) {
    const std::size_t scheme = origin.find("://");
    if (scheme == std::string_view::npos || !same(origin.substr(scheme + 3), host_header)) {
      return Problem{403,
                     "ORIGIN_REFUSED",
                     fmt::format("The request comes from a web page of another origin ({}). Only this daemon's own "
                                 "dashboard may call it from a browser.",
                                 printable(origin, 200)),
                     {{"origin", printable(origin, 200)}},
                     {},
                     {}};
    }
  }
  return std::nullopt;
}

}  // namespace syzygy::http
