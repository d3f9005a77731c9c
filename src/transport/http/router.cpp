#include "transport/http/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/name.h"

namespace syzygy::http {

namespace {

constexpr std::string_view kGet = "GET";
constexpr std::string_view kPost = "POST";

constexpr Route kRoutes[] = {
    {kGet, "/v1/targets", Operation::kListTargets, "ListTargets", false, {"prefix", "pageToken", "pageSize"}},
    {kGet, "/v1/targets/{target}", Operation::kGetTarget, "GetTarget", false, {"revision", "epoch", "wait"}},
    {kGet, "/v1/targets/{target}/watch", Operation::kWatchTarget, "WatchTarget", false, {"revision", "epoch"}},
    {kGet, "/v1/watch", Operation::kWatchTargets, "WatchTargets", false, {"prefix"}},
    {kGet, "/v1/targets/{target}/events", Operation::kListEvents, "ListEvents", false, {"after", "pageSize"}},
    {kPost, "/v1/targets/{target}/join", Operation::kJoin, "Join"},
    {kPost, "/v1/targets/{target}/renew", Operation::kRenew, "Renew"},
    {kPost, "/v1/targets/{target}/confirm", Operation::kConfirm, "Confirm"},
    {kPost, "/v1/targets/{target}/progress", Operation::kProgress, "Progress"},
    {kPost, "/v1/targets/{target}/report", Operation::kReport, "Report"},
    {kPost, "/v1/targets/{target}/leave", Operation::kLeave, "Leave"},
    {kPost, "/v1/targets/{target}/sever", Operation::kSever, "Sever"},
    {kPost, "/v1/targets/{target}/resolve", Operation::kResolve, "Resolve"},
    {kPost, "/v1/targets/{target}/set", Operation::kSetTarget, "SetTarget"},
    {kPost, "/v1/barriers/{namespace}/enter", Operation::kEnter, "Enter", false, {"wait"}},
    {kPost, "/v1/barriers/{namespace}/await", Operation::kAwait, "Await", false, {"wait"}},
    {kPost, "/v1/barriers/{namespace}/sever", Operation::kSeverBarrier, "SeverBarrier"},
    {kGet, "/livez", Operation::kLive, "Live", true},
    {kGet, "/readyz", Operation::kReady, "Ready", true},
    {kGet, "/metrics", Operation::kMetrics, "Metrics"},
    {kGet, "/openapi.yaml", Operation::kOpenApi, "OpenApi"},
    {kGet, "/", Operation::kDashboard, "Dashboard", true},
    {kGet, "/dashboard.js", Operation::kDashboardScript, "DashboardScript", true},
    {kGet, "/dashboard.css", Operation::kDashboardStyle, "DashboardStyle", true},
};
static_assert(std::size(kRoutes) == kOperations);

// Whether `path` has the shape of `pattern`; if so, the segment that stands for the parameter, still encoded.
std::optional<std::string_view> shape(std::string_view pattern, std::string_view path) {
  const std::size_t open = pattern.find('{');
  if (open == std::string_view::npos) {
    return pattern == path ? std::optional<std::string_view>("") : std::nullopt;
  }
  const std::string_view before = pattern.substr(0, open);
  const std::string_view after = pattern.substr(pattern.find('}') + 1);
  if (path.size() <= before.size() + after.size() || !path.starts_with(before) || !path.ends_with(after)) {
    return std::nullopt;
  }
  const std::string_view segment = path.substr(before.size(), path.size() - before.size() - after.size());
  if (segment.contains('/')) return std::nullopt;
  return segment;
}

// Both spellings of a parameter are taken, as in a body: "page_size" is "pageSize".
std::string camel(std::string_view key) {
  std::string out;
  bool up = false;
  for (const char c : key) {
    if (c == '_') {
      up = true;
    } else {
      out += up && c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
      up = false;
    }
  }
  return out;
}

Problem bad_encoding(std::string_view where) {
  return {400,
          "PERCENT_ENCODING_INVALID",
          fmt::format("The {} holds a \"%\" that two hexadecimal digits do not follow. Write a percent sign as %25.",
                      where),
          {{"where", std::string(where)}},
          {},
          {}};
}

std::optional<Problem> read_query(std::string_view text, Match& match) {
  while (!text.empty()) {
    const std::string_view pair = text.substr(0, text.find('&'));
    text.remove_prefix(std::min(text.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const auto key = percent_decode(pair.substr(0, equals), true);
    const auto value = percent_decode(pair.substr(std::min(pair.size(), equals + 1)), true);
    if (!key || !value) return bad_encoding("query");
    std::string name = camel(*key);
    const auto& known = match.route->query;
    if (name.empty() || std::ranges::find(known, name) == known.end()) {
      std::string list;
      for (const auto& k : known) {
        if (!k.empty()) list += (list.empty() ? "" : ", ") + std::string(k);
      }
      return Problem{400,
                     "QUERY_UNKNOWN",
                     fmt::format("{} knows no query parameter \"{}\"{}.", match.route->pattern, printable(*key),
                                 list.empty() ? ", and takes none" : "; it takes " + list),
                     {{"parameter", printable(*key)}},
                     {},
                     {}};
    }
    if (match.parameter(name)) {
      return Problem{400,
                     "QUERY_TWICE",
                     fmt::format("The query parameter \"{}\" is given twice. Give it once.", name),
                     {{"parameter", name}},
                     {},
                     {}};
    }
    match.query.emplace_back(std::move(name), *value);
  }
  return std::nullopt;
}

}  // namespace

std::span<const Route> routes() { return kRoutes; }

std::optional<std::string> Match::parameter(std::string_view key) const {
  const auto it = std::ranges::find(query, key, [](const auto& pair) { return std::string_view(pair.first); });
  return it == query.end() ? std::nullopt : std::optional(it->second);
}

std::expected<Match, Problem> match(std::string_view method, std::string_view target) {
  // The absolute form, which a proxy may send: what it names before the path is the Host's affair.
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.starts_with(scheme)) {
      target.remove_prefix(scheme.size());
      const std::size_t slash = target.find_first_of("/?");
      target = slash == std::string_view::npos ? "/" : target.substr(slash);
    }
  }
  const std::string_view path = target.substr(0, target.find('?'));
  const std::string_view query = path.size() < target.size() ? target.substr(path.size() + 1) : "";

