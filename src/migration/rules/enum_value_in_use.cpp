#include <algorithm>

#include "migration/rules/rules.h"
#include "migration/rules/words.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

void check_enum_value_in_use(const Action& action, const Subject& subject, Report& report) {
  if (!subject.in_transaction || action.kind == ActionKind::kAddEnumValue ||
      &action != &subject.meanings[subject.index].actions.front())
    return;
  std::vector<std::string_view> added;
  for (std::size_t i = 0; i < subject.index; ++i) {
    for (const Action& before : subject.meanings[i].actions) {
      if (before.kind == ActionKind::kAddEnumValue) added.push_back(before.part);
    }
  }
  if (added.empty()) return;
  Lexer lexer(subject.dialect, subject.statement().text);
  while (const auto token = lexer.next_visible()) {
    const auto value = string_value(*token);
    if (!value || std::ranges::find(added, *value) == added.end()) continue;
    report.add("uses the enum value '" + *value + "' in the transaction that adds it, which PostgreSQL refuses");
    return;
  }
}

}  // namespace

const Rule kEnumValueInUse{
    .id = "enum-value-in-use",
    .title = "A new enum value is used in the transaction that adds it",
    .group = HazardGroup::kCannotWork,
    .severity = Severity::kError,
    .tables = Tables::kAny,
    .triggers = "ALTER TYPE ... ADD VALUE, and the value in a later statement of the same transaction.",
    .why =
        "PostgreSQL lets a new value be used only after the transaction that adds it has ended, and refuses the "
        "statement.",
    .safe = "Add the value in a migration of its own, before this one.",
    .fires = {{.sql = R"sql(ALTER TYPE mood ADD VALUE 'fine';
UPDATE orders SET feeling = 'fine' WHERE id = 1)sql",
               .refused_as = "55P04"}},
    .silent = {{.sql = R"sql(ALTER TYPE mood ADD VALUE 'fine';
UPDATE orders SET feeling = 'ok' WHERE id = 1)sql"},
               {.sql = "UPDATE orders SET feeling = 'fine' WHERE id = 1",
                .before = "ALTER TYPE mood ADD VALUE 'fine'"}},
    .check = check_enum_value_in_use,
};

}  // namespace syzygy
