// waker.h - how a thread of the client sleeps: until a moment of the boot clock, until another thread wakes it, or
// until a descriptor (a stop request) is readable.
//
// wake() may be called by any thread, before or during a wait: no wake is lost. One thread waits. It looks at the clock
// at least once a second, since the kernel's own timeouts stand still while the machine is suspended and BootTime does
// not.
#pragma once

#include "client/cpp/boot_clock.h"

namespace syzygy {

class Waker {
 public:
  Waker();  // throws std::system_error where the process has no descriptor left
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  void wake() noexcept;
  void clear() noexcept;
  // True: woken (which is taken back), or `other` is readable. False: `until` has come.
  bool wait(BootTime until, int other = -1) noexcept;
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
};

}  // namespace syzygy
