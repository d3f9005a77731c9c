// staged_write.h - several files of one directory written together: after a crash either all of them are there, or
// none.
//
// The files are written and synced in a directory aside; one rename of that directory is the commit. From then on
// they are moved to their names one by one, and a reader of migrations refuses the directory until that is done
// (kInterruptedSplit). finish_staged_write() does the rest after a crash; before the commit there is nothing to do.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace syzygy {

struct StagedFile {
  std::string name;
  std::string bytes;
  bool replaces = false;  // else it must not be there yet
};

// Errors (kFailedPrecondition, kPermissionDenied): reasons WRITE_EXISTS, WRITE_FAILED; then nothing was changed, unless
// the message says that the directory has to be finished.
Result<void> write_staged(const std::filesystem::path& directory, const std::vector<StagedFile>& files);

// The two halves of write_staged(): all but the moving; and the moving, which is also what is left after a crash.
Result<void> commit_staged_write(const std::filesystem::path& directory, const std::vector<StagedFile>& files);
// The files that were moved; none: there was nothing to finish.
Result<std::vector<std::string>> finish_staged_write(const std::filesystem::path& directory);

}  // namespace syzygy
