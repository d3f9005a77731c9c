#include "daemon/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <spdlog/async.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <memory>

#include "base/name.h"

namespace syzygy::daemon::log {
namespace {

constexpr std::size_t kQueue = 8'192;

LogFormat format_now = LogFormat::kLogfmt;
std::shared_ptr<spdlog::logger> logger;

std::string_view name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// In quotes, by JSON's rules, which logfmt's readers understand too. Whatever is not UTF-8 is escaped first.
void quote(std::string& out, std::string_view text) {
  const std::string safe = is_utf8(text) ? std::string(text) : printable(text, text.size());
  out += '"';
  for (const char c : safe) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          fmt::format_to(std::back_inserter(out), "\\u{:04x}", static_cast<unsigned char>(c));
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

bool bare(std::string_view text) {
  constexpr std::string_view kBare = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+@[]";
  return !text.empty() && text.find_first_not_of(kBare) == std::string_view::npos;
}

}  // namespace

std::string line(LogFormat format, std::string_view time, LogLevel level, std::string_view message, Fields fields) {
  std::string out;
  if (format == LogFormat::kLogfmt) {
    out = fmt::format("time={} level={} msg=", time, name_of(level));
    quote(out, message);
    for (const auto& [key, value] : fields) {
      out += fmt::format(" {}=", key);
      if (bare(value)) {
        out += value;
      } else {
        quote(out, value);
      }
    }
    return out;
  }
  out = fmt::format(R"({{"time":"{}","level":"{}","msg":)", time, name_of(level));
  quote(out, message);
  for (const auto& [key, value] : fields) {
    out += fmt::format(",\"{}\":", key);
    quote(out, value);
  }
  return out + "}";
}

void open(LogFormat format, LogLevel level) {
  format_now = format;
  spdlog::init_thread_pool(kQueue, 1);
  logger = std::make_shared<spdlog::async_logger>("syzygyd", std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                                  spdlog::thread_pool(), spdlog::async_overflow_policy::overrun_oldest);
  logger->set_pattern("%v");
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::info);
}

void close() {
  if (logger) logger->flush();
  logger.reset();
  spdlog::shutdown();
}

void write(LogLevel level, std::string_view message, Fields fields) {
  if (!logger || !logger->should_log(to_spdlog(level))) return;
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  const std::string time =
      fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                  std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds).count());
  logger->log(to_spdlog(level), line(format_now, time, level, message, fields));
}

}  // namespace syzygy::daemon::log
