#include "migration/sql/meaning.h"

#include "migration/sql/readers.h"

namespace syzygy {

Meaning read_meaning(Dialect dialect, std::string_view statement) {
  return dialect == Dialect::kPostgres ? read_postgres(statement) : read_sqlite(statement);
}

std::string_view to_string(ObjectKind kind) {
  switch (kind) {
    case ObjectKind::kTable:
      return "table";
    case ObjectKind::kView:
      return "view";
    case ObjectKind::kMaterializedView:
      return "materialized view";
    case ObjectKind::kIndex:
      return "index";
    case ObjectKind::kSequence:
      return "sequence";
    case ObjectKind::kSchema:
      return "schema";
    case ObjectKind::kType:
      return "type";
    case ObjectKind::kDomain:
      return "domain";
    case ObjectKind::kFunction:
      return "function";
    case ObjectKind::kTrigger:
      return "trigger";
    case ObjectKind::kPolicy:
      return "policy";
    case ObjectKind::kRule:
      return "rule";
    case ObjectKind::kExtension:
      return "extension";
    case ObjectKind::kDatabase:
      return "database";
    case ObjectKind::kRole:
      return "role";
    case ObjectKind::kNone:
    case ObjectKind::kOther:
      break;
  }
  return "object";
}

std::string describe(const ObjectName& object) {
  std::string text(to_string(object.kind));
  if (!object.name.empty()) text += " " + (object.schema.empty() ? "" : object.schema + ".") + object.name;
  return text;
}

}  // namespace syzygy
