// What an operator writes for the daemon: syzygyd.toml.
#include <array>

#include "daemon/config.h"
#include "file.h"
#include "target.h"

namespace syzygy::fuzz {

SYZYGY_FUZZ_TARGET(syzygyd_toml) {
  const File file(input);
  const std::string path = file.path();
  const std::array<const char*, 3> words = {"syzygyd", "--config", path.c_str()};
  const auto parsed = daemon::parse(static_cast<int>(words.size()), words.data(), [](const char*) { return nullptr; });
  if (parsed.config) return;
  require(parsed.code == daemon::kExitUsage, "what is not understood is a usage error");
  require_line(parsed.text, "a usage error");
}

}  // namespace syzygy::fuzz
