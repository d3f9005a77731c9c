// response.h - what the core knows, as messages of the API: states, events, summaries, and the answers to commands.
//
// A v1::Target is a function of its TargetState alone (remaining leases are counted from the instant of its commit,
// `now`), so that everybody who is shown one state is shown the same bytes: see update_cache.h. Pure; any thread.
#pragma once

#include <string>

#include "base/result.h"
#include "engine/engine.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy::wire {

v1::Target to_proto(const engine::TargetState& state);
v1::TargetSummary to_summary(const engine::TargetState& state);
v1::Event to_proto(const round::Event& event);
v1::RoundState to_proto(round::State state);
v1::Plan to_proto(const Plan& plan);
google::protobuf::Duration to_proto(Duration duration);
google::protobuf::Timestamp to_proto(Instant instant);

// The answers. A command that the core refused (Verdict kRefused) is an error, and then nothing is written.
Result<void> to_response(const engine::TargetAnswer& answer, v1::JoinResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::RenewResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::ConfirmResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::ProgressResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::ReportResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::LeaveResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::SeverResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::ResolveResponse* response);
Result<void> to_response(const engine::TargetAnswer& answer, v1::SetTargetResponse* response);
Result<void> to_response(const std::string& name, const engine::BarrierAnswer& answer, v1::BarrierResponse* response);

v1::WatchTargetResponse to_proto(const engine::Update& update);

}  // namespace syzygy::wire
