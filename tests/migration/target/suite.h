// suite.h - what the tests of this folder share: a database of each kind, steps made from SQL text, and what happened.
#pragma once

#include <gtest/gtest.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "migration/target/target.h"

namespace syzygy::migration {

// A kind of database under test. `url()` gives a new, empty one; the rest works on such a url.
struct Kind {
  std::string name;
  Dialect dialect = Dialect::kPostgres;
  std::function<std::string()> url;
  // The first field of the first row; "" where there is none. Fails the test where the database refuses.
  std::function<std::string(const std::string& url, const std::string& sql)> value;
};
const std::vector<Kind>& kinds();
const Kind& postgres();
const Kind& sqlite();
inline void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

// Waits are short, and nothing ever waits for long.
TargetOptions quick();

// Opens it; a failure fails the test and gives null.
std::unique_ptr<Target> opened(const std::string& url, const TargetOptions& options = quick());
// Opened, prepared.
std::unique_ptr<Target> prepared(const std::string& url, const TargetOptions& options = quick());

struct StepOptions {
  bool atomic = true;
  Direction direction = Direction::kUp;
  Stage stage = Stage::kPreDeploy;
};
// A migration of that text, cut and read as the plan does it.
PlannedStep step(Dialect dialect, const std::string& id, const std::string& sql, const StepOptions& options = {});

RunInfo run_info(std::uint64_t token, const std::string& incarnation = "a", const std::string& round = "round-1");
ClaimRequest claim_request(const RunInfo& run);
// Claims; anything but Claimed fails the test.
Claimed claimed(Target& target, const RunInfo& run);

// "applied", "fenced out by 7", ... : short, for EXPECT_EQ.
std::string text(const ApplyResult& result);
std::string text(const ClaimResult& result);
std::vector<std::string> ids(const Snapshot& snapshot);

ApplyResult apply(Target& target, const RunInfo& run, const PlannedStep& step, bool last = false);

// Keeps what a target tells, for other threads to look at.
class Heard {
 public:
  OnProgress listener();
  [[nodiscard]] int count(Progress::Kind kind) const;
  [[nodiscard]] std::string last(Progress::Kind kind) const;
  [[nodiscard]] bool has(Progress::Kind kind, const std::string& part) const;

 private:
  mutable std::mutex mutex_;
  std::vector<Progress> heard_;
};

// Looks until `condition` holds, for at most 30 s; false: it never did.
bool eventually(const std::function<bool()>& condition);

// Runs `work` in a child process, which the test may kill.
class Forked {
 public:
  explicit Forked(const std::function<void()>& work);
  ~Forked();
  Forked(const Forked&) = delete;
  Forked& operator=(const Forked&) = delete;
  void kill();  // SIGKILL, and waits
  int wait();   // its exit code; -1: by a signal

 private:
  pid_t pid_ = -1;
};

}  // namespace syzygy::migration
