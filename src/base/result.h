// result.h - expected outcomes are values. Result<T> holds a T or an Error.
//
// An Error says what happened, to what, and what to do next, in `message`; `reason` is the same for machines:
// UPPER_SNAKE_CASE, stable, listed in the API's documentation; `metadata` carries the things it names. The codes are
// the canonical ones of gRPC.
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/time.h"

namespace syzygy {

enum class ErrorCode {
  kInvalidArgument,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kUnauthenticated,
  kResourceExhausted,
  kFailedPrecondition,
  kAborted,
  kDeadlineExceeded,
  kCancelled,
  kUnimplemented,
  kUnavailable,
  kInternal,
  kDataLoss,
};

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string reason;   // e.g. "QUORUM_MISMATCH"
  std::string message;  // one or two sentences for a person
  std::map<std::string, std::string> metadata;
  std::optional<Duration> retry_after;  // set where trying again can help

  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> failure(ErrorCode code, std::string reason, std::string message,
                                      std::map<std::string, std::string> metadata = {}) {
  return std::unexpected(Error{code, std::move(reason), std::move(message), std::move(metadata), std::nullopt});
}

}  // namespace syzygy
