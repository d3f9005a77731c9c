// page.h - the rules as text for people: one of them (`syzygy explain`), the list, and docs/rules.md.
#pragma once

#include <string>

#include "migration/rules/rule.h"

namespace syzygy {

std::string explain(const Rule& rule);  // several lines of plain text
std::string list_of_rules();            // one line each, by group
std::string rules_page();               // docs/rules.md, whole

}  // namespace syzygy
