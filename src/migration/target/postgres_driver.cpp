// postgres_driver.cpp - PostgreSQL behind driver.h. What a migration sets for its session is set inside its transaction
// or on a direct connection only: through a pooler a session setting would land on somebody else's session.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/name.h"
#include "base/sha256.h"
#include "migration/target/ddl_guard.h"
#include "migration/target/driver.h"
#include "migration/target/postgres_session.h"

namespace syzygy::migration {
namespace {

std::string ms(Duration time) { return std::to_string(time.count()); }

// What follows "-c" in PGOPTIONS: spaces and backslashes are escaped.
std::string option_value(std::string_view value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ' ' || c == '\\' || c == '\t' || c == '\n') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

Blocker blocker_of(const Row& row) {  // pid, application_name, state, seconds since the transaction began
  Blocker blocker;
  blocker.pid = std::atoi(row[0].c_str());
  blocker.session = "session " + row[0] + " (" + (row[1].empty() ? "no application_name" : printable(row[1], 63)) +
                    (row[2].empty() ? "" : ", " + row[2]) + (row[3].empty() ? "" : ", for " + row[3] + " s") + ")";
  return blocker;
}

class PostgresDriver final : public Driver {
 public:
  PostgresDriver(PostgresAddress address, TargetOptions options)
      : address_(std::move(address)), options_(std::move(options)) {
    // 63 bits of a hash: the same for every client of this application, and for nobody else.
    const std::string hash = sha256_hex("syzygy step lock\n" + options_.schema + "\n" + options_.application);
    step_key_ = std::strtoull(hash.substr(0, 16).c_str(), nullptr, 16) >> 1;
    const std::string prepare_hash = sha256_hex("syzygy prepare\n" + options_.schema);
    prepare_key_ = std::strtoull(prepare_hash.substr(0, 16).c_str(), nullptr, 16) >> 1;
  }

  [[nodiscard]] std::string describe() const override { return address_.place; }

  Result<void> connect() override {
    if (session_ != nullptr) return {};
    auto session = PostgresSession::open(address_, {.answer_max = options_.answer_timeout + options_.lock_timeout,
                                                    .stop_max = options_.stop_timeout,
                                                    .quit = options_.quit,
                                                    .tell_after = options_.tell_after});
    if (!session) return std::unexpected(session.error());
    session_ = std::move(*session);
    return {};
  }
  void disconnect() override {
    session_.reset();
    held_.reset();
  }
  [[nodiscard]] bool connected() const override { return session_ != nullptr; }

  [[nodiscard]] std::string why_no_step_lock() const override {
    if (!session_->pooled()) return "";
    return "a pooler stands between this client and the server, so that a lock of the session cannot be held";
  }

  Sql<Rows> query(std::string_view sql, const std::vector<std::string>& params) override {
    return kept([&] { return session_->one(sql, params); });
  }

  [[nodiscard]] std::string table(std::string_view name) const override {
    return quoted_identifier(options_.schema) + "." + std::string(name);
  }
  [[nodiscard]] std::string now() const override { return "pg_catalog.clock_timestamp()"; }
  [[nodiscard]] std::string millis(std::string_view column) const override {
    return "(extract(epoch from " + std::string(column) + ") * 1000)::bigint";
  }
  [[nodiscard]] std::string row_lock(bool nowait) const override {
    return nowait ? " for no key update nowait" : " for no key update";
  }

  Sql<void> begin_read() override { return script("begin isolation level repeatable read read only"); }
  Sql<void> begin_write() override {
    return script("begin isolation level read committed read write; " + local_settings() + presented("set local "));
  }
  Sql<void> commit(const RunOptions& options, bool long_wait) override {
    return long_wait ? run("commit", options) : script("commit");
  }
  void rollback() override {
    if (session_ != nullptr && !script("rollback")) disconnect();  // its end is the other way to roll back
  }
  Sql<std::string> transaction_mark() override {
    auto rows = query("select pg_catalog.txid_current()::text", {});
    if (!rows) return std::unexpected(rows.error());
    return (*rows)[0][0];
  }
  Sql<void> reset_session() override {
    return script(
        "reset session authorization; reset role; reset all; set local search_path = pg_catalog; "
        "set local client_min_messages = warning; " +
        local_settings());
  }

