// problem.h - an error as HTTP says it: application/problem+json (RFC 9457) with a stable `reason`.
//
// {"type":"urn:syzygy:error:REASON","title":"Conflict","status":409,"detail":"...","reason":"REASON","metadata":{...}}
// Pure; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace syzygy::http {

struct Problem {
  int status = 500;
  std::string reason;
  std::string detail;
  std::map<std::string, std::string> metadata;
  std::optional<Duration> retry_after;
  std::string allow;  // of a 405

  friend bool operator==(const Problem&, const Problem&) = default;
};

// One that says nothing beyond its reason and its sentence.
Problem plain_problem(int status, std::string reason, std::string detail);
// The canonical codes as HTTP's: a refusal that depends on the present state (FAILED_PRECONDITION, ABORTED) is 409.
Problem to_problem(const Error& error);
std::string to_json(const Problem& problem);

std::string_view phrase(int status);  // "Not Found"

// `text` as the inside of a JSON string; what is not UTF-8 becomes U+FFFD.
std::string json_escape(std::string_view text);

}  // namespace syzygy::http
