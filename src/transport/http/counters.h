// counters.h - what the HTTP port counts of itself: atomics, read at any time from any thread.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "transport/http/router.h"

namespace syzygy::http {

struct Counters {
  using Number = std::atomic<std::uint64_t>;

  static constexpr std::array kStatuses{200, 204, 400, 401, 403, 404, 405, 408, 409, 413,
                                        415, 421, 429, 431, 500, 501, 503, 504, 505};
  static constexpr std::array<double, 11> kSeconds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5};
  static constexpr std::size_t kUnrouted = kOperations;  // refused before an operation was known

  std::array<std::array<Number, kStatuses.size() + 1>, kOperations + 1> answered{};  // the last: any other status
  // From the request's last byte to its answer; waits and streams are not in it.
  std::array<Number, kSeconds.size() + 1> seconds{};
  Number seconds_sum_micros{0};
  Number connections{0}, accepted{0}, refused{0}, handshakes_failed{0};
  Number parked{0}, streams{0}, events{0}, gaps{0}, slow_readers{0};
  Number bytes_in{0}, bytes_out{0};
  Number body_bytes{0};  // of bodies that are being received

  void count(std::optional<Operation> operation, int status) {
    std::size_t column = 0;
    while (column < kStatuses.size() && kStatuses[column] != status) ++column;
    answered[operation ? static_cast<std::size_t>(*operation) : kUnrouted][column].fetch_add(1,
                                                                                             std::memory_order_relaxed);
  }
  void time(std::chrono::nanoseconds took) {
    const double s = std::chrono::duration<double>(took).count();
    std::size_t bucket = 0;
    while (bucket < kSeconds.size() && s > kSeconds[bucket]) ++bucket;
    seconds[bucket].fetch_add(1, std::memory_order_relaxed);
    seconds_sum_micros.fetch_add(static_cast<std::uint64_t>(took.count() / 1'000), std::memory_order_relaxed);
  }
};

}  // namespace syzygy::http
