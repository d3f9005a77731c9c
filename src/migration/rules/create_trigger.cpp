#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_create_trigger(const Action& action, const Subject&, Report& report) {
  const bool creates = action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace;
  if (!creates || action.object.kind != ObjectKind::kTrigger) return;
  report.add("puts " + describe(action.object) + " on " + describe(action.on) +
             ": writes wait for it, and then run it");
}

}  // namespace

const Rule kCreateTrigger{
    .id = "create-trigger",
    .title = "A trigger is put on a table in use",
    .group = HazardGroup::kBlocks,
    .severity = Severity::kWarning,
    .tables = Tables::kFilled,
    .triggers = "CREATE TRIGGER, CREATE CONSTRAINT TRIGGER or CREATE OR REPLACE TRIGGER.",
    .why =
        "It takes a SHARE ROW EXCLUSIVE lock: it waits for all writes that run, and those that come wait behind it. "
        "From then on it runs for each write of old code as well.",
    .safe =
        "Keep it in a short migration of its own, with a lock_timeout, and make sure that it lets through all that old "
        "code writes.",
    .claim = Claim{.lock = LockMode::kShareRowExclusive},
    .fires = {{.sql = "CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION "
                      "suppress_redundant_updates_trigger()"}},
    .silent = {{.sql = R"sql(CREATE TABLE parcels (id bigint);
CREATE TRIGGER touched BEFORE UPDATE ON parcels FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger())sql"}},
    .check = check_create_trigger,
};

}  // namespace syzygy