  Sql<void> run(std::string_view statement, const RunOptions& options) override {
    auto rows = kept([&]() -> Sql<Rows> {
      if (auto done = session_->run(statement, options); !done) return std::unexpected(done.error());
      return Rows{};
    });
    if (!rows) return std::unexpected(rows.error());
    return {};
  }

  Sql<void> prepare_outside(Duration timeout) override {
    if (session_ != nullptr && session_->pooled()) return {};
    return script("set default_transaction_read_only = off; set lock_timeout = " + ms(timeout) +
                  check_interval("; set ") + presented("set "));
  }

  Sql<std::vector<std::string>> drop_invalid_indexes(const Meaning& meaning) override;

  Sql<bool> try_step_lock(StepLock mode) override {
    auto held = truth(mode == StepLock::kShared ? "select pg_catalog.pg_try_advisory_lock_shared($1::bigint)"
                                                : "select pg_catalog.pg_try_advisory_lock($1::bigint)");
    if (held && *held) held_ = mode;
    return held;
  }
  Sql<void> release_step_lock() override {
    if (!held_.has_value()) return {};
    auto released = truth(*held_ == StepLock::kShared ? "select pg_catalog.pg_advisory_unlock_shared($1::bigint)"
                                                      : "select pg_catalog.pg_advisory_unlock($1::bigint)");
    held_.reset();
    if (!released) return std::unexpected(released.error());
    return {};
  }
  Sql<bool> step_lock_free(StepLock mode) override {
    return truth(mode == StepLock::kShared ? "select pg_catalog.pg_try_advisory_xact_lock_shared($1::bigint)"
                                           : "select pg_catalog.pg_try_advisory_xact_lock($1::bigint)");
  }

  Sql<std::optional<Blocker>> step_lock_holder() override {
    auto rows = query(
        "select l.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), "
        "coalesce(extract(epoch from pg_catalog.clock_timestamp() - coalesce(a.xact_start, a.state_change))::bigint"
        "::text, ''), l.mode from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid "
        "where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and l.pid <> pg_catalog.pg_backend_pid() "
        "and l.database = (select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) "
        "and l.classid::bigint = $1::bigint >> 32 and l.objid::bigint = $1::bigint & 4294967295 order by l.pid limit 1",
        {std::to_string(step_key_)});
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty()) return std::nullopt;
    Blocker blocker = blocker_of(rows->front());
    blocker.break_glass = rows->front()[4] == "ExclusiveLock";
    return blocker;
  }

  Sql<std::optional<Blocker>> writer() override {
    // The row's xmax is the transaction that locked it; pg_locks says whose that is.
    auto rows = query(
        "select l.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), "
        "coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::bigint::text, '') "
        "from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid "
        "where l.locktype = 'transactionid' and l.granted and l.mode = 'ExclusiveLock' "
        "and l.pid <> pg_catalog.pg_backend_pid() "
        "and l.transactionid = (select xmax from " +
            table("fence") + " where application = $1)",
        {options_.application});
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty()) return std::nullopt;
    return blocker_of(rows->front());
  }

