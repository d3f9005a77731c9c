// sight.h - since when a daemon has seen its store: who judges that a lease was not renewed must know that it could be.
//
// An outage of a shared store is everybody's: a lane that asked it nothing meanwhile, or whose whole daemon did not,
// must not take the silence of those whose renewals were refused elsewhere for death. So what counts is not failures
// that were met, but answers: between two of them there may have been an outage as long as the time between them. All
// lanes of an engine tell one Sight of theirs, and each asks it before it judges. Times are of Clock::boot(), which
// goes on while the machine is suspended. Threads: any.
#pragma once

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/time.h"

namespace syzygy::engine {

// A lease that is to be judged, or may be one day.
struct Lease {
  Instant until;
  Duration ttl{0};
  bool graced = false;  // it had its term of grace already
};

// Holders renew each third of their lease, so that one who met an outage of up to a third has another third to try
// again. Below half a second nobody can tell an outage from a slow answer.
constexpr Duration outage_survived(Duration ttl) { return std::max(ttl / 3, Duration{500}); }
// How often the store must answer whoever is to notice a longer one, with some room for the answer.
constexpr Duration look_every(Duration ttl) { return outage_survived(ttl) * 3 / 4; }
// From here on the store must have been seen, if this lease is to end: who was refused before had time to try again.
constexpr Instant watched_from(const Lease& lease) { return lease.until - lease.ttl / 2; }

class Sight {
 public:
  // A store that is not `shared` is asked by one lane alone for each record, and by nobody who only looks: there
  // silence means nothing, and the lane sees for itself what fails.
  explicit Sight(bool shared) : shared_(shared) {}

  // The store answered, at some time between the two, a call that the clock alone cannot answer.
  void answered(Duration sent, Duration received);
  // It answered, and took no writes: no renewal either.
  void refused(Duration at);

  // The store has been seen without a gap of more than `most` since then; `now`: it is not known to be there.
  [[nodiscard]] Duration seen_since(Duration most, Duration now) const;
  // When the newest answered call was sent.
  [[nodiscard]] Duration last() const;

 private:
  struct Gap {
    Duration end;
    Duration length;
  };
  void note(Gap gap);

  const bool shared_;
  mutable std::mutex mutex_;  // guards what follows
  Duration last_ = kNever;
  // The newest last, each longer than all that came after it: the others are told by these.
  std::vector<Gap> gaps_;

  static constexpr Duration kNever = Duration::min() / 4;  // far before any time, and far from overflow
};

}  // namespace syzygy::engine
