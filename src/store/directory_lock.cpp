#include "store/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/name.h"

namespace syzygy {
namespace {

// Makes `directory` and what is missing above it; a new entry is durable before this returns, since what will stand
// inside counts on it.
Result<void> make_directory(const std::filesystem::path& directory) {
  struct stat found{};
  if (stat(directory.c_str(), &found) == 0) {
    if (S_ISDIR(found.st_mode)) return {};
    return failure(ErrorCode::kInvalidArgument, "STORE_PATH_INVALID",
                   "The state directory " + printable(directory.native(), 400) +
                       " is a file. Name a directory, which may be missing, with --store sqlite:DIRECTORY.",
                   {{"path", directory.native()}});
  }
  if (errno != ENOENT) return std::unexpected(storage_error(errno, "look at the state directory", directory));
  const auto parent = directory.parent_path();
  if (auto made = make_directory(parent); !made) return made;
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST)
    return std::unexpected(storage_error(errno, "create the state directory", directory));
  const int descriptor = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return {};  // a parent that may be searched but not read: nothing can be done, or is needed
  fsync(descriptor);
  close(descriptor);
  return {};
}

// The pid that the holder wrote; it may not have got to that yet.
std::optional<int> holder_of(int descriptor) {
  std::array<char, 32> text{};
  const ssize_t size = pread(descriptor, text.data(), text.size(), 0);
  int pid = 0;
  if (size <= 0 || std::from_chars(text.data(), text.data() + size, pid).ec != std::errc()) return std::nullopt;
  return pid;
}

}  // namespace

Error storage_error(int error_number, const std::string& doing, const std::filesystem::path& path) {
  const std::string where = printable(path.native(), 400);
  const std::string what = "Cannot " + doing + " " + where + ": " + std::strerror(error_number) + ".";
  switch (error_number) {
    case EROFS:
    case EACCES:
    case EPERM:
      return failure(ErrorCode::kResourceExhausted, "STORE_READ_ONLY",
                     what + " Make it writable for the user that runs syzygyd (uid " + std::to_string(geteuid()) +
                         "), or name another directory with --store sqlite:DIRECTORY.",
                     {{"path", path.native()}})
          .error();
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return failure(ErrorCode::kResourceExhausted, "STORE_FULL",
                     what + " Make room (disk, inodes, quota, RLIMIT_FSIZE); it goes on by itself then.",
                     {{"path", path.native()}})
          .error();
    case ENOTDIR:
    case ENAMETOOLONG:
    case ELOOP:
      return failure(ErrorCode::kInvalidArgument, "STORE_PATH_INVALID",
                     what + " Name a directory, which may be missing, with --store sqlite:DIRECTORY.",
                     {{"path", path.native()}})
          .error();
    default:
      return failure(ErrorCode::kUnavailable, "STORE_IO", what + " Look at the disk and at the kernel's log.",
                     {{"path", path.native()}})
          .error();
  }
}

Result<DirectoryLock> DirectoryLock::acquire(const std::filesystem::path& directory) {
  if (auto made = make_directory(directory); !made) return std::unexpected(std::move(made.error()));
  const auto file = directory / "lock";
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) return std::unexpected(storage_error(errno, "open the lock file", file));
  DirectoryLock lock(descriptor);
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return std::unexpected(storage_error(errno, "lock", file));
    const auto pid = holder_of(descriptor);
    const std::string holder = pid ? "process " + std::to_string(*pid) : "another process";
    return failure(ErrorCode::kFailedPrecondition, "STORE_IN_USE",
                   "The state directory " + printable(directory.native(), 400) + " is in use by " + holder +
                       ". Stop that process, or give this one a directory of its own with --store sqlite:DIRECTORY.",
                   {{"path", directory.native()}, {"pid", pid ? std::to_string(*pid) : ""}});
  }
  // The pid is for people; the lock holds without it, also on a full disk.
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(descriptor, 0) == 0) [[maybe_unused]]
    const ssize_t written = pwrite(descriptor, pid.data(), pid.size(), 0);
  return lock;
}

DirectoryLock::DirectoryLock(DirectoryLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DirectoryLock::~DirectoryLock() {
  if (descriptor_ >= 0) close(descriptor_);
}

}  // namespace syzygy
