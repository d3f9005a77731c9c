// log.h - one line per event to stderr, as logfmt or JSON, written by a thread of its own.
//
// A line that cannot be written in time is dropped (the oldest first): a full pipe must not hold up the daemon. Fields
// never hold a secret: who logs, leaves it out. Threads: any, after open() and before close().
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "daemon/config.h"

namespace syzygy::daemon::log {

using Fields = std::initializer_list<std::pair<std::string_view, std::string>>;

void open(LogFormat format, LogLevel level);
void close();  // writes what is left

void write(LogLevel level, std::string_view message, Fields fields = {});
inline void debug(std::string_view message, Fields fields = {}) { write(LogLevel::kDebug, message, fields); }
inline void info(std::string_view message, Fields fields = {}) { write(LogLevel::kInfo, message, fields); }
inline void warning(std::string_view message, Fields fields = {}) { write(LogLevel::kWarning, message, fields); }
inline void error(std::string_view message, Fields fields = {}) { write(LogLevel::kError, message, fields); }

// The line without its end. Pure; for tests. `time` as it stands in the line.
std::string line(LogFormat format, std::string_view time, LogLevel level, std::string_view message, Fields fields);

}  // namespace syzygy::daemon::log
