// status.h - an Error as gRPC says it: the canonical code, the message, and google.rpc details.
//
// ErrorInfo carries domain "syzygy", the stable reason and the metadata; RetryInfo stands where trying again can help.
// Message and metadata are cut so that the trailers stay below the 8 KiB that clients accept by default. Pure.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace syzygy::transport {

grpc::Status to_status(const Error& error);

}  // namespace syzygy::transport
