// barrier.h - syzygy.v1.Barrier over gRPC. Made once for a server and kept until after its shutdown. Threads: any.
#pragma once

#include <grpcpp/impl/codegen/service_type.h>

#include <memory>

#include "transport/grpc/context.h"

namespace syzygy::transport {

std::unique_ptr<grpc::Service> make_barrier(Context& context);

}  // namespace syzygy::transport
