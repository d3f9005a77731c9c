// validation.h - what a request must be like before it reaches the engine. Pure: values in, values or an Error out.
//
// Names, ids, numbers and durations are checked and refused; texts for people (reasons, messages, hosts, notes) are
// cleaned and cut instead, since nobody should lose a report over its wording. Every error is kInvalidArgument with the
// field in metadata["field"]; reasons: NAME_INVALID, FIELD_MISSING, FIELD_INVALID, PLAN_INVALID, QUORUM_INVALID,
// DURATION_INVALID.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"
#include "round/barrier.h"
#include "round/command.h"

namespace syzygy::api {

inline constexpr std::size_t kTextBytesMax = 4'096;  // reasons, messages, notes: longer ones are cut with "..."
inline constexpr std::size_t kLabelBytesMax = 200;   // hosts, versions, actors: the same
inline constexpr Duration kWaitMax{600'000};         // of one blocking query or barrier wait; longer ones are shortened
inline constexpr Duration kTimeoutMax{7LL * 24 * 3'600'000};   // of a party's waiting
inline constexpr Duration kExcuseMax{366LL * 24 * 3'600'000};  // of an excuse
inline constexpr std::size_t kSnapshotStepsMax = 256;          // of the history that a join shows
inline constexpr Duration kLeaseMin{1'000};  // shorter only where the settings' own default is (tests)

// `text` without anything that could forge a line or a terminal's colour: control characters and bytes that are not
// UTF-8 are escaped (\n, \x1b), and what is longer than `bytes_max` is cut and ends in "...".
std::string clean_text(std::string_view text, std::size_t bytes_max);

Result<void> check_target(std::string_view name);

// Checks `command` and cleans its texts. Commands that only the engine gives (Tick, Grace) are refused.
Result<void> check(const TargetName& target, round::Command& command, const round::Settings& settings);

// The same. An Enter that waits and names no lease gets one that lasts beyond the wait.
Result<void> check(std::string_view name, barrier::Command& command, Duration wait, const barrier::Settings& settings);

}  // namespace syzygy::api
