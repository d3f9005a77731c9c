// router.h - which operation a request line names. Pure: the table below is all that this port answers.
//
// A path parameter is one segment, percent-decoded after the split, so that a name may hold "/" as %2F. Decoding is
// strict: a stray "%" is an error, never a guess. In a query "+" is a space, as browsers write it. A query parameter
// that the route does not know is refused by name, and so is one given twice. Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "transport/http/problem.h"

namespace syzygy::http {

enum class Operation : std::uint8_t {
  kListTargets,
  kGetTarget,
  kWatchTarget,
  kWatchTargets,
  kListEvents,
  kJoin,
  kRenew,
  kConfirm,
  kProgress,
  kReport,
  kLeave,
  kSever,
  kResolve,
  kSetTarget,
  kEnter,
  kAwait,
  kSeverBarrier,
  kLive,
  kReady,
  kMetrics,
  kOpenApi,
  kDashboard,
  kDashboardScript,
  kDashboardStyle,
};
inline constexpr std::size_t kOperations = static_cast<std::size_t>(Operation::kDashboardStyle) + 1;

struct Route {
  std::string_view method;   // GET or POST; a GET answers HEAD too
  std::string_view pattern;  // "/v1/targets/{target}/join"
  Operation operation;
  std::string_view id;                      // the operationId of the OpenAPI document, and the label in /metrics
  bool open = false;                        // answers without the bearer token
  std::array<std::string_view, 3> query{};  // parameters that it knows, lowerCamelCase
};

std::span<const Route> routes();

struct Match {
  const Route* route = nullptr;
  bool head = false;  // HEAD: as GET, without the body
  bool options = false;
  std::string name;  // the path parameter, decoded
  std::vector<std::pair<std::string, std::string>> query;
  std::string allow;  // of OPTIONS

  [[nodiscard]] std::optional<std::string> parameter(std::string_view key) const;
};

// `target` is the request's target as it came: a path with a query, or the absolute form. Problems: 400
// PERCENT_ENCODING_INVALID, QUERY_UNKNOWN, QUERY_TWICE; 404 ROUTE_UNKNOWN; 405 METHOD_NOT_ALLOWED.
std::expected<Match, Problem> match(std::string_view method, std::string_view target);

// nullopt: a "%" without two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

// "30s", "500ms", "2m", "1h", "0". nullopt: anything else.
std::optional<Duration> parse_duration(std::string_view text);
// A decimal number without sign or leading spaces. nullopt: anything else, or too large.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace syzygy::http
