#include "migration/rewrite/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/name.h"
#include "migration/rewrite/deparse.h"
#include "migration/rules/types.h"
#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

Piece piece(Stage stage, std::size_t step, std::string text, std::string down = {}) {
  Piece made;
  made.stage = stage;
  made.step = step;
  made.text = std::move(text);
  made.down = std::move(down);
  made.principal = false;
  return made;
}
Piece pre(std::size_t step, std::string text, std::string down = {}) {
  return piece(Stage::kPreDeploy, step, std::move(text), std::move(down));
}
Piece post(std::size_t step, std::string text, std::string down = {}) {
  return piece(Stage::kPostDeploy, step, std::move(text), std::move(down));
}
Piece outside(Piece made) {
  made.outside = true;
  return made;
}
Piece principal(Piece made) {
  made.principal = true;
  return made;
}

std::string table_of(const Action& action) { return as_sql_name(action.object.schema, action.object.name); }
std::string alter_column(const Action& action) {
  return "ALTER TABLE " + table_of(action) + " ALTER COLUMN " + as_sql_name(action.part);
}

// SET NOT NULL without a scan under its lock: a constraint that is proved first.
void append_not_null(std::vector<Piece>& pieces, Stage stage, std::size_t step, const Action& action) {
  const std::string table = table_of(action);
  const std::string name = as_sql_name(made_name({action.object.name, action.part, "not_null"}));
  pieces.push_back(piece(stage, step,
                         "ALTER TABLE " + table + " ADD CONSTRAINT " + name + " CHECK (" + as_sql_name(action.part) +
                             " IS NOT NULL) NOT VALID",
                         "ALTER TABLE " + table + " DROP CONSTRAINT IF EXISTS " + name));
  pieces.push_back(piece(stage, step + 1, "ALTER TABLE " + table + " VALIDATE CONSTRAINT " + name));
  pieces.push_back(principal(piece(stage, step + 2, alter_column(action) + " SET NOT NULL")));
  pieces.push_back(piece(stage, step + 2, "ALTER TABLE " + table + " DROP CONSTRAINT " + name));
}

// Who keeps the column filled while a backfill runs: a trigger in every row that is written, or nobody, so that a row
// that is moved behind the backfill's back is still to be filled.
enum class Filled : std::uint8_t { kByTrigger, kByNobody };

// Page by page, each batch in a transaction of its own; can be run again from the start.
std::string backfill(const std::string& table, const std::string& set, const std::string& where, Filled filled) {
  const std::string rest = filled == Filled::kByTrigger
                               ? ""
                               : "  -- Rows that were written meanwhile stand on other pages now.\n  UPDATE " + table +
                                     " SET " + set + " WHERE " + where + ";\n  COMMIT;\n";
  return fmt::format(
      R"(DO $syzygy$
DECLARE
  batch CONSTANT bigint := 200;  -- pages
  page bigint := 0;
  pages bigint;
BEGIN
  SELECT coalesce(max(pg_relation_size(part)), 0) / current_setting('block_size')::bigint INTO pages
    FROM (SELECT {0}::regclass AS part UNION SELECT relid FROM pg_partition_tree({0}::regclass)) AS parts;
  WHILE page <= pages LOOP
    UPDATE {1} SET {2}
      WHERE ctid >= format('(%s,0)', page)::tid AND ctid < format('(%s,0)', page + batch)::tid AND {3};
    COMMIT;
    page := page + batch;
  END LOOP;
{4}END
$syzygy$)",
      as_sql_text(table), table, set, where, rest);
}

// Inside a string literal that format() reads.
std::string doubled(std::string_view text) {
  std::string twice;
  for (const char c : text) {
    twice.push_back(c);
    if (c == '\'' || c == '%') twice.push_back(c);
  }
  return twice;
}

// Gives whoever has rights on one object those on another one: `acl` is what a catalogue says of the one ("relacl FROM
// pg_class WHERE ..."), `rights` what stands between the right and TO ("ON people").
std::string granted_alike(const std::string& acl, const std::string& rights) {
  return fmt::format(R"(  FOR given IN
    SELECT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END AS who, acl.privilege_type AS what,
        CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS how
      FROM {}
  LOOP
    EXECUTE format('GRANT %s {} TO %s%s', given.what, given.who, given.how);
  END LOOP;
)",
                     acl, doubled(rights));
}

// Of a column; those on its table hold for every column.
std::string column_granted_alike(const std::string& table, const std::string& from, const std::string& to) {
  return granted_alike("pg_attribute, aclexplode(attacl) AS acl WHERE attrelid = " + as_sql_text(table) +
                           "::regclass AND attname = " + as_sql_text(from),
                       "(" + to + ") ON " + table);
}

std::string granting(const std::string& body) {
  return "DO $syzygy$\nDECLARE\n  given record;\nBEGIN\n" + body + "END\n$syzygy$";
}

