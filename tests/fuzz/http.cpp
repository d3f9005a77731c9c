// What comes in at the ports: HTTP requests, routes, queries, JSON and Protobuf bodies, Last-Event-ID, Host, tokens,
// addresses.
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <array>
#include <memory>
#include <variant>

#include "api/validation.h"
#include "base/name.h"
#include "round/codec.h"
#include "round/command.h"
#include "syzygy/v1/syzygy.pb.h"
#include "target.h"
#include "transport/http/origin.h"
#include "transport/http/parser.h"
#include "transport/http/problem.h"
#include "transport/http/router.h"
#include "transport/http/streams.h"
#include "transport/listen/address.h"
#include "transport/wire/bearer.h"
#include "transport/wire/json.h"
#include "transport/wire/request.h"

namespace syzygy::fuzz {
namespace {

void require_problem(const http::Problem& problem) {
  require(problem.status >= 400 && problem.status < 600, "a problem has a status of its own");
  require_shown(problem.detail, "a problem's detail");
  const std::string json = http::to_json(problem);
  require(json.ends_with('\n'), "a problem's JSON is a line", json);
  require_shown(std::string_view(json).substr(0, json.size() - 1), "a problem as JSON");
}

// A request as it is read in pieces of at most `piece` bytes.
struct Read {
  http::Parser::Progress end = http::Parser::Progress::kMore;
  http::Head head;
  std::string body;
  std::string rest;
  http::Problem problem;
};
Read read_request(std::string_view bytes, std::size_t piece) {
  constexpr std::size_t kBodyMax = 1'000;
  http::Parser parser(kBodyMax);
  Read out;
  std::string pending;
  bool head = false;
  while (true) {
    std::size_t used = 0;
    out.end = parser.put(pending, used);
    require(used <= pending.size(), "a parser uses what it was given", pending);
    pending.erase(0, used);
    if (out.end == http::Parser::Progress::kMore) {
      if (bytes.empty()) break;
      pending += bytes.substr(0, piece);
      bytes.remove_prefix(std::min(piece, bytes.size()));
    } else if (out.end != http::Parser::Progress::kHead) {
      break;
    } else {
      require(!head, "a header is complete once", pending);
      head = true;
    }
  }
  if (out.end == http::Parser::Progress::kBad) {
    out.problem = parser.problem();
  } else if (out.end == http::Parser::Progress::kDone) {
    out.head = parser.head();
    out.body = parser.body();
    require(out.body.size() <= kBodyMax, "a body is within its limit");
  }
  out.rest = pending + std::string(bytes);
  return out;
}

std::string encoded(std::string_view text) {
  static constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
  }
  return out;
}

// A request that was understood becomes a command, and one that passed every check is kept as it is.
template <class Request>
void judge(const Request& request) {
  auto command = wire::to_command(request);
  if (!command) return require_well_said(command.error());
  if constexpr (std::is_same_v<std::decay_t<decltype(*command)>, wire::TargetCommand>) {
    const TargetName target{command->target};
    auto named = api::check_target(command->target);
    if (!named) return require_well_said(named.error());
    const auto checked = api::check(target, command->command, round::Settings{});
    if (!checked) return require_well_said(checked.error());
    const std::string kept = round::encode(command->command);
    const auto again = round::decode_command(kept);
    require(again.has_value() && round::encode(*again) == kept, "a command that passed is one that can be kept");
  } else {
    const auto checked = api::check(command->name, command->command, command->wait, barrier::Settings{});
    if (!checked) return require_well_said(checked.error());
    const std::string kept = barrier::encode(command->command);
    const auto again = barrier::decode_command(kept);
    require(again.has_value() && barrier::encode(*again) == kept, "a command that passed is one that can be kept");
  }
}

template <class Request>
void take(std::string_view bytes, bool json) {
  Request request;
  if (json) {
    const auto read = wire::from_json(bytes, &request);
    if (!read) return require_well_said(read.error());
    Request again;
    require(wire::from_json(wire::to_json(request), &again).has_value(), "JSON that we write is JSON that we read",
            wire::to_json(request));
    require(google::protobuf::util::MessageDifferencer::Equals(request, again), "a message survives JSON",
            wire::to_json(request));
  } else if (!request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return;
  }
  if constexpr (requires { wire::to_command(request); }) judge(request);
}

using Take = void (*)(std::string_view bytes, bool json);
constexpr std::array<Take, 17> kRequests = {
    take<v1::JoinRequest>,        take<v1::RenewRequest>,       take<v1::ConfirmRequest>,
    take<v1::ProgressRequest>,    take<v1::ReportRequest>,      take<v1::LeaveRequest>,
    take<v1::SeverRequest>,       take<v1::ResolveRequest>,     take<v1::SetTargetRequest>,
    take<v1::EnterRequest>,       take<v1::AwaitRequest>,       take<v1::SeverBarrierRequest>,
    take<v1::GetTargetRequest>,   take<v1::ListTargetsRequest>, take<v1::ListEventsRequest>,
    take<v1::WatchTargetRequest>, take<v1::WatchTargetsRequest>};

}  // namespace

