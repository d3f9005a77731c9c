// words.h - how checks name things in their messages, and the questions that several of them ask.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "migration/rules/rule.h"

namespace syzygy {

// "column email of table users"; "table users" where the action has no part.
std::string part_of(const Action& action, std::string_view word = "column");

// "public.users", as SQL would name it; quoted where it must be.
std::string sql_name(const ObjectName& object);
std::string sql_name(std::string_view name);
// "a, b"
std::string sql_names(const std::vector<std::string>& names);

// The action stands in a DO block, or in a routine that the statement calls or defines.
bool in_body(const Subject& subject);
// The statement with CONCURRENTLY behind INDEX, all else as it is written.
std::string concurrently_text(const Subject& subject);
// "ALTER TABLE t ADD ... NOT VALID;" and the VALIDATE, with the action's own clause as it is written; `name` is what
// the server calls the constraint.
std::string not_valid_text(const Action& action, const Subject& subject, std::string_view name);
// Where the clause that begins at `offset` ends: at a comma on its own level, or with the statement.
std::size_t clause_end(Dialect dialect, std::string_view statement, std::size_t offset);

// How to add a constraint whose index is built CONCURRENTLY before: `constraint` is UNIQUE or PRIMARY KEY.
std::string with_index_before(const Action& action, std::string_view constraint);

// The table that an action is about: its object, or what an index or trigger stands on.
ObjectName table_of(const Action& action, const Schema& schema);

bool adds(const Action& action, ConstraintKind kind);
bool drops(const Action& action, ObjectKind kind);
bool renames(const Action& action, ObjectKind kind);  // the object itself, not a part of it

// An earlier statement of the migration did `kind` to the same part of the same object.
const Action* done_before(const Subject& subject, ActionKind kind, const ObjectName& object, std::string_view part);

}  // namespace syzygy
