// file.h - an input as a file, for readers that open one; and what may be said of it.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "target.h"

namespace syzygy::fuzz {

// A file without a place on the disk, under a path that does not depend on the input.
class File {
 public:
  explicit File(std::string_view bytes) : descriptor_(::memfd_create("fuzz", 0)) {
    require(descriptor_ >= 0, "there is a file to write to");
    require(::write(descriptor_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
            "the file is written");
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() { ::close(descriptor_); }
  [[nodiscard]] std::string path() const { return "/proc/self/fd/" + std::to_string(descriptor_); }

 private:
  int descriptor_;
};

// A usage error, which may be followed by where to look further, on a line of its own.
inline void require_line(std::string text, std::string_view what) {
  std::ranges::replace(text, '\n', ' ');
  require_shown(text, what);
}

}  // namespace syzygy::fuzz
