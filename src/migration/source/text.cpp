#include "migration/source/text.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/name.h"
#include "migration/source/source.h"

namespace syzygy {
namespace {

std::unexpected<Error> refuse(ErrorCode code, std::string reason, std::string_view path, const std::string& why,
                              std::size_t line = 0) {
  std::string where(path);
  if (line > 0) where += ":" + std::to_string(line);
  return failure(code, std::move(reason), where + ": " + why,
                 {{"path", std::string(path)}, {"line", std::to_string(line)}});
}

// A descriptor that closes itself.
struct File {
  int descriptor = -1;
  explicit File(int d) : descriptor(d) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (descriptor >= 0) ::close(descriptor);
  }
};

std::string way_out(int error) {
  if (error == EACCES || error == EPERM) return "; give this user the right to read it (chmod, chown)";
  if (error == ELOOP) return "; the symbolic links lead in a circle: replace the link by the file";
  if (error == ENOENT) return "; a symbolic link leads nowhere: replace it by the file, or remove it";
  return "";
}

std::size_t line_of(std::string_view text, std::size_t offset) {
  return 1 +
         static_cast<std::size_t>(std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

}  // namespace

Result<std::string> clean_text(std::string bytes, std::string_view path) {
  const auto bad = [&](std::size_t line, const std::string& why) {
    return refuse(ErrorCode::kInvalidArgument, "MIGRATIONS_BAD_TEXT", path, why, line);
  };
  if (bytes.starts_with("\xFF\xFE") || bytes.starts_with("\xFE\xFF")) {
    return bad(1, "the file is UTF-16; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)");
  }
  if (bytes.starts_with("\xEF\xBB\xBF")) bytes.erase(0, 3);
  if (const auto nul = bytes.find('\0'); nul != std::string::npos) {
    return bad(line_of(bytes, nul), "the file contains a NUL byte, which no SQL text can; save it as plain UTF-8");
  }
  if (!is_utf8(bytes)) {
    // The first line that is not valid is the one to show.
    std::size_t line = 1;
    std::string_view rest = bytes;
    while (true) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      if (!is_utf8(rest.substr(0, end)) || end == rest.size()) break;
      rest.remove_prefix(end + 1);
      ++line;
    }
    return bad(line, "the file is not valid UTF-8; convert it (iconv -f LATIN1 -t UTF-8, or whatever it was saved as)");
  }
  if (!bytes.contains('\r')) return bytes;
  std::string text;
  text.reserve(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] != '\r') {
      text.push_back(bytes[i]);
    } else if (i + 1 == bytes.size() || bytes[i + 1] != '\n') {
      return bad(line_of(bytes, i),
                 "a carriage return stands without a line feed; use LF or CR LF at the end of lines, and chr(13) or "
                 "char(13) where one is data");
    }
  }
  return text;
}

Result<std::string> read_bytes(const std::filesystem::path& path) {
  const std::string shown = path.string();
  const auto unreadable = [&](int error) {
    return refuse(error == EACCES ? ErrorCode::kPermissionDenied : ErrorCode::kFailedPrecondition,
                  "MIGRATIONS_UNREADABLE", shown,
                  std::string("the file cannot be read: ") + std::strerror(error) + way_out(error));
  };
  // O_NONBLOCK: opening a pipe would wait for its writer.
  const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.descriptor < 0) return unreadable(errno);
  struct stat status{};
  if (::fstat(file.descriptor, &status) != 0) return unreadable(errno);
  if (!S_ISREG(status.st_mode)) {
    return refuse(ErrorCode::kFailedPrecondition, "MIGRATIONS_UNREADABLE", shown,
                  S_ISDIR(status.st_mode) ? "this is a directory, not a migration file; rename or move it"
                                          : "this is a pipe or a device, not a migration file; remove it");
  }
  const auto too_large = [&] {
    return refuse(ErrorCode::kResourceExhausted, "MIGRATIONS_TOO_LARGE", shown,
                  "the file is larger than " + std::to_string(kMigrationFileBytesMax >> 20) +
                      " MiB (the limit); split the migration, or load its data by another way");
  };
  if (static_cast<std::uintmax_t>(status.st_size) > kMigrationFileBytesMax) return too_large();
  std::string bytes;
  bytes.resize(static_cast<std::size_t>(status.st_size) + 1);  // one more, to see a file that grows
  std::size_t size = 0;
  while (true) {
    if (size == bytes.size()) {
      if (size > kMigrationFileBytesMax) return too_large();
      bytes.resize(std::min(2 * size, kMigrationFileBytesMax + 1));
    }
    const ssize_t got = ::read(file.descriptor, bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable(errno);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace syzygy
