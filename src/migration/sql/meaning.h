// meaning.h - what a statement does, in words that both dialects share: which action, on which object.
//
// This is what the stage engine and the hazard rules judge; none of them sees a parse tree. PostgreSQL's statements are
// read from libpg_query's tree (postgres_meaning.cpp), SQLite's from their tokens (sqlite_meaning.cpp). What could not
// be read is kUnknown with the reason in `note`: never a guess.
#pragma once

#include <cstddef>
#include <cstdint>
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
  kOther,  // operator, cast, publication, statistics, foreign server ...
};

enum class ActionKind : std::uint8_t {
  // what exists
  kCreate,
  kReplace,  // CREATE OR REPLACE of a view, function, trigger
  kDrop,
  kRename,     // of the object; where `part` is set, of its column, constraint, enum value or attribute
  kSetSchema,  // moves it, which renames it for who qualifies the name
  // what a table, type or domain is made of
  kAddColumn,
  kDropColumn,
  kAlterColumnType,
  kSetNotNull,
  kDropNotNull,
  kSetDefault,
  kDropDefault,  // also SET DEFAULT NULL, DROP IDENTITY, DROP EXPRESSION
  kAddConstraint,
  kDropConstraint,
  kValidateConstraint,
  kAddEnumValue,
  kAttachPartition,
  kDetachPartition,
  kAlterOther,  // owner, storage, options, comments: nothing that code could notice
  // who may do what
  kGrant,
  kRestrict,  // REVOKE, row security
  // data
  kInsert,
  kUpdate,
  kDelete,
  kTruncate,
  kSelect,
  // neither
  kReindex,
  kMaintenance,  // VACUUM, ANALYZE, CLUSTER, REFRESH ...
  kSession,      // SET, LOCK, PRAGMA, NOTIFY ...: nothing that outlives the session
  kBegin,
  kCommit,
  kRollback,
  kSavepoint,  // SAVEPOINT, RELEASE, ROLLBACK TO: none of them can end the transaction
  kOpaque,     // DO, CALL, a function of the user's, rules, enabling and disabling triggers: anything may follow
  kUnknown,    // not understood
};

enum class ConstraintKind : std::uint8_t { kNone, kCheck, kForeignKey, kUnique, kPrimaryKey, kExclude, kTrigger };

struct ObjectName {
  ObjectKind kind = ObjectKind::kNone;
  std::string schema;  // empty where none is written
  std::string name;

  friend bool operator==(const ObjectName&, const ObjectName&) = default;
};

struct Action {
  ActionKind kind = ActionKind::kUnknown;
  ObjectName object;
  ObjectName on;     // the table of an index, trigger, policy or rule
  std::string part;  // the column, constraint or enum value of the object
  std::string new_name;
  std::string type;                                   // of an added or altered column: "varchar(20)", "public.mood"
  ConstraintKind constraint = ConstraintKind::kNone;  // added; of a column or an index: kUnique, kPrimaryKey ...
  bool not_null = false;                              // the added column takes no NULL
  bool fills_itself = false;  // the added column has a value without being named: DEFAULT, identity, serial, generated
  bool constant_default = false;  // and it is the same one for every row
  bool converts = false;          // ALTER TYPE ... USING
  bool not_valid = false;
  bool concurrently = false;
  bool temporary = false;
  std::string note;  // kUnknown, kOpaque: why; else what exactly, where `kind` alone does not say

  friend bool operator==(const Action&, const Action&) = default;
};

// kIgnored: the statement is taken inside a transaction, and does nothing there (SQLite's PRAGMA foreign_keys,
// journal_mode).
enum class InTransaction : std::uint8_t { kAllowed, kRefused, kIgnored };

struct Meaning {
  std::vector<Action> actions;  // in the order written; at least one
  InTransaction in_transaction = InTransaction::kAllowed;
  std::string transaction_note;      // what it is that cannot: "CREATE INDEX CONCURRENTLY"
  bool frees_session_locks = false;  // DISCARD ALL, pg_advisory_unlock_all(): also the lock that guards the step
  std::size_t stopped_at = 0;        // kUnknown: the byte at which the grammar stopped
  bool plain_wrapper = false;        // a BEGIN or COMMIT without options, which a transaction of ours can stand for

  friend bool operator==(const Meaning&, const Meaning&) = default;
};

// `statement` is one statement without its semicolon, as split_statements() cuts it.
Meaning read_meaning(Dialect dialect, std::string_view statement);

// "table public.users"; "index users_email"
std::string describe(const ObjectName& object);
std::string_view to_string(ObjectKind kind);

}  // namespace syzygy
