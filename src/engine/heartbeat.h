// heartbeat.h - when whoever holds a lease shall renew it, so that the renewals of one record come together.
//
// Each party counts from when it sent its last renewal, so by themselves a thousand of them come at a thousand moments,
// and each costs a turn and a commit. Here they are pointed at a grid of the store's time instead: every record has
// one moment in each period, the same through every daemon, and the moments of all records lie on few ticks (of 512 ms
// for a lease of 15 s). Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/time.h"

namespace syzygy::engine {

// Which of the ticks of a period belongs to this record. The same in every daemon, whatever it was built with.
std::uint64_t tick_of(std::string_view record);

// From `arrived`, when the request came, to the record's next moment: at most a third of what is left of the lease, so
// that two renewals may be lost, and not before there is something to renew. Of a lease too short for a grid: a third.
Duration renew_after(std::uint64_t tick, Instant arrived, Duration lease_left);

}  // namespace syzygy::engine
