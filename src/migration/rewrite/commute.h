// commute.h - may two statements of one migration change places?
//
// They may if they touch different things by name, or different columns of a table by commands that look at nothing
// else. Where it cannot be told the answer is no, with the reason. Pure.
#pragma once

#include <string>

#include "migration/sql/dialect.h"
#include "migration/sql/meaning.h"

namespace syzygy {

struct Moved {
  const std::string& sql;  // one statement
  const Meaning& meaning;
};

// Empty: `earlier` may run after `later`. Else why not: "both name table users".
std::string why_in_order(Dialect dialect, const Moved& earlier, const Moved& later);

}  // namespace syzygy
