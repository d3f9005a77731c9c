// replaced.h - what a migration replaces: names that it gives, takes away and gives again. Pure.
#pragma once

#include "migration/rules/rule.h"

namespace syzygy {

// A later statement of the same transaction creates something of that kind and name, or renames something to it.
bool is_made_again(const ObjectName& object, const Subject& subject);
// An earlier statement of the migration has given it that name: old code does not know it by that.
bool is_named_here(const ObjectName& object, const Subject& subject);

}  // namespace syzygy
