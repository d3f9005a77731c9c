// lint_directory.h - a migrations directory as a linter wants it: what cannot be read is told, and the rest is read.
//
// `syzygy migrate` refuses a directory with one bad file in it. A linter that did so would say nothing of the others.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "migration/source/source.h"

namespace syzygy::cli {

struct LintedDirectory {
  std::vector<Migration> migrations;  // as read_directory() orders them; twins of one number stand side by side
  std::vector<Error> refused;         // one for each file that is no migration; metadata "path"
};

// An error: the directory itself cannot be read, or holds nothing that can.
Result<LintedDirectory> read_what_can_be_read(const std::string& directory, SourceOptions options);

}  // namespace syzygy::cli
