// metrics.h - the process's own numbers for /metrics: gRPC, connections, and which program this is. Threads: any.
#pragma once

#include <prometheus/collectable.h>

#include <memory>

#include "transport/connections.h"
#include "transport/grpc/server.h"

namespace syzygy::daemon {

// `grpc` must outlive it: the HTTP server that collects is stopped first.
std::shared_ptr<prometheus::Collectable> make_metrics(const transport::GrpcServer& grpc,
                                                      std::shared_ptr<const transport::Connections> connections);

}  // namespace syzygy::daemon
