#include "store/redis_url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>

#include "base/name.h"

namespace syzygy {
namespace {

constexpr std::uint16_t kRedisPort = 6379;
constexpr std::uint16_t kSentinelPort = 26379;
constexpr std::size_t kHostsMax = 32;
constexpr std::size_t kPrefixBytesMax = 100;
constexpr Duration kTimeoutMin{50};
constexpr Duration kTimeoutMax{60'000};

std::unexpected<Error> bad_url(const std::string& what) {
  return failure(ErrorCode::kInvalidArgument, "STORE_ADDRESS_INVALID",
                 "--store: " + what + ". It is redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE][?OPTION=VALUE&...].");
}

std::optional<int> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

std::optional<std::string> decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain.push_back(text[i]);
      continue;
    }
    const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
    const auto low = i + 2 < text.size() ? hex_digit(text[i + 2]) : std::nullopt;
    if (!high || !low) return std::nullopt;
    plain.push_back(static_cast<char>((*high << 4) | *low));
    i += 2;
  }
  return plain;
}

template <class Number>
std::optional<Number> number_of(std::string_view text, Number most) {
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > most) return std::nullopt;
  return number;
}

std::optional<Duration> duration_of(std::string_view text) {
  std::int64_t unit = 0;
  if (text.ends_with("ms")) {
    unit = 1;
    text.remove_suffix(2);
  } else if (text.ends_with('s')) {
    unit = 1'000;
    text.remove_suffix(1);
  }
  const auto number = number_of<std::int64_t>(text, 1'000'000);
  if (!number || unit == 0 || *number < 0) return std::nullopt;
  return Duration{*number * unit};
}

std::optional<bool> truth_of(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

Result<RedisEndpoint> endpoint_of(std::string_view text, std::uint16_t default_port) {
  RedisEndpoint endpoint{.host = {}, .port = default_port};
  std::string_view port;
  bool has_port = false;
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    if (end == std::string_view::npos)
      return bad_url("'" + printable(text) + "' lacks the bracket after its IPv6 address");
    endpoint.host = text.substr(1, end - 1);
    std::string_view rest = text.substr(end + 1);
    has_port = rest.starts_with(':');
    if (!has_port && !rest.empty()) return bad_url("'" + printable(text) + "' is no host and port");
    if (has_port) port = rest.substr(1);
  } else {
    const auto colon = text.find(':');
    endpoint.host = text.substr(0, colon);
    has_port = colon != std::string_view::npos;
    if (has_port) port = text.substr(colon + 1);
  }
  const bool plain = std::ranges::all_of(endpoint.host, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':' || c == '%';
  });
  if (endpoint.host.empty() || !plain) return bad_url("a host is empty, or has characters that no host's name has");
  if (has_port) {
    const auto number = number_of<unsigned>(port, 65'535);
    if (!number || *number == 0)
      return bad_url("the port of host '" + printable(endpoint.host) + "' is not one of 1 to 65535");
    endpoint.port = static_cast<std::uint16_t>(*number);
  }
  return endpoint;
}

// One option: what it sets. False: its value cannot be meant.
struct Option {
  std::string_view name;
  std::string_view values;  // for the message
  bool (*set)(RedisUrl& url, const std::string& value);
};

template <std::string RedisUrl::* kMember>
bool set_text(RedisUrl& url, const std::string& value) {
  if (value.empty()) return false;
  url.*kMember = value;
  return true;
}

bool is_prefix(std::string_view text) {
  return !text.empty() && text.size() <= kPrefixBytesMax && std::ranges::all_of(text, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':' || c == '/';
  });
}

constexpr Option kOptions[] = {
    {"allow-eviction", "true or false",
     [](RedisUrl& url, const std::string& value) {
       const auto truth = truth_of(value);
       url.allow_eviction = truth.value_or(false);
       return truth.has_value();
     }},
    {"ca", "a file with certificates in PEM", set_text<&RedisUrl::ca_file>},
    {"cert", "a file with a certificate in PEM", set_text<&RedisUrl::cert_file>},
    {"key", "a file with a private key in PEM", set_text<&RedisUrl::key_file>},
    {"master", "the name that the sentinels know", set_text<&RedisUrl::master>},
    {"password-file", "a file whose first line is the password",
     [](RedisUrl& url, const std::string& value) {
       url.login.password_file = value;
       return !url.login.password_file.empty();
     }},
    {"prefix", "1 to 100 letters, digits and . - _ : /",
     [](RedisUrl& url, const std::string& value) {
       const bool good = is_prefix(value);
       url.prefix = value;
       return good;
     }},
    {"sentinel-password-file", "a file whose first line is the sentinels' password",
     [](RedisUrl& url, const std::string& value) {
       url.sentinel_login.password_file = value;
       return !url.sentinel_login.password_file.empty();
     }},
    {"sentinel-user", "a user of the sentinels",
     [](RedisUrl& url, const std::string& value) {
       url.sentinel_login.user = value;
       return !url.sentinel_login.user.empty();
     }},
    {"timeout", "50ms to 60s",
     [](RedisUrl& url, const std::string& value) {
       const auto timeout = duration_of(value);
       url.timeout = timeout.value_or(Duration{0});
       return timeout && *timeout >= kTimeoutMin && *timeout <= kTimeoutMax;
     }},
    {"tls-name", "the name that the server's certificate is for", set_text<&RedisUrl::tls_name>},
    {"wait-replicas", "0 to 10",
     [](RedisUrl& url, const std::string& value) {
       const auto number = number_of<unsigned>(value, 10);
       url.wait_replicas = number.value_or(0);
       return number.has_value();
     }},
};

