// words.h - a target's state in words that people read at 3 a.m. Pure: text from messages; nothing here prints.
//
// All text that came from elsewhere (party names, reasons) is made printable: a terminal is never sent a control
// character.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy::cli {

// "2 of 3 here: eu-west, us-east; missing 1", and who came with nothing pending; or who applies, and how far it is.
std::string round_line(const v1::Target& target, const v1::Round& round);

// One line per event that a person wants to hear of; empty for the rest.
std::string event_line(const v1::Event& event, const v1::Target& target);

// Of a target whose store went back in time: why, and until when.
std::string resync_line(const v1::Resync& resync);

// The whole of `syzygy status` for one target, several lines.
std::string target_report(const v1::Target& target);

// How an outcome reads: "applied by eu-west: 3 steps in 1.2 s".
std::string outcome_line(const v1::Round& round);

std::string duration_text(Duration duration);                  // "12 s", "3 min 20 s", "450 ms"
std::string time_text(const google::protobuf::Timestamp& at);  // "2026-11-21 09:14:03 UTC"
std::string state_text(v1::RoundState state);                  // "GATHERING"
std::string joined(const std::vector<std::string>& names);     // "a, b"

}  // namespace syzygy::cli
