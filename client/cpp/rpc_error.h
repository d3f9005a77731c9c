// rpc_error.h - a failed gRPC call as an Error, and whether trying again can help. Internal: knows gRPC's types.
#pragma once

#include <grpcpp/support/status.h>

#include "base/result.h"

namespace syzygy {

struct Failed {
  Error error;
  bool from_daemon = false;  // it carries an ErrorInfo of the domain "syzygy": a daemon said so
  bool passing = false;      // nothing definite was answered: repeat it, with the same request id
};

// REQUIRES: !status.ok(). `endpoint` is named in the message of what the transport says.
Failed failed(const grpc::Status& status, const std::string& endpoint);

}  // namespace syzygy
