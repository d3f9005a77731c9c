#include "migration/rules/linter.h"

#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/name.h"
#include "base/sha256.h"
#include "base/shown.h"
#include "migration/rules/rules.h"
#include "migration/rules/words.h"
#include "migration/sql/lexer.h"
#include "migration/sql/sqlite_replay.h"

namespace syzygy {
namespace {

std::string_view trim(std::string_view text) {
  const auto space = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && space(text.front())) text.remove_prefix(1);
  while (!text.empty() && space(text.back())) text.remove_suffix(1);
  return text;
}

// -- syzygy:ignore RULE, RULE because REASON: for the statement that follows, or holds it; ignore-file: for the file.
struct Ignore {
  std::vector<const Rule*> rules;
  std::vector<bool> used;  // by rule
  std::vector<std::string> unknown;
  std::string because;  // empty: there is none, and the ignore counts for nothing
  bool file = false;
  Place place;
  std::size_t length = 0;
};

std::optional<Ignore> read_ignore(const Comment& comment) {
  if (!comment.text.starts_with("--")) return std::nullopt;
  std::string_view text = trim(std::string_view(comment.text).substr(2));
  if (!text.starts_with("syzygy:ignore")) return std::nullopt;
  text.remove_prefix(std::string_view("syzygy:ignore").size());
  Ignore ignore;
  ignore.place = comment.place;
  ignore.length = comment.text.size();
  if (text.starts_with("-file")) {
    ignore.file = true;
    text.remove_prefix(std::string_view("-file").size());
  }
  const auto because = std::min(text.find(" because"), text.size());
  if (because < text.size()) ignore.because = trim(text.substr(because + std::string_view(" because").size()));
  std::string_view names = text.substr(0, because);
  while (!(names = trim(names)).empty()) {
    const auto end = std::min(names.find_first_of(" \t,"), names.size());
    if (const std::string_view name = names.substr(0, end); !name.empty()) {
      const Rule* rule = find_rule(name);
      if (rule != nullptr) {
        ignore.rules.push_back(rule);
      } else {
        ignore.unknown.emplace_back(name);
      }
    }
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  ignore.used.resize(ignore.rules.size());
  return ignore;
}

std::string_view line_at(std::string_view text, std::size_t offset) {
  const auto before = offset == 0 ? std::string_view::npos : text.rfind('\n', offset - 1);
  const std::size_t start = before == std::string_view::npos ? 0 : before + 1;
  return text.substr(start, std::min(text.find('\n', start), text.size()) - start);
}

// What the migrations so far have made, whether or not it is still there: nothing else is in a database that this
// directory has made. With a catalogue, that says which tables and indexes there are.
class Made {
 public:
  explicit Made(const Schema* catalogue) : catalogue_(catalogue) {}

  void note(const Action& action) {
    const bool renames = action.kind == ActionKind::kRename && action.part.empty();
    if (action.kind == ActionKind::kOpaque || action.kind == ActionKind::kUnknown) anything_ = true;
    if (renames) names_.insert(action.new_name);
    if (action.kind == ActionKind::kCreate || action.kind == ActionKind::kReplace) names_.insert(action.object.name);
  }
  void assume_anything() { anything_ = true; }  // a migration could not be read

  [[nodiscard]] bool may_exist(const ObjectName& object) const {
    if (anything_ || object.name.empty() || names_.contains(object.name)) return true;
    if (catalogue_ == nullptr) return false;
    const bool listed = object.kind == ObjectKind::kTable || object.kind == ObjectKind::kIndex;
    return !listed || catalogue_->table(object) != nullptr || catalogue_->index(object) != nullptr;
  }

 private:
  const Schema* catalogue_;
  std::unordered_set<std::string> names_;  // of whatever kind
  bool anything_ = false;
};

// One migration while it is linted.
class File {
 public:
  File(const Migration& migration, const LintOptions& options, Schema& schema, Made& made, LintReport& report,
       const std::vector<const Rule*>& rules, const std::map<const Rule*, Severity>& severities, SqliteReplay* sqlite)
      : migration_(migration),
        options_(options),
        schema_(schema),
        made_(made),
        report_(report),
        rules_(rules),
        severities_(severities),
        sqlite_(sqlite) {}

  void lint(std::size_t plan, bool others_have_down) {
    const Script& script = migration_.up;
    auto split = split_statements(options_.dialect, script.text, script.path, script.first_line);
    if (!split) {
      schema_.begin_migration(plan, std::nullopt);
      made_.assume_anything();
      return unreadable(split.error());
    }
    statements_ = std::move(*split);
    meanings_.reserve(statements_.size());
    for (const Statement& statement : statements_) meanings_.push_back(read_meaning(options_.dialect, statement.text));
    if (sqlite_ != nullptr) meanings_ = sqlite_->effect(statements_, std::move(meanings_));
    read_ignores();
    const std::optional<Stage> stage = decide();
    schema_.begin_migration(plan, stage);
    report_.statements += statements_.size();

    Created created(meanings_);
    Subject subject{.dialect = options_.dialect,
                    .server = options_.server,
                    .script = script,
                    .statements = statements_,
                    .meanings = meanings_,
                    .index = 0,
                    .stage = stage,
                    .one_phase = options_.one_phase,
                    .in_transaction = !script.no_transaction,
                    .schema = schema_,
                    .held_on = {},
                    .has_down = migration_.down.has_value(),
                    .others_have_down = others_have_down};
    for (std::size_t i = 0; i < statements_.size(); ++i) {
      subject.index = i;
      for (const Action& action : meanings_[i].actions) {
        const auto* body = action.kind == ActionKind::kOpaque ? created.body_of(action.object) : nullptr;
        if (body == nullptr) {
          look(action, action, created, subject);
        } else {
          for (const Action& inner : *body) look(inner, action, created, subject);
        }
      }
      created.note(meanings_[i]);
    }
    tell_unused_ignores();
    // In the order of the source: a statement's findings were found rule by rule.
    std::ranges::sort(findings_, [](const Finding& a, const Finding& b) {
      return a.place != b.place ? a.place < b.place : a.rule->id < b.rule->id;
    });
    std::ranges::move(findings_, std::back_inserter(report_.findings));
  }

 private:
  void unreadable(const Error& error) {
    const auto line = error.metadata.find("line");
    const std::size_t number = line != error.metadata.end() ? std::stoul(line->second) : migration_.up.first_line;
    // "path:line:column: what" - the place is shown anyway.
    std::string message = error.message;
    std::size_t column = 1;
    if (const std::string prefix = migration_.up.path + ":" + std::to_string(number) + ":";
        message.starts_with(prefix)) {
      const auto end = message.find(": ", prefix.size());
      column = std::stoul(message.substr(prefix.size(), end - prefix.size()));
      message.erase(0, end + 2);
    }
    Finding finding = make(kUnreadable, message, {});
    finding.place = {number, column};
    finding.line = line_numbered(number);
    finding.length = 1;
    keep(std::move(finding));
    std::ranges::move(findings_, std::back_inserter(report_.findings));
  }

  // By the number that a Place has.
  [[nodiscard]] std::string_view line_numbered(std::size_t number) const {
    std::size_t offset = 0;
    for (std::size_t at = migration_.up.first_line; at < number; ++at) {
      offset = migration_.up.text.find('\n', offset);
      if (offset == std::string::npos) return {};
      ++offset;
    }
    return line_at(migration_.up.text, offset);
  }

  void tell(const Rule& rule, const Ignore& ignore, const std::string& message) {
    Finding finding = make(rule, message, {});
    finding.place = ignore.place;
    finding.line = line_numbered(ignore.place.line);
    finding.length = ignore.length;
    keep(std::move(finding));
  }

  void read_ignore_in(const Comment& comment, std::vector<Ignore>& of_statement) {
    auto ignore = read_ignore(comment);
    if (!ignore) return;
    for (const std::string& name : ignore->unknown) {
      tell(kBadIgnore, *ignore, "ignores \"" + printable(name) + "\", which is no rule");
    }
    if (ignore->because.empty()) {
      return tell(kBadIgnore, *ignore, "ignores without a reason, and is not heeded: write because and why");
    }
    if (ignore->rules.empty() && ignore->unknown.empty()) {
      return tell(kBadIgnore, *ignore, "ignores, and does not say which rule");
    }
    (ignore->file ? file_ignores_ : of_statement).push_back(std::move(*ignore));
  }

  void read_ignores() {
    ignores_.resize(statements_.size() + 1);
    for (std::size_t i = 0; i < statements_.size(); ++i) {
      for (const Comment& comment : statements_[i].comments) read_ignore_in(comment, ignores_[i]);
    }
    // Behind the last statement one holds for none, unless for the file.
    const std::string_view text = migration_.up.text;
    const std::size_t end = statements_.empty() ? 0 : statements_.back().offset + statements_.back().text.size();
    if (text.find("syzygy:ignore", end) == std::string_view::npos) return;
    Lexer lexer(options_.dialect, text.substr(end));
    while (const auto token = lexer.next()) {
      if (!token->is_comment()) continue;
      const std::string_view before = text.substr(0, end + token->offset);
      const auto lines = static_cast<std::size_t>(std::ranges::count(before, '\n'));
      const Place place{migration_.up.first_line + lines, before.size() - (before.rfind('\n') + 1) + 1};
      read_ignore_in({std::string(token->text), place}, ignores_.back());
    }
  }

  // An ignore that nothing needed any more hides the next finding at its place. With a catalogue, rules are quiet for
  // reasons that another database does not share.
  void tell_unused_ignores() {
    if (options_.catalogue != nullptr) return;
    const auto tell_of = [&](const std::vector<Ignore>& ignores) {
      for (const Ignore& ignore : ignores) {
        for (std::size_t i = 0; i < ignore.rules.size(); ++i) {
          if (ignore.used[i] || !severities_.contains(ignore.rules[i])) continue;
          tell(kUnusedIgnore, ignore,
               "ignores " + std::string(ignore.rules[i]->id) + ", which finds nothing " +
                   (ignore.file ? "in this file" : "in the statement below it"));
        }
      }
    };
    for (const auto& ignores : ignores_) tell_of(ignores);
    tell_of(file_ignores_);
  }

  std::optional<Stage> decide() {
    const auto decision = decide_stage(migration_.id, migration_.up, statements_, meanings_, options_.stages);
    if (decision) {
      if (decision->source == StageSource::kNoStatements) return Stage::kPreDeploy;
      if (decision->source == StageSource::kStatements && decision->stage == Stage::kPostDeploy) {
        ++report_.inferred_post_deploy;
      }
      return decision->stage;
    }
    if (options_.one_phase) return std::nullopt;
    const auto& metadata = decision.error().metadata;
    const bool one_side = !metadata.contains("pre_deploy") || !metadata.contains("post_deploy");
    Finding finding =
        make(kStageAmbiguous, decision.error().message,
             one_side ? "-- syzygy:stage pre_deploy\n-- or, where only new code needs it, post_deploy" : "");
    for (const char* side : {"ambiguous", "post_deploy", "pre_deploy"}) {
      const auto found = metadata.find(side);
      if (found == metadata.end()) continue;
      for (std::size_t i = 0; i < statements_.size(); ++i) {
        const Place at_fault = place_in(statements_[i], meanings_[i].stopped_at);
        if (at(migration_.up.path, at_fault) != found->second) continue;
        if (meanings_[i].actions.front().kind == ActionKind::kUnknown) return std::nullopt;  // not-understood says it
        set_place(finding, i, 0);
        keep(std::move(finding), &ignores_[i]);
        return std::nullopt;
      }
    }
    keep(std::move(finding));
    return std::nullopt;
  }

  // A helper that is gone with the migration; or DROP ... IF EXISTS before the CREATE of what nothing has made.
  [[nodiscard]] bool drops_nothing_of_old_code(const Action& action, const Created& created) const {
    if (action.kind != ActionKind::kDrop) return false;
    if (created.find(action) == Created::Answer::kTemporary) return true;
    return action.if_exists && created.is_made_anew(action) && !made_.may_exist(action.object);
  }

  // `action` is what happens, `outer` the action of the statement that makes it happen.
  void look(const Action& action, const Action& outer, const Created& created, Subject& subject) {
    const ObjectName table = table_of(action, schema_);
    // What stands on a table is as much in use as the table, however new its own name is.
    const bool stands_on = action.kind == ActionKind::kCreate && !action.on.name.empty();
    const bool is_new = schema_.is_new(table) || (!stands_on && schema_.is_new(action.object)) ||
                        drops_nothing_of_old_code(action, created);
    const bool small = schema_.is_small(table);
    subject.in_body = &action != &outer;
    for (const Rule* rule : rules_) {
      if (rule->tables != Tables::kAny && is_new) continue;
      if (rule->tables == Tables::kFilled && small) continue;
      const bool after = subject.stage == Stage::kPostDeploy && !subject.one_phase;
      if (rule->when == When::kBeforeDeployment && after) continue;
      if (rule->when == When::kAfterDeployment && !after) continue;
      rule->check(action, subject, found_);
      if (!found_.empty()) take(*rule, outer, subject.index);
      if (rule->parts) {
        for (const Action& part : action.parts) {
          rule->check(part, subject, found_);
          if (!found_.empty()) take(*rule, part, subject.index);
        }
      }
    }
    if (action.kind == ActionKind::kSession && action.note == "lock_timeout") {
      subject.lock_timeout = action.new_name != "0" && !action.new_name.empty();
    }
    if (action.kind == ActionKind::kBegin) subject.in_transaction = true;
    if (action.kind == ActionKind::kCommit || action.kind == ActionKind::kRollback) {
      subject.in_transaction = !subject.script.no_transaction;
      subject.held = LockMode::kNone;
    }
    const LockMode lock = is_new ? LockMode::kNone : lock_of(action, subject.server);
    if (subject.in_transaction && lock > subject.held) {
      subject.held = lock;
      subject.held_since = subject.index;
      subject.held_on = table;
    }
    schema_.apply(action);
    made_.note(action);
  }

  void take(const Rule& rule, const Action& action, std::size_t index) {
    for (auto& entry : found_.take()) {
      if (action.note == kRebuild && rule.when != When::kAfterDeployment && rule.tables != Tables::kAny) {
        entry.safe =
            action.kind == ActionKind::kAddColumn
                ? "Give the column a DEFAULT in the new table; a later rebuild, in a post_deploy migration, drops it."
                : "Rebuild the table in a migration of its own, when no old code runs: -- syzygy:stage post_deploy";
      }
      Finding finding = make(rule, entry.message, entry.safe);
      const std::size_t offset = action.kind == ActionKind::kUnknown
                                     ? meanings_[index].stopped_at
                                     : offset_of(options_.dialect, statements_[index].text, action);
      set_place(finding, index, std::min(offset, statements_[index].text.size()));
      keep(std::move(finding), &ignores_[index]);
    }
  }

  [[nodiscard]] Finding make(const Rule& rule, std::string_view message, std::string_view safe) const {
    Finding finding;
    finding.rule = &rule;
    const auto severity = severities_.find(&rule);
    finding.severity = severity != severities_.end() ? severity->second : Severity::kOff;
    finding.id = migration_.id;
    finding.file = migration_.up.path;
    finding.place = {migration_.up.first_line, 1};
    finding.message = shown(message);
    finding.safe = safe.empty() ? std::string(rule.safe) : shown_lines(safe);
    return finding;
  }

  void set_place(Finding& finding, std::size_t index, std::size_t offset) const {
    const Statement& statement = statements_[index];
    finding.place = place_in(statement, offset);
    finding.line = line_at(migration_.up.text, statement.offset + offset);
    const std::size_t end = clause_end(options_.dialect, statement.text, offset);
    const std::size_t line_end = std::min(statement.text.find('\n', offset), statement.text.size());
    finding.length = std::max<std::size_t>(1, std::min(end, line_end) - std::min(offset, std::min(end, line_end)));
    finding.fingerprint = excerpt(options_.dialect, statement.text, 400);  // hashed by keep()
  }

  void keep(Finding finding, std::vector<Ignore>* ignores = nullptr) {
    if (finding.severity == Severity::kOff) return;
    for (auto* list : {ignores, &file_ignores_}) {
      if (list == nullptr) continue;
      for (Ignore& ignore : *list) {
        const auto found = std::ranges::find(ignore.rules, finding.rule);
        if (found == ignore.rules.end()) continue;
        finding.ignored_because = ignore.because;
        ignore.used[static_cast<std::size_t>(found - ignore.rules.begin())] = true;
      }
    }
    // The same statement twice in one migration gives two fingerprints. An ambiguity's message tells lines, which move.
    const bool moves = finding.rule == &kStageAmbiguous;
    const std::string text = std::string(finding.rule->id) + '\n' + migration_.id.value + '\n' + finding.fingerprint +
                             '\n' + (moves ? "" : finding.message);
    finding.fingerprint = sha256_hex(text + '\n' + std::to_string(repeats_[text]++)).substr(0, 16);
    findings_.push_back(std::move(finding));
  }

  const Migration& migration_;
  const LintOptions& options_;
  Schema& schema_;
  Made& made_;
  LintReport& report_;
  const std::vector<const Rule*>& rules_;
  const std::map<const Rule*, Severity>& severities_;
  SqliteReplay* sqlite_;  // nullptr: PostgreSQL
  std::vector<Statement> statements_;
  std::vector<Meaning> meanings_;
  std::vector<std::vector<Ignore>> ignores_;  // by statement
  std::vector<Ignore> file_ignores_;
  std::vector<Finding> findings_;
  std::map<std::string, int> repeats_;
  Report found_;
};

void replay(const Migration& migration, const LintOptions& options, Schema& schema, Made& made, SqliteReplay* sqlite) {
  const auto statements =
      split_statements(options.dialect, migration.up.text, migration.up.path, migration.up.first_line);
  schema.begin_migration(0, std::nullopt);
  if (!statements) return made.assume_anything();
  std::vector<Meaning> meanings;
  meanings.reserve(statements->size());
  for (const Statement& statement : *statements) meanings.push_back(read_meaning(options.dialect, statement.text));
  if (sqlite != nullptr) meanings = sqlite->effect(*statements, std::move(meanings));
  for (const Meaning& meaning : meanings) {
    for (const Action& action : meaning.actions) {
      schema.apply(action);
      made.note(action);
    }
  }
}

}  // namespace

LockMode lock_of(const Action& action, int server) {
  const ObjectKind kind = action.object.kind;
  const bool table = kind == ObjectKind::kTable || kind == ObjectKind::kMaterializedView;
  switch (action.kind) {
    case ActionKind::kCreate:
    case ActionKind::kReplace:
      if (kind == ObjectKind::kIndex) return action.concurrently ? LockMode::kShareUpdateExclusive : LockMode::kShare;
      if (kind == ObjectKind::kTrigger) return LockMode::kShareRowExclusive;
      if (kind == ObjectKind::kPolicy || kind == ObjectKind::kRule) return LockMode::kAccessExclusive;
      return LockMode::kNone;
    case ActionKind::kDrop:
      if (action.concurrently) return LockMode::kShareUpdateExclusive;
      return table || kind == ObjectKind::kIndex || kind == ObjectKind::kTrigger || kind == ObjectKind::kPolicy ||
                     kind == ObjectKind::kRule
                 ? LockMode::kAccessExclusive
                 : LockMode::kNone;
    case ActionKind::kRename:
      return table ? LockMode::kAccessExclusive : LockMode::kNone;
    case ActionKind::kAddConstraint:
      if (!table) return LockMode::kNone;
      return action.constraint == ConstraintKind::kForeignKey ? LockMode::kShareRowExclusive
                                                              : LockMode::kAccessExclusive;
    case ActionKind::kValidateConstraint:
      return table ? LockMode::kShareUpdateExclusive : LockMode::kNone;
    case ActionKind::kSetSchema:
    case ActionKind::kAddColumn:
    case ActionKind::kDropColumn:
    case ActionKind::kAlterColumnType:
    case ActionKind::kSetNotNull:
    case ActionKind::kDropNotNull:
    case ActionKind::kSetDefault:
    case ActionKind::kDropDefault:
    case ActionKind::kDropConstraint:
      return table ? LockMode::kAccessExclusive : LockMode::kNone;
    case ActionKind::kAttachPartition:
      return server >= 12 ? LockMode::kShareUpdateExclusive : LockMode::kAccessExclusive;
    case ActionKind::kDetachPartition:
      return action.concurrently ? LockMode::kShareUpdateExclusive : LockMode::kAccessExclusive;
    case ActionKind::kTruncate:
      return LockMode::kAccessExclusive;
    case ActionKind::kRestrict:
      return action.object.name.empty() ? LockMode::kNone : LockMode::kAccessExclusive;
    case ActionKind::kReindex:
      return action.concurrently ? LockMode::kShareUpdateExclusive : LockMode::kShare;
    case ActionKind::kMaintenance:
      return action.note.empty() || action.concurrently ? LockMode::kNone : LockMode::kAccessExclusive;
    case ActionKind::kAlterOther:
      return table &&
                     (action.note == "SET TABLESPACE" || action.note == "SET LOGGED" || action.note == "SET UNLOGGED" ||
                      action.note == "SET ACCESS METHOD" || action.note == "REPLICA IDENTITY" || action.note == "OWNER")
                 ? LockMode::kAccessExclusive
                 : LockMode::kNone;
    case ActionKind::kSession:
      return action.note == "LOCK" && action.new_name == "ACCESS EXCLUSIVE" ? LockMode::kAccessExclusive
                                                                            : LockMode::kNone;
    default:
      return LockMode::kNone;
  }
}

std::optional<Finding> refused_file(const Error& error, const LintOptions& options) {
  const auto value_of = [&](const std::string& key) {
    const auto found = error.metadata.find(key);
    return found != error.metadata.end() ? found->second : std::string();
  };
  Finding finding;
  finding.rule = &kUnreadable;
  finding.file = value_of("path");
  // What is no SQL is another program's to run: nothing here is wrong, only unseen.
  finding.severity = finding.file.ends_with(".sql") ? kUnreadable.severity : Severity::kNote;
  if (const auto given = options.severities.find(std::string(kUnreadable.id)); given != options.severities.end()) {
    finding.severity = std::min(finding.severity, given->second);
  }
  if (finding.severity == Severity::kOff) return std::nullopt;
  const std::string line = value_of("line");
  finding.place = {line.empty() ? 1 : std::max(1UL, std::stoul(line)), 1};  // 0: the file as a whole
  finding.message = error.message;
  for (const std::string& prefix : {finding.file + ":" + line + ": ", finding.file + ": "}) {
    if (finding.message.starts_with(prefix)) finding.message.erase(0, prefix.size());
  }
  finding.message = shown(finding.message);
  finding.safe = kUnreadable.safe;
  finding.fingerprint = sha256_hex(std::string(kUnreadable.id) + '\n' + error.message).substr(0, 16);
  return finding;
}

LintReport lint(const std::vector<Migration>& migrations, const std::vector<bool>& selected,
                const LintOptions& options) {
  LintReport report;
  std::map<const Rule*, Severity> severities;
  std::vector<const Rule*> rules;  // those that check actions, and are on
  for (const Rule* rule : all_rules()) {
    if (options.dialect == Dialect::kSqlite && !rule->sqlite) continue;
    Severity severity = rule->group == HazardGroup::kQuality && !options.quality ? Severity::kOff : rule->severity;
    if (const auto given = options.severities.find(std::string(rule->id)); given != options.severities.end()) {
      severity = given->second;
    }
    if (severity == Severity::kOff) continue;
    severities.emplace(rule, severity);
    if (rule->check != nullptr) rules.push_back(rule);
  }
  Schema schema = options.catalogue != nullptr ? *options.catalogue : Schema{};
  Made made(options.catalogue);
  if (options.unseen && options.catalogue == nullptr) made.assume_anything();
  std::optional<SqliteReplay> sqlite;
  if (options.dialect == Dialect::kSqlite) sqlite.emplace();
  SqliteReplay* const replayed = sqlite ? &*sqlite : nullptr;
  const bool others_have_down =
      std::ranges::any_of(migrations, [](const Migration& migration) { return migration.down.has_value(); });
  for (std::size_t i = 0; i < migrations.size(); ++i) {
    if (!selected[i]) {
      // What the database has is in its catalogue.
      if (options.catalogue == nullptr) replay(migrations[i], options, schema, made, replayed);
      continue;
    }
    ++report.migrations;
    File(migrations[i], options, schema, made, report, rules, severities, replayed)
        .lint(options.one_plan ? 1 : 0, others_have_down);
  }
  if (options.dialect == Dialect::kPostgres && options.catalogue == nullptr) {
    if (!options.server_known) {
      report.assumptions.push_back("PostgreSQL " + std::to_string(options.server) + " (--server-version says which)");
    }
    report.assumptions.emplace_back(
        "every table that a migration did not just create is large and in use (--database looks)");
  }
  return report;
}

}  // namespace syzygy