// A BEFORE trigger's function. OR REPLACE: what an interrupted run left behind is no obstacle.
std::string trigger_function(const std::string& function, const std::string& body) {
  return "CREATE OR REPLACE FUNCTION " + function + "() RETURNS trigger LANGUAGE plpgsql AS $syzygy$\nBEGIN\n" + body +
         "  RETURN NEW;\nEND\n$syzygy$";
}

// A trigger that keeps a column equal to another one, and its function.
struct Keeper {
  std::string trigger, function, body;
};

// A new column, and what keeps it filled for as long as old code writes.
void append_kept_column(std::vector<Piece>& pieces, const std::string& table, const std::string& definition,
                        const std::string& column, const Keeper& keeper) {
  pieces.push_back(pre(0, "ALTER TABLE " + table + " ADD COLUMN " + definition,
                       "ALTER TABLE " + table + " DROP COLUMN IF EXISTS " + column));
  pieces.push_back(
      pre(0, trigger_function(keeper.function, keeper.body), "DROP FUNCTION IF EXISTS " + keeper.function + "()"));
  pieces.push_back(pre(0,
                       "CREATE TRIGGER " + keeper.trigger + " BEFORE INSERT OR UPDATE ON " + table +
                           " FOR EACH ROW EXECUTE FUNCTION " + keeper.function + "()",
                       "DROP TRIGGER IF EXISTS " + keeper.trigger + " ON " + table));
}

// SET lock_timeout = ... holds for what follows it, so every file that has some of that needs it.
bool is_setting(Dialect dialect, std::string_view statement) {
  Lexer lexer(dialect, statement);
  const auto word = lexer.next_visible();
  return word && word->is("SET");
}

}  // namespace

std::string described(const Action& action) { return "column " + action.part + " of " + describe(action.object); }

std::unexpected<Error> Rewriter::refuse(std::string reason, const std::string& why,
                                        std::map<std::string, std::string> metadata) const {
  metadata["file"] = file_;
  metadata["line"] = std::to_string(line_);
  return failure(ErrorCode::kFailedPrecondition, std::move(reason), place_ + ": " + why, std::move(metadata));
}

std::unexpected<Error> Rewriter::not_taken_apart() const {
  return refuse("SPLIT_NOT_UNDERSTOOD",
                "this statement cannot be taken apart (it is larger than " + std::to_string(kDeparseBytesMax >> 10) +
                    " KiB, or newer than the grammar of PostgreSQL 15); write its commands as statements of their own");
}

std::optional<std::string> Rewriter::given_default(const Action& action) const {
  for (const std::string& key : {action.object.name + "." + action.part, action.part, std::string()}) {
    const auto found = options_.defaults.find(key);
    if (found != options_.defaults.end()) return found->second;
  }
  return std::nullopt;
}

bool Rewriter::old_code_keeps(const Action& constraint, const ObjectName& table) const {
  return holds_for_old_code(constraint, [&](const std::string& column) {
    const Added* added = added_column(table, column);
    return added != nullptr && starts_null(added->action);
  });
}

const Rewriter::Added* Rewriter::added_column(const ObjectName& table, const std::string& column) const {
  const auto found = std::ranges::find_if(added_, [&](const Added& added) {
    const ObjectName& object = added.action.object;
    return object.name == table.name && added.action.part == column &&
           (object.schema == table.schema || object.schema.empty() || table.schema.empty());
  });
  return found == added_.end() ? nullptr : &*found;
}

void Rewriter::remember_column(const Action& action) {
  if (action.kind != ActionKind::kAddColumn) return;
  added_.push_back({action, default_of(statement_, action.position).value_or("")});
}

