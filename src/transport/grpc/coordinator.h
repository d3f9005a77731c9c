// coordinator.h - syzygy.v1.Coordinator over gRPC: translates, asks the service, answers. Decides nothing.
//
// Made once for a server and kept until after its shutdown. Threads: gRPC's, any.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "transport/grpc/context.h"

namespace syzygy::transport {

std::unique_ptr<grpc::Service> make_coordinator(Context& context);

}  // namespace syzygy::transport
