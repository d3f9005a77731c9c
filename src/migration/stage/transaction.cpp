#include "migration/stage/transaction.h"

#include <algorithm>
#include <map>
#include <string>

#include "migration/sql/lexer.h"

namespace syzygy {
namespace {

bool ends_or_begins(const Action& action) {
  return action.kind == ActionKind::kBegin || action.kind == ActionKind::kCommit ||
         action.kind == ActionKind::kRollback;
}

// A value that ALTER TYPE ADD VALUE adds must be committed before it is used, also where its type is new in the same
// transaction (PostgreSQL 17 relaxes that; older servers do not).
Result<void> check_enum_values(const Script& script, const std::vector<Statement>& statements,
                               const std::vector<Meaning>& meanings) {
  std::map<std::string, std::string> added;  // value -> where
  for (std::size_t i = 0; i < statements.size(); ++i) {
    if (!added.empty()) {
      Lexer lexer(Dialect::kPostgres, statements[i].text);
      while (const auto token = lexer.next_visible()) {
        const auto value = string_value(*token);
        const auto found = value ? added.find(*value) : added.end();
        const bool adds = std::ranges::any_of(
            meanings[i].actions, [](const Action& action) { return action.kind == ActionKind::kAddEnumValue; });
        if (found == added.end() || adds) continue;
        return failure(
            ErrorCode::kFailedPrecondition, "ENUM_VALUE_IN_USE",
            at(script.path, statements[i].place) + ": uses the enum value '" + *value + "' that " + found->second +
                " adds; PostgreSQL lets a new value be used only after the transaction that adds it. Add it in "
                "a migration of its own, before this one",
            {{"file", script.path}, {"line", std::to_string(statements[i].place.line)}});
      }
    }
    for (const Action& action : meanings[i].actions) {
      if (action.kind == ActionKind::kAddEnumValue) {
        added.emplace(action.part, at(script.path, statements[i].place));
      }
    }
  }
  return {};
}

}  // namespace

Result<TransactionMode> transaction_mode(Dialect dialect, const Script& script,
                                         const std::vector<Statement>& statements,
                                         const std::vector<Meaning>& meanings) {
  const auto refuse_at = [&](const Statement& statement, std::string reason, std::string why) {
    return failure(ErrorCode::kFailedPrecondition, std::move(reason),
                   at(script.path, statement.place) + ": " + std::move(why),
                   {{"file", script.path}, {"line", std::to_string(statement.place.line)}});
  };
  if (script.no_transaction) {
    for (std::size_t i = 0; i < statements.size(); ++i) {
      if (!meanings[i].frees_session_locks) continue;
      return refuse_at(
          statements[i], "FREES_LOCKS",
          "this releases every session lock, also the one that keeps a second applier away while a "
          "migration runs without a transaction; release your own locks by their keys (pg_advisory_unlock)");
    }
    return TransactionMode{false, false};
  }
  std::size_t first = 0;
  std::size_t last = statements.size();
  const bool wrapped = statements.size() >= 2 && meanings.front().plain_wrapper && meanings.back().plain_wrapper &&
                       meanings.front().actions.front().kind == ActionKind::kBegin &&
                       meanings.back().actions.front().kind == ActionKind::kCommit;
  if (wrapped) {
    ++first;
    --last;
  }
  for (std::size_t i = first; i < last; ++i) {
    const auto refuse = [&](std::string reason, std::string why) {
      return refuse_at(statements[i], std::move(reason), std::move(why));
    };
    for (const Action& action : meanings[i].actions) {
      if (!ends_or_begins(action)) continue;
      return refuse(
          "TRANSACTION_CONTROL",
          action.note +
              " in a migration that runs in one transaction; remove it (each migration is its own transaction "
              "already), or write -- syzygy:no-transaction into the file to run it without one");
    }
    if (meanings[i].in_transaction == InTransaction::kRefused) {
      return refuse("NOT_IN_TRANSACTION", meanings[i].transaction_note +
                                              " cannot run in a transaction; write -- syzygy:no-transaction into the " +
                                              "file, best with this statement alone in it");
    }
    if (meanings[i].in_transaction == InTransaction::kIgnored) {
      return refuse(
          "NOT_IN_TRANSACTION",
          meanings[i].transaction_note +
              " does nothing in a transaction, and SQLite does not say so; write -- syzygy:no-transaction into "
              "the file, with BEGIN and COMMIT around what belongs together");
    }
  }
  if (dialect == Dialect::kPostgres) {
    if (auto checked = check_enum_values(script, statements, meanings); !checked) {
      return std::unexpected(checked.error());
    }
  }
  return TransactionMode{true, wrapped};
}

}  // namespace syzygy
