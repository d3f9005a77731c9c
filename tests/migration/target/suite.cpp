#include "tests/migration/target/suite.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "base/sha256.h"
#include "tests/support/postgres.h"
#include "tests/support/slowness.h"

namespace syzygy::migration {
namespace {

// One directory for the program's SQLite files, removed at its end.
class Files {
 public:
  Files() {
    std::string name = (std::filesystem::temp_directory_path() / "syzygy-target-XXXXXX").native();
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    path_ = name;
    owner_ = ::getpid();
  }
  ~Files() {
    std::error_code ignored;
    if (::getpid() == owner_) std::filesystem::remove_all(path_, ignored);
  }
  std::string next() { return path_ / ("db" + std::to_string(++count_) + ".sqlite"); }

 private:
  std::filesystem::path path_;
  pid_t owner_ = 0;
  int count_ = 0;
};

std::string sqlite_value(const std::string& url, const std::string& sql) {
  sqlite3* db = nullptr;
  EXPECT_EQ(sqlite3_open(url.substr(std::string("sqlite://").size()).c_str(), &db), SQLITE_OK);
  sqlite3_busy_timeout(db, 10'000);
  std::string value;
  bool first = true;
  std::pair<std::string*, bool*> out{&value, &first};
  char* error = nullptr;
  const int code = sqlite3_exec(
      db, sql.c_str(),
      [](void* to, int count, char** fields, char**) {
        auto& [text, is_first] = *static_cast<std::pair<std::string*, bool*>*>(to);
        if (*is_first && count > 0 && fields[0] != nullptr) *text = fields[0];
        *is_first = false;
        return 0;
      },
      &out, &error);
  EXPECT_EQ(code, SQLITE_OK) << (error == nullptr ? "" : error) << ": " << sql;
  sqlite3_free(error);
  sqlite3_close(db);
  return value;
}

std::string postgres_value(const std::string& url, const std::string& sql) {
  try {
    return test::PostgresServer::shared().value(url.substr(url.rfind('/') + 1), sql);
  } catch (const std::exception& error) {
    ADD_FAILURE() << error.what() << ": " << sql;
    return "";
  }
}

}  // namespace

const Kind& postgres() {
  static const Kind kind{"PostgreSQL", Dialect::kPostgres,
                         [] {
                           auto& server = test::PostgresServer::shared();
                           return server.url(server.create_database());
                         },
                         postgres_value};
  return kind;
}

const Kind& sqlite() {
  static const Kind kind{"SQLite", Dialect::kSqlite,
                         [] {
                           static Files files;
                           return "sqlite://" + files.next();
                         },
                         sqlite_value};
  return kind;
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {postgres(), sqlite()};
  return all;
}

TargetOptions quick() {
  TargetOptions options;
  options.lock_timeout = Duration{100};
  options.retry_delay_min = Duration{10};
  options.retry_delay_max = Duration{50};
  options.lock_attempts = 400;
  options.poll_interval = Duration{20};
  options.client_check_interval = Duration{0};
  return options;
}

std::unique_ptr<Target> opened(const std::string& url, const TargetOptions& options) {
  auto target = open_target(url, options);
  EXPECT_TRUE(target) << target.error().message;
  return target ? std::move(*target) : nullptr;
}

std::unique_ptr<Target> prepared(const std::string& url, const TargetOptions& options) {
  auto target = opened(url, options);
  auto done = target->prepare();
  EXPECT_TRUE(done) << done.error().message;
  return target;
}

PlannedStep step(Dialect dialect, const std::string& id, const std::string& sql, const StepOptions& options) {
  PlannedStep planned;
  planned.step = {StepId{id}, options.direction, options.stage, sha256_hex(sql), options.atomic};
  planned.file = "migrations/" + id + ".sql";
  planned.no_transaction = !options.atomic;
  auto statements = split_statements(dialect, sql, planned.file);
  EXPECT_TRUE(statements) << statements.error().message;
  if (statements) planned.statements = std::move(*statements);
  for (const Statement& statement : planned.statements) {
    planned.meanings.push_back(read_meaning(dialect, statement.text));
  }
  return planned;
}

RunInfo run_info(std::uint64_t token, const std::string& incarnation, const std::string& round) {
  RunInfo run;
  run.round = RoundId{round};
  run.token = Token{token};
  run.incarnation = IncarnationId{incarnation};
  run.who = "eu-west (tests)";
  return run;
}

ClaimRequest claim_request(const RunInfo& run) {
  ClaimRequest request;
  request.token = run.token;
  request.incarnation = run.incarnation;
  request.round = run.round;
  request.wait_max = std::chrono::seconds(30) * test::slowness();
  return request;
}

Claimed claimed(Target& target, const RunInfo& run) {
  auto result = target.claim(claim_request(run), {}, {});
  EXPECT_TRUE(std::holds_alternative<Claimed>(result)) << text(result);
  if (auto* claim = std::get_if<Claimed>(&result)) return std::move(*claim);
  return {};
}

std::string text(const ApplyResult& result) {
  struct Say {
    std::string operator()(const Applied& r) const {
      return r.outcome_written ? "applied, outcome written" : "applied";
    }
    std::string operator()(const Changed& r) const { return "changed: " + r.detail; }
    std::string operator()(const FencedOut& r) const {
      return "fenced out by " + std::to_string(r.by.value) + (r.after_effect ? ", after effect" : "");
    }
    std::string operator()(const StepFailed& r) const { return "failed: " + r.message; }
    std::string operator()(const Lost& r) const { return "lost: " + r.error.message; }
    std::string operator()(const Cancelled& r) const {
      return r.nothing_left ? "cancelled" : "cancelled, something left";
    }
  };
  return std::visit(Say{}, result);
}

std::string text(const ClaimResult& result) {
  struct Say {
    std::string operator()(const Claimed&) const { return "claimed"; }
    std::string operator()(const ClaimRefused& r) const {
      return "refused: row has " + std::to_string(r.row.token.value);
    }
    std::string operator()(const ClaimBlocked& r) const {
      return std::string("blocked") + (r.committed ? ", committed: " : ": ") + r.blocker.session;
    }
    std::string operator()(const ClaimCancelled& r) const { return r.committed ? "cancelled, committed" : "cancelled"; }
    std::string operator()(const Error& r) const { return "error: " + r.message; }
  };
  return std::visit(Say{}, result);
}

std::vector<std::string> ids(const Snapshot& snapshot) {
  std::vector<std::string> all;
  for (const AppliedRow& row : snapshot.applied) all.push_back(row.step.id.value);
  return all;
}

ApplyResult apply(Target& target, const RunInfo& run, const PlannedStep& planned, bool last) {
  return target.apply_step(run, planned, {last}, {}, {});
}

OnProgress Heard::listener() {
  return [this](const Progress& said) {
    const std::lock_guard lock(mutex_);
    heard_.push_back(said);
  };
}

int Heard::count(Progress::Kind kind) const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::ranges::count_if(heard_, [&](const Progress& one) { return one.kind == kind; }));
}

std::string Heard::last(Progress::Kind kind) const {
  const std::lock_guard lock(mutex_);
  std::string text;
  for (const Progress& one : heard_) {
    if (one.kind == kind) text = one.text;
  }
  return text;
}

bool Heard::has(Progress::Kind kind, const std::string& part) const {
  const std::lock_guard lock(mutex_);
  return std::ranges::any_of(heard_, [&](const Progress& one) { return one.kind == kind && one.text.contains(part); });
}

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30) * test::slowness();
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

Forked::Forked(const std::function<void()>& work) {
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ != 0) return;
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(127);
  work();
  ::_exit(::testing::Test::HasFailure() ? 1 : 0);
}

Forked::~Forked() { kill(); }

void Forked::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

int Forked::wait() {
  if (pid_ <= 0) return -1;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace syzygy::migration
