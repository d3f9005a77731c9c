// syzygy explain [RULE]: what a hazard is, why, and what to do instead.
#include <cstdio>

#include "base/name.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "migration/rules/page.h"

namespace syzygy::cli {

int run_explain(const Context& context) {
  const std::string& wanted = context.settings.rule;
  if (wanted.empty()) {
    std::fputs(list_of_rules().c_str(), stdout);
    return kExitOk;
  }
  const Rule* rule = find_rule(wanted);
  if (rule == nullptr) {
    return fail(context, kExitUsage,
                "there is no hazard \"" + printable(wanted) + "\"; syzygy explain, without a name, lists them all");
  }
  std::fputs(explain(*rule).c_str(), stdout);
  return kExitOk;
}

}  // namespace syzygy::cli
