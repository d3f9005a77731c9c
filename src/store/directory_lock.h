// directory_lock.h - one process at a time in a state directory.
//
// Holds flock on DIR/lock, which names the holder's pid. The kernel drops the lock with the process, so the file that a
// dead one leaves behind is no obstacle. The file itself stays: removing it would let two processes lock two files.
#pragma once

#include <filesystem>

#include "base/result.h"

namespace syzygy {

class DirectoryLock {
 public:
  // Creates the directory, and those above it that are missing, as 0700. Errors: STORE_IN_USE (kFailedPrecondition,
  // names directory and pid), STORE_PATH_INVALID (kInvalidArgument), STORE_READ_ONLY and STORE_FULL
  // (kResourceExhausted), STORE_IO (kUnavailable).
  static Result<DirectoryLock> acquire(const std::filesystem::path& directory);

  DirectoryLock(DirectoryLock&& other) noexcept;
  DirectoryLock& operator=(DirectoryLock&&) = delete;
  ~DirectoryLock();

 private:
  explicit DirectoryLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_ = -1;
};

// The error of a failed system call on something in the state directory: what was being done, to what, and the way out.
Error storage_error(int error_number, const std::string& doing, const std::filesystem::path& path);

}  // namespace syzygy
