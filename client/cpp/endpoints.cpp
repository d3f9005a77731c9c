#include "client/cpp/endpoints.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/name.h"

namespace syzygy {

namespace {

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const auto from = text.find_first_not_of(kBlanks);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlanks) - from + 1);
}

std::unexpected<Error> invalid(std::string_view endpoint, std::string_view why) {
  const std::string shown = printable(endpoint, 80);
  return failure(ErrorCode::kInvalidArgument, "ENDPOINT_INVALID",
                 "\"" + shown + "\" is no daemon address: " + std::string(why) +
                     ". Give host:port, for example 127.0.0.1:7411 or [::1]:7411; several separated by commas.",
                 {{"endpoint", shown}});
}

bool is_host_byte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_address_byte(char c) {  // of an IPv6 address, with a zone
  return is_host_byte(c) || c == ':' || c == '%';
}

Result<Endpoint> parse_one(std::string_view text) {
  if (text.empty()) return invalid(text, "it is empty");
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    // An address with a password in it must not be repeated in the message.
    return invalid(text.substr(0, scheme + 3),
                   "it is a URL; the gRPC address has no scheme (TLS is a flag of its own)");
  }
  if (text.find('@') != std::string_view::npos) return invalid("...@...", "it has a user name in it");

  std::string_view host = text;
  std::string_view port;
  bool has_port = false;
  if (text.front() == '[') {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return invalid(text, "its bracket is not closed");
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty()) {
      if (rest.front() != ':') return invalid(text, "after the bracket only a port may follow");
      port = rest.substr(1);
      has_port = true;
    }
    if (host.find(':') == std::string_view::npos) return invalid(text, "brackets are for IPv6 addresses");
    if (!std::ranges::all_of(host, is_address_byte)) return invalid(text, "it is not an IPv6 address");
  } else {
    if (std::ranges::count(text, ':') > 1) return invalid(text, "an IPv6 address stands in brackets");
    if (const auto colon = text.find(':'); colon != std::string_view::npos) {
      host = text.substr(0, colon);
      port = text.substr(colon + 1);
      has_port = true;
    }
    if (host.empty()) return invalid(text, "it has no host");
    if (host.size() > 253 || !std::ranges::all_of(host, is_host_byte)) return invalid(text, "its host is not a name");
  }

  Endpoint endpoint{std::string(host), kGrpcPortDefault};
  if (has_port) {
    unsigned number = 0;
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || number == 0 || number > 65'535) {
      return invalid(text, "its port is not a number from 1 to 65535");
    }
    endpoint.port = static_cast<std::uint16_t>(number);
  }
  return endpoint;
}

}  // namespace

std::string Endpoint::text() const {
  const bool bracketed = host.find(':') != std::string::npos;
  return (bracketed ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

bool Endpoint::loopback() const {
  if (host == "localhost" || host == "::1") return true;
  // Only the literal form: a name like 127.example.com must not pass.
  return host.starts_with("127.") &&
         std::ranges::all_of(host, [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
}

Result<std::vector<Endpoint>> parse_endpoints(std::string_view list) {
  std::vector<Endpoint> endpoints;
  while (true) {
    const auto comma = list.find(',');
    auto one = parse_one(trim(list.substr(0, comma)));
    if (!one) return std::unexpected(std::move(one.error()));
    if (std::ranges::find(endpoints, *one) == endpoints.end()) endpoints.push_back(std::move(*one));
    if (endpoints.size() > kEndpointsMax) {
      return failure(ErrorCode::kInvalidArgument, "ENDPOINT_INVALID",
                     "More than " + std::to_string(kEndpointsMax) + " daemon addresses were given; name fewer.");
    }
    if (comma == std::string_view::npos) return endpoints;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace syzygy
