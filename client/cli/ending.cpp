#include "client/cli/ending.h"

#include <unistd.h>

#include <cstdio>
#include <utility>
#include <vector>

#include "base/sanitized.h"

namespace syzygy::cli {

void keep(std::shared_ptr<void> what) {
  if (kSanitized) return;
  static auto* const kept = new std::vector<std::shared_ptr<void>>;
  kept->push_back(std::move(what));
}

int end(int code) {
  if (kSanitized) return code;
  // As exit() does: whoever has to know that its words arrived has looked before.
  std::fflush(nullptr);
  ::_exit(code);
}

}  // namespace syzygy::cli
