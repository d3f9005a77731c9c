#include "client/cpp/stop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

namespace syzygy {

StopSource::StopSource() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

StopSource::~StopSource() { ::close(fd_); }

void StopSource::request(int signal) noexcept {
  const int kept = errno;  // a signal handler must leave it as it was
  int none = 0;
  signal_.compare_exchange_strong(none, signal, std::memory_order_acq_rel);
  const std::uint64_t one = 1;
  static_cast<void>(!::write(fd_, &one, sizeof one));  // full means readable already
  errno = kept;
}

}  // namespace syzygy
