// target.h - everything that touches a target database, behind one interface: history, fence, claims, and applying
// steps.
//
// A Target is one application's schema in one database (PostgreSQL or SQLite). Its fence row is where the protocol's
// damage would be: whoever holds a stale token can change nothing (src/round/PROTOCOL.md, "Fencing"). The order for a
// run is prepare() - snapshot() - [gather] - claim() - compare() (compare.h) - apply_step() for each - and settle()
// whenever apply_step() said Lost.
//
// Threads: a Target belongs to one thread at a time; cancellation comes in as a std::stop_token, from any thread.
// Nothing (no transaction, no lock) is held between two calls, except during a break-glass run. Failure: an Error means
// that the database could not be reached or refuses (exit 66), and that the call changed nothing; what can happen to a
// running step is a value of ApplyResult. No message ever holds a password.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/plan.h"
#include "base/result.h"
#include "base/time.h"
#include "migration/plan/plan.h"
#include "migration/source/source.h"

namespace syzygy::migration {

// ---- what a caller gives

struct TargetOptions {
  std::string application = "default";  // one fence row, one history per application
  std::string target;                   // the name that the clusters share for it; empty: not compared
  std::string schema = "syzygy";        // where the fence lives; on SQLite the prefix of its tables
  Duration connect_timeout{10'000};     // for one attempt to connect
  Duration lock_timeout{500};           // to get a lock, never to run
  int lock_attempts = 60;               // transactions tried before a lock that nobody gives up is an error
  Duration retry_delay_min{100};        // between those attempts: jittered, growing to the maximum
  Duration retry_delay_max{5'000};      // (60 attempts with these take about five minutes)
  Duration poll_interval{250};          // of a claim that waits for another session
  // For a server that says nothing where an answer is due at once, over and above lock_timeout: then the connection is
  // lost. A statement of a migration may run as long as it likes.
  Duration answer_timeout{30'000};
  Duration stop_timeout{5'000};  // for a server that was asked to stop a statement, and says nothing
  Duration tell_after{10'000};   // a statement that runs for longer is told of, again and again (kWaiting)
  std::stop_token quit;          // this process is to end: whatever waits for an answer gives up soon
  // How soon the server notices that this client has died (PostgreSQL 14 and newer). 0: the server's own setting.
  Duration client_check_interval{2'000};
};

// A migration of the directory, for other tools' tables and for adopting them. Its version is the number in its id.
struct KnownStep {
  StepId id;
  std::string content;  // of the up direction
  // What the other tool's own row of it would say; empty where the directory is not that tool's.
  std::string name = {};      // "add_email"
  std::string script = {};    // "V4__add_email.sql"
  std::string checksum = {};  // Flyway's, Atlas'
  std::size_t statements = 0;
  bool repeatable = false;
};
std::vector<KnownStep> known_steps(const std::vector<Migration>& directory);

// Who applies, and under which grant.
struct RunInfo {
  RoundId round;
  Token token;
  IncarnationId incarnation;
  std::string who;                   // "eu-west (host ci-7, user deploy)": goes into the history
  std::vector<KnownStep> directory;  // all of it, in order: needed while another tool's table is kept
};

enum class BlockedPolicy : std::uint8_t { kWait, kTerminate };

// ---- what the database shows

struct Identity {
  std::string system;    // PostgreSQL: the server's system identifier; SQLite: "sqlite"
  std::string database;  // PostgreSQL: its name; SQLite: the file's canonical path
  std::string id;        // minted in the fence row of this application; empty before prepare()
  std::string target;    // the name that this row bears; empty: none yet
};

// A row of the history that stands: applied, and not reverted since. An adopted one has no stage (plan.h).
struct AppliedRow {
  AppliedStep step;
  std::string who;
  Instant at;
  Duration took{0};
  RoundId round;
  Token token;
};

// A step outside a transaction that was begun: its mark. It leaves here when it is in the history.
struct BegunStep {
  StepId id;
  Direction direction = Direction::kUp;
  RoundId round;
  Token token;
  Instant at;
  std::string ended;  // the database's words, where it is known to have failed, or the operator's who looked

  friend bool operator==(const BegunStep&, const BegunStep&) = default;
};

enum class Outcome : std::uint8_t { kSucceeded, kFailed };

struct OutcomeRow {
  RoundId round;
  Token token;
  Outcome outcome = Outcome::kSucceeded;

  friend bool operator==(const OutcomeRow&, const OutcomeRow&) = default;
};

// Who claimed the target last, and whether that run can still do something.
struct ClaimRow {
  Token token;  // 0: nobody ever
  IncarnationId incarnation;
  RoundId round;
  bool fenced = true;
  bool ended = true;  // an unfenced run whose end is confirmed; a fenced one needs no end

  friend bool operator==(const ClaimRow&, const ClaimRow&) = default;
};

// Another tool's history table in this database.
struct ForeignHistory {
  std::string tool;                        // "golang-migrate", "goose", "dbmate", "Flyway", ...
  std::string table;                       // as it is to be named in SQL
  std::vector<std::string> versions = {};  // applied, ascending; golang-migrate has one, the highest
  bool cumulative = false;                 // one version stands for itself and everything below
  bool dirty = false;                      // the other tool left a migration half-way
  bool kept = false;                       // adopted: we write it together with ours where it can say what happened
  bool readable = true;                    // false: only its presence is known (adopt --at is the way)
  bool refuses = true;                     // `migrate` refuses beside it while ours is empty (refuses_unadopted)
  std::string baseline = {};               // everything up to this version counts as applied; empty: none
  std::vector<std::pair<std::string, std::string>> repeatables = {};  // Flyway's R__: script and checksum
  std::string half_way = {};  // the dirty one, where the table says it beside `versions`
};

inline constexpr std::size_t kRecentMax = 256;

// All of it read in one snapshot of the database.
struct Snapshot {
  bool prepared = false;  // false: no fence here yet, and everything below but `foreign` is empty
  std::string id;
  std::string target;  // the name in the fence row; empty: none yet
  ClaimRow claim;
  std::vector<AppliedRow> applied;  // in the order in which they were applied
  // The last thing that happened to each step, up or down: newest first, at most kRecentMax (what a join brings).
  // Without those that have no stage (adopted ones).
  std::vector<Step> recent;
  std::vector<BegunStep> begun;
  std::optional<OutcomeRow> last_outcome;
  std::optional<OutcomeRow> outcome;  // of the round that was asked for
  bool adopted = false;               // adopt() was called: other tools' tables are settled
  std::vector<ForeignHistory> foreign;
};

std::vector<AppliedStep> applied_steps(const Snapshot& snapshot);  // as make_plan() wants them

// One line of the log that `syzygy history` shows: ups and downs, in order.
struct HistoryEntry {
  StepId id;
  Direction direction = Direction::kUp;
  std::optional<Stage> stage;
  std::string content;
  std::string who;
  Instant at;
  Duration took{0};
  RoundId round;
  Token token;
  bool reverted = false;  // an up that a later down took back
  bool adopted = false;
};

// What was done by hand: break-glass, accept, adopt.
struct AuditEntry {
  std::string what;
  StepId step;
  std::string detail;
  std::string who;
  std::string reason;
  Instant at;
  Token token;
};

// The event trigger that looks at the token of every DDL statement: a second line behind the fence, for wrapped tools.
// It sees no data (a backfill is no DDL), nothing of tools that drop the session settings, and only PostgreSQL has it.
struct DdlGuard {
  enum class Mode : std::uint8_t {
    kNone,
    kReject,   // stale tokens are refused
    kRequire,  // DDL without a token, too, save for `roles` and for sessions that SET syzygy.reason
  };
  Mode mode = Mode::kNone;
  std::vector<std::string> roles;  // login roles, as session_user names them
  bool enabled = true;             // false: ALTER EVENT TRIGGER ... DISABLE
};
std::string_view to_string(DdlGuard::Mode mode);  // "none", "reject", "require"

// ---- what is heard on the way

struct Blocker {
  int pid = 0;          // of the server's session; 0 where it cannot be seen
  std::string session;  // "application_name, state, since": for people
  bool break_glass = false;
};

struct Progress {
  enum class Kind : std::uint8_t {
    kStatement,     // about to run statement `index` of `total`
    kLockTimeout,   // a lock was not given; the transaction was rolled back and is tried again (`attempt`)
    kBlocked,       // waiting for `blocker`
    kTerminated,    // policy terminate: that session was told to end
    kNotice,        // the database said something (RAISE NOTICE)
    kIndexDropped,  // an INVALID index of an earlier build was dropped, to be built anew
    kReconnecting,  // the connection is lost; trying again
    kWaiting,       // a statement runs, or the server does not answer at all: `text` says which
  };
  Kind kind = Kind::kStatement;
  std::string text;  // one line for people
  int index = 0;     // 1-based
  int total = 0;
  int attempt = 0;
  std::optional<Blocker> blocker;
};

using OnProgress = std::function<void(const Progress&)>;  // called on the calling thread, notices included

// ---- what comes of it

struct ClaimRequest {
  Token token;
  IncarnationId incarnation;
  RoundId round;
  bool fenced = true;
  BlockedPolicy policy = BlockedPolicy::kWait;
  Duration wait_max{std::chrono::hours{24 * 365}};  // for whatever blocks it
};

// Complete: the token is committed and no holder of the step lock is left. `previous` is the claim before this one,
// also when this is a retry; the snapshot was read afterwards, with the outcome of the claimed round.
struct Claimed {
  Snapshot snapshot;
  ClaimRow previous;
};
struct ClaimRefused {
  ClaimRow row;  // its token is not below ours, or equals it in another incarnation's hands
};
// wait_max is over. `committed`: the token stands already (nobody below it can start anything), but a step outside a
// transaction is still running.
struct ClaimBlocked {
  Blocker blocker;
  bool committed = false;
};
struct ClaimCancelled {
  bool committed = false;
};
using ClaimResult = std::variant<Claimed, ClaimRefused, ClaimBlocked, ClaimCancelled, Error>;

// In the history, committed. `outcome_written`: this was the last step, and SUCCEEDED stands in the target.
struct Applied {
  Duration took{0};
  bool outcome_written = false;
};
// The history is not what the plan says (an up that is applied already, a down that is not; a step outside a
// transaction that another run has begun, and nobody knows how far it came): nothing was done.
struct Changed {
  std::string detail;
};
// Another claim holds the fence. Nothing of this step took effect, except where `after_effect`: an unfenced step
// outside a transaction had run before it was seen.
struct FencedOut {
  Token by;
  bool after_effect = false;
};
// The database refused a statement. Of an atomic step nothing is left; of another, what ran before `line` stays.
struct StepFailed {
  std::string file;
  std::size_t line = 0;
  std::string statement;
  std::string words;      // the database's own
  std::string sql_state;  // "" for SQLite
  bool nothing_left = true;
  std::string message;  // all of it, for people: what happened, where, what stays, what to do next
};
// The connection is gone and what became of the step is not known: call settle().
struct Lost {
  Error error;
};
// Stopped by the token. Rolled back, and the session has ended (or: the statement outside a transaction has).
struct Cancelled {
  bool nothing_left = true;
};
using ApplyResult = std::variant<Applied, Changed, FencedOut, StepFailed, Lost, Cancelled>;

struct ApplyOptions {
  bool last = false;  // writes SUCCEEDED for the round, in the step's own transaction
};

// After Lost: what became of the step. The fence row (and the step lock) was held again for a moment, so the old
// session is gone.
struct Settled {
  enum class What : std::uint8_t {
    kApplied,     // in the history
    kNotApplied,  // nothing of it is there
    kBegun,       // a step outside a transaction: begun, not finished, and nobody can tell how far it came
    kFencedOut,   // somebody else claimed meanwhile: claim.token in the snapshot
  };
  What what = What::kNotApplied;
  Snapshot snapshot;
};
struct SettleCancelled {};
using SettleResult = std::variant<Settled, SettleCancelled, Error>;

struct BreakGlass {
  IncarnationId incarnation;
  RoundId round;  // minted for this run
  std::string who;
  std::string reason;
  bool attest_stopped = false;     // the operator says that the unfenced run before has ended
  Duration unfenced_wait{70'000};  // otherwise: its lease + lock delay
  BlockedPolicy policy = BlockedPolicy::kWait;
  Duration wait_max{std::chrono::hours{24 * 365}};
};

inline constexpr std::uint64_t kBreakGlassLeap = std::uint64_t{1} << 20;

struct BreakGlassStarted {
  Token token;
  Snapshot snapshot;
};
using BreakGlassResult = std::variant<BreakGlassStarted, ClaimBlocked, ClaimCancelled, Error>;

struct Adoption {
  std::vector<StepId> adopted;
  std::vector<StepId> reverted;  // a kept table said so, since the other tool had gone back
  std::string from;              // "golang-migrate's schema_migrations", or "--at 0040"
  bool kept = false;             // theirs is written together with ours from now on
};

// What `doctor` finds; `next` is a command to type, or empty.
struct Finding {
  std::string name;
  bool ok = true;
  std::string cause;
  std::string next;
};

// Are there sessions of that application_name left?
struct SessionsLeft {
  bool can_see = false;  // false: through a pooler, or a database that has none; `why` says
  std::vector<int> pids;
  std::string why;
};

class Target {
 public:
  virtual ~Target() = default;

  // For messages: "PostgreSQL orders at db.example:5432", "SQLite /srv/app.db". No secret.
  [[nodiscard]] virtual std::string describe() const = 0;

  virtual Result<Identity> identity() = 0;
  // The same without reading the fence row again: `seen` is the snapshot that was read just now.
  virtual Result<Identity> identity(const Snapshot& seen) = 0;

  // Can a step outside a transaction be fenced here? False through a pooler, with the reason.
  struct Fencing {
    bool outside_transaction = true;
    std::string why_not;
  };
  virtual Result<Fencing> fencing() = 0;

  // Creates, or brings up to date, what we keep in the target. Safe however many do it at once; does nothing where it
  // stands already. Never called by what only plans.
  virtual Result<void> prepare() = 0;

  // Reads; also where nothing was prepared, and with a role that may only read. Never writes, never creates a file.
  virtual Result<Snapshot> snapshot(const RoundId& round = {}) = 0;
  virtual Result<std::vector<HistoryEntry>> history() = 0;
  virtual Result<std::vector<AuditEntry>> audit() = 0;

  // The fence row bears options.target from now on, where it bore none. Call it once the daemon has accepted that name
  // for this database; claims do it, too. Error TARGET_NAME_DIFFERS: it bears another one.
  virtual Result<void> bind() = 0;
  // An operator's word: it bears options.target, whatever it bore. REQUIRES: prepare(). Gives the name that stood.
  virtual Result<std::string> rebind(std::string_view who, std::string_view reason) = 0;

  // Takes the fence. REQUIRES: prepare(). An Error TARGET_NAME_DIFFERS means that the row bears another target's name.
  // Polls, never blocks; each wait is told to `progress`. A connection that breaks on the way is made anew and the
  // claim repeated: with the same token and incarnation that is safe.
  virtual ClaimResult claim(const ClaimRequest& request, const OnProgress& progress, std::stop_token stop) = 0;

  // REQUIRES: a completed claim with run.token and run.incarnation.
  virtual ApplyResult apply_step(const RunInfo& run, const PlannedStep& step, const ApplyOptions& options,
                                 const OnProgress& progress, std::stop_token stop) = 0;

  // Reconnects for as long as it takes (`wait_max`), waits for the old session to be gone, and reads the truth.
  virtual SettleResult settle(const RunInfo& run, const Step& step, Duration wait_max, const OnProgress& progress,
                              std::stop_token stop) = 0;

  // The unfenced run under this claim has ended, and is seen to have. False: the claim is not ours any more.
  virtual Result<bool> mark_ended(Token token, const IncarnationId& incarnation) = 0;

  // While the run lasts every other claim waits, "blocked by a break-glass run". Steps are applied by apply_step() with
  // the token from BreakGlassStarted. Where the connection is lost, the run is over.
  virtual BreakGlassResult break_glass_begin(const BreakGlass& request, const OnProgress& progress,
                                             std::stop_token stop) = 0;
  virtual Result<void> break_glass_end() = 0;

  // Takes over what another tool applied: from its table, or (`at`) everything of `directory` up to that id. Where its
  // table is kept and the tool has run since, what it did meanwhile; where `at` is a step outside a transaction whose
  // end nobody knew, that one step, up or down; else refuses where our own history is not empty.
  // From an adoption that agrees with its table on, that table is written together with ours. Errors: FOREIGN_DIRTY,
  // FOREIGN_UNKNOWN_VERSION, NOTHING_TO_ADOPT, HISTORY_NOT_EMPTY, STEP_UNKNOWN, STEP_RUNS.
  virtual Result<Adoption> adopt(const std::vector<KnownStep>& directory, const std::optional<StepId>& at,
                                 std::string_view who) = 0;
  // The file of an applied step was changed, and that is well. Gives the checksum that stood. Errors: STEP_UNKNOWN.
  virtual Result<std::string> accept(const StepId& step, const std::string& content, std::string_view who,
                                     std::string_view reason) = 0;

  // An operator has looked at what steps outside a transaction left, of which nobody knew how far they came: they may
  // run again. Audited; the marks stay, as ended, until the steps are begun anew. settle_begun: those that the claimed
  // round began, and those of `steps` whoever began them; gives the marks as they stood. REQUIRES: a completed claim.
  // Error: CLAIM_LOST.
  virtual Result<std::vector<BegunStep>> settle_begun(const RunInfo& run, const std::vector<StepId>& steps,
                                                      std::string_view reason) = 0;
  // The same without a claim, for when there is no daemon. Errors: STEP_NOT_BEGUN, STEP_RUNS.
  virtual Result<BegunStep> repair(const StepId& step, std::string_view who, std::string_view reason) = 0;

  // Environment for a wrapped tool: the names of round and token, and the session settings (not through a pooler, which
  // would refuse them). `pgoptions` is the value that the environment has now.
  virtual Result<std::vector<std::pair<std::string, std::string>>> exec_environment(const RunInfo& run,
                                                                                    std::string_view pgoptions) = 0;
  virtual Result<SessionsLeft> sessions_of(const RunInfo& run) = 0;
  // Looks, terminates, looks again, until none is left or `wait_max` is over.
  virtual Result<SessionsLeft> end_sessions_of(const RunInfo& run, Duration wait_max) = 0;

  // Errors of the three: GUARD_NOT_POSSIBLE (not PostgreSQL), GUARD_NEEDS_SUPERUSER (kPermissionDenied).
  virtual Result<DdlGuard> ddl_guard() = 0;
  // Replaces the one that stands. Audited, as its removal is. REQUIRES: prepare().
  virtual Result<void> install_ddl_guard(const DdlGuard& guard, std::string_view who, std::string_view reason) = 0;
  // False: there was none.
  virtual Result<bool> remove_ddl_guard(std::string_view who, std::string_view reason) = 0;
  // What install_ddl_guard() runs, for a superuser to run by hand.
  virtual Result<std::string> ddl_guard_script(const DdlGuard& guard) = 0;

  // Rights, pooler, clock, version, other tools' tables: what usually goes wrong.
  virtual std::vector<Finding> diagnose() = 0;
};

// postgresql://…, postgres://…, sqlite:///absolute/path. Connects (SQLite: opens, where the file exists), so an Error
// is what exit 66 says. Errors: DATABASE_URL_INVALID (kInvalidArgument), DATABASE_UNREACHABLE (kUnavailable),
// DATABASE_REFUSED (kPermissionDenied).
Result<std::unique_ptr<Target>> open_target(const std::string& url, const TargetOptions& options = {});

// As Target::diagnose(), also where the database cannot be opened.
std::vector<Finding> diagnose_target(const std::string& url, const TargetOptions& options = {});

// "postgresql://orders@db/orders?…" without its password, for messages; anything that is no URL becomes "(not a URL)".
std::string without_password(const std::string& url);

// The application_name of the sessions of a wrapped tool: at most 63 bytes, naming round and token.
std::string session_name(const RoundId& round, Token token);

// The error that `migrate` gives, with the command that adopts: another tool's history stands and ours is empty, or its
// table is kept and (seen only where the directory is given) the tool has run since. nullopt: nothing to adopt.
std::optional<Error> refuses_unadopted(const Snapshot& snapshot, const std::vector<KnownStep>& directory = {});

// What stands in the way of a step: who began it, that nobody knows how far it came, and what to do.
std::string left_unfinished(const BegunStep& mark);

// "golang-migrate's public.schema_migrations stays at 3: ...", where a kept table cannot say what is applied; else "".
std::string kept_table_stays(const Snapshot& snapshot);

// Two names for one application in one database: TARGET_NAME_DIFFERS, naming both and the ways out; nullopt where
// `bears` is that name, or none yet, or no name was given. `place` is Target::describe().
std::optional<Error> refuses_other_name(const std::string& place, const TargetOptions& options,
                                        const std::string& bears);

}  // namespace syzygy::migration