Result<std::vector<Piece>> Rewriter::pieces_of(const std::string& statement, const Meaning& meaning,
                                               const std::string& place, const std::string& file, std::size_t line) {
  statement_ = statement;
  place_ = place;
  file_ = file;
  line_ = line;
  std::vector<std::optional<Pieces>> treated(meaning.actions.size());
  bool any = false;
  const bool postgres = options_.dialect == Dialect::kPostgres;
  const bool rewrites = postgres && !options_.organize;
  for (std::size_t i = 0; !options_.organize && i < meaning.actions.size(); ++i) {
    auto done = postgres ? treat(meaning.actions[i]) : treat_in_sqlite(meaning.actions[i]);
    if (!done) return std::unexpected(done.error());
    treated[i] = std::move(*done);
    any = any || treated[i].has_value();
    if (postgres) remember_column(meaning.actions[i]);
  }

  // Several commands of one ALTER TABLE, of which some are rewritten, or which belong to both stages: each alone.
  Judgement whole = judge(meaning, created_, options_.stages);
  const std::size_t commands = postgres ? command_count(statement) : 0;
  bool both = false;
  if (commands > 1 && commands == meaning.actions.size() && whole.verdict == Verdict::kAmbiguous) {
    bool first = false;
    bool last = false;
    for (const Action& action : meaning.actions) {
      const Verdict verdict = judge(action, created_, options_.stages).verdict;
      first = first || verdict == Verdict::kPreDeploy;
      last = last || verdict == Verdict::kPostDeploy;
    }
    both = first && last;
  }
  Pieces pieces;
  if (!any && !both) {
    Piece same;
    same.neutral = whole.verdict == Verdict::kNeutral;
    same.setting = same.neutral && is_setting(options_.dialect, statement);
    if (whole.verdict == Verdict::kAmbiguous) {
      if (!options_.unclear) {
        return refuse(
            "SPLIT_STAGE_NEEDED",
            "\"" + excerpt(options_.dialect, statement, 60) + "\" " + whole.why +
                ". Say its stage: --stage pre_deploy or --stage post_deploy, for all in this file that cannot "
                "be told, or write it into a migration of its own with -- syzygy:stage");
      }
      same.stage = *options_.unclear;
    } else if (whole.verdict == Verdict::kPostDeploy) {
      same.stage = Stage::kPostDeploy;
    }
    // Undone by itself, it must leave the column as old code needs it.
    const Action& only = meaning.actions.front();
    if (rewrites && only.kind == ActionKind::kDropDefault && meaning.actions.size() == 1) {
      const Added* added = added_column(only.object, only.part);
      if (added != nullptr && !added->expression.empty()) {
        same.down = alter_column(only) + " SET DEFAULT " + added->expression;
      }
    }
    pieces.push_back(std::move(same));
    return pieces;
  }
  for (std::size_t i = 0; i < meaning.actions.size(); ++i) {
    if (treated[i]) {
      std::ranges::move(*treated[i], std::back_inserter(pieces));
      continue;
    }
    const auto alone = meaning.actions.size() == 1 ? statement : only_command(statement, meaning.actions[i].position);
    if (!alone) return not_taken_apart();
    auto kept = as_it_is(meaning.actions[i], *alone);
    if (!kept) return std::unexpected(kept.error());
    pieces.push_back(std::move(*kept));
  }
  return pieces;
}

Result<Piece> Rewriter::as_it_is(const Action& action, const std::string& text) {
  const Judgement judgement = judge(action, created_, options_.stages);
  Piece kept = principal(pre(0, text));
  kept.neutral = judgement.verdict == Verdict::kNeutral;
  if (judgement.verdict == Verdict::kPostDeploy) kept.stage = Stage::kPostDeploy;
  if (judgement.verdict == Verdict::kAmbiguous) {
    if (!options_.unclear) {
      return refuse("SPLIT_STAGE_NEEDED", "\"" + excerpt(options_.dialect, text, 60) + "\" " + judgement.why +
                                              ". Say its stage: --stage pre_deploy or --stage post_deploy");
    }
    kept.stage = *options_.unclear;
  }
  return kept;
}

Rewriter::Treated Rewriter::treat(const Action& action) {
  const auto is_new = [&](const ObjectName& object) { return created_.find(object) != Created::Answer::kNo; };
  if (is_new(action.object) || is_new(action.on)) return std::nullopt;
  const bool table = action.object.kind == ObjectKind::kTable;
  switch (action.kind) {
    case ActionKind::kAddColumn:
      return table ? add_column(action) : Treated(std::nullopt);
    case ActionKind::kDropColumn:
      return table ? drop_column(action) : Treated(std::nullopt);
    case ActionKind::kSetNotNull:
      return table ? set_not_null(action) : Treated(std::nullopt);
    case ActionKind::kAddConstraint:
      return table ? add_constraint(action) : Treated(std::nullopt);
    case ActionKind::kAlterColumnType:
      return table ? change_type(action) : Treated(std::nullopt);
    case ActionKind::kRename:
      return table && (action.part.empty() || action.note == "column") ? rename(action) : Treated(std::nullopt);
    case ActionKind::kCreate:
      return action.object.kind == ObjectKind::kIndex ? create_index(action) : Treated(std::nullopt);
    case ActionKind::kDrop:
      return action.object.kind == ObjectKind::kIndex ? drop_index(action) : Treated(std::nullopt);
    default:
      return std::nullopt;
  }
}

