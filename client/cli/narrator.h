// narrator.h - speaks while a client waits: one live line on a terminal; elsewhere a plain line per change and at least
// one a minute.
//
// Writes to standard error, so that a wrapped command's output stays clean. Belongs to one thread.
#pragma once

#include <memory>
#include <string>

#include "base/time.h"
#include "client/cpp/boot_clock.h"
#include "syzygy/v1/syzygy.pb.h"

namespace syzygy::cli {

class Narrator {
 public:
  explicit Narrator(bool terminal, int columns);

  // A sentence of its own, which stays. Said again and again (who polls, tells each time), it is written once a minute.
  void say(const std::string& line);
  void warn(const std::string& line);

  // What is going on now: the live line, or a plain line where it changed.
  void now(const std::string& line);

  // Call at least once a second: refreshes the waiting time, and breaks the silence of logs.
  void tick();

 private:
  void draw();
  void erase();
  [[nodiscard]] std::string waited() const;

  bool terminal_;
  std::size_t columns_;
  bool drawn_ = false;
  std::string line_;
  std::string said_;  // last
  BootTime since_;
  BootTime spoke_;
};

}  // namespace syzygy::cli
