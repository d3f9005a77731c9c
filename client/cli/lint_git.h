// lint_git.h - which files of a directory a git branch changed.
#pragma once

#include <set>
#include <string>

#include "base/result.h"

namespace syzygy::cli {

// The files under `directory`, named within it, that are new or different since the branch left `revision`: committed,
// staged, in the work tree and untracked. Errors: kFailedPrecondition, reasons GIT_MISSING, GIT_REVISION, GIT_FAILED.
Result<std::set<std::string>> changed_since(const std::string& directory, const std::string& revision);

}  // namespace syzygy::cli