Rewriter::Treated Rewriter::add_column(const Action& action) {
  if (action.generated || action.identity || action.serial) return std::nullopt;
  const bool single = action.constraint == ConstraintKind::kUnique || action.constraint == ConstraintKind::kPrimaryKey;
  const bool bridging = action.not_null && !action.fills_itself;
  std::string expression;
  DefaultKind kind = action.default_kind;
  if (bridging) {
    const auto given = given_default(action);
    if (!given) {
      return refuse("SPLIT_DEFAULT_NEEDED",
                    "adds " + described(action) +
                        ", NOT NULL without a default, and old code that runs beside it inserts rows without it. Which "
                        "value shall those have until the deployment is through? Give it as an SQL expression: "
                        "--default " +
                        action.part + "=EXPRESSION (--default \"" + action.part + "=''\")",
                    {{"table", action.object.name}, {"column", action.part}});
    }
    if (!is_expression(*given)) {
      return refuse("SPLIT_REFUSED", "the default \"" + printable(*given) + "\" of " + described(action) +
                                         " is no SQL expression; quote a text: --default \"" + action.part +
                                         "='text'\"");
    }
    expression = *given;
    const auto probe =
        read_meaning(Dialect::kPostgres, "ALTER TABLE t ADD COLUMN c int DEFAULT " + expression).actions.front();
    kind = probe.default_kind;
    if (!probe.fills_itself) {
      return refuse("SPLIT_REFUSED", "the default of " + described(action) +
                                         " must not be NULL, since the column is "
                                         "NOT NULL; give another: --default \"" +
                                         action.part + "='text'\"");
    }
  } else if (!action.fills_itself) {
    return std::nullopt;  // NULL for all: nothing is scanned, nothing has to be undone
  } else {
    const auto written = default_of(statement_, action.position);
    if (!written) return not_taken_apart();
    expression = *written;
  }
  if (kind == DefaultKind::kVolatile || kind == DefaultKind::kFunction) {
    return add_column_filled_row_by_row(action, expression, bridging);
  }
  if (single) {
    return refuse("SPLIT_REFUSED",
                  "adds " + described(action) + ", unique, with one default (" + expression +
                      ") for all rows, which fails at the second row. Recipe: a default that is new for each row "
                      "(--default " +
                      action.part + "=gen_random_uuid()), or a nullable column without a default, filled by the code");
  }
  const bool constrained = action.constraint != ConstraintKind::kNone;
  if (!bridging && !constrained && !(options_.drop_defaults && action.not_null)) return std::nullopt;
  ColumnChange change;
  if (bridging) change.set_default = expression;
  change.drop_constraints = constrained;
  const auto added = change_added_column(statement_, action.position, change);
  if (!added) return not_taken_apart();
  Pieces pieces;
  pieces.push_back(principal(pre(0, *added)));
  for (const Apart& apart : column_constraints_apart(statement_, action.position, action.object.name, action.part)) {
    const std::string table = table_of(action);
    pieces.push_back(
        post(0, apart.sql, "ALTER TABLE " + table + " DROP CONSTRAINT IF EXISTS " + as_sql_name(apart.name)));
    pieces.push_back(post(1, "ALTER TABLE " + table + " VALIDATE CONSTRAINT " + as_sql_name(apart.name)));
  }
  if (bridging || (options_.drop_defaults && action.not_null)) {
    pieces.push_back(
        post(0, alter_column(action) + " DROP DEFAULT", alter_column(action) + " SET DEFAULT " + expression));
  }
  return pieces;
}

Rewriter::Treated Rewriter::add_column_filled_row_by_row(const Action& action, const std::string& expression,
                                                         bool bridging) {
  if (action.constraint == ConstraintKind::kPrimaryKey) {
    return refuse("SPLIT_REFUSED",
                  "adds " + described(action) +
                      " as the primary key of a table in use. Recipe: add it as UNIQUE NOT NULL with its default and "
                      "split that; later, in a migration of its own, ADD PRIMARY KEY USING INDEX");
  }
  ColumnChange change;
  change.drop_not_null = change.drop_default = change.drop_constraints = true;
  const auto added = change_added_column(statement_, action.position, change);
  if (!added) return not_taken_apart();
  const std::string table = table_of(action);
  const std::string column = as_sql_name(action.part);
  Pieces pieces;
  pieces.push_back(principal(pre(0, *added)));
  pieces.push_back(pre(0, alter_column(action) + " SET DEFAULT " + expression));
  pieces.push_back(
      outside(pre(1, backfill(table, column + " = " + expression, column + " IS NULL", Filled::kByNobody))));
  if (action.constraint == ConstraintKind::kUnique) {
    const std::string name = as_sql_name(servers_name({action.object.name, action.part, "key"}));
    Piece index =
        outside(pre(2, "CREATE UNIQUE INDEX CONCURRENTLY " + name + " ON " + table + " (" + column + ")",
                    "DROP INDEX CONCURRENTLY IF EXISTS " +
                        as_sql_name(action.object.schema, servers_name({action.object.name, action.part, "key"}))));
    index.down_outside = true;
    pieces.push_back(std::move(index));
    pieces.push_back(pre(3, "ALTER TABLE " + table + " ADD CONSTRAINT " + name + " UNIQUE USING INDEX " + name,
                         "ALTER TABLE " + table + " DROP CONSTRAINT IF EXISTS " + name));
  }
  for (const Apart& apart : column_constraints_apart(statement_, action.position, action.object.name, action.part)) {
    pieces.push_back(
        post(0, apart.sql, "ALTER TABLE " + table + " DROP CONSTRAINT IF EXISTS " + as_sql_name(apart.name)));
    pieces.push_back(post(1, "ALTER TABLE " + table + " VALIDATE CONSTRAINT " + as_sql_name(apart.name)));
  }
  if (action.not_null) {
    const std::size_t begin = pieces.size();
    append_not_null(pieces, Stage::kPostDeploy, 0, action);
    for (std::size_t i = begin; i < pieces.size(); ++i) {
      if (pieces[i].principal) pieces[i].down = alter_column(action) + " DROP NOT NULL";
      pieces[i].principal = false;
    }
  }
  if (bridging || (options_.drop_defaults && action.not_null)) {
    pieces.push_back(
        post(0, alter_column(action) + " DROP DEFAULT", alter_column(action) + " SET DEFAULT " + expression));
  }
  return pieces;
}

