// What people write for the command: syzygy.toml, flags, a baseline, endpoints, durations, the token's file.
#include <string>
#include <variant>
#include <vector>

#include "base/name.h"
#include "client/cli/baseline.h"
#include "client/cli/command_line.h"
#include "client/cpp/credentials.h"
#include "client/cpp/endpoints.h"
#include "file.h"
#include "target.h"

namespace syzygy::fuzz {
namespace {

const char* nothing(const std::string& /*name*/) { return nullptr; }

void settle(const std::vector<const char*>& words) {
  const auto parsed = cli::parse_command_line(static_cast<int>(words.size()), words.data(), nothing);
  if (const auto* ends = std::get_if<cli::Ends>(&parsed); ends != nullptr && ends->code != 0) {
    require(ends->code == 2, "what is not understood is a usage error");
    require_line(ends->text, "a usage error");
  }
}

}  // namespace

SYZYGY_FUZZ_TARGET(syzygy_toml) {
  const File file(input);
  const std::string path = file.path();
  settle({"syzygy", "--config", path.c_str(), "migrate", "--plan"});
  settle({"syzygy", "--config", path.c_str(), "lint"});
}

SYZYGY_FUZZ_TARGET(command_line) {
  // Words are separated by line breaks.
  std::vector<std::string> words = {"syzygy"};
  for (std::string_view rest = input; !rest.empty() && words.size() < 32;) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const std::string_view word = rest.substr(0, end);
    // A program's words end at a NUL byte; a file of our choosing is no matter of this target.
    if (!word.contains('\0') && !word.starts_with("--config")) words.emplace_back(word);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  std::vector<const char*> pointers;
  pointers.reserve(words.size());
  for (const std::string& word : words) pointers.push_back(word.c_str());
  settle(pointers);
}

SYZYGY_FUZZ_TARGET(duration) {
  const auto duration = cli::parse_duration(std::string(input));
  if (!duration) return;
  require(duration->count() >= 0 && *duration <= std::chrono::hours{30 * 24}, "a duration is at most 30 days", input);
  require(cli::parse_duration(std::to_string(duration->count()) + "ms") == duration, "a duration is what it says",
          input);
}

SYZYGY_FUZZ_TARGET(endpoints) {
  const auto endpoints = parse_endpoints(input);
  if (!endpoints) return require_well_said(endpoints.error());
  require(!endpoints->empty() && endpoints->size() <= kEndpointsMax, "there is an endpoint", input);
  std::string list;
  for (const Endpoint& endpoint : *endpoints) list += (list.empty() ? "" : ",") + endpoint.text();
  const auto again = parse_endpoints(list);
  require(again && *again == *endpoints, "endpoints are read as they are written", list);
}

SYZYGY_FUZZ_TARGET(baseline) {
  const auto known = cli::parse_baseline(input, "lint-baseline.txt");
  if (!known) return require_well_said(known.error());
  std::string again;
  for (const std::string& fingerprint : *known) again += fingerprint + " some-rule 0001_a.sql:1:1\n";
  require(cli::parse_baseline(again, "lint-baseline.txt") == known, "a baseline is read as it is written", input);
}

SYZYGY_FUZZ_TARGET(token_file) {
  const File file(input);
  const auto token = read_token(file.path());
  if (!token) {
    require_well_said(token.error());
    // A word that no message has of itself.
    const std::string secret = "Xq7" + std::string(input) + "Xq7";
    const File spelled(secret);
    const auto again = read_token(spelled.path());
    require(again || !again.error().message.contains("Xq7"), "no error holds a token");
    return;
  }
  require(!token->empty() && input.starts_with(*token), "a token is the file's line", input);
  for (const char c : *token) require(c > ' ' && c < '\x7F', "a token can stand in a header", *token);
}

}  // namespace syzygy::fuzz
