#include "client/cpp/waker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace syzygy {

Waker::Waker() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Waker::~Waker() { ::close(fd_); }

void Waker::wake() noexcept {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(fd_, &one, sizeof one));  // full means readable already
}

void Waker::clear() noexcept {
  std::uint64_t count = 0;
  static_cast<void>(!::read(fd_, &count, sizeof count));
}

bool Waker::wait(BootTime until, int other) noexcept {
  constexpr std::chrono::milliseconds kLook{1'000};
  while (true) {
    const auto now = BootClock::now();
    const auto left = until <= now ? std::chrono::milliseconds{0}
                      : until - now > kLook
                          ? kLook
                          : std::chrono::duration_cast<std::chrono::milliseconds>(until - now) +
                                std::chrono::milliseconds{1};  // the clock's millisecond may have been cut
    std::array<pollfd, 2> fds{pollfd{fd_, POLLIN, 0}, pollfd{other, POLLIN, 0}};
    const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(left.count()));
    if (ready > 0) {
      if (fds[0].revents != 0) clear();
      return true;
    }
    if (BootClock::now() >= until) return false;
  }
}

}  // namespace syzygy