Rewriter::Treated Rewriter::drop_column(const Action& action) {
  const KnownTable* table = schema_.table(action.object);
  const KnownColumn* column = table == nullptr ? nullptr : table->column(action.part);
  if (column != nullptr && (!column->not_null || column->has_default)) return std::nullopt;
  if (table != nullptr) {
    const bool key = std::ranges::any_of(table->constraints, [&](const KnownConstraint& constraint) {
      return constraint.kind == ConstraintKind::kPrimaryKey &&
             std::ranges::find(constraint.columns, action.part) != constraint.columns.end();
    });
    if (key) {
      return refuse("SPLIT_REFUSED",
                    "drops " + described(action) +
                        ", which is part of the primary key, and new code that does not know it cannot insert. Recipe: "
                        "give the table another key first (a unique index CONCURRENTLY, then ADD PRIMARY KEY USING "
                        "INDEX), release that, and drop the column in a later migration");
    }
  }
  const auto alone = command_count(statement_) > 1 ? only_command(statement_, action.position)
                                                   : std::optional<std::string>(statement_);
  if (!alone) return not_taken_apart();
  Pieces pieces;
  if (const auto given = given_default(action)) {
    if (!is_expression(*given)) {
      return refuse("SPLIT_REFUSED", "the default \"" + printable(*given) + "\" of " + described(action) +
                                         " is no SQL expression; quote a text: --default \"" + action.part +
                                         "='text'\"");
    }
    pieces.push_back(pre(0, alter_column(action) + " SET DEFAULT " + *given, alter_column(action) + " DROP DEFAULT"));
  } else {
    pieces.push_back(pre(0, alter_column(action) + " DROP NOT NULL"));
  }
  if (column == nullptr) {
    notes_.push_back(place_ + ": nothing is known of " + described(action) +
                     ", so it is taken for NOT NULL without a default, which new code that does not know it could not "
                     "insert into (--database or the migration that adds it would say)");
  }
  Piece drop = principal(post(0, *alone));
  if (command_count(statement_) <= 1) drop.text.clear();  // byte for byte
  pieces.push_back(std::move(drop));
  return pieces;
}

Rewriter::Treated Rewriter::set_not_null(const Action& action) {
  if (schema_.is_proved_not_null(action.object, action.part)) return std::nullopt;
  Pieces pieces;
  append_not_null(pieces, Stage::kPostDeploy, 0, action);
  return pieces;
}

Rewriter::Treated Rewriter::add_constraint(const Action& action) {
  if (!action.using_index.empty()) return std::nullopt;
  if (action.constraint == ConstraintKind::kUnique) return add_unique(action);
  const bool foreign = action.constraint == ConstraintKind::kForeignKey;
  if (!foreign && action.constraint != ConstraintKind::kCheck) return std::nullopt;
  const KnownTable* table = schema_.table(action.object);
  if (foreign && table != nullptr && table->partitioned) {
    notes_.push_back(place_ +
                     ": a foreign key of a partitioned table cannot be NOT VALID; it stays as it is, and "
                     "scans each partition under its lock");
    return std::nullopt;
  }
  const bool on_new_column = old_code_keeps(action, action.object);
  const Stage stage = on_new_column ? Stage::kPreDeploy : options_.stages.new_constraint;
  const std::string columns_word = foreign && action.columns.size() == 1 ? action.columns.front() : "";
  const std::string name = columns_word.empty() ? made_name({action.object.name, foreign ? "fkey" : "check"})
                                                : servers_name({action.object.name, columns_word, "fkey"});
  const auto apart = not_valid(statement_, action.position, name);
  if (!apart) return not_taken_apart();
  Pieces pieces;
  if (action.not_valid) {
    if (!on_new_column) return std::nullopt;
    const bool alone = command_count(statement_) == 1 && !action.part.empty();  // then byte for byte
    pieces.push_back(principal(pre(0, alone ? "" : apart->sql)));
    return pieces;
  }
  pieces.push_back(principal(piece(stage, 0, apart->sql)));
  const bool later = on_new_column && options_.stages.new_constraint == Stage::kPostDeploy;
  pieces.push_back(piece(later ? Stage::kPostDeploy : stage, later ? 0 : 1,
                         "ALTER TABLE " + table_of(action) + " VALIDATE CONSTRAINT " + as_sql_name(apart->name)));
  return pieces;
}

