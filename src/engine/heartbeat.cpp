#include "engine/heartbeat.h"

#include <algorithm>
#include <bit>

#include "base/fingerprint.h"

namespace syzygy::engine {

std::uint64_t tick_of(std::string_view record) { return fingerprint(record); }

Duration renew_after(std::uint64_t tick, Instant arrived, Duration lease_left) {
  const std::int64_t third = lease_left.count() / 3;
  // Powers of two, so that the ticks of different leases fall together.
  const auto apart =
      static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::max<std::int64_t>(third, 0)) / 8));
  if (apart < 2) return Duration{third};
  // Whoever comes a little early, by a faster line than before, is not sent to the very moment that he came for.
  const std::int64_t least = apart / 2;
  const std::int64_t ticks = (third - least) / apart;
  const std::int64_t period = ticks * apart;
  const auto offset = static_cast<std::int64_t>(tick % static_cast<std::uint64_t>(ticks)) * apart;
  const std::int64_t earliest = arrived.ms + least;
  const std::int64_t beyond = ((earliest - offset) % period + period) % period;
  return Duration{least + (beyond == 0 ? 0 : period - beyond)};
}

}  // namespace syzygy::engine
