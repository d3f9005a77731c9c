#include <algorithm>
#include <array>
#include <map>

#include "migration/rules/rules.h"

namespace syzygy {
namespace {

constexpr std::array kAll = {&kAddNotNullColumn,
                             &kDefaultDroppedAtOnce,
                             &kDomainConstraint,
                             &kDropColumn,
                             &kDropDefault,
                             &kDropRoutineOrType,
                             &kDropSchema,
                             &kDropTable,
                             &kDropUnique,
                             &kDropView,
                             &kMoveOrRenameSchema,
                             &kNarrowType,
                             &kNewCheck,
                             &kNewForeignKey,
                             &kNewUnique,
                             &kRenameColumn,
                             &kRenameEnumValue,
                             &kRenameRoutineOrType,
                             &kRenameTable,
                             &kRenameView,
                             &kRevoke,
                             &kRowSecurity,
                             &kSetNotNull,
                             &kDropNotNullColumn,
                             &kLoosenConstraint,
                             &kAttachPartition,
                             &kCheckScan,
                             &kCluster,
                             &kCreateIndex,
                             &kCreatePartition,
                             &kCreateTrigger,
                             &kDetachPartition,
                             &kDropIndex,
                             &kExcludeScan,
                             &kForeignKeyScan,
                             &kLockTable,
                             &kNoLockTimeout,
                             &kPrimaryKeyScan,
                             &kRefreshMaterializedView,
                             &kReindex,
                             &kSetNotNullScan,
                             &kUniqueScan,
                             &kUpdateEverything,
                             &kVacuumFull,
                             &kValidateAtOnce,
                             &kWorkUnderLock,
                             &kDomainColumn,
                             &kGeneratedColumn,
                             &kIdentityColumn,
                             &kRewriteType,
                             &kSerialColumn,
                             &kSetAccessMethod,
                             &kSetLogged,
                             &kSetTablespace,
                             &kVolatileDefault,
                             &kBadIgnore,
                             &kEnumValueInUse,
                             &kHiddenInvalidIndex,
                             &kIdentifierTooLong,
                             &kNotInTransaction,
                             &kNotUnderstood,
                             &kStageAmbiguous,
                             &kTransactionControl,
                             &kUnreadable,
                             &kUnusedIgnore,
                             &kDeleteEverything,
                             &kDropCascade,
                             &kDroppedData,
                             &kNoWayBack,
                             &kOverwrittenData,
                             &kTruncate,
                             &kCharColumn,
                             &kIntKey,
                             &kJsonColumn,
                             &kSerialKey,
                             &kTimestampWithoutZone,
                             &kUnnamedConstraint,
                             &kVarcharLimit};

std::string plain(std::string_view name) {
  std::string folded;
  folded.reserve(name.size());
  for (const char c : name) {
    folded.push_back(c == '_' ? '-' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
  }
  return folded;
}

}  // namespace

const std::string_view kExampleTables = R"sql(CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE SCHEMA archive;
CREATE TABLE archive.orders_2019 (id bigint);
CREATE TABLE customers (id bigint PRIMARY KEY, name text);
CREATE TABLE orders (
  id bigint PRIMARY KEY,
  number bigint NOT NULL,
  customer_id bigint,
  note text,
  state varchar(20) NOT NULL DEFAULT 'new',
  total numeric(10,2) NOT NULL DEFAULT 0,
  quantity integer DEFAULT 1,
  boxes positive DEFAULT 1,
  feeling mood,
  placed_at timestamp,
  weight numeric(10,2)
);
CREATE UNIQUE INDEX orders_number ON orders (number);
CREATE INDEX orders_note ON orders (note);
ALTER TABLE orders ADD CONSTRAINT orders_total_check CHECK (total >= 0);
CREATE TABLE keyless (id bigint NOT NULL);
CREATE UNIQUE INDEX keyless_id ON keyless (id);
CREATE VIEW customer_names AS SELECT id, name FROM customers;
CREATE MATERIALIZED VIEW customer_counts AS SELECT name, count(*) AS times FROM customers GROUP BY name;
CREATE UNIQUE INDEX customer_counts_name ON customer_counts (name);
CREATE TABLE events (day date NOT NULL, what text) PARTITION BY RANGE (day);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 (day date NOT NULL, what text);
CREATE FUNCTION order_count() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM orders';
GRANT SELECT, INSERT ON orders TO clerk;
)sql";

std::span<const Rule* const> all_rules() { return kAll; }

const Rule* find_rule(std::string_view name) {
  static const std::map<std::string, const Rule*> kByName = [] {
    std::map<std::string, const Rule*> names;
    for (const Rule* rule : kAll) names.emplace(plain(rule->id), rule);
    for (const Rule* rule : kAll) {
      for (const auto alias : rule->aliases) names.emplace(plain(alias), rule);
    }
    return names;
  }();
  const auto found = kByName.find(plain(name));
  return found != kByName.end() ? found->second : nullptr;
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::kOff:
      return "off";
    case Severity::kNote:
      return "note";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      break;
  }
  return "error";
}

std::optional<Severity> severity_of(std::string_view word) {
  for (const Severity severity : {Severity::kOff, Severity::kNote, Severity::kWarning, Severity::kError}) {
    if (word == to_string(severity)) return severity;
  }
  return std::nullopt;
}

std::string_view to_string(HazardGroup group) {
  switch (group) {
    case HazardGroup::kBreaksOldCode:
      return "breaks old code";
    case HazardGroup::kBreaksNewCode:
      return "breaks new code";
    case HazardGroup::kBlocks:
      return "blocks";
    case HazardGroup::kRewrites:
      return "rewrites";
    case HazardGroup::kCannotWork:
      return "cannot work";
    case HazardGroup::kLosesData:
      return "loses data";
    case HazardGroup::kQuality:
      break;
  }
  return "quality";
}

std::string_view to_string(LockMode mode) {
  static constexpr std::array<std::string_view, 9> kNames = {
      "none",  "ACCESS SHARE",        "ROW SHARE", "ROW EXCLUSIVE",   "SHARE UPDATE EXCLUSIVE",
      "SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"};
  return kNames.at(static_cast<std::size_t>(mode));
}

std::string describe(const Claim& claim) {
  const auto lock = [](LockMode mode, std::string_view table) {
    return std::string(to_string(mode)) + " on " + std::string(table);
  };
  std::string words = lock(claim.lock, claim.table);
  if (claim.other != LockMode::kNone) words += ", " + lock(claim.other, claim.other_table);
  if (claim.scans) words += "; reads all of " + std::string(claim.table);
  if (claim.rewrites) words += "; writes it, or an index of it, anew";
  return words;
}

}  // namespace syzygy