std::string names_of_options() {
  std::string names;
  for (const Option& option : kOptions) names += (names.empty() ? "" : ", ") + std::string(option.name);
  return names;
}

Result<void> take_options(std::string_view query, RedisUrl& url) {
  while (!query.empty()) {
    const auto end = query.find('&');
    const std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    const std::string_view name = pair.substr(0, equals);
    const auto* option = std::ranges::find(kOptions, name, &Option::name);
    if (option == std::end(kOptions)) {
      // Not shown: somebody may have taken it for the place of a password.
      return bad_url("it has an option that is not known; there are " + names_of_options());
    }
    const auto value = equals == std::string_view::npos ? std::nullopt : decoded(pair.substr(equals + 1));
    if (!value || !option->set(url, *value)) {
      return bad_url(fmt::format("the value of its option '{}' is not {}", name, option->values));
    }
  }
  return {};
}

}  // namespace

std::string to_string(const RedisEndpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", printable(endpoint.host, 255), v6 ? "]" : "", endpoint.port);
}

Result<RedisUrl> parse_redis_url(std::string_view text) {
  RedisUrl url;
  const auto scheme_end = text.find("://");
  const std::string_view scheme = text.substr(0, scheme_end);
  url.tls = scheme.starts_with("rediss");
  url.sentinel = scheme.ends_with("+sentinel");
  if (scheme_end == std::string_view::npos ||
      (scheme != "redis" && scheme != "rediss" && scheme != "redis+sentinel" && scheme != "rediss+sentinel")) {
    return bad_url("it does not begin with redis://, rediss://, redis+sentinel:// or rediss+sentinel://");
  }
  std::string_view rest = text.substr(scheme_end + 3);
  if (const auto at = rest.find('#'); at != std::string_view::npos)
    return bad_url("it has a '#'; write %23 for one in a password");

  std::string_view query;
  if (const auto at = rest.find('?'); at != std::string_view::npos) {
    query = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  std::string_view path;
  // A password that is not percent-encoded may hold a slash: then the @ comes after it, and it is said so.
  if (const auto at = rest.find('/'); at != std::string_view::npos) {
    path = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (path.find('@') != std::string_view::npos)
      return bad_url("it has an '@' after a '/'; percent-encode both in a password");
  }
  if (const auto at = rest.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = rest.substr(0, at);
    rest = rest.substr(at + 1);
    const auto colon = login.find(':');
    const auto user = decoded(login.substr(0, colon));
    const auto password =
        colon == std::string_view::npos ? std::optional<std::string>("") : decoded(login.substr(colon + 1));
    if (!user || !password)
      return bad_url("its user or password has a '%' that no two hexadecimal digits follow; write %25");
    url.login.user = *user;
    url.login.password = *password;
  }
  while (true) {
    const auto comma = rest.find(',');
    auto endpoint = endpoint_of(rest.substr(0, comma), url.sentinel ? kSentinelPort : kRedisPort);
    if (!endpoint) return std::unexpected(std::move(endpoint.error()));
    url.hosts.push_back(*std::move(endpoint));
    if (url.hosts.size() > kHostsMax) return bad_url(fmt::format("it names more than {} hosts", kHostsMax));
    if (comma == std::string_view::npos) break;
    rest = rest.substr(comma + 1);
  }
  if (!path.empty()) {
    const auto database = number_of<unsigned>(path, 10'000);
    if (!database) return bad_url("what follows its '/' is not the number of a database");
    url.database = *database;
  }
  if (auto taken = take_options(query, url); !taken) return std::unexpected(std::move(taken.error()));

  if (url.sentinel && url.master.empty())
    return bad_url("redis+sentinel:// needs ?master=NAME, the name that the sentinels know");
  if (!url.sentinel && !url.master.empty()) return bad_url("?master= belongs to redis+sentinel://");
  if (!url.login.password.empty() && !url.login.password_file.empty())
    return bad_url("it has a password and a password-file");
  if (url.cert_file.empty() != url.key_file.empty())
    return bad_url("cert and key belong together; one of them is missing");
  const bool tls_options = !url.ca_file.empty() || !url.cert_file.empty() || !url.tls_name.empty();
  if (tls_options && !url.tls) return bad_url("ca, cert, key and tls-name belong to rediss://");
  return url;
}

}  // namespace syzygy
