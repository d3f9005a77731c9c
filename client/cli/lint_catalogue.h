// lint_catalogue.h - what a PostgreSQL's catalogue says of its tables, as the linter wants to know it. Reads only.
#pragma once

#include <string>

#include "base/result.h"
#include "migration/rules/schema.h"

namespace syzygy::cli {

struct Catalogue {
  Schema schema;
  int server = 0;  // major version
};

// Errors: kUnavailable, reason DATABASE_UNREACHABLE; the message names no password.
Result<Catalogue> read_catalogue(const std::string& database_url);

}  // namespace syzygy::cli
