// driver.h - one process's way through a round: joins, waits and tells, applies when elected, and ends with an exit
// code.
//
// The same for `migrate` and `exec`; what they do differently is a Runner. Belongs to the calling thread, as the
// Session does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "client/cli/commands.h"
#include "client/cli/narrator.h"
#include "client/cli/settings.h"
#include "client/cpp/session.h"

namespace syzygy::cli {

// The run ended, and the daemon is told how. `exit_code` is the process's own, where it is not that of the outcome.
struct RunReported {
  RunResult result;
  std::optional<int> exit_code;
  bool outcome_stands = false;  // fenced, and the outcome is committed in the target: true whatever the daemon hears
};
// It was stopped, and its session has ended: somebody else may go on.
struct RunLeft {
  std::string reason;
  v1::Finding finding;
  int signal = 0;  // what it was stopped on, if by a signal
};
// Nobody can tell here how it ended. The daemon finds out by the lease, the next claim by looking.
struct RunLost {
  std::string message;
  std::optional<int> exit_code;  // where it is not that of "nobody knows"
};
using RunEnd = std::variant<RunReported, RunLeft, RunLost>;

// Requests of a process count from 1; what an operator sends in its name is numbered after everything that the process
// itself can have said.
inline constexpr std::uint64_t kOperatorSequence = std::uint64_t{1} << 40;

class Runner {
 public:
  virtual ~Runner() = default;
  virtual Result<Pending> read_pending(ReadCause cause) = 0;
  // Claims the fence with the token and compares. May take long (an old applier's session): tells the session's
  // progress.
  virtual Claimed claim(const happening::Elected& elected) = 0;
  // The daemon has accepted this target's name for the database that was read. An error ends this process.
  virtual std::optional<Error> joined() = 0;
  // Why this process must not be elected again after its claim: the session is left, and this is the end.
  [[nodiscard]] virtual std::optional<Error> barred() const = 0;
  virtual RunEnd run(const v1::Round& round, Token token, std::size_t from_step) = 0;
};

// What the process ends with, also as JSON for --result.
struct Ended {
  int exit_code = 0;
  std::string outcome;  // "applied", "nothing_pending", "failed", "quorum_timeout", ...
  std::string message;  // one line
  std::string round_id;
  std::string plan_hash;
  std::string applier_party;
  std::uint64_t token = 0;
  bool by_this_process = false;
};

Ended drive(Session& session, Runner& runner, const Context& context);

SessionOptions session_options(const Settings& settings);

// Tells the last line, and writes --result. Gives the exit code (a result file that cannot be written is a warning).
int finish(const Ended& ended, Narrator& narrator, const Settings& settings);

}  // namespace syzygy::cli