Rewriter::Treated Rewriter::add_unique(const Action& action) {
  const KnownTable* table = schema_.table(action.object);
  if (table != nullptr && table->partitioned) {
    notes_.push_back(place_ +
                     ": an index of a partitioned table cannot be built CONCURRENTLY; the constraint stays as "
                     "it is, and its index is built under a lock that blocks writes");
    return std::nullopt;
  }
  const std::optional<Stage> stage = old_code_keeps(action, action.object) ? Stage::kPreDeploy : options_.unclear;
  if (!stage) {
    return refuse("SPLIT_STAGE_NEEDED",
                  "makes " + (action.columns.empty() ? std::string("columns") : action.columns.front()) + " of " +
                      describe(action.object) +
                      " unique: before the deployment only if old code never writes the same value twice, else after "
                      "it. Say which: --stage pre_deploy or --stage post_deploy, or -- syzygy:stage in the file");
  }
  std::vector<std::string_view> words{action.object.name};
  for (const std::string& column : action.columns) words.push_back(column);
  words.emplace_back("key");
  const auto apart = unique_apart(statement_, action.position, table_of(action), servers_name(words));
  if (!apart) return not_taken_apart();
  Piece index = outside(piece(*stage, 0, apart->index,
                              "DROP INDEX CONCURRENTLY IF EXISTS " + as_sql_name(action.object.schema, apart->name)));
  index.down_outside = true;
  Pieces pieces;
  pieces.push_back(std::move(index));
  pieces.push_back(principal(piece(*stage, 1, apart->constraint)));
  return pieces;
}

Rewriter::Treated Rewriter::create_index(const Action& action) {
  if (action.concurrently) return std::nullopt;
  if (created_.is_made_anew(action)) {
    return refuse("SPLIT_REFUSED",
                  "drops " + describe(action.object) +
                      " and builds it anew under the same name, so that there is none meanwhile. Recipe: give the new "
                      "index another name; then it is built CONCURRENTLY before the deployment, and the old one is "
                      "dropped after it");
  }
  const KnownTable* table = schema_.table(action.on);
  if (table != nullptr && table->partitioned) {
    notes_.push_back(place_ +
                     ": an index of a partitioned table cannot be built CONCURRENTLY; it stays as it is, and "
                     "blocks writes while it is built");
    return std::nullopt;
  }
  std::optional<Stage> stage = Stage::kPreDeploy;
  if (action.constraint == ConstraintKind::kUnique) {
    stage = old_code_keeps(action, action.on) ? Stage::kPreDeploy : options_.unclear;
  }
  if (!stage) {
    return refuse("SPLIT_STAGE_NEEDED",
                  "creates a unique index on " + describe(action.on) +
                      ": before the deployment only if old code never writes the same value twice, else after it. Say "
                      "which: --stage pre_deploy or --stage post_deploy, or -- syzygy:stage in the file");
  }
  const auto apart = concurrently(statement_, 0);
  if (!apart) return not_taken_apart();
  Pieces pieces;
  pieces.push_back(principal(outside(piece(*stage, 0, apart->sql))));
  return pieces;
}

Rewriter::Treated Rewriter::drop_index(const Action& action) {
  if (action.concurrently || action.cascade || created_.is_made_anew(action)) return std::nullopt;
  const auto apart = concurrently(statement_, action.position);
  if (!apart) return not_taken_apart();
  Pieces pieces;
  pieces.push_back(principal(outside(post(0, apart->sql))));
  return pieces;
}