  Sql<std::optional<Blocker>> holder_of(const Meaning& meaning) override {
    std::string names;
    for (const Action& action : meaning.actions) {
      for (const ObjectName* object : {&action.object, &action.on}) {
        if (object->name.empty()) continue;
        const std::string name =
            (object->schema.empty() ? "" : quoted_identifier(object->schema) + ".") + quoted_identifier(object->name);
        names += (names.empty() ? "" : "\n") + name;
      }
    }
    if (names.empty()) return std::nullopt;
    auto rows = query(
        "select l.pid, coalesce(a.application_name, ''), coalesce(a.state, ''), "
        "coalesce(extract(epoch from pg_catalog.clock_timestamp() - a.xact_start)::bigint::text, '') "
        "from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid "
        "where l.locktype = 'relation' and l.granted and l.pid <> pg_catalog.pg_backend_pid() and l.relation in "
        "(select pg_catalog.to_regclass(name) from pg_catalog.unnest(pg_catalog.string_to_array($1, E'\\n')) name) "
        "order by a.xact_start limit 1",
        {names});
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty()) return std::nullopt;
    return blocker_of(rows->front());
  }
  Sql<bool> terminate(int pid) override {
    auto rows = query("select pg_catalog.pg_terminate_backend($1::int)", {std::to_string(pid)});
    if (!rows) return std::unexpected(rows.error());
    return rows->front()[0] == "t";
  }

  Sql<Found> find_ours() override {
    auto rows = query(
        "select pg_catalog.has_schema_privilege(n.oid, 'usage'), coalesce(c.oid::text, ''), "
        "coalesce(pg_catalog.has_table_privilege(c.oid, 'select'), false) from pg_catalog.pg_namespace n "
        "left join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = 'meta' where n.nspname = $1",
        {options_.schema});
    if (!rows) return std::unexpected(rows.error());
    Found found;
    if (rows->empty() || rows->front()[1].empty()) return found;
    found.schema = true;
    found.readable = rows->front()[0] == "t" && rows->front()[2] == "t";
    if (!found.readable) found.words = grant_to_read();
    return found;
  }

  Sql<bool> lock_for_prepare() override {
    // Our own tables are made without a token; a guard that requires one asks for a reason then.
    auto rows = query(
        "select pg_catalog.pg_try_advisory_xact_lock($1::bigint), "
        "pg_catalog.set_config('syzygy.reason', 'the tables that Syzygy keeps', true)",
        {std::to_string(prepare_key_)});
    if (!rows) return std::unexpected(rows.error());
    return rows->front()[0] == "t";
  }
  [[nodiscard]] std::string ddl(std::string_view text) const override {
    std::string sql(text);
    const auto fill = [&](std::string_view what, std::string_view with) {
      for (std::size_t at = sql.find(what); at != std::string::npos; at = sql.find(what, at + with.size())) {
        sql.replace(at, what.size(), with);
      }
    };
    fill("{seq}", "bigint generated always as identity primary key");
    fill("{at}", "timestamptz");
    fill("{index}", "");
    fill("{schema}", quoted_identifier(options_.schema) + ".");
    return sql;
  }
  Sql<void> create_schema() override {
    // IF NOT EXISTS would ask for the right to create one even where the owner has made it for us.
    auto there = query("select 1 from pg_catalog.pg_namespace where nspname = $1", {options_.schema});
    if (!there) return std::unexpected(there.error());
    if (!there->empty()) return {};
    return script("create schema " + quoted_identifier(options_.schema));
  }

  Sql<bool> has_table(const std::string& table) override {
    auto rows = query("select pg_catalog.to_regclass($1) is not null", {table});
    if (!rows) return std::unexpected(rows.error());
    return (*rows)[0][0] == "t";
  }
  Sql<std::vector<ForeignTable>> find_tables(const std::vector<std::string>& names) override {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "'" : ",'") + name + "'";
    // In the schemas that this session sees, and in a schema of the table's own name (Atlas).
    auto rows = query(
        "select pg_catalog.format('%I.%I', n.nspname, c.relname), c.relname, "
        "(select pg_catalog.string_agg(a.attname, ',' order by a.attnum) from pg_catalog.pg_attribute a "
        "where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped), "
        "pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select') "
        "from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace "
        "where c.relkind in ('r', 'p') and c.relname in (" +
            list +
            ") and (n.nspname = any (pg_catalog.current_schemas(false)) or n.nspname = c.relname) "
            "order by c.relname, n.nspname",
        {});
    if (!rows) return std::unexpected(rows.error());
    std::vector<ForeignTable> tables;
    for (const Row& row : *rows) {
      ForeignTable table{row[0], row[1], {}, row[3] == "t"};
      std::string_view rest = row[2];
      while (!rest.empty()) {
        const std::size_t comma = rest.find(',');
        table.columns.emplace_back(rest.substr(0, comma));
        rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
      }
      tables.push_back(std::move(table));
    }
    return tables;
  }

  void present(const std::string& application, const RunInfo& run) override {
    presented_ = {{"syzygy.application", application},
                  {"syzygy.token", std::to_string(run.token.value)},
                  {"syzygy.incarnation", run.incarnation.value}};
  }
  [[nodiscard]] std::string ddl_guard_script(const DdlGuard& guard) const override {
    return postgres_ddl_guard(options_.schema, guard);
  }
  [[nodiscard]] std::string ddl_guard_removal() const override { return postgres_ddl_guard_removal(options_.schema); }
  Sql<DdlGuard> read_ddl_guard() override {
    auto rows = query(
        "select evtenabled, coalesce(pg_catalog.obj_description(oid, 'pg_event_trigger'), '') "
        "from pg_catalog.pg_event_trigger where evtname = $1",
        {options_.schema + "_guard"});
    if (!rows) return std::unexpected(rows.error());
    if (rows->empty()) return DdlGuard{};
    return read_ddl_guard_comment(rows->front()[1], rows->front()[0] != "D");
  }
  Sql<void> execute(const std::string& statements) override { return script(statements); }

  Result<Identity> identity() override {
    Identity identity;
    auto both =
        query("select pg_catalog.current_database(), system_identifier::text from pg_catalog.pg_control_system()", {});
    if (both) {
      identity.database = (*both)[0][0];
      identity.system = (*both)[0][1];
      return identity;
    }
    if (both.error().kind == SqlError::Kind::kLost) {
      return std::unexpected(to_error(both.error(), *this, "ask for the server's identity"));
    }
    // Some hosted servers keep theirs to themselves; then the minted id must do.
    auto name = query("select pg_catalog.current_database()", {});
    if (!name) return std::unexpected(to_error(name.error(), *this, "ask for the database's name"));
    identity.database = (*name)[0][0];
    return identity;
  }

  std::vector<std::pair<std::string, std::string>> exec_environment(const std::string& application, const RunInfo& run,
                                                                    std::string_view pgoptions) override {
    const std::string name = session_name(run.round, run.token);
    std::vector<std::pair<std::string, std::string>> environment = {{"PGAPPNAME", name}};
    if (session_->pooled()) return environment;
    std::string options(pgoptions);
    const auto set = [&](const std::string& key, std::string_view value) {
      options += (options.empty() ? "-c " : " -c ") + key + "=" + option_value(value);
    };
    set("application_name", name);
    set("syzygy.application", application);
    set("syzygy.token", std::to_string(run.token.value));
    set("syzygy.incarnation", run.incarnation.value);
    if (!check_interval("").empty()) {
      set("client_connection_check_interval", ms(options_.client_check_interval));
    }
    environment.emplace_back("PGOPTIONS", options);
    return environment;
  }

  Sql<SessionsLeft> sessions_named(const std::string& name) override {
    SessionsLeft left;
    if (session_->pooled()) {
      left.why = "a pooler stands in between: its server sessions bear the names of many clients";
      return left;
    }
    auto rows = query(
        "select pid from pg_catalog.pg_stat_activity where application_name = $1 "
        "and pid <> pg_catalog.pg_backend_pid() order by pid",
        {name});
    if (!rows) return std::unexpected(rows.error());
    left.can_see = true;
    for (const Row& row : *rows) left.pids.push_back(std::atoi(row[0].c_str()));
    return left;
  }

  std::vector<Finding> diagnose() override;

 private:
  [[nodiscard]] std::string grant_to_read() const {
    return "this role may not read the schema " + options_.schema + ". Its owner can run: GRANT USAGE ON SCHEMA " +
           options_.schema + " TO …; GRANT SELECT ON ALL TABLES IN SCHEMA " + options_.schema + " TO …";
  }

  // "" where the server cannot look for its clients: an old one, or one on a system without the call for it.
  [[nodiscard]] std::string check_interval(std::string_view set) {
    if (session_ == nullptr || options_.client_check_interval.count() == 0) return "";
    if (!looks_for_clients_.has_value()) {
      const bool known = session_->server_version() >= 140000;
      looks_for_clients_ =
          known && session_
                       ->one("select pg_catalog.set_config('client_connection_check_interval', $1, true)",
                             {ms(options_.client_check_interval)})
                       .has_value();
    }
    if (!*looks_for_clients_) return "";
    return std::string(set) + "client_connection_check_interval = " + ms(options_.client_check_interval);
  }
  [[nodiscard]] std::string local_settings() {
    return "set local lock_timeout = " + ms(options_.lock_timeout) + check_interval("; set local ");
  }

  // A lost session is gone for good: nothing may go on with one that holds no locks.
  template <class Call>
  Sql<Rows> kept(Call call) {
    if (session_ == nullptr) {
      return std::unexpected(SqlError{SqlError::Kind::kLost, "the connection was lost before", "", 0});
    }
    Sql<Rows> rows = call();
    if (!rows && rows.error().kind == SqlError::Kind::kLost) {
      disconnect();
    }
    return rows;
  }
  Sql<void> script(const std::string& sql) {
    auto rows = kept([&] { return session_->script(sql); });
    if (!rows) return std::unexpected(rows.error());
    return {};
  }
  Sql<bool> truth(std::string_view sql) {
    auto rows = query(sql, {std::to_string(step_key_)});
    if (!rows) return std::unexpected(rows.error());
    return rows->front()[0] == "t";
  }

  // What the guard of DDL asks for.
  [[nodiscard]] std::string presented(const std::string& set) const {
    std::string statements;
    for (const auto& [name, value] : presented_) statements += "; " + set + name + " = " + quoted_literal(value);
    return statements;
  }

  PostgresAddress address_;
  std::vector<std::pair<std::string, std::string>> presented_;
  TargetOptions options_;
  std::unique_ptr<PostgresSession> session_;
  std::optional<StepLock> held_;
  std::optional<bool> looks_for_clients_;  // nullopt: not asked yet
  std::uint64_t step_key_ = 0;
  std::uint64_t prepare_key_ = 0;
};

