// context.h - what every call of this port needs: the service, the token, the threads that write, the calls that wait.
//
// One for the server; outlives every call. Threads: any.
#pragma once

#include <grpcpp/server_context.h>

#include <atomic>
#include <cstdint>

#include "api/service.h"
#include "transport/grpc/fanout.h"
#include "transport/grpc/gate.h"
#include "transport/grpc/parking.h"
#include "transport/wire/bearer.h"
#include "transport/wire/update_cache.h"

namespace syzygy::transport {

struct Context {
  Context(api::Service& served, std::string token, std::size_t threads)
      : service(served), bearer(std::move(token)), fanout(threads) {}

  api::Service& service;
  const wire::Bearer bearer;
  wire::UpdateCache updates{wire::UpdateCache::Form::kBinary};
  Gate gate;
  Parking parking;
  std::atomic<std::uint64_t> calls{0};
  std::atomic<std::uint64_t> streams{0};
  std::atomic<std::uint64_t> gaps{0};  // updates that slow readers did not get one by one
  // Last: their threads end before what they use.
  Fanout reading{1};  // for calls that read the store
  Fanout fanout;
};

// What a caller is told once the server stops.
Error shutting_down();

// Who asks: address, and whether the bearer token was right.
api::Caller caller_of(const Context& context, const grpc::CallbackServerContext& call);

// `wait`, but not beyond the call's own deadline: nobody would hear the answer.
Duration within_deadline(Duration wait, const grpc::CallbackServerContext& call);

}  // namespace syzygy::transport