  const bool head = method == "HEAD";
  std::string allow;
  for (const Route& route : kRoutes) {
    const auto segment = shape(route.pattern, path);
    if (!segment) continue;
    if (route.method != (head ? kGet : method)) {
      if (!allow.empty()) allow += ", ";
      allow += route.method == kGet ? "GET, HEAD" : route.method;
      if (method == "OPTIONS") break;
      continue;
    }
    Match found;
    found.route = &route;
    found.head = head;
    auto name = percent_decode(*segment, false);
    if (!name) return std::unexpected(bad_encoding("path"));
    found.name = *std::move(name);
    if (auto problem = read_query(query, found)) return std::unexpected(*std::move(problem));
    return found;
  }
  if (!allow.empty()) {
    allow += ", OPTIONS";
    if (method == "OPTIONS") {
      Match found;
      found.options = true;
      found.allow = allow;
      return found;
    }
    return std::unexpected(
        Problem{405,
                "METHOD_NOT_ALLOWED",
                fmt::format("{} does not answer {}. Use {}.", printable(path, 200), printable(method), allow),
                {{"method", printable(method)}},
                {},
                allow});
  }
  return std::unexpected(
      Problem{404,
              "ROUTE_UNKNOWN",
              fmt::format("There is nothing at {}. /openapi.yaml lists every path.", printable(path, 200)),
              {{"path", printable(path, 200)}},
              {},
              {}});
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = digit(text[i + 1]);
      const int low = digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<Duration> parse_duration(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_number(text.substr(0, digits));
  const std::string_view unit = text.substr(digits);
  if (!number || *number > 1'000'000'000) return std::nullopt;
  const auto value = static_cast<std::int64_t>(*number);
  if (unit == "ms" || (unit.empty() && value == 0)) return Duration{value};
  if (unit == "s") return Duration{value * 1'000};
  if (unit == "m") return Duration{value * 60'000};
  if (unit == "h") return Duration{value * 3'600'000};
  return std::nullopt;
}

}  // namespace syzygy::http
