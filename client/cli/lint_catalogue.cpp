#include "client/cli/lint_catalogue.h"

#include <libpq-fe.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>

namespace syzygy::cli {
namespace {

struct Close {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};
using Connection = std::unique_ptr<PGconn, Close>;
using Rows = std::unique_ptr<PGresult, Close>;

std::unexpected<Error> unreachable(const std::string& why) {
  std::string line = why;
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return failure(ErrorCode::kUnavailable, "DATABASE_UNREACHABLE",
                 "the catalogue of the database cannot be read: " + line +
                     "; give another --database, or leave it out to lint by the files alone");
}

// Types as the parser spells them: "varchar(20)", "int4", "text[]".
constexpr const char* kColumns = R"sql(
SELECT c.oid, n.nspname, c.relname, c.relkind = 'p', pg_catalog.pg_total_relation_size(c.oid), a.attname,
       coalesce(e.typname, t.typname) || coalesce(substring(pg_catalog.format_type(a.atttypid, a.atttypmod) from '\([0-9,]+\)'), '')
         || CASE WHEN e.oid IS NULL THEN '' ELSE '[]' END,
       a.attnotnull, a.atthasdef OR a.attidentity <> ''
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
  AND n.nspname NOT LIKE 'pg_temp%'
ORDER BY c.oid, a.attnum)sql";

constexpr const char* kIndexes = R"sql(
SELECT n.nspname, c.relname, tn.nspname, t.relname, i.indisunique,
       (SELECT string_agg(coalesce(a.attname, ''), chr(1) ORDER BY k.n)
          FROM unnest(i.indkey) WITH ORDINALITY AS k(attnum, n)
          LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum)
FROM pg_catalog.pg_index i
JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
WHERE n.nspname NOT IN ('pg_catalog') AND n.nspname NOT LIKE 'pg_toast%')sql";

constexpr const char* kConstraints = R"sql(
SELECT o.conrelid, o.conname, o.contype, o.convalidated,
       (SELECT string_agg(a.attname, chr(1) ORDER BY k.n)
          FROM unnest(o.conkey) WITH ORDINALITY AS k(attnum, n)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum),
       pg_catalog.pg_get_constraintdef(o.oid), fn.nspname, f.relname
FROM pg_catalog.pg_constraint o
LEFT JOIN pg_catalog.pg_class f ON f.oid = o.confrelid
LEFT JOIN pg_catalog.pg_namespace fn ON fn.oid = f.relnamespace
WHERE o.conrelid <> 0)sql";

constexpr const char* kDomains = R"sql(
SELECT DISTINCT t.typname FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_constraint o ON o.contypid = t.oid
WHERE t.typtype = 'd' AND (t.typnotnull OR o.oid IS NOT NULL))sql";

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find('\x01'), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

ConstraintKind kind_of(char type) {
  switch (type) {
    case 'c':
      return ConstraintKind::kCheck;
    case 'f':
      return ConstraintKind::kForeignKey;
    case 'u':
      return ConstraintKind::kUnique;
    case 'p':
      return ConstraintKind::kPrimaryKey;
    case 'x':
      return ConstraintKind::kExclude;
    default:
      return ConstraintKind::kTrigger;
  }
}

}  // namespace

Result<Catalogue> read_catalogue(const std::string& database_url) {
  const Connection connection(PQconnectdb(database_url.c_str()));
  if (PQstatus(connection.get()) != CONNECTION_OK) return unreachable(PQerrorMessage(connection.get()));
  Catalogue catalogue;
  catalogue.server = PQserverVersion(connection.get()) / 10'000;
  std::string wrong;
  const auto query = [&](const char* sql) {
    Rows rows(PQexec(connection.get(), sql));
    const auto status = PQresultStatus(rows.get());
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && wrong.empty()) {
      wrong = PQerrorMessage(connection.get());
    }
    return rows;
  };
  const auto text = [](const Rows& rows, int row, int column) {
    return std::string(PQgetvalue(rows.get(), row, column));
  };
  const auto yes = [&](const Rows& rows, int row, int column) { return text(rows, row, column) == "t"; };
  query("SET statement_timeout = '20s'");
  query("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
  const Rows columns = query(kColumns);
  const Rows constraints = query(kConstraints);
  const Rows indexes = query(kIndexes);
  const Rows domains = query(kDomains);
  if (!wrong.empty()) return unreachable(wrong);

  std::map<std::string, KnownTable> tables;  // by oid
  for (int row = 0; row < PQntuples(columns.get()); ++row) {
    KnownTable& table = tables[text(columns, row, 0)];
    table.name = {ObjectKind::kTable, text(columns, row, 1), text(columns, row, 2)};
    table.partitioned = yes(columns, row, 3);
    // A partitioned table is as large as its partitions, which are not added up here.
    if (!table.partitioned) table.bytes = std::strtoll(text(columns, row, 4).c_str(), nullptr, 10);
    if (PQgetisnull(columns.get(), row, 5) == 0) {
      table.columns.push_back(
          {text(columns, row, 5), text(columns, row, 6), yes(columns, row, 7), yes(columns, row, 8)});
    }
  }
  for (int row = 0; row < PQntuples(constraints.get()); ++row) {
    const auto table = tables.find(text(constraints, row, 0));
    if (table == tables.end()) continue;
    KnownConstraint constraint{.name = text(constraints, row, 1),
                               .kind = kind_of(text(constraints, row, 2).front()),
                               .columns = split(text(constraints, row, 4)),
                               .only_not_null = {},
                               .other = {},
                               .valid = yes(constraints, row, 3)};
    const std::string definition = text(constraints, row, 5);
    if (constraint.kind == ConstraintKind::kCheck && constraint.columns.size() == 1 &&
        definition.starts_with("CHECK ((" + constraint.columns.front() + " IS NOT NULL))")) {
      constraint.only_not_null = constraint.columns.front();
    }
    if (constraint.kind == ConstraintKind::kForeignKey) {
      constraint.other = {ObjectKind::kTable, text(constraints, row, 6), text(constraints, row, 7)};
    }
    table->second.constraints.push_back(std::move(constraint));
  }
  for (auto& [oid, table] : tables) catalogue.schema.add(std::move(table));
  for (int row = 0; row < PQntuples(indexes.get()); ++row) {
    catalogue.schema.add(KnownIndex{.name = {ObjectKind::kIndex, text(indexes, row, 0), text(indexes, row, 1)},
                                    .table = {ObjectKind::kTable, text(indexes, row, 2), text(indexes, row, 3)},
                                    .columns = split(text(indexes, row, 5)),
                                    .unique = yes(indexes, row, 4)});
  }
  for (int row = 0; row < PQntuples(domains.get()); ++row) {
    catalogue.schema.add_constrained_domain(text(domains, row, 0));
  }
  return catalogue;
}

}  // namespace syzygy::cli