Sql<std::vector<std::string>> PostgresDriver::drop_invalid_indexes(const Meaning& meaning) {
  std::vector<std::string> dropped;
  for (const Action& action : meaning.actions) {
    const bool builds = action.kind == ActionKind::kCreate && action.object.kind == ObjectKind::kIndex;
    if (!builds || !action.concurrently || action.object.name.empty()) continue;
    // An index lies in its table's schema. One that is being built right now is INVALID too, and not ours to touch.
    std::string table;
    if (!action.on.name.empty()) {
      table = (action.on.schema.empty() ? "" : quoted_identifier(action.on.schema) + ".") +
              quoted_identifier(action.on.name);
    }
    auto rows = query(
        "select i.indexrelid::regclass::text from pg_catalog.pg_index i "
        "join pg_catalog.pg_class c on c.oid = i.indexrelid where c.relname = $1 and not i.indisvalid and "
        "(($2 = '' and pg_catalog.pg_table_is_visible(i.indrelid)) or i.indrelid = pg_catalog.to_regclass(nullif($2, "
        "''))) and not exists (select 1 from pg_catalog.pg_stat_progress_create_index p "
        "where p.index_relid = i.indexrelid)",
        {action.object.name, table});
    if (!rows) return std::unexpected(rows.error());
    for (const Row& row : *rows) {
      if (auto done = script("drop index concurrently if exists " + row[0]); !done) {
        return std::unexpected(done.error());
      }
      dropped.push_back(row[0]);
    }
  }
  return dropped;
}

