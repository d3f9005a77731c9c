#include "migration/target/ledger.h"

#include <cstdlib>
#include <utility>

#include "migration/target/pacing.h"

namespace syzygy::migration {
namespace {

// One entry per version of the layout; prepare() runs those that a target lacks, in order. An entry that has been
// released is never edited: the next change is a new one.
const std::vector<std::vector<std::string_view>> kLayout = {
    {
        "create table {schema}meta (version bigint not null)",
        "insert into {schema}meta (version) values (0)",

        // One row per application. `previous_*`: the claim before this one, for the comparison after an applier was
        // lost.
        R"sql(create table {schema}fence (
  application text primary key,
  id text not null,
  token bigint not null default 0,
  incarnation text not null default '',
  round text not null default '',
  fenced boolean not null default true,
  ended boolean not null default true,
  previous_token bigint not null default 0,
  previous_incarnation text not null default '',
  previous_round text not null default '',
  previous_fenced boolean not null default true,
  previous_ended boolean not null default true,
  adopted boolean not null default false,
  kept_table text not null default '',
  coordination text not null default '',
  created_at {at} not null))sql",

        // Never updated, never deleted.
        R"sql(create table {schema}outcome (
  application text not null,
  round text not null,
  token bigint not null,
  outcome text not null check (outcome in ('succeeded', 'failed')),
  written_at {at} not null,
  primary key (application, round)))sql",

        // What happened, in order: ups and downs. An up that a down took back names it in reverted_by; the ups that
        // name none are what is applied, and the index makes a second one of the same step impossible.
        R"sql(create table {schema}history (
  seq {seq},
  application text not null,
  step text not null,
  key text not null,
  direction text not null check (direction in ('up', 'down')),
  stage text not null,
  content text not null,
  who text not null,
  at {at} not null,
  took_ms bigint not null,
  round text not null,
  token bigint not null,
  adopted boolean not null default false,
  reverted_by bigint))sql",
        R"sql(create unique index {index}history_once on {schema}history (application, key)
  where direction = 'up' and reverted_by is null)sql",
        "create index {index}history_by_step on {schema}history (application, key, seq)",

        // A step outside a transaction, from before its first statement until its history row is written. `failed`: how
        // it is known to have ended instead, in the database's words or an operator's.
        R"sql(create table {schema}begun (
  application text not null,
  key text not null,
  step text not null,
  direction text not null,
  round text not null,
  token bigint not null,
  incarnation text not null,
  at {at} not null,
  failed text not null default '',
  primary key (application, key)))sql",

        // What was done by hand: break-glass, accept, adopt.
        R"sql(create table {schema}audit (
  seq {seq},
  application text not null,
  what text not null,
  step text not null,
  detail text not null,
  who text not null,
  reason text not null,
  token bigint not null,
  at {at} not null))sql",
    },
    {
        // Two names for one database are refused by this row: daemons that never heard of each other share it.
        "alter table {schema}fence add column target text not null default ''",
        "alter table {schema}fence drop column coordination",  // nothing ever wrote it
    },
};
static_assert(kLedgerVersion == 2);  // the number of entries above

bool truth(const std::string& text) { return text == "t" || text == "1" || text == "true"; }
const char* literal(bool value) { return value ? "true" : "false"; }
Token token_of(const std::string& text) { return Token{std::strtoull(text.c_str(), nullptr, 10)}; }
Instant instant_of(const std::string& text) { return Instant{std::atoll(text.c_str())}; }
Duration duration_of(const std::string& text) { return Duration{std::atoll(text.c_str())}; }
std::string text_of(Token token) { return std::to_string(token.value); }
Direction direction_of(const std::string& text) { return text == "down" ? Direction::kDown : Direction::kUp; }

std::optional<Stage> stage_of(const std::string& text) {
  if (text == to_string(Stage::kPreDeploy)) return Stage::kPreDeploy;
  if (text == to_string(Stage::kPostDeploy)) return Stage::kPostDeploy;
  return std::nullopt;
}

