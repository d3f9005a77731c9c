#include "migration/rules/rules.h"
#include "migration/rules/words.h"

namespace syzygy {
namespace {

void check_char_column(const Action& action, const Subject&, Report& report) {
  if (action.kind == ActionKind::kAddColumn && (action.type.starts_with("bpchar") || action.type.starts_with("char")))
    report.add(part_of(action) + " is char(n), which pads with blanks");
}

}  // namespace

const Rule kCharColumn{
    .id = "char-column",
    .aliases = {"ban-char-field"},
    .title = "char(n)",
    .group = HazardGroup::kQuality,
    .severity = Severity::kWarning,
    .tables = Tables::kAny,
    .triggers = "A column of type char(n).",
    .why = "It pads with blanks, which then count or do not, and saves nothing.",
    .safe = "text, with a CHECK of its length where it matters",
    .fires = {{.sql = "CREATE TABLE parcels (code char(3))"}},
    .silent = {{.sql = "CREATE TABLE parcels (code varchar(3))"}},
    .check = check_char_column,
    .parts = true,
};

}  // namespace syzygy
