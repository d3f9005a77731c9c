// watch.h - the two streams: what happens to one target, and a summary of each target that moves.
//
// A stream holds at most kQueueMax updates that its reader has not taken; a slower reader gets the newest state with
// `gap` instead. It ends its subscription at once when the caller goes away or the server stops. Threads: gRPC's, any.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <cstddef>

#include "syzygy/v1/syzygy.pb.h"
#include "transport/grpc/context.h"

namespace syzygy::transport {

inline constexpr std::size_t kQueueMax = 16;

// The response is a v1::WatchTargetResponse in bytes that all watchers of the update share.
grpc::ServerWriteReactor<grpc::ByteBuffer>* watch_target(Context& context, grpc::CallbackServerContext* call,
                                                         const grpc::ByteBuffer& request);
grpc::ServerWriteReactor<v1::WatchTargetsResponse>* watch_targets(Context& context, grpc::CallbackServerContext* call,
                                                                  const v1::WatchTargetsRequest& request);

}  // namespace syzygy::transport
