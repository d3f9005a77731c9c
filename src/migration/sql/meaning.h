// meaning.h - what a statement does, in words that both dialects share: which action, on which object.
//
// This is what the stage engine and the hazard rules judge; none of them sees a parse tree. PostgreSQL statements are
// read from libpg_query's tree, SQLite's from their tokens. What could not be read is `kUnknown` with the reason in
// `note`: never a guess.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "migration/sql/dialect.h"

namespace syzygy {

enum class ObjectKind : std::uint8_t {
  kNone,
  kTable,
  kView,
  kMaterializedView,
  kIndex,
  kSequence,
  kSchema,
  kType,  // enum, composite, range, base
  kDomain,
  kFunction,  // or procedure, aggregate
  kTrigger,
  kPolicy,
  kRule,
  kExtension,
  kDatabase,
  kRole,
  kPublication,
  kSubscription,
  kOther,  // collation, operator, cast, statistics, event trigger, foreign server ...
};

enum class ActionKind : std::uint8_t {
  // schema
  kCreate,   // object
  kReplace,  // CREATE OR REPLACE: view, function, trigger
  kDrop,     // object
  kRename,   // object; `part` is set when a column, constraint, enum value or attribute is what is renamed
  kSetSchema,
  kAddColumn,        // part: column; flags below
  kDropColumn,       // part
  kAlterColumnType,  // part, type
  kSetNotNull,       // part
  kDropNotNull,      // part
  kSetDefault,       // part
  kDropDefault,      // part
  kAddConstraint,    // part: its name; constraint
  kDropConstraint,   // part
  kValidateConstraint,
  kAddEnumValue,  // part: the value
  kAttachPartition,
  kDetachPartition,
  kAlterOther,  // storage, options, owner, statistics, comments ...: no effect on what code can do
  kRestrict,    // enables what refuses rows or access: row security, REVOKE, trigger/rule enabling
  kGrant,
  kReindex,
  // data
  kInsert,
  kUpdate,
  kDelete,
  kTruncate,
  kCopy,
  kSelect,
  // control
  kOpaque,  // DO, CALL, EXECUTE: anything may be inside
  kBegin,
  kCommit,
  kRollback,
  kSavepoint,    // SAVEPOINT, RELEASE, ROLLBACK TO: cannot end the transaction
  kSession,      // SET, RESET, PRAGMA, LOCK, NOTIFY ...: nothing that lasts
  kMaintenance,  // VACUUM, ANALYZE, CLUSTER, CHECKPOINT, REFRESH
  kUnknown,
};

enum class ConstraintKind : std::uint8_t { kNone, kCheck, kForeignKey, kUnique, kPrimaryKey, kExclude };

struct ObjectName {
  ObjectKind kind = ObjectKind::kNone;
  std::string schema;  // empty where none is written
  std::string name;

  friend bool operator==(const ObjectName&, const ObjectName&) = default;
};

struct Action {
  ActionKind kind = ActionKind::kUnknown;
  ObjectName object;
  std::string part;  // column, constraint, enum value: what of the object
  std::string type;  // of an added or altered column, as the grammar spells it ("pg_catalog.varchar(20)")
  ConstraintKind constraint = ConstraintKind::kNone;
  std::string new_name;          // of a rename
  bool not_null = false;         // of an added column (PRIMARY KEY implies it)
  bool has_default = false;      // of an added column: DEFAULT, identity, serial or GENERATED gives old inserts a value
  bool not_valid = false;        // of a constraint
  bool concurrently = false;     // of an index, a reindex, a detach, a refresh
  bool if_exists = false;        // IF EXISTS or IF NOT EXISTS
  bool unique = false;           // of an index
  bool temporary = false;        // of a created table or view
  bool default_is_null = false;  // SET DEFAULT NULL, which is DROP DEFAULT
  std::string note;              // for messages: why unknown, or what exactly ("ALTER TABLE ... CLUSTER ON")

  friend bool operator==(const Action&, const Action&) = default;
};

// Whether a statement can stand in a transaction block.
enum class InTransaction : std::uint8_t { kAllowed, kRefused, kIgnored };  // kIgnored: SQLite takes it and does nothing

struct Meaning {
  std::vector<Action> actions;       // in the order written; at least one
  std::vector<ObjectName> mentions;  // every relation, type and function that is named, for dependencies
  InTransaction in_transaction = InTransaction::kAllowed;
  std::string transaction_note;  // what exactly cannot: "CREATE INDEX CONCURRENTLY"
  bool plain_wrapper = false;    // a BEGIN or COMMIT without options: one that our own transaction can stand for
};

Meaning read_meaning(Dialect dialect, std::string_view statement);

// "column email of table users", "table public.users"
std::string describe(const ObjectName& object);
std::string_view to_string(ObjectKind kind);

}  // namespace syzygy
