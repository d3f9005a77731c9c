#include "migration/source/files.h"

#include <fnmatch.h>

namespace syzygy {

bool names_file(const std::string& pattern, std::string_view path) {
  std::string rest(path);
  while (true) {
    if (::fnmatch(pattern.c_str(), rest.c_str(), 0) == 0) return true;
    const auto slash = rest.find('/');
    if (slash == std::string::npos) return false;
    rest.erase(0, slash + 1);
  }
}

}  // namespace syzygy
