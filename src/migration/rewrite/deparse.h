// deparse.h - statements changed in their tree and written again by PostgreSQL's own deparser (libpg_query).
//
// Each function takes one statement of PostgreSQL and gives a new one, or nullopt where the statement is not of the
// kind that it is for, or is too large to be taken apart (kDeparseBytesMax). Comments and formatting are lost, so only
// what has to change comes here. Pure; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace syzygy {

inline constexpr std::size_t kDeparseBytesMax = 64 << 10;

// How many commands the ALTER TABLE has; 0: it is none.
std::size_t command_count(std::string_view statement);
// The ALTER TABLE with only its n-th command.
std::optional<std::string> only_command(std::string_view statement, std::size_t position);

struct ColumnChange {
  bool drop_not_null = false;
  bool drop_default = false;
  bool drop_constraints = false;  // REFERENCES, CHECK, UNIQUE, PRIMARY KEY
  std::string set_default;        // an expression; empty: none
};
// The ALTER TABLE with only its n-th command, an ADD COLUMN, changed.
std::optional<std::string> change_added_column(std::string_view statement, std::size_t position,
                                               const ColumnChange& change);
// Of that ADD COLUMN: the default's expression.
std::optional<std::string> default_of(std::string_view statement, std::size_t position);
// Of an ALTER COLUMN ... TYPE: the new type as written, with its COLLATE; the expression behind USING.
std::optional<std::string> type_of(std::string_view statement, std::size_t position);
std::optional<std::string> using_of(std::string_view statement, std::size_t position);
// The constraints that the ADD COLUMN holds (REFERENCES, CHECK), each as an ALTER TABLE ... ADD CONSTRAINT name ... NOT
// VALID of its own, with its name.
struct Apart {
  std::string sql;
  std::string name;
};
std::vector<Apart> column_constraints_apart(std::string_view statement, std::size_t position, const std::string& table,
                                            const std::string& column);
// The ALTER TABLE with only its n-th command, an ADD CONSTRAINT, named (unless it is) and NOT VALID.
std::optional<Apart> not_valid(std::string_view statement, std::size_t position, const std::string& name);
// A UNIQUE constraint in two steps: the index CONCURRENTLY, and the constraint that takes it over.
struct UniqueApart {
  std::string index;
  std::string constraint;
  std::string name;
};
std::optional<UniqueApart> unique_apart(std::string_view statement, std::size_t position, const std::string& table,
                                        const std::string& name);
// CREATE INDEX CONCURRENTLY (named, unless it is; its text otherwise as it was), DROP INDEX CONCURRENTLY; of a DROP
// INDEX only the n-th.
std::optional<Apart> concurrently(std::string_view statement, std::size_t position);

// Is this one expression, and nothing but that?
bool is_expression(std::string_view text);

// A name as SQL must spell it; a table's with its schema.
std::string as_sql_name(std::string_view name);
std::string as_sql_name(std::string_view schema, std::string_view name);
std::string as_sql_text(std::string_view text);  // as a string literal

// The name that PostgreSQL makes up, cut as it cuts: of the table, columns and a word, {"users", "email", "key"}.
std::string servers_name(const std::vector<std::string_view>& words);

// A name of our making, cut to what PostgreSQL takes: {"users", "email", "key"} -> "users_email_key".
std::string made_name(const std::vector<std::string_view>& words);

}  // namespace syzygy
