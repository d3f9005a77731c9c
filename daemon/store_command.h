// store_command.h - what `syzygyd store` does to a store while no daemon is needed: check it, move it, take it back.
//
// A store that was moved is marked in both places, under keys that no target has, so that a daemon never serves a store
// that was left behind, or one that is only half there: see refuse_if_moved(). Each returns the exit code and has
// printed everything; texts go to stdout, errors to stderr. One thread.
#pragma once

#include <string>

#include "base/result.h"
#include "store/store.h"

namespace syzygy::daemon {

inline constexpr int kExitFound = 1;  // store check: something is bad
inline constexpr int kExitBusy = 75;  // store migrate, reopen: somebody uses a store

struct StoreCommand {
  enum class Kind { kNone, kCheck, kMigrate, kReopen };
  Kind kind = Kind::kNone;
  std::string store;  // --store
  std::string from;
  std::string to;
  bool json = false;
};

int run_store_command(const StoreCommand& command);

// Before a daemon serves: kFailedPrecondition STORE_MOVED (names the place it was moved to) or STORE_INCOMPLETE.
Result<void> refuse_if_moved(Store& store);

}  // namespace syzygy::daemon
