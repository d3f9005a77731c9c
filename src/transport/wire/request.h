// request.h - requests of the API as commands of the core: what both transports do before they call api::Service.
//
// Refuses what the core's types cannot express: a missing message, an unknown or unspecified enum value, a negative
// duration, a roster with a party twice. Names, sizes and ranges are api::Service's to judge. Errors:
// kInvalidArgument, reasons FIELD_MISSING, FIELD_INVALID, ENUM_UNKNOWN, DURATION_INVALID, with the field's path in
// metadata["field"] ("plan.steps[3].stage"). Pure; any thread.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"
#include "round/barrier.h"
#include "round/command.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy::wire {

// For api::Service::submit(). A Join's fresh_round is left empty: the service fills it in.
struct TargetCommand {
  std::string target;
  round::Command command;
};

Result<TargetCommand> to_command(const v1::JoinRequest& request);
Result<TargetCommand> to_command(const v1::RenewRequest& request);
Result<TargetCommand> to_command(const v1::ConfirmRequest& request);
Result<TargetCommand> to_command(const v1::ProgressRequest& request);
Result<TargetCommand> to_command(const v1::ReportRequest& request);
Result<TargetCommand> to_command(const v1::LeaveRequest& request);
Result<TargetCommand> to_command(const v1::SeverRequest& request);
Result<TargetCommand> to_command(const v1::ResolveRequest& request);
Result<TargetCommand> to_command(const v1::SetTargetRequest& request);

// For api::Service::barrier().
struct BarrierCommand {
  std::string name;
  barrier::Command command;
  Duration wait{0};
};

Result<BarrierCommand> to_command(const v1::EnterRequest& request);
Result<BarrierCommand> to_command(const v1::AwaitRequest& request);
Result<BarrierCommand> to_command(const v1::SeverBarrierRequest& request);

// Whole milliseconds, rounded up, so that the shortest duration is not taken for "the default". `field` is for the
// error.
Result<Duration> to_duration(const google::protobuf::Duration& duration, const std::string& field);

// 0: the default; more than the most: the most.
std::size_t page_size(std::uint32_t asked);

}  // namespace syzygy::wire
