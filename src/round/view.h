// view.h - what people and clients are shown of a record: derived, never stored.
#pragma once

#include <string>
#include <vector>

#include "round/round.h"

namespace syzygy::round {

enum class MemberStanding : std::uint8_t { kCounted, kReplaced, kSurplus, kExcused, kLapsed, kLeft };

// How `member` of `r` stands now. Pure; the same rule that election counts by.
MemberStanding standing_of(const Record& record, const Round& r, const Member& member);

// The distinct parties that count towards the quorum of `r` now, in the order of their joining.
std::vector<PartyName> counted(const Record& record, const Round& r);

// Of the roster, those that do not count now.
std::vector<PartyName> missing(const Record& record, const Round& r);

bool quorum_complete(const Record& record, const Round& r);

// Why a complete round does not go on, in words; empty if it lacks its quorum or goes on.
std::string waits_for(const Record& record, const Round& r, Instant now);

// The first step (or the stage) where two plans differ, in words.
std::string first_difference(const Plan& a, const Plan& b);

// At most how many bytes the record takes in the store, from counts alone: what a join is held against
// (Settings::record_bytes_max). Names and texts are taken at the lengths that api/ allows.
std::size_t weight(const Record& record);
std::size_t weight_of_joining(const Plan* opens);  // what a join may add, where it opens a round, with its plan

// The round that holds the target, or nullptr.
const Round* holder(const Record& record);

// Of a round with a last run: "the applier eu-west", where it is known who that was.
std::string lost_applier(const Round& round);

}  // namespace syzygy::round
