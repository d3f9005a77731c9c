#include "client/cli/exit_codes.h"

#include <string_view>

namespace syzygy::cli {

int exit_code(const Error& error) {
  if (error.reason == "QUORUM_MISMATCH" || error.reason == "TARGET_MISMATCH" || error.reason == "NAME_BOUND" ||
      error.reason == "TARGET_NAME_DIFFERS")
    return kExitDisagree;
  if (error.reason == "QUORUM_MISSING") return kExitUsage;
  switch (error.code) {
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kNotFound:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kUnimplemented:
      return kExitUsage;
    case ErrorCode::kPermissionDenied:
    case ErrorCode::kUnauthenticated:
      return kExitDenied;
    case ErrorCode::kResourceExhausted:
    case ErrorCode::kAborted:
      return kExitLimit;
    case ErrorCode::kFailedPrecondition:
      return kExitDisagree;
    case ErrorCode::kCancelled:
      return kExitSevered;
    case ErrorCode::kUnavailable:
    case ErrorCode::kDeadlineExceeded:
    case ErrorCode::kInternal:
    case ErrorCode::kDataLoss:
      return kExitDaemon;
  }
  return kExitDaemon;
}

int plan_exit_code(const Error& error) {
  if (error.reason == "TARGET_NAME_DIFFERS") return kExitDisagree;
  return std::string_view(error.reason).starts_with("DATABASE_") ? kExitDatabase : kExitPlan;
}

int exit_code(const happening::Finished& finished) {
  switch (finished.ending) {
    case happening::Ending::kApplied:
    case happening::Ending::kNothingPending:
    case happening::Ending::kAlreadyApplied:
      return kExitOk;
    case happening::Ending::kFailed:
      return finished.round && !finished.round->sever_reason().empty() ? kExitSevered : kExitFailed;
    case happening::Ending::kIndeterminate:
      return kExitIndeterminate;
    case happening::Ending::kDissolved:
      return kExitSevered;
  }
  return kExitIndeterminate;
}

int exit_code(WaitsFor waited_for) {
  switch (waited_for) {
    case WaitsFor::kParties:
    case WaitsFor::kApplier:
      return kExitNoQuorum;
    case WaitsFor::kAgreement:
      return kExitDisagree;
    case WaitsFor::kTarget:
    case WaitsFor::kOutcome:
      return kExitElsewhere;
    case WaitsFor::kGate:
      return kExitGate;
    case WaitsFor::kOperator:
      return kExitIndeterminate;
    case WaitsFor::kDaemon:
      return kExitDaemon;
  }
  return kExitDaemon;
}

}  // namespace syzygy::cli
