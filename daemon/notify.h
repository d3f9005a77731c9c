// notify.h - tells systemd how it goes, where NOTIFY_SOCKET is set. Failing to is never an error. Threads: any.
#pragma once

#include <string_view>

namespace syzygy::daemon {

void notify(std::string_view state);  // "READY=1", "STOPPING=1", "STATUS=..."

}  // namespace syzygy::daemon