OutcomeRow outcome_row(const Row& row) {
  return {RoundId{row[0]}, token_of(row[1]), row[2] == "succeeded" ? Outcome::kSucceeded : Outcome::kFailed};
}

}  // namespace

std::string step_key(const StepId& id) {
  std::string key;
  const std::string& text = id.value;
  const auto digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool starts_number = digit(i) && (i == 0 || !digit(i - 1));
    if (starts_number) {
      while (text[i] == '0' && digit(i + 1)) ++i;
    }
    key += text[i];
  }
  return key;
}

Sql<void> Ledger::write(std::string_view sql, const std::vector<std::string>& params) {
  auto rows = db_.query(sql, params);
  if (!rows) return std::unexpected(std::move(rows.error()));
  return {};
}

Sql<int> Ledger::version() {
  if (!found_) {
    auto found = db_.find_ours();
    if (!found) return std::unexpected(found.error());
    if (!found->schema) return 0;
    if (!found->readable) return std::unexpected(SqlError{SqlError::Kind::kRights, found->words, "", 0});
  }
  auto rows = db_.query("select version from " + t("meta"));
  found_ = rows.has_value();
  if (!rows) return std::unexpected(rows.error());
  const int version = rows->empty() ? 0 : std::atoi((*rows)[0][0].c_str());
  stands_ = version;
  if (version > kLedgerVersion) {
    return std::unexpected(SqlError{SqlError::Kind::kRefused,
                                    "the tables that Syzygy keeps there have version " + std::to_string(version) +
                                        ", and this program knows versions up to " + std::to_string(kLedgerVersion) +
                                        ": a newer syzygy has been here, use that one",
                                    "", 0});
  }
  return version;
}

Sql<bool> Ledger::has_row() {
  auto rows = db_.query("select 1 from " + t("fence") + " where application = $1", {application_});
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty();
}

Sql<bool> Ledger::prepare() {
  const auto attempt = [&]() -> Sql<bool> {
    if (auto begun = db_.begin_write(); !begun) return std::unexpected(begun.error());
    auto mine = db_.lock_for_prepare();
    if (!mine) return std::unexpected(mine.error());
    if (!*mine) return false;
    auto stands = version();
    if (!stands) return std::unexpected(stands.error());
    if (*stands == 0) {
      if (auto created = db_.create_schema(); !created) return std::unexpected(created.error());
    }
    for (int next = *stands; next < kLedgerVersion; ++next) {
      for (const std::string_view statement : kLayout[static_cast<std::size_t>(next)]) {
        if (auto done = write(db_.ddl(statement)); !done) return std::unexpected(done.error());
      }
    }
    if (*stands != kLedgerVersion) {
      auto done = write("update " + t("meta") + " set version = " + std::to_string(kLedgerVersion));
      if (!done) return std::unexpected(done.error());
    }
    auto row = write("insert into " + t("fence") + " (application, id, created_at) values ($1, $2, " + db_.now() +
                         ") on conflict (application) do nothing",
                     {application_, random_hex(32)});
    if (!row) return std::unexpected(row.error());
    if (auto done = db_.commit(); !done) return std::unexpected(done.error());
    stands_ = kLedgerVersion;
    return true;
  };
  auto done = attempt();
  if (!done || !*done) db_.rollback();
  return done;
}

Sql<std::optional<Ledger::Fence>> Ledger::read_fence(const std::string& suffix) {
  auto rows = db_.query(
      "select id, token, incarnation, round, fenced, ended, previous_token, previous_incarnation, previous_round, "
      "previous_fenced, previous_ended, adopted, kept_table, " +
          std::string(stands_ < 2 ? "''" : "target") + " from " + t("fence") + " where application = $1" + suffix,
      {application_});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::nullopt;
  const Row& row = rows->front();
  const auto claim_at = [&](std::size_t i) {
    return ClaimRow{token_of(row[i]), IncarnationId{row[i + 1]}, RoundId{row[i + 2]}, truth(row[i + 3]),
                    truth(row[i + 4])};
  };
  return Fence{row[0], claim_at(1), claim_at(6), truth(row[11]), row[12], row[13]};
}

