// transaction.h - how a script relates to transactions: whether it can run, all of it, inside one of ours.
//
// Atomic is only a script without transaction control, in which every statement may stand in a transaction block. A
// file that is wholly wrapped in a plain BEGIN ... COMMIT is atomic as well: our transaction stands for its own.
// Everything else needs `-- syzygy:no-transaction`, and says so.
#pragma once

#include <vector>

#include "base/result.h"
#include "migration/source/source.h"
#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"

namespace syzygy {

struct TransactionMode {
  bool atomic = true;
  bool unwrap = false;  // the first and the last statement are that BEGIN and COMMIT: leave them out
};

// Errors (kFailedPrecondition, metadata "file", "line"): reason TRANSACTION_CONTROL, NOT_IN_TRANSACTION,
// ENUM_VALUE_IN_USE, FREES_LOCKS.
Result<TransactionMode> transaction_mode(Dialect dialect, const Script& script,
                                         const std::vector<Statement>& statements,
                                         const std::vector<Meaning>& meanings);

}  // namespace syzygy