std::vector<Finding> PostgresDriver::diagnose() {
  std::vector<Finding> findings;
  const auto found = [&](std::string name, bool ok, std::string cause, std::string next = "") {
    findings.push_back({std::move(name), ok, std::move(cause), std::move(next)});
  };
  const int major = session_->server_version() / 10000;
  found("server version", major >= 12,
        "PostgreSQL " + std::to_string(major) + (major >= 12 ? "" : ": Syzygy is tried with 12 and newer"));

  if (session_->pooled()) {
    found("pooler", false,
          "a pooler stands in the way: steps that cannot run in a transaction (CREATE INDEX CONCURRENTLY) are not "
          "fenced through it, and wrapped tools get no session settings",
          "give --database the server's own address, not the pooler's");
  } else {
    found("pooler", true, "none: this is a direct connection");
  }

  auto standby =
      query("select pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')", {});
  if (standby && (*standby)[0][0] == "t") {
    found("writable", false, "this server is a standby: nothing can be written to it",
          "give --database the primary's address (or target_session_attrs=read-write in the URL)");
  } else if (standby && (*standby)[0][1] == "on") {
    found("writable", true,
          "sessions of this role or database are read-only by default; migrations write all the same, a tool under "
          "syzygy exec only if it says so itself");
  } else if (standby) {
    found("writable", true, "transactions may write");
  }

  auto rights = query(
      "select current_user, pg_catalog.current_database(), "
      "pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create'), "
      "coalesce((select pg_catalog.has_schema_privilege(oid, 'create') from pg_catalog.pg_namespace "
      "where nspname = $1)::text, ''), coalesce(pg_catalog.current_schema(), ''), "
      "coalesce(pg_catalog.has_schema_privilege(pg_catalog.current_schema(), 'create'), false), "
      "pg_catalog.current_setting('search_path')",
      {options_.schema});
  if (!rights) {
    found("rights to migrate", false, rights.error().words);
  } else {
    const Row& row = rights->front();
    const std::string role = quoted_identifier(row[0]);
    auto prepared = find_ours();
    if (prepared && prepared->schema) {
      auto table_rights = query(
          "select pg_catalog.has_table_privilege($1, 'insert') and "
          "pg_catalog.has_table_privilege($2, 'update')",
          {table("history"), table("fence")});
      const bool may = table_rights && (*table_rights)[0][0] == "t";
      found("rights on the fence", may && prepared->readable,
            may ? "role " + row[0] + " may read and write the schema " + options_.schema
                : "role " + row[0] + " may not write the tables of the schema " + options_.schema,
            may ? ""
                : "GRANT USAGE ON SCHEMA " + options_.schema + " TO " + role +
                      "; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA " + options_.schema + " TO " +
                      role);
    } else {
      const bool may = row[2] == "t" || row[3] == "true" || row[3] == "t";
      found("rights to create the fence", may,
            may ? "role " + row[0] + " may create the schema " + options_.schema
                : "role " + row[0] + " may not create the schema " + options_.schema + " in the database " + row[1],
            may ? ""
                : "CREATE SCHEMA " + options_.schema + " AUTHORIZATION " + role + "   -- as the owner of the database");
    }
    if (row[4].empty()) {
      found("rights to migrate", false,
            "of the schemas in search_path (" + row[6] + ") none exists that role " + row[0] + " may use",
            "ALTER ROLE " + role + " IN DATABASE " + quoted_identifier(row[1]) +
                " SET search_path = public   -- or CREATE SCHEMA, or GRANT USAGE ON SCHEMA");
    } else {
      found("rights to migrate", row[5] == "t",
            row[5] == "t" ? "role " + row[0] + " may create tables in the schema " + row[4]
                          : "role " + row[0] + " may not create tables in the schema " + row[4],
            row[5] == "t" ? "" : "GRANT CREATE ON SCHEMA " + quoted_identifier(row[4]) + " TO " + role);
    }
  }

  const auto before = std::chrono::system_clock::now();
  auto clock = query("select (extract(epoch from pg_catalog.clock_timestamp()) * 1000)::bigint", {});
  if (clock) {
    const auto ours = std::chrono::duration_cast<Duration>(before.time_since_epoch());
    const Duration off{std::llabs(std::atoll((*clock)[0][0].c_str()) - ours.count())};
    const bool ok = off < std::chrono::seconds(30);
    found("server clock", ok,
          "the server's clock and this machine's differ by " + std::to_string(off.count()) + " ms" +
              (ok ? "" : ": times in the history are the server's, and will look wrong here"),
          ok ? "" : "timedatectl status   # here, and on the server");
  }
  return findings;
}

}  // namespace

Result<std::unique_ptr<Driver>> postgres_driver(const std::string& url, const TargetOptions& options) {
  auto address = read_postgres_url(url, options.connect_timeout);
  if (!address) return std::unexpected(address.error());
  return std::make_unique<PostgresDriver>(std::move(*address), options);
}

}  // namespace syzygy::migration