Sql<std::optional<Ledger::Fence>> Ledger::fence() { return read_fence(""); }

Sql<std::optional<Ledger::Fence>> Ledger::lock_fence(bool nowait) { return read_fence(db_.row_lock(nowait)); }

Sql<std::vector<AppliedRow>> Ledger::applied() {
  auto rows =
      db_.query("select step, stage, content, who, " + db_.millis("at") + ", took_ms, round, token, adopted from " +
                    t("history") + " where application = $1 and direction = 'up' and reverted_by is null order by seq",
                {application_});
  if (!rows) return std::unexpected(rows.error());
  std::vector<AppliedRow> applied;
  applied.reserve(rows->size());
  for (const Row& row : *rows) {
    AppliedRow one;
    one.step.id = StepId{row[0]};
    one.step.content = row[2];
    one.step.stage = truth(row[8]) ? std::nullopt : stage_of(row[1]);
    one.who = row[3];
    one.at = instant_of(row[4]);
    one.took = duration_of(row[5]);
    one.round = RoundId{row[6]};
    one.token = token_of(row[7]);
    applied.push_back(std::move(one));
  }
  return applied;
}

Sql<std::vector<Step>> Ledger::recent() {
  const std::string history = t("history");
  auto rows =
      db_.query("select step, direction, stage, content from " + history +
                    " h where application = $1 and not exists (select 1 from " + history +
                    " later where later.application = h.application and later.key = h.key and later.seq > h.seq) "
                    "and stage <> '' order by seq desc limit " +
                    std::to_string(kRecentMax),
                {application_});
  if (!rows) return std::unexpected(rows.error());
  std::vector<Step> steps;
  steps.reserve(rows->size());
  for (const Row& row : *rows) {
    // Whether it ran in a transaction is not recorded, and nobody asks.
    steps.push_back({StepId{row[0]}, direction_of(row[1]), stage_of(row[2]).value_or(Stage::kPreDeploy), row[3], true});
  }
  return steps;
}

Sql<std::vector<StepId>> Ledger::applied_ids() {
  auto rows = db_.query("select step from " + t("history") +
                            " where application = $1 and direction = 'up' and reverted_by is null order by seq",
                        {application_});
  if (!rows) return std::unexpected(rows.error());
  std::vector<StepId> ids;
  ids.reserve(rows->size());
  for (const Row& row : *rows) ids.emplace_back(row[0]);
  return ids;
}

Sql<bool> Ledger::is_applied(const StepId& id) {
  auto rows = db_.query("select 1 from " + t("history") +
                            " where application = $1 and key = $2 and direction = 'up' and reverted_by is null",
                        {application_, step_key(id)});
  if (!rows) return std::unexpected(rows.error());
  return !rows->empty();
}

Sql<std::vector<BegunStep>> Ledger::read_begun(const std::string& suffix, const std::vector<std::string>& params) {
  auto rows = db_.query("select step, direction, round, token, " + db_.millis("at") + ", failed from " + t("begun") +
                            " where application = $1" + suffix + " order by at",
                        params);
  if (!rows) return std::unexpected(rows.error());
  std::vector<BegunStep> begun;
  for (const Row& row : *rows) {
    begun.push_back(
        {StepId{row[0]}, direction_of(row[1]), RoundId{row[2]}, token_of(row[3]), instant_of(row[4]), row[5]});
  }
  return begun;
}

Sql<std::vector<BegunStep>> Ledger::begun() { return read_begun("", {application_}); }

Sql<std::optional<BegunStep>> Ledger::begun(const StepId& id) {
  auto marks = read_begun(" and key = $2", {application_, step_key(id)});
  if (!marks) return std::unexpected(marks.error());
  if (marks->empty()) return std::nullopt;
  return std::move(marks->front());
}

