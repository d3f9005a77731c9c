#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_domain_column(const Action& action, const Subject& subject, Report& report) {
  if (action.kind != ActionKind::kAddColumn || !subject.schema.is_constrained_domain(action.type)) return;
  report.add("adds " + part_of(action) + " of the domain " + action.type +
             ", which checks its values: the table is written anew while everything waits");
}

}  // namespace

const Rule kDomainColumn{
    .id = "domain-column",
    .title = "A column of a domain that checks its values writes the whole table anew",
    .group = HazardGroup::kRewrites,
    .severity = Severity::kWarning,
    .tables = Tables::kFilled,
    .triggers = "ADD COLUMN whose type is a domain with a constraint.",
    .why =
        "PostgreSQL before 19 computes and checks the value for each row: the table is written anew under an ACCESS "
        "EXCLUSIVE lock.",
    .safe = R"sql(ALTER TABLE orders ADD COLUMN pieces integer;
ALTER TABLE orders ADD CONSTRAINT orders_pieces_positive CHECK (pieces > 0) NOT VALID;)sql",
    .claim = Claim{.lock = LockMode::kAccessExclusive, .scans = true, .rewrites = true},
    .fires = {{.sql = "ALTER TABLE orders ADD COLUMN pieces positive"}},
    .silent = {{.sql = "ALTER TABLE orders ADD COLUMN pieces integer"}},
    .check = check_domain_column,
};

}  // namespace syzygy
