// plan.h - how a plan is shown: the same for `syzygy plan` and `syzygy migrate --plan`.
#pragma once

#include <string>

#include "client/cli/commands.h"
#include "migration/plan/plan.h"

namespace syzygy::cli {

// `where`: what the plan is for, in words: "postgresql://db/orders". Gives the exit code.
int show_plan(const Context& context, const std::string& where, const MigrationPlan& plan);

}  // namespace syzygy::cli
