// gate.h - how many calls and streams are open, and whether a new one is still served.
//
// Counts what has reached a handler of ours, from its start until gRPC has done with it: an idle connection counts
// nothing, nor does a request that never came whole. After close() a newcomer counts as well, but must be refused, so
// that its refusal still gets out. Threads: any.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>

#include "base/time.h"

namespace syzygy::transport {

class Gate {
 public:
  // False: closed; refuse the call. Each enter(), whatever it returned, is followed by one leave().
  bool enter();
  void leave();

  void close();
  // Waits until nothing is open. False: something still was after that time.
  bool wait_empty(Duration timeout);

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::size_t open_ = 0;
  bool closed_ = false;
};

}  // namespace syzygy::transport
