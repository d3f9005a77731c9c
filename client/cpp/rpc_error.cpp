#include "client/cpp/rpc_error.h"

#include <utility>

#include "base/name.h"
#include "syzygy/rpc/status.pb.h"

namespace syzygy {

namespace {

constexpr std::string_view kErrorInfo = "/google.rpc.ErrorInfo";
constexpr std::string_view kRetryInfo = "/google.rpc.RetryInfo";

ErrorCode code_of(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::OUT_OF_RANGE:
      return ErrorCode::kInvalidArgument;
    case grpc::StatusCode::NOT_FOUND:
      return ErrorCode::kNotFound;
    case grpc::StatusCode::ALREADY_EXISTS:
      return ErrorCode::kAlreadyExists;
    case grpc::StatusCode::PERMISSION_DENIED:
      return ErrorCode::kPermissionDenied;
    case grpc::StatusCode::UNAUTHENTICATED:
      return ErrorCode::kUnauthenticated;
    case grpc::StatusCode::RESOURCE_EXHAUSTED:
      return ErrorCode::kResourceExhausted;
    case grpc::StatusCode::FAILED_PRECONDITION:
      return ErrorCode::kFailedPrecondition;
    case grpc::StatusCode::ABORTED:
      return ErrorCode::kAborted;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return ErrorCode::kDeadlineExceeded;
    case grpc::StatusCode::CANCELLED:
      return ErrorCode::kCancelled;
    case grpc::StatusCode::UNIMPLEMENTED:
      return ErrorCode::kUnimplemented;
    case grpc::StatusCode::UNAVAILABLE:
      return ErrorCode::kUnavailable;
    case grpc::StatusCode::DATA_LOSS:
      return ErrorCode::kDataLoss;
    default:
      return ErrorCode::kInternal;
  }
}

// What the gRPC library says of a connection, without its boilerplate.
std::string_view essence(std::string_view text) {
  for (const std::string_view marker : {"Failed to connect to remote host: ", "last error: "}) {
    if (const auto at = text.find(marker); at != std::string_view::npos) text.remove_prefix(at + marker.size());
  }
  return text;
}

}  // namespace

Failed failed(const grpc::Status& status, const std::string& endpoint) {
  Failed out;
  out.error.code = code_of(status.error_code());

  rpc::Status rich;
  if (!status.error_details().empty() && rich.ParseFromString(status.error_details())) {
    for (const auto& detail : rich.details()) {
      const std::string_view type = detail.type_url();
      if (type.ends_with(kErrorInfo)) {
        rpc::ErrorInfo info;
        if (!info.ParseFromString(detail.value()) || info.domain() != "syzygy") continue;
        out.from_daemon = true;
        out.error.reason = info.reason();
        for (const auto& [name, value] : info.metadata()) out.error.metadata.emplace(name, value);
      } else if (type.ends_with(kRetryInfo)) {
        rpc::RetryInfo info;
        if (!info.ParseFromString(detail.value())) continue;
        const auto& delay = info.retry_delay();
        // A peer's number: kept within what arithmetic on it can bear.
        if (delay.seconds() < 0 || delay.seconds() > 86'400) continue;
        out.error.retry_after = Duration(delay.seconds() * 1'000 + delay.nanos() / 1'000'000);
      }
    }
  }
  if (out.from_daemon) {
    out.error.message = status.error_message();
    out.passing = status.error_code() == grpc::StatusCode::UNAVAILABLE;
    return out;
  }

  const std::string said = printable(essence(status.error_message()), 300);
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
    case grpc::StatusCode::UNKNOWN:    // gRPC says so of streams that broke
    case grpc::StatusCode::INTERNAL:   // likewise, and of proxies that answer something else
    case grpc::StatusCode::CANCELLED:  // a server that is stopping
    case grpc::StatusCode::ABORTED:
      out.passing = true;
      out.error.code = ErrorCode::kUnavailable;
      out.error.reason = "CONNECTION_LOST";
      out.error.message = endpoint + ": " + (said.empty() ? "the connection was lost" : said);
      break;
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      out.passing = true;
      out.error.code = ErrorCode::kUnavailable;
      out.error.reason = "NO_ANSWER";
      out.error.message = endpoint + ": no answer in time";
      break;
    case grpc::StatusCode::UNIMPLEMENTED:
      out.error.reason = "NOT_SYZYGY";
      out.error.message = endpoint +
                          " is a gRPC server but does not know this call of Syzygy: it is another service, or an older "
                          "daemon. Check --daemon, or upgrade syzygyd.";
      break;
    case grpc::StatusCode::UNAUTHENTICATED:
      out.error.reason = "UNAUTHENTICATED";
      out.error.message = endpoint + " wants a valid bearer token (--token-file): " + said;
      break;
    default:
      out.error.reason = "RPC_FAILED";
      out.error.message = endpoint + ": " + (said.empty() ? "the call failed" : said);
  }
  out.error.metadata.emplace("endpoint", endpoint);
  return out;
}

}  // namespace syzygy
