// watch.h - the two streams: what happens to one target, and a summary of each target that moves.
//
// What happens while a message is on its way is told with the next one (backlog.h); a reader that is slower still gets
// the newest state with `gap`. A stream ends its subscription at once when the caller goes away or the server stops.
// Threads: gRPC's, any.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include "syzygy/v1/syzygy.pb.h"
#include "transport/grpc/context.h"

namespace syzygy::transport {

// The response is a v1::WatchTargetResponse in bytes that all watchers share.
grpc::ServerWriteReactor<grpc::ByteBuffer>* watch_target(Context& context, grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer& request);
grpc::ServerWriteReactor<v1::WatchTargetsResponse>* watch_targets(Context& context, grpc::CallbackServerContext* call,
                                                                  const v1::WatchTargetsRequest& request);

}  // namespace syzygy::transport