Sql<std::optional<OutcomeRow>> Ledger::last_outcome() {
  auto rows = db_.query("select round, token, outcome from " + t("outcome") +
                            " where application = $1 order by token desc, written_at desc limit 1",
                        {application_});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::nullopt;
  return outcome_row(rows->front());
}

Sql<std::optional<OutcomeRow>> Ledger::outcome_of(const RoundId& round) {
  auto rows = db_.query("select round, token, outcome from " + t("outcome") + " where application = $1 and round = $2",
                        {application_, round.value});
  if (!rows) return std::unexpected(rows.error());
  if (rows->empty()) return std::nullopt;
  return outcome_row(rows->front());
}

Sql<std::vector<HistoryEntry>> Ledger::history() {
  auto rows = db_.query("select step, direction, stage, content, who, " + db_.millis("at") +
                            ", took_ms, round, token, reverted_by is not null, adopted from " + t("history") +
                            " where application = $1 order by seq",
                        {application_});
  if (!rows) return std::unexpected(rows.error());
  std::vector<HistoryEntry> entries;
  entries.reserve(rows->size());
  for (const Row& row : *rows) {
    entries.push_back({StepId{row[0]}, direction_of(row[1]), stage_of(row[2]), row[3], row[4], instant_of(row[5]),
                       duration_of(row[6]), RoundId{row[7]}, token_of(row[8]), truth(row[9]), truth(row[10])});
  }
  return entries;
}

Sql<std::vector<AuditEntry>> Ledger::audit() {
  auto rows = db_.query("select what, step, detail, who, reason, " + db_.millis("at") + ", token from " + t("audit") +
                            " where application = $1 order by seq",
                        {application_});
  if (!rows) return std::unexpected(rows.error());
  std::vector<AuditEntry> entries;
  for (const Row& row : *rows) {
    entries.push_back({row[0], StepId{row[1]}, row[2], row[3], row[4], instant_of(row[5]), token_of(row[6])});
  }
  return entries;
}

Sql<void> Ledger::write_claim(const ClaimRow& claim, const ClaimRow& previous) {
  return write(
      "update " + t("fence") + " set token = $2, incarnation = $3, round = $4, fenced = " + literal(claim.fenced) +
          ", ended = " + literal(claim.ended) +
          ", previous_token = $5, previous_incarnation = $6, previous_round = $7, previous_fenced = " +
          literal(previous.fenced) + ", previous_ended = " + literal(previous.ended) + " where application = $1",
      {application_, text_of(claim.token), claim.incarnation.value, claim.round.value, text_of(previous.token),
       previous.incarnation.value, previous.round.value});
}

Sql<void> Ledger::write_ended() {
  return write("update " + t("fence") + " set ended = true where application = $1", {application_});
}

Sql<void> Ledger::write_target(std::string_view name) {
  return write("update " + t("fence") + " set target = $2 where application = $1", {application_, std::string(name)});
}

Sql<void> Ledger::write_begun(const RunInfo& run, const Step& step) {
  if (auto gone = forget_begun(step.id); !gone) return gone;
  return write(
      "insert into " + t("begun") +
          " (application, key, step, direction, round, token, incarnation, at) values ($1, $2, $3, $4, $5, $6, "
          "$7, " +
          db_.now() + ")",
      {application_, step_key(step.id), step.id.value, std::string(to_string(step.direction)), run.round.value,
       text_of(run.token), run.incarnation.value});
}

Sql<void> Ledger::forget_begun(const StepId& id) {
  return write("delete from " + t("begun") + " where application = $1 and key = $2", {application_, step_key(id)});
}

Sql<void> Ledger::write_begun_ended(const StepId& id, std::string_view words) {
  return write("update " + t("begun") + " set failed = $3 where application = $1 and key = $2",
               {application_, step_key(id), std::string(words)});
}

