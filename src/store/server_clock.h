// server_clock.h - what time a server has, by the answers that bring it: so that asking is no command of its own.
//
// Each answer of a shared store carries the server's clock. Between two answers this machine's clock, which counts also
// while it is suspended, goes on from there: what it may drift in kFresh is far below a millisecond. Beyond that nobody
// knows, and the server has to be asked. A step of the server's clock shows with the next answer. Threads: any.
#pragma once

#include <mutex>
#include <optional>

#include "base/time.h"

namespace syzygy {

class ServerClock {
 public:
  // Longer than the pause between two polls (2 s), which thus keep the reading fresh.
  static constexpr Duration kFresh{3'000};
  // An answer tells the time with an error of half the time that it took: what took longer than this tells nothing.
  static constexpr Duration kRoundTripMax{100};

  // This machine's time since it started, also while it was suspended.
  static Duration boot();

  // `server` was read between `sent` and `received`, both of boot().
  void learn(Instant server, Duration sent, Duration received);

  // Nullopt: nothing was told within kFresh.
  [[nodiscard]] std::optional<Instant> now() const;

 private:
  struct Reading {
    Instant server;
    Duration boot;
  };
  mutable std::mutex mutex_;
  std::optional<Reading> reading_;
};

}  // namespace syzygy
