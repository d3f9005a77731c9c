// exit_codes.h - what the process says when it ends; the same list is in the README and in `syzygy --help`.
#pragma once

#include "base/result.h"
#include "client/cpp/session.h"

namespace syzygy::cli {

enum ExitCode : int {
  kExitOk = 0,              // applied, or nothing to do, or applied by another party
  kExitFindings = 1,        // doctor: something is wrong
  kExitUsage = 2,           // flags, environment, syzygy.toml
  kExitPlan = 65,           // the plan cannot be made
  kExitDatabase = 66,       // unreachable or refusing, before anything ran
  kExitDaemon = 69,         // no daemon answers
  kExitLimit = 75,          // a limit: try again
  kExitDenied = 77,         // token missing or wrong
  kExitFailed = 80,         // the apply failed, here or at the applier
  kExitNoQuorum = 81,       // in time
  kExitDisagree = 82,       // about the plan, the stage, N, the roster, the database
  kExitSevered = 83,        // or cancelled
  kExitIndeterminate = 84,  // nobody knows; look, then: syzygy resolve
  kExitElsewhere = 85,      // still being applied elsewhere at my deadline
  kExitGate = 86,           // held by the release gate at my deadline
};
inline constexpr int kExitSignalBase = 128;

// Of an error of the daemon or of the way to it.
int exit_code(const Error& error);
// Of an error of reading the directory, planning, or the target database.
int plan_exit_code(const Error& error);
int exit_code(const happening::Finished& finished);
int exit_code(WaitsFor waited_for);

}  // namespace syzygy::cli
