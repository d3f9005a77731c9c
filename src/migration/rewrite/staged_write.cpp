#include "migration/rewrite/staged_write.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>

#include "migration/source/formats.h"

namespace syzygy {
namespace {

namespace fs = std::filesystem;

std::unexpected<Error> failed(const fs::path& path, const std::string& what, int error) {
  const bool denied = error == EACCES || error == EPERM || error == EROFS;
  return failure(denied ? ErrorCode::kPermissionDenied : ErrorCode::kFailedPrecondition, "WRITE_FAILED",
                 path.string() + ": " + what + ": " + std::strerror(error) +
                     (denied            ? "; give this user the right to write there"
                      : error == ENOSPC ? "; make room, and run it again"
                                        : ""),
                 {{"path", path.string()}});
}

Result<void> sync_directory(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return failed(path, "the directory cannot be opened", errno);
  const int done = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  // Some filesystems cannot sync a directory, and say so.
  if (done != 0 && error != EINVAL) return failed(path, "the directory cannot be synced", error);
  return {};
}

Result<void> write_file(const fs::path& path, std::string_view bytes, fs::perms mode) {
  const int descriptor =
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, static_cast<mode_t>(mode & fs::perms::mask));
  if (descriptor < 0) return failed(path, "the file cannot be created", errno);
  int error = 0;
  while (error == 0 && !bytes.empty()) {
    const ssize_t wrote = ::write(descriptor, bytes.data(), bytes.size());
    if (wrote < 0 && errno != EINTR) error = errno;
    if (wrote > 0) bytes.remove_prefix(static_cast<std::size_t>(wrote));
  }
  if (error == 0 && ::fsync(descriptor) != 0) error = errno;
  if (::close(descriptor) != 0 && error == 0) error = errno;
  if (error != 0) return failed(path, "the file cannot be written", error);
  return {};
}

Result<void> stage(const fs::path& aside, const fs::path& directory, const std::vector<StagedFile>& files) {
  for (const StagedFile& file : files) {
    std::error_code error;
    const fs::file_status status = fs::status(directory / file.name, error);
    const bool there = fs::exists(status);
    if (there && !file.replaces) {
      return failure(ErrorCode::kFailedPrecondition, "WRITE_EXISTS",
                     (directory / file.name).string() + " exists already, and is not overwritten; move it away",
                     {{"path", (directory / file.name).string()}});
    }
    // A new file has the rights of a new file; one that is replaced keeps its own.
    const fs::perms mode = there ? status.permissions() : fs::perms(0666);
    if (auto written = write_file(aside / file.name, file.bytes, mode); !written) return written;
  }
  return sync_directory(aside);
}

}  // namespace

Result<void> commit_staged_write(const fs::path& directory, const std::vector<StagedFile>& files) {
  const fs::path staged = directory / kInterruptedSplit;
  const fs::path aside = directory / (std::string(kInterruptedSplit) + ".tmp");
  std::error_code error;
  if (fs::exists(staged, error)) {
    return failure(ErrorCode::kFailedPrecondition, "WRITE_EXISTS",
                   staged.string() + ": a split was interrupted here; finish it first: syzygy split --finish " +
                       directory.string(),
                   {{"path", staged.string()}});
  }
  fs::remove_all(aside, error);  // of a run that did not come as far as its commit
  fs::create_directory(aside, error);
  if (error) return failed(aside, "the directory cannot be created", error.value());
  auto done = stage(aside, directory, files);
  if (done && ::rename(aside.c_str(), staged.c_str()) != 0) {
    done = failed(aside, "the directory cannot be renamed", errno);
  }
  if (!done) {
    fs::remove_all(aside, error);
    return done;
  }
  return sync_directory(directory);
}

Result<std::vector<std::string>> finish_staged_write(const fs::path& directory) {
  const fs::path staged = directory / kInterruptedSplit;
  std::error_code error;
  std::vector<std::string> names;
  if (!fs::exists(staged, error)) return names;
  fs::directory_iterator found(staged, error);
  for (const fs::directory_iterator end; !error && found != end; found.increment(error)) {
    names.push_back(found->path().filename().string());
  }
  if (error) return failed(staged, "the directory cannot be read", error.value());
  std::ranges::sort(names);
  for (const std::string& name : names) {
    if (::rename((staged / name).c_str(), (directory / name).c_str()) != 0) {
      return failed(directory / name, "the file cannot be moved into place", errno);
    }
  }
  if (auto synced = sync_directory(directory); !synced) return std::unexpected(synced.error());
  if (::rmdir(staged.c_str()) != 0) return failed(staged, "the directory cannot be removed", errno);
  return names;
}

Result<void> write_staged(const fs::path& directory, const std::vector<StagedFile>& files) {
  if (auto committed = commit_staged_write(directory, files); !committed) return committed;
  auto moved = finish_staged_write(directory);
  if (moved) return {};
  Error error = moved.error();
  error.message +=
      "; the other files may be in place already: mend that, then syzygy split --finish " + directory.string();
  return std::unexpected(std::move(error));
}

}  // namespace syzygy