Rewriter::Treated Rewriter::rename(const Action& action) {
  const std::string table = table_of(action);
  if (action.part.empty()) {
    const std::string renamed = as_sql_name(action.object.schema, action.new_name);
    if (!options_.bridge_renames) {
      return refuse("SPLIT_REFUSED",
                    "renames " + describe(action.object) + " to " + action.new_name +
                        ": old code knows only the old name, new code only the new one. Recipe: keep the name and "
                        "change only what the code calls it; or let both names work for a release: --bridge-renames "
                        "renames it and puts a view under the old name, which the post-deploy half drops");
    }
    Pieces pieces;
    pieces.push_back(pre(0, statement_));
    pieces.back().text.clear();
    pieces.back().principal = true;
    pieces.push_back(pre(0, "CREATE VIEW " + table + " AS SELECT * FROM " + renamed, "DROP VIEW IF EXISTS " + table));
    pieces.push_back(pre(0, granting(granted_alike("pg_class, aclexplode(relacl) AS acl WHERE pg_class.oid = " +
                                                       as_sql_text(renamed) + "::regclass AND acl.grantee <> relowner",
                                                   "ON " + table))));
    pieces.push_back(post(0, "DROP VIEW " + table, "CREATE VIEW " + table + " AS SELECT * FROM " + renamed));
    notes_.push_back(place_ +
                     ": the view under the old name passes reads and writes on; row security, LOCK TABLE, "
                     "TRUNCATE and COPY ... FROM through the old name do not work as on a table");
    return pieces;
  }

  if (!options_.bridge_renames) {
    return refuse("SPLIT_REFUSED",
                  "renames " + described(action) + " to " + action.new_name +
                      ": old code knows only the old name, new code only the new one. Recipe (expand, contract): add "
                      "the new column, let the code write both and read the new one, and drop the old one a release "
                      "later; or let the database keep both equal for a release: --bridge-renames adds the new column "
                      "with a trigger, and the post-deploy half drops both and renames");
  }
  const KnownColumn* known = schema_.column(action.object, action.part);
  if (known == nullptr || known->type.empty()) {
    return refuse("SPLIT_REFUSED",
                  "renames " + described(action) +
                      ", whose type is not known from the migrations before it, and the bridge needs it; give "
                      "--database, whose catalogue says it");
  }
  const std::string old_name = as_sql_name(action.part);
  const std::string new_name = as_sql_name(action.new_name);
  const std::string plain = made_name({"syzygy", action.object.name, action.new_name, "sync"});
  const std::string function = as_sql_name(action.object.schema, plain);
  const std::string trigger = as_sql_name(plain);
  const std::string body = fmt::format(
      R"(  IF TG_OP = 'INSERT' THEN
    IF NEW.{1} IS NOT NULL THEN NEW.{0} := NEW.{1}; ELSE NEW.{1} := NEW.{0}; END IF;
  ELSIF NEW.{1} IS DISTINCT FROM OLD.{1} THEN
    NEW.{0} := NEW.{1};
  ELSE
    NEW.{1} := NEW.{0};
  END IF;
)",
      old_name, new_name);
  Pieces pieces;
  append_kept_column(pieces, table, new_name + " " + known->type, new_name, {trigger, function, body});
  pieces.push_back(pre(0, granting(column_granted_alike(table, action.part, new_name))));
  std::string again;  // both names work again, once what the author wrote has renamed it back
  for (const Piece& one : pieces) again += one.text + ";\n";
  pieces.push_back(outside(pre(1, backfill(table, new_name + " = " + old_name,
                                           new_name + " IS DISTINCT FROM " + old_name, Filled::kByTrigger))));
  // The old column keeps its constraints, indexes, default and grants: it is the one that stays.
  pieces.push_back(post(0, "DROP TRIGGER " + trigger + " ON " + table,
                        again + "UPDATE " + table + " SET " + new_name + " = " + old_name));
  pieces.back().down_last = true;
  pieces.push_back(post(0, "DROP FUNCTION " + function + "()"));
  pieces.push_back(post(0, "ALTER TABLE " + table + " DROP COLUMN " + new_name));
  Piece last = principal(post(0, {}));
  pieces.push_back(std::move(last));
  notes_.push_back(place_ + ": until the post-deploy half " + action.new_name +
                   " has neither the constraints nor the indexes of " + action.part +
                   "; a query of new code that needs an index on it is slow until then");
  return pieces;
}

