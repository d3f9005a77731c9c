// rule.h - one hazard, as data: what triggers it, why it hurts, what it claims of the database, the safe form,
// examples.
//
// One file per hazard defines one Rule; registry.cpp lists them. `syzygy explain` and docs/rules.md are written from
// these fields, and tests hold each claim against a real PostgreSQL: a rule about locks, scans or rewrites without a
// claim, or with one that the server contradicts, fails the build. A check is pure: values in, messages out.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/plan.h"
#include "migration/rules/schema.h"
#include "migration/source/source.h"
#include "migration/sql/meaning.h"
#include "migration/sql/statements.h"

namespace syzygy {

enum class Severity : std::uint8_t { kOff, kNote, kWarning, kError };

enum class HazardGroup : std::uint8_t {
  kBreaksOldCode,
  kBreaksNewCode,
  kBlocks,
  kRewrites,
  kCannotWork,
  kLosesData,
  kQuality,  // off unless asked for
};

// PostgreSQL's table locks, in its order.
enum class LockMode : std::uint8_t {
  kNone,
  kAccessShare,
  kRowShare,
  kRowExclusive,
  kShareUpdateExclusive,
  kShare,
  kShareRowExclusive,
  kExclusive,
  kAccessExclusive,
};

// What a firing example does to two of the tables of kExampleTables.
struct Claim {
  LockMode lock = LockMode::kNone;   // the strongest lock on `table`
  LockMode other = LockMode::kNone;  // and on `other_table`
  bool scans = false;                // reads all of `table` while it holds the lock
  bool rewrites = false;             // writes all of `table`, or of one of its indexes, anew
  std::string_view table = "orders";
  std::string_view other_table = "customers";

  friend bool operator==(const Claim&, const Claim&) = default;
};

// A migration on the tables of kExampleTables. Markers in it count (-- syzygy:stage, -- syzygy:no-transaction).
struct Example {
  std::string_view sql;
  std::string_view before = {};      // a migration of an earlier release
  std::string_view breaks = {};      // what code does that works before it and fails after it
  std::optional<Claim> claim = {};   // where it differs from the rule's
  std::string_view refused_as = {};  // the SQLSTATE with which the server refuses it
  std::string_view seen = {};        // a question whose answer is true only afterwards, or what works only then
};

// Which tables a rule is about.
enum class Tables : std::uint8_t {
  kAny,
  kInUse,   // not those that the same plan creates
  kFilled,  // nor those that the catalogue says are small
};

// When what the migration does hurts.
enum class When : std::uint8_t {
  kAlways,
  kBeforeDeployment,  // old code still runs: pre_deploy, ambiguous, or applied in one phase
  kAfterDeployment,   // new code runs already
};

// Everything that a check may look at. Views what the linter owns.
struct Subject {
  Dialect dialect = Dialect::kPostgres;
  int server = 15;  // PostgreSQL's major version, assumed where there is no connection
  const Script& script;
  std::span<const Statement> statements;
  std::span<const Meaning> meanings;
  std::size_t index;           // of the statement
  std::optional<Stage> stage;  // nullopt: ambiguous
  bool one_phase = false;      // everything runs before the deployment, as other tools apply it
  bool in_transaction = true;
  const Schema& schema;             // as it stands before this statement
  LockMode held = LockMode::kNone;  // the strongest lock that the transaction holds already, on a table in use
  std::size_t held_since = 0;       // the statement that took it
  ObjectName held_on;               // and the table
  bool lock_timeout = false;        // an earlier statement of the file has set it
  bool has_down = false;            // there is a way back
  bool others_have_down = false;    // other migrations of the directory have one
  bool in_body = false;             // the action stands in a DO block or in a function that is called

  [[nodiscard]] const Statement& statement() const { return statements[index]; }
  [[nodiscard]] bool is_new(const ObjectName& object) const { return schema.is_new(object); }
};

// What a check finds, in the order found.
class Report {
 public:
  struct Entry {
    std::string message;
    std::string safe;  // the safe form with the names of the case; empty: the rule's
  };
  // `message` says what this statement does: "drops column email of table users, which old code still reads".
  void add(std::string message, std::string safe = {}) { entries_.push_back({std::move(message), std::move(safe)}); }
  [[nodiscard]] std::vector<Entry> take() { return std::exchange(entries_, {}); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }

 private:
  std::vector<Entry> entries_;
};

struct Rule {
  std::string_view id;                         // "drop-column"
  std::vector<std::string_view> aliases = {};  // what django-migration-linter and squawk call it
  std::string_view title;
  HazardGroup group;
  Severity severity;
  Tables tables = Tables::kInUse;
  When when = When::kAlways;
  bool sqlite = false;  // holds for SQLite, too
  std::string_view triggers;
  std::string_view why;
  std::string_view safe;
  std::optional<Claim> claim = {};
  std::vector<Example> fires = {};
  std::vector<Example> silent = {};  // near misses

  // Called for each action of a migration (also those that a new table is made of, where `parts` is set).
  void (*check)(const Action& action, const Subject& subject, Report& report) = nullptr;
  bool parts = false;
};

// Every rule, in the order of the documentation: by group, then by id.
std::span<const Rule* const> all_rules();

// By id or alias, whatever its case, _ for -; nullptr: there is none.
const Rule* find_rule(std::string_view name);

// The tables that the examples speak of: `orders`, in use and filled, and what stands around it.
extern const std::string_view kExampleTables;

std::string_view to_string(Severity severity);  // "off", "note", "warning", "error"
std::string_view to_string(HazardGroup group);  // "breaks old code"
std::string_view to_string(LockMode mode);      // "ACCESS EXCLUSIVE"
std::optional<Severity> severity_of(std::string_view word);

// "an ACCESS EXCLUSIVE lock on the table, for a scan of it": a claim in words.
std::string describe(const Claim& claim);

}  // namespace syzygy