SYZYGY_FUZZ_TARGET(http_request) {
  Choices choices(input);
  const std::size_t piece = 1 + choices.byte();
  const std::string_view bytes = choices.rest();
  const Read whole = read_request(bytes, bytes.size() + 1);
  const Read pieces = read_request(bytes, piece);
  for (const Read* one : {&whole, &pieces}) {
    if (one->end == http::Parser::Progress::kBad) require_problem(one->problem);
  }
  // What is no request may be seen to be none at once, or only waited for: the connection's clock ends that.
  constexpr auto kDone = http::Parser::Progress::kDone;
  require((whole.end == kDone) == (pieces.end == kDone), "a request is one in any pieces", bytes);
  if (whole.end != kDone) return;
  require(whole.body == pieces.body && whole.head.target == pieces.head.target &&
              whole.head.method == pieces.head.method && whole.head.authorization == pieces.head.authorization &&
              whole.head.keep_alive == pieces.head.keep_alive && whole.rest == pieces.rest,
          "a request says the same in any pieces", bytes);
  const auto refused = http::refuse_origin(whole.head.host, whole.head.origin, true, {});
  if (refused) require_problem(*refused);
  const auto found = http::match(whole.head.method, whole.head.target);
  if (!found) require_problem(found.error());
}

SYZYGY_FUZZ_TARGET(route) {
  Choices choices(input);
  static constexpr std::array<std::string_view, 5> kMethods = {"GET", "POST", "HEAD", "OPTIONS", "DELETE"};
  const std::string_view method = kMethods[choices.byte() % kMethods.size()];
  const std::string_view target = choices.rest();
  if (const auto decoded = http::percent_decode(target, false)) {
    require(http::percent_decode(encoded(*decoded), false) == decoded, "what is decoded can be encoded", target);
  }
  const auto found = http::match(method, target);
  if (!found) return require_problem(found.error());
  if (found->options) return require_shown(found->allow, "the methods that are allowed");
  require(found->route != nullptr, "a match has a route", target);
  const bool named = found->route->pattern.contains('{');
  require(named != found->name.empty(), "a route that takes a name has one", target);
  for (const auto& [key, value] : found->query) {
    require(std::ranges::count(found->route->query, key) == 1, "a query holds known parameters only", key);
    require(found->parameter(key) == value, "a parameter stands once", key);
    if (const auto wait = http::parse_duration(value)) {
      require(wait->count() >= 0 && *wait <= std::chrono::hours{1'000'000'000}, "a duration is one", value);
    }
    if (const auto number = http::parse_number(value)) {
      require(std::to_string(*number) == value.substr(std::min(value.find_first_not_of('0'), value.size() - 1)),
              "a number is read by its digits", value);
    }
  }
  if (!named) return;
  std::string again(found->route->pattern);
  const auto open = again.find('{');
  again.replace(open, again.find('}') - open + 1, encoded(found->name));
  const auto same = http::match(method, again);
  require(same && same->route == found->route && same->name == found->name,
          "a name in a path is read as it was encoded", again);
}

SYZYGY_FUZZ_TARGET(api_request) {
  Choices choices(input);
  const auto kind = choices.byte();
  kRequests[(kind >> 1U) % kRequests.size()](choices.rest(), (kind & 1U) == 0);
}

SYZYGY_FUZZ_TARGET(event_id) {
  const auto seen = http::parse_event_id(input);
  if (!seen) return;
  require(!seen->epoch.empty() && input.starts_with(seen->epoch + "-"), "an event's id begins with its epoch", input);
  const auto again = http::parse_event_id(seen->epoch + "-" + std::to_string(seen->revision.value));
  require(again && again->epoch == seen->epoch && again->revision == seen->revision, "an event's id is read as written",
          input);
}

SYZYGY_FUZZ_TARGET(listen_address) {
  const auto address = transport::parse_address(input);
  if (!address) return require_well_said(address.error());
  const auto again = transport::parse_address(transport::to_string(*address));
  require(again && *again == *address, "an address is read as it is written", input);
  (void)transport::is_loopback(address->host);
}

SYZYGY_FUZZ_TARGET(bearer) {
  static const std::string kToken = "0123456789abcdef";
  const bool accepted = wire::Bearer(kToken).accepts(input);
  std::string lower(input);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  require(!accepted || (input.ends_with(kToken) && lower.starts_with("bearer ")), "only the token itself is accepted",
          input);
  require(wire::Bearer().accepts(input), "without a token everybody is accepted");
}

}  // namespace syzygy::fuzz
