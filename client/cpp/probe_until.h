// probe_until.h - probe() (probe.h) for callers that have a bound and may be stopped.
#pragma once

#include "client/cpp/boot_clock.h"
#include "client/cpp/probe.h"
#include "client/cpp/stop.h"

namespace syzygy {

Probe probe_until(const Endpoint& endpoint, const ClientOptions& options, BootTime until, const StopSource* stop);

}  // namespace syzygy
