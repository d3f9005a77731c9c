#include <algorithm>

#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_lock_table(const Action& action, const Subject&, Report& report) {
  static const std::vector<std::string_view> kModes = {"SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"};
  if (action.kind != ActionKind::kSession || action.note != "LOCK") return;
  if (std::ranges::find(kModes, action.new_name) == kModes.end()) return;
  report.add("locks " + describe(action.object) + " in " + action.new_name + " mode until the transaction ends");
}

}  // namespace

const Rule kLockTable{
    .id = "lock-table",
    .title = "A table is locked by hand",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .triggers = "LOCK TABLE in SHARE mode or a stronger one.",
    .why = "Writes wait (in ACCESS EXCLUSIVE mode everything does) until the transaction ends.",
    .safe = "Let the statements take the locks they need, and keep the transaction short.",
    .claim = Claim{.lock = LockMode::kAccessExclusive},
    .fires = {{.sql = "LOCK TABLE orders"}},
    .silent = {{.sql = "LOCK TABLE orders IN SHARE UPDATE EXCLUSIVE MODE"}},
    .check = check_lock_table,
};

}  // namespace syzygy
