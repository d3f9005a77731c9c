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

// What a default's value depends on. kStable is computed once for a statement (now()), so that it is one value for all
// rows that are there; kFunction calls something that is not known from here.
enum class DefaultKind : std::uint8_t { kNone, kConstant, kStable, kVolatile, kFunction };

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
  std::string type;  // of an added or altered column: "varchar(20)", "public.mood"; of a function: "(int4,text)", or
                     // empty where DROP does not say
  ConstraintKind constraint = ConstraintKind::kNone;  // added; of a column or an index: kUnique, kPrimaryKey ...
  bool not_null = false;                              // the added column takes no NULL
  bool fills_itself = false;  // the added column has a value without being named: DEFAULT, identity, serial, generated
  bool constant_default = false;  // and it is the same one for every row
  bool converts = false;          // ALTER TYPE ... USING
  std::string collation;          // of an added or altered column: COLLATE
  bool not_valid = false;
  bool concurrently = false;
  bool temporary = false;
  bool if_exists = false;  // IF EXISTS, IF NOT EXISTS
  bool cascade = false;
  bool whole_table = false;                       // UPDATE, DELETE without WHERE
  DefaultKind default_kind = DefaultKind::kNone;  // of an added column, or the one that is set
  bool generated = false;                         // the added column is GENERATED ALWAYS AS (...) STORED
  bool identity = false;                          // the added column, or what is set, is an identity
  bool serial = false;                            // the added column's type is serial, bigserial, smallserial
  std::vector<std::string> columns;               // of a constraint or an index; "" stands for an expression; of a
                                                  // CHECK those that it names
  bool null_passes = false;                       // a CHECK: holds where all of `columns` are NULL; a foreign key or a
                                                  // uniqueness: where one of them is
  std::string only_not_null;                      // the column c of CHECK (c IS NOT NULL), where that is all of it
  ObjectName other;           // what a foreign key references; the partition; LIKE's, parent's table
  std::string using_index;    // ADD CONSTRAINT ... USING INDEX this
  std::vector<Action> parts;  // a new table's columns and constraints; what a routine's body does
  std::size_t position = 0;  // which it is of the commands or objects that the statement lists, from 0; see offset_of()
  std::string note;  // kUnknown, kOpaque: why; else what exactly, where `kind` alone does not say ("SET TABLESPACE");
                     // kSession: the setting ("lock_timeout", its value in new_name), or the mode of LOCK

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
  std::vector<ObjectName>
      names;  // the relations, types and functions that it names, once each, as written; not pg_catalog's

  friend bool operator==(const Meaning&, const Meaning&) = default;
};

// `statement` is one statement without its semicolon, as split_statements() cuts it.
Meaning read_meaning(Dialect dialect, std::string_view statement);

// The byte of the statement at which the action's own clause begins: the n-th command of an ALTER TABLE, the n-th
// object of a DROP; 0 where it is the whole statement.
std::size_t offset_of(Dialect dialect, std::string_view statement, const Action& action);

// "table public.users"; "index users_email"
std::string describe(const ObjectName& object);
std::string_view to_string(ObjectKind kind);

}  // namespace syzygy
