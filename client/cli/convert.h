// convert.h - plans, bindings and snapshots between the migration code's values and the API's messages.
#pragma once

#include <optional>

#include "base/plan.h"
#include "client/cli/settings.h"
#include "migration/target/compare.h"
#include "migration/target/target.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy::cli {

v1::Plan to_proto(const Plan& plan);
Plan from_proto(const TargetName& target, const v1::Plan& plan);

std::optional<v1::Quorum> quorum_of(const Settings& settings);
v1::Binding binding_of(const migration::Identity& identity, const std::string& application);

// What a join tells of the target: its token, its newest outcome, the newest steps that stand in its history (at most
// 256).
v1::Snapshot snapshot_of(const migration::Snapshot& snapshot, const std::vector<Step>& recent,
                         const std::optional<StepId>& last_known);

// What a completed claim found of a round, for Confirm.
v1::Finding finding_of(const migration::Comparison& comparison, const RoundId& round,
                       const migration::Snapshot& snapshot);

}  // namespace syzygy::cli