Rewriter::Treated Rewriter::change_type(const Action& action) {
  const KnownTable* known_table = schema_.table(action.object);
  const KnownColumn* known = known_table == nullptr ? nullptr : known_table->column(action.part);
  const TypeChange change =
      type_change(known == nullptr ? std::string_view() : std::string_view(known->type), action.type);
  if (known != nullptr && change.known && !change.rewrites && !action.converts) {
    Pieces pieces;
    const bool several = command_count(statement_) > 1;
    const auto alone = several ? only_command(statement_, action.position) : std::optional<std::string>(statement_);
    if (!alone) return not_taken_apart();
    Piece same = principal(piece(change.narrows ? Stage::kPostDeploy : Stage::kPreDeploy, 0, several ? *alone : ""));
    pieces.push_back(std::move(same));
    return pieces;
  }
  std::string tied;
  if (known_table != nullptr) {
    for (const KnownConstraint& constraint : known_table->constraints) {
      if (std::ranges::find(constraint.columns, action.part) == constraint.columns.end()) continue;
      tied += (tied.empty() ? "" : ", ") +
              (constraint.name.empty() ? std::string("an unnamed constraint") : "constraint " + constraint.name);
    }
  }
  if (!tied.empty()) {
    return refuse(
        "SPLIT_REFUSED",
        "changes the type of " + described(action) + ", which rewrites the table, and " + tied +
            " depends on it, which a new column would not have. Recipe: drop what depends on it in a release "
            "before, split the change of type, and create it anew afterwards; for a key: a new column beside "
            "it, filled by a trigger, with a unique index CONCURRENTLY, that becomes the key (ADD PRIMARY KEY "
            "USING INDEX) when all code uses it");
  }
  const auto type = type_of(statement_, action.position);
  if (!type) return not_taken_apart();
  const std::string table = table_of(action);
  const std::string column = as_sql_name(action.part);
  const std::string plain_new = made_name({action.part, "syzygy_new"});
  const std::string fresh = as_sql_name(plain_new);
  const std::string plain = made_name({"syzygy", action.object.name, action.part, "sync"});
  const std::string function = as_sql_name(action.object.schema, plain);
  const std::string trigger = as_sql_name(plain);
  const auto with = using_of(statement_, action.position);
  const std::string converted = with ? *with : column + "::" + *type;
  // The row under the table's own name, so that what USING says means the same.
  const std::string body = "  NEW." + fresh + " := (SELECT " + converted + " FROM (SELECT NEW.*) AS " +
                           as_sql_name(action.object.name) + ");\n";
  Pieces pieces;
  // What would go with the old column is looked for where it costs nothing yet.
  pieces.push_back(pre(0, fmt::format(R"(DO $syzygy$
DECLARE
  tied text;
BEGIN
  SELECT pg_describe_object(d.classid, d.objid, d.objsubid) INTO tied
    FROM pg_attribute AS a JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
      LEFT JOIN pg_attrdef AS its ON its.adrelid = a.attrelid AND its.adnum = a.attnum
    WHERE a.attrelid = {0}::regclass AND a.attname = {1} AND NOT (d.classid = 'pg_attrdef'::regclass AND d.objid IS NOT DISTINCT FROM its.oid)
    LIMIT 1;
  IF tied IS NOT NULL THEN
    RAISE EXCEPTION '% depends on column % of %, and would be lost with it', tied, {1}, {0}
      USING HINT = 'Drop it in a release before, and create it anew after the change of type.';
  END IF;
END
$syzygy$)",
                                      as_sql_text(table), as_sql_text(action.part))));
  const std::size_t kept = pieces.size();
  append_kept_column(pieces, table, fresh + " " + *type, fresh, {trigger, function, body});
  std::string again;  // on the way back, once what the author wrote has changed the type back
  for (std::size_t i = kept; i < pieces.size(); ++i) again += pieces[i].text + ";\n";
  pieces.push_back(outside(pre(1, backfill(table, fresh + " = " + converted,
                                           fresh + " IS NULL AND " + column + " IS NOT NULL", Filled::kByTrigger))));
  std::size_t step = 0;
  const bool not_null = known == nullptr ? false : known->not_null;
  if (not_null) {
    Action of_new = action;
    of_new.part = plain_new;
    append_not_null(pieces, Stage::kPostDeploy, 0, of_new);
    for (Piece& one : pieces) one.principal = false;
    step = 2;
  }
  // What the old column has besides its values.
  pieces.push_back(post(
      step, fmt::format(R"(DO $syzygy$
DECLARE
  expression text;
  said text;
  given record;
BEGIN
  SELECT pg_get_expr(adbin, adrelid), col_description(attrelid, attnum) INTO expression, said
    FROM pg_attribute LEFT JOIN pg_attrdef ON attrelid = adrelid AND attnum = adnum
    WHERE attrelid = {}::regclass AND attname = {};
  IF expression IS NOT NULL THEN
    EXECUTE format('ALTER TABLE {} ALTER COLUMN {} SET DEFAULT (%s)::{}', expression);
  END IF;
  IF said IS NOT NULL THEN
    EXECUTE format('COMMENT ON COLUMN {}.{} IS %L', said);
  END IF;
{}END
$syzygy$)",
                        as_sql_text(table), as_sql_text(action.part), doubled(table), doubled(fresh), doubled(*type),
                        doubled(table), doubled(fresh), column_granted_alike(table, action.part, fresh))));
  pieces.push_back(post(step, "DROP TRIGGER " + trigger + " ON " + table,
                        again + "UPDATE " + table + " SET " + fresh + " = " + converted));
  pieces.back().down_last = true;
  pieces.push_back(post(step, "DROP FUNCTION " + function + "()"));
  pieces.push_back(principal(post(step, "ALTER TABLE " + table + " DROP COLUMN " + column)));
  pieces.push_back(post(step, "ALTER TABLE " + table + " RENAME COLUMN " + fresh + " TO " + column));
  if (known == nullptr) {
    notes_.push_back(place_ + ": nothing is known of " + described(action) +
                     ": if it is NOT NULL, the new one will not be (give --database, whose catalogue says it)");
  }
  notes_.push_back(place_ +
                   ": the column stands last in the table afterwards, what ALTER COLUMN ... SET (STATISTICS, "
                   "STORAGE) gave it is not carried over, and until the post-deploy half it takes only what the old "
                   "type takes");
  return pieces;
}

}  // namespace syzygy
