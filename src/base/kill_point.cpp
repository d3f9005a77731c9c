#include "base/kill_point.h"

#ifdef SYZYGY_KILL_POINTS

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <string_view>

namespace syzygy {

void kill_point(const char* name) {
  static const char* const wanted = std::getenv("SYZYGY_KILL_AT");
  if (wanted == nullptr) return;
  static const std::string_view spec(wanted);
  static const std::size_t colon = spec.rfind(':');
  static const long nth = colon == std::string_view::npos ? 1 : std::atol(wanted + colon + 1);
  if (spec.substr(0, colon) != name) return;
  static std::atomic<long> passed{0};
  if (++passed != nth) return;
  if (const char* once = std::getenv("SYZYGY_KILL_ONCE")) {
    const int fd = ::open(once, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0) return;  // another process died here already
    ::close(fd);
  }
  if (const char* log = std::getenv("SYZYGY_KILL_LOG")) {
    const int fd = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd >= 0) {
      const std::string line = std::string(name) + "\n";
      static_cast<void>(!::write(fd, line.data(), line.size()));
      ::close(fd);
    }
  }
  if (const char* with = std::getenv("SYZYGY_KILL_WITH"); with != nullptr && std::string_view(with) == "STOP") {
    ::kill(::getpid(), SIGSTOP);
    return;
  }
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();  // the signal is on its way; nothing more may happen here
}

}  // namespace syzygy

#endif
