// postgres_schema.h - what the PostgreSQL store keeps in its schema, how it gets there, and what it asks of it.
//
// The schema has a version, in its table meta. Each migration is one transaction that first tries (and never waits for)
// a lock and looks at the version, so that any number of daemons may start at once. What a daemon asks is answered with
// the version, too: one that meets a newer schema stops using it.
#pragma once

#include <string>

#include "base/result.h"
#include "store/postgres_session.h"

namespace syzygy::pg {

inline constexpr int kSchemaVersion = 1;

// SQLSTATEs of our own.
inline constexpr const char* kStateHistory = "SZ001";  // "CHANGE LAST": the history of that change does not rise
inline constexpr const char* kStateVersion = "SZ002";  // "VERSION": the schema is of another one
inline constexpr const char* kStateBusy = "SZ003";     // somebody else migrates at this moment
inline constexpr const char* kStateMoved = "SZ004";    // somebody else has migrated

// Brings the schema to kSchemaVersion.
Result<void> migrate(Session& session, const Address& address);

// What a failure means for the caller of the store.
Error error_of(const Failure& failure, const Address& address);
Error store_newer(const Address& address, const std::string& version);

// The channel of NOTIFY.
std::string channel_of(const std::string& schema);
// The advisory lock of a record, or of the migrations (an empty key).
std::int64_t lock_of(const std::string& schema, std::string_view key);

// Each row that these give begins with: the schema's version, its epoch, the server's time in milliseconds, and "on"
// where the server takes no writes. Where nothing was found there is one row all the same, with its other fields empty.
struct Statements {
  explicit Statements(const std::string& schema);
  Statement now;      // ()
  Statement load;     // (key in hex) -> epoch, counter, commit, bytes in hex
  Statement scan;     // (from, to, limit; keys in hex) -> key in hex, epoch, counter, commit
  Statement since;    // (counter, limit) -> as scan: what has a higher counter
  Statement history;  // (key in hex, after, limit) -> revision, bytes in hex
  Statement commit;   // see postgres.cpp -> outcomes, one letter each: c x b; of each its counter; of each x
                      // EPOCH:COUNTER:COMMIT:BYTES in hex, or nothing; all with commas
};

}  // namespace syzygy::pg
