#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_domain_constraint(const Action& action, const Subject& subject, Report& report) {
  if (action.object.kind != ObjectKind::kDomain) return;
  const bool constrains = action.kind == ActionKind::kAddConstraint || action.kind == ActionKind::kSetNotNull;
  const bool after = subject.stage == Stage::kPostDeploy && !subject.one_phase;
  if (!constrains || (after && action.not_valid)) return;
  report.add("adds a constraint to " + describe(action.object) +
             ": every table with a column of it is scanned, and old code may not keep it");
}

}  // namespace

const Rule kDomainConstraint{
    .id = "domain-constraint",
    .aliases = {"ban-alter-domain-with-add-constraint"},
    .title = "A domain in use gets a constraint",
    .group = HazardGroup::kBreaksOldCode,
    .severity = Severity::kError,
    .triggers = "ALTER DOMAIN ... ADD CONSTRAINT or SET NOT NULL.",
    .why =
        "Every column of the domain is checked at once, under a lock of its table; from then on each value that old "
        "code writes into any of them is checked, too.",
    .safe = R"sql(ALTER DOMAIN positive ADD CONSTRAINT positive_small CHECK (VALUE < 1000) NOT VALID;  -- post_deploy
ALTER DOMAIN positive VALIDATE CONSTRAINT positive_small;  -- in a transaction of its own)sql",
    .fires = {{.sql = "ALTER DOMAIN positive ADD CONSTRAINT positive_small CHECK (VALUE < 1000)",
               .breaks = "UPDATE orders SET boxes = 2000",
               .claim = Claim{.lock = LockMode::kShare, .scans = true}}},
    .silent = {{.sql = "ALTER DOMAIN positive ADD CONSTRAINT positive_small CHECK (VALUE < 1000) NOT VALID"},
               {.sql = "ALTER DOMAIN positive DROP CONSTRAINT positive_check"}},
    .check = check_domain_constraint,
};

}  // namespace syzygy