Sql<void> Ledger::write_history(const RunInfo& run, const Step& step, Duration took) {
  if (auto gone = forget_begun(step.id); !gone) return gone;
  auto rows = db_.query("insert into " + t("history") +
                            " (application, step, key, direction, stage, content, who, at, took_ms, round, token) "
                            "values ($1, $2, $3, $4, $5, $6, $7, " +
                            db_.now() + ", $8, $9, $10) returning seq",
                        {application_, step.id.value, step_key(step.id), std::string(to_string(step.direction)),
                         std::string(to_string(step.stage)), step.content, run.who, std::to_string(took.count()),
                         run.round.value, text_of(run.token)});
  if (!rows) return std::unexpected(rows.error());
  const std::string& seq = rows->front()[0];
  if (step.direction == Direction::kUp) {
    // "R__views@5d41402abc4b": what stood of R__views until now does not any more.
    const auto at = step.id.value.find('@');
    if (!step.id.value.starts_with("R__") || at == std::string::npos) return {};
    const std::string key = step_key(step.id);
    return write("update " + t("history") +
                     " set reverted_by = $4 where application = $1 and direction = 'up' and reverted_by is null and "
                     "key <> $2 and substr(key, 1, length($3)) = $3",
                 {application_, key, key.substr(0, key.find('@') + 1), seq});
  }
  return write(
      "update " + t("history") +
          " set reverted_by = $3 where application = $1 and key = $2 and direction = 'up' and reverted_by is null",
      {application_, step_key(step.id), seq});
}

Sql<void> Ledger::write_outcome(const RunInfo& run, Outcome outcome) {
  return write(
      "insert into " + t("outcome") + " (application, round, token, outcome, written_at) values ($1, $2, $3, $4, " +
          db_.now() + ") on conflict (application, round) do nothing",
      {application_, run.round.value, text_of(run.token), outcome == Outcome::kSucceeded ? "succeeded" : "failed"});
}

Sql<void> Ledger::write_adopted(const KnownStep& step, std::string_view who) {
  if (auto gone = forget_begun(step.id); !gone) return gone;
  return write("insert into " + t("history") +
                   " (application, step, key, direction, stage, content, who, at, took_ms, round, token, adopted) "
                   "values ($1, $2, $3, 'up', '', $4, $5, " +
                   db_.now() + ", 0, '', 0, true)",
               {application_, step.id.value, step_key(step.id), step.content, std::string(who)});
}

Sql<void> Ledger::write_adopted_revert(const StepId& id, std::string_view who) {
  if (auto gone = forget_begun(id); !gone) return gone;
  auto rows = db_.query("insert into " + t("history") +
                            " (application, step, key, direction, stage, content, who, at, took_ms, round, token, "
                            "adopted) values ($1, $2, $3, 'down', '', '', $4, " +
                            db_.now() + ", 0, '', 0, true) returning seq",
                        {application_, id.value, step_key(id), std::string(who)});
  if (!rows) return std::unexpected(rows.error());
  return write(
      "update " + t("history") +
          " set reverted_by = $3 where application = $1 and key = $2 and direction = 'up' and reverted_by is null",
      {application_, step_key(id), rows->front()[0]});
}

Sql<void> Ledger::write_adoption(const std::string& kept_table) {
  return write("update " + t("fence") + " set adopted = true, kept_table = $2 where application = $1",
               {application_, kept_table});
}

Sql<void> Ledger::write_content(const StepId& id, const std::string& content) {
  return write("update " + t("history") +
                   " set content = $3 where application = $1 and key = $2 and direction = 'up' and reverted_by is null",
               {application_, step_key(id), content});
}

Sql<void> Ledger::write_audit(const AuditEntry& entry) {
  return write(
      "insert into " + t("audit") +
          " (application, what, step, detail, who, reason, token, at) values ($1, $2, $3, "
          "$4, $5, $6, $7, " +
          db_.now() + ")",
      {application_, entry.what, entry.step.value, entry.detail, entry.who, entry.reason, text_of(entry.token)});
}

}  // namespace syzygy::migration
