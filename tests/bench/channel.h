// channel.h - how a benchmark's parties connect by gRPC, whoever it is that is measured: as the client library does
// (client/cpp/link.cpp), without the pings that measure the line.
#pragma once

#include <grpcpp/support/channel_arguments.h>

namespace syzygy::bench {

inline grpc::ChannelArguments as_the_client_library() {
  grpc::ChannelArguments arguments;
  arguments.SetInt("grpc.http2.bdp_probe", 0);
  arguments.SetInt("grpc.http2.lookahead_bytes", 1 << 20);
  return arguments;
}

}  // namespace syzygy::bench
