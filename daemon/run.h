// run.h - the composition root: makes the parts, joins them, waits for a signal, and stops them in order.
//
// REQUIRES: SIGTERM, SIGINT and SIGHUP are blocked in every thread of the process (hold_signals()). The first one stops
// cleanly, the second ends the process at once. Called once, from the main thread.
#pragma once

#include <string>

#include "daemon/config.h"

namespace syzygy::daemon {

inline constexpr int kExitData = 65;         // the store's file is damaged, foreign, or of a newer version
inline constexpr int kExitUnavailable = 69;  // a port or the state directory cannot be had

void hold_signals();
int run(const Config& config);        // the exit code
int replay(const std::string& path);  // the same

}  // namespace syzygy::daemon
