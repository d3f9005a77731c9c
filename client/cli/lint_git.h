// lint_git.h - which files of a directory a git branch changed.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/result.h"

namespace syzygy::cli {

// The files under `directory`, named within it, that are new or different since the branch left `revision`: committed,
// staged, in the work tree and untracked. Errors: kFailedPrecondition, reasons GIT_MISSING, GIT_REVISION, GIT_FAILED.
Result<std::set<std::string>> changed_since(const std::string& directory, const std::string& revision);

// A branch beside the one that it will be merged into: files under the directory, named within it.
struct BranchFiles {
  std::set<std::string> added;                // here, and not where the branch left the base
  std::set<std::string> changed;              // were there, and are different here
  std::set<std::string> removed;              // were there, and are gone here
  std::map<std::string, std::string> merged;  // came to the base meanwhile: their bytes
};
Result<BranchFiles> branch_files(const std::string& directory, const std::string& base);

}  // namespace syzygy::cli
