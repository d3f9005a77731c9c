// layout.h - the parts of a split migration as files of its directory, in the directory's own format.
//
// The first part keeps the migration's file and number. The others get the next free numbers right behind it, or, where
// there is no room, behind the last migration, if no migration between needs what they do. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "migration/rewrite/split.h"
#include "migration/source/formats.h"
#include "migration/source/source.h"

namespace syzygy {

struct LaidFile {
  std::string name;  // within the directory: "0008_drop_email_post_deploy.sql"
  std::string bytes;
  bool replaces = false;
  std::string was;  // what it replaces
};

// REQUIRES: `migrations` are those of the listing, `migration` one of them, parts not empty. Errors
// (kFailedPrecondition): reason SPLIT_NO_NUMBER.
Result<std::vector<LaidFile>> lay_out(const Listing& listing, std::string_view format, Dialect dialect,
                                      const std::vector<Migration>& migrations, const Migration& migration,
                                      const std::vector<SplitPart>& parts);

}  // namespace syzygy
