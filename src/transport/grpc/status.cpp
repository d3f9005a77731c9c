#include "transport/grpc/status.h"

#include "base/name.h"
#include "syzygy/rpc/status.pb.h"
#include "transport/wire/response.h"

namespace syzygy::transport {
namespace {

// A message goes out percent-encoded (up to 3 bytes each) and again in base64: 1,000 bytes become at most 4,400.
constexpr std::size_t kMessageBytesMax = 1'000;
constexpr std::size_t kMetadataValueBytesMax = 400;
constexpr std::size_t kErrorMetadataBytesMax = 1'500;

grpc::StatusCode to_grpc(ErrorCode code) {
  switch (code) {
    case ErrorCode::kInvalidArgument:
      return grpc::StatusCode::INVALID_ARGUMENT;
    case ErrorCode::kNotFound:
      return grpc::StatusCode::NOT_FOUND;
    case ErrorCode::kAlreadyExists:
      return grpc::StatusCode::ALREADY_EXISTS;
    case ErrorCode::kPermissionDenied:
      return grpc::StatusCode::PERMISSION_DENIED;
    case ErrorCode::kUnauthenticated:
      return grpc::StatusCode::UNAUTHENTICATED;
    case ErrorCode::kResourceExhausted:
      return grpc::StatusCode::RESOURCE_EXHAUSTED;
    case ErrorCode::kFailedPrecondition:
      return grpc::StatusCode::FAILED_PRECONDITION;
    case ErrorCode::kAborted:
      return grpc::StatusCode::ABORTED;
    case ErrorCode::kDeadlineExceeded:
      return grpc::StatusCode::DEADLINE_EXCEEDED;
    case ErrorCode::kCancelled:
      return grpc::StatusCode::CANCELLED;
    case ErrorCode::kUnimplemented:
      return grpc::StatusCode::UNIMPLEMENTED;
    case ErrorCode::kUnavailable:
      return grpc::StatusCode::UNAVAILABLE;
    case ErrorCode::kInternal:
      return grpc::StatusCode::INTERNAL;
    case ErrorCode::kDataLoss:
      return grpc::StatusCode::DATA_LOSS;
  }
  return grpc::StatusCode::INTERNAL;
}

// Cut between characters, and valid UTF-8 whatever came in: Protobuf refuses to parse a string field that is not.
std::string cut(const std::string& text, std::size_t bytes_max) {
  if (!is_utf8(text)) return printable(text, bytes_max / 4);
  if (text.size() <= bytes_max) return text;
  std::size_t end = bytes_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "...";
}

void add_detail(rpc::Status& status, const char* type, const google::protobuf::Message& detail) {
  google::protobuf::Any* any = status.add_details();
  any->set_type_url(std::string("type.googleapis.com/google.rpc.") + type);
  any->set_value(detail.SerializeAsString());
}

}  // namespace

grpc::Status to_status(const Error& error) {
  const grpc::StatusCode code = to_grpc(error.code);
  const std::string message = cut(error.message, kMessageBytesMax);
  rpc::Status status;
  status.set_code(code);
  status.set_message(message);

  rpc::ErrorInfo info;
  info.set_domain("syzygy");
  info.set_reason(error.reason);
  std::size_t used = 0;
  for (const auto& [key, value] : error.metadata) {
    std::string shown = cut(value, kMetadataValueBytesMax);
    used += key.size() + shown.size();
    if (used > kErrorMetadataBytesMax) break;
    (*info.mutable_metadata())[key] = std::move(shown);
  }
  add_detail(status, "ErrorInfo", info);
  if (error.retry_after) {
    rpc::RetryInfo retry;
    *retry.mutable_retry_delay() = wire::to_proto(*error.retry_after);
    add_detail(status, "RetryInfo", retry);
  }
  return {code, message, status.SerializeAsString()};
}

}  // namespace syzygy::transport
