#include "store/postgres_schema.h"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <thread>

#include "base/sha256.h"
#include "store/store.h"

namespace syzygy::pg {
namespace {

constexpr std::chrono::seconds kMigrateMax{60};
constexpr std::chrono::milliseconds kLookAgain{25};
constexpr std::size_t kHeldMax = 8UZ << 20;  // what a commit tells of the records that it conflicted with

// Version 1. Keys are bytea: compared bytewise, whatever the database's collation. `{s}` is the schema.
//
// commit(): for each change, in order, `outcomes` gets c (committed), x (the version is another one; `held` gets it and
// the record, unless that is big) or b (another commit of this record is under way). Every statement inside sees what
// was committed before it, and nobody else writes a record while its lock is held, so what is compared is what is
// replaced. What mostly happens is one statement for each change: where the disk is fast, their number is what a commit
// costs. The lock is never waited for: a statement that waits holds a snapshot, and whoever builds an index
// concurrently on this server waits for that.
constexpr const char* kVersion1 = R"(
CREATE TABLE {s}.meta (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  program  text    NOT NULL,
  version  integer NOT NULL,
  epoch    text    NOT NULL
);
INSERT INTO {s}.meta (program, version, epoch) VALUES ('syzygy', 1, '{epoch}');

CREATE SEQUENCE {s}.counter;

CREATE TABLE {s}.record (
  key       bytea  PRIMARY KEY,
  epoch     text   NOT NULL,
  counter   bigint NOT NULL,
  commit_id text   NOT NULL,
  revision  bigint NOT NULL,
  bytes     bytea  NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 500);
COMMENT ON TABLE {s}.record IS 'syzygyd: one row for each target and barrier';
COMMENT ON COLUMN {s}.record.revision IS 'the newest that history ever had for this key';

CREATE TABLE {s}.history (
  key      bytea  NOT NULL,
  revision bigint NOT NULL,
  bytes    bytea  NOT NULL,
  PRIMARY KEY (key, revision)
);

CREATE FUNCTION {s}.commit(
  p_blob bytea, p_version integer, p_epoch text, p_handle text,
  p_lock bigint[], p_key_at integer[], p_key_size integer[], p_expected text[], p_commit text[],
  p_at integer[], p_size integer[], p_floor bigint[], p_hint boolean[], p_row_first integer[], p_row_count integer[],
  p_row_revision bigint[], p_row_at integer[], p_row_size integer[],
  OUT o_version integer, OUT o_epoch text, OUT o_now bigint, OUT o_outcomes text, OUT o_counters text, OUT o_held text)
LANGUAGE plpgsql AS $commit$
DECLARE
  v_key     bytea;
  v_held    text;
  v_bytes   text;
  v_last    bigint;
  v_counter bigint;
  v_rows    integer;
  v_first   integer;
  v_told    boolean;
BEGIN
  o_now := floor(extract(epoch from clock_timestamp()) * 1000);
  SELECT m.version, m.epoch INTO STRICT o_version, o_epoch FROM {s}.meta m;
  IF o_version <> p_version THEN
    RAISE EXCEPTION '%', o_version USING ERRCODE = 'SZ002';
  END IF;
  o_outcomes := '';
  o_counters := '';
  o_held := '';
  IF o_epoch <> p_epoch THEN
    o_outcomes := repeat('x', cardinality(p_lock));
    o_counters := repeat('0,', cardinality(p_lock));
    RETURN;
  END IF;
  -- What is acknowledged is durable, whatever the role's settings say.
  IF current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;

  FOR i IN 1 .. cardinality(p_lock) LOOP
    v_counter := 0;
    IF NOT pg_try_advisory_xact_lock(p_lock[i]) THEN
      o_outcomes := o_outcomes || 'b';
    ELSE
      v_key := substr(p_blob, p_key_at[i], p_key_size[i]);
      v_rows := p_row_count[i];
      v_first := p_row_first[i];
      IF p_expected[i] = '' THEN
        IF v_rows > 0 AND p_row_revision[v_first] <= 0 THEN
          RAISE EXCEPTION '% %', i, 0 USING ERRCODE = 'SZ001';
        END IF;
        INSERT INTO {s}.record AS r (key, epoch, counter, commit_id, revision, bytes)
          VALUES (v_key, p_epoch, nextval('{s}.counter'), p_commit[i],
                  CASE WHEN v_rows > 0 THEN p_row_revision[v_first + v_rows - 1] ELSE 0 END,
                  substr(p_blob, p_at[i], p_size[i]))
          ON CONFLICT DO NOTHING RETURNING r.counter INTO v_counter;
      ELSE
        UPDATE {s}.record r SET epoch = p_epoch, counter = nextval('{s}.counter'), commit_id = p_commit[i],
            revision = CASE WHEN v_rows > 0 THEN p_row_revision[v_first + v_rows - 1] ELSE r.revision END,
            bytes = substr(p_blob, p_at[i], p_size[i])
          WHERE r.key = v_key AND r.epoch || ':' || r.counter || ':' || r.commit_id = p_expected[i]
            AND (v_rows = 0 OR p_row_revision[v_first] > r.revision)
          RETURNING r.counter INTO v_counter;
      END IF;
      IF NOT FOUND THEN
        v_counter := 0;
        SELECT r.epoch || ':' || r.counter || ':' || r.commit_id, r.revision,
            CASE WHEN octet_length(r.bytes) < {held_max} THEN encode(r.bytes, 'hex') END
          INTO v_held, v_last, v_bytes FROM {s}.record r WHERE r.key = v_key;
        IF v_held = p_expected[i] THEN
          RAISE EXCEPTION '% %', i, v_last USING ERRCODE = 'SZ001';
        END IF;
        o_outcomes := o_outcomes || 'x';
        IF v_bytes IS NOT NULL AND length(o_held) < {held_max} THEN
          o_held := o_held || v_held || ':' || v_bytes;
        END IF;
        o_held := o_held || ',';
      ELSE
        IF v_rows > 0 THEN
          INSERT INTO {s}.history (key, revision, bytes)
            SELECT v_key, p_row_revision[j], substr(p_blob, p_row_at[j], p_row_size[j])
              FROM generate_series(v_first, v_first + v_rows - 1) j;
        END IF;
        IF p_floor[i] > 0 THEN
          DELETE FROM {s}.history WHERE key = v_key AND revision < p_floor[i];
        END IF;
        IF p_hint[i] THEN
          -- As an expression: PERFORM would plan and run a statement.
          v_told := pg_notify('{channel}', p_handle || ' ' || p_epoch || ' ' || v_counter || ' ' || p_commit[i] || ' '
                                           || encode(v_key, 'hex')) IS NOT NULL;
        END IF;
        o_outcomes := o_outcomes || 'c';
      END IF;
    END IF;
    o_counters := o_counters || v_counter || ',';
  END LOOP;
END
$commit$;
)";

constexpr std::array kMigrations = {kVersion1};
static_assert(kMigrations.size() == kSchemaVersion);

// Before each migration: nobody else is at it, and the schema is still of version `from` (0: there is none).
constexpr const char* kGuard = R"(
DO $guard$
DECLARE
  v_version integer := 0;
BEGIN
  IF NOT pg_try_advisory_xact_lock({lock}) THEN
    RAISE EXCEPTION 'busy' USING ERRCODE = 'SZ003';
  END IF;
  IF to_regclass('{s}.meta') IS NOT NULL THEN
    EXECUTE 'SELECT version FROM {s}.meta' INTO v_version;
  END IF;
  IF v_version <> {from} THEN
    RAISE EXCEPTION 'moved' USING ERRCODE = 'SZ004';
  END IF;
  IF to_regnamespace('{s}') IS NULL THEN
    CREATE SCHEMA {s};
    COMMENT ON SCHEMA {s} IS 'the store of syzygyd: not for hands';
  END IF;
END
$guard$;
)";

// The name is plain (see read_address), but may be one of SQL's own words.
std::string quoted(const std::string& schema) { return '"' + schema + '"'; }

Error foreign(const Address& address) {
  return Error{ErrorCode::kDataLoss,
               "STORE_FOREIGN",
               fmt::format("The schema {} in {} is not of syzygyd: it has a table meta of another shape. Name another "
                           "schema: --store postgresql://...?schema=NAME.",
                           address.schema, address.place),
               {{"store", address.place}},
               std::nullopt};
}

// 0: there is no schema of ours yet.
Result<int> version_in(Session& session, const Address& address) {
  const auto there = session.run(
      {"", "select coalesce(pg_catalog.to_regclass($1 || '.meta')::text, ''), pg_catalog.to_regclass($1 || '.record')"},
      {quoted(address.schema)});
  if (!there) return std::unexpected(error_of(there.error(), address));
  if ((*there)[0][0].empty()) return 0;
  const auto meta = session.run({"", fmt::format("select program, version from {}.meta", quoted(address.schema))}, {});
  if (!meta && meta.error().state == "42501") return std::unexpected(error_of(meta.error(), address));
  if (!meta && meta.error().kind == Failure::Kind::kLost) return std::unexpected(error_of(meta.error(), address));
  if (!meta || meta->size() != 1 || (*meta)[0][0] != "syzygy" || (*there)[0][1].empty())
    return std::unexpected(foreign(address));
  return std::atoi((*meta)[0][1].c_str());
}

std::string select(const std::string& what, const std::string& from, const std::string& schema) {
  return fmt::format(
      "SELECT m.version, m.epoch, floor(extract(epoch from clock_timestamp()) * 1000)::bigint, "
      "current_setting('transaction_read_only'){} FROM {}.meta m{}",
      what, schema, from);
}

}  // namespace

std::string channel_of(const std::string& schema) { return "syzygy_" + schema; }

std::int64_t lock_of(const std::string& schema, std::string_view key) {
  const std::string digest = sha256_hex("syzygyd's store " + schema + "/" + std::string(key));
  return static_cast<std::int64_t>(std::stoull(digest.substr(0, 16), nullptr, 16));
}

Result<void> migrate(Session& session, const Address& address) {
  const auto until = std::chrono::steady_clock::now() + kMigrateMax;
  for (;;) {
    const auto version = version_in(session, address);
    if (!version) return std::unexpected(version.error());
    if (*version > kSchemaVersion) return std::unexpected(store_newer(address, std::to_string(*version)));
    if (*version == kSchemaVersion) return {};
    const std::string script =
        fmt::format(kGuard, fmt::arg("s", quoted(address.schema)), fmt::arg("lock", lock_of(address.schema, {})),
                    fmt::arg("from", *version)) +
        fmt::format(fmt::runtime(kMigrations.at(static_cast<std::size_t>(*version))),
                    fmt::arg("s", quoted(address.schema)), fmt::arg("epoch", mint_epoch()),
                    fmt::arg("channel", channel_of(address.schema)), fmt::arg("held_max", kHeldMax));
    const auto done = session.script(script, kMigrateMax);
    if (done) continue;
    const bool another = done.error().state == kStateBusy || done.error().state == kStateMoved;
    if (!another || std::chrono::steady_clock::now() > until) return std::unexpected(error_of(done.error(), address));
    std::this_thread::sleep_for(kLookAgain);
  }
}

Error store_newer(const Address& address, const std::string& version) {
  return Error{
      ErrorCode::kDataLoss,
      "STORE_NEWER",
      fmt::format("The schema in {} is of version {}, made by a newer syzygyd; this one knows {}. Run the newer "
                  "syzygyd, or restore the backup from before the upgrade.",
                  address.place, version, kSchemaVersion),
      {{"store", address.place}, {"version", version}},
      std::nullopt};
}

Error error_of(const Failure& failure, const Address& address) {
  const std::string& state = failure.state;
  const std::string said = address.place + ": " + failure.words;
  const auto error = [&](ErrorCode code, std::string reason, std::string message) {
    return Error{code, std::move(reason), std::move(message), {{"store", address.place}, {"sqlstate", state}}, {}};
  };
  if (failure.kind == Failure::Kind::kLost) {
    std::string advice = ". It is tried again; syzygyd store check says more.";
    if (failure.words.find("read-only") != std::string::npos || failure.words.find("read only") != std::string::npos)
      advice = ". The store must be written to: name the primary, or all hosts, and a role that may write.";
    return error(ErrorCode::kUnavailable, "STORE_UNREACHABLE", "The store cannot be reached at " + said + advice);
  }
  if (state == kStateVersion) return store_newer(address, failure.words.substr(failure.words.rfind(' ') + 1));
  if (state == "53100" || state == "54023")
    return error(ErrorCode::kResourceExhausted, "STORE_FULL",
                 "The store's server has no room left: " + said + ". Make room on its disk; nothing was stored.");
  if (state == "25006")
    return error(ErrorCode::kResourceExhausted, "STORE_READ_ONLY",
                 "The store's server takes no writes (a replica, or read-only by a setting): " + said +
                     ". Name the primary, or all hosts, in --store.");
  if (state == "42501")
    return error(
        ErrorCode::kPermissionDenied, "STORE_PERMISSION",
        fmt::format("The role lacks a right in the store: {}. As its owner: GRANT CREATE ON DATABASE ... TO the "
                    "role, or, for a schema that is there: GRANT USAGE ON SCHEMA {} and ALL ON ALL TABLES and "
                    "ALL SEQUENCES IN SCHEMA {} TO the role.",
                    said, address.schema, address.schema));
  if (state == "42P01" || state == "3F000" || state == "42883")
    return error(
        ErrorCode::kUnavailable, "STORE_LOST",
        fmt::format("The store is gone: {}. Restore the schema {}, or start a syzygyd anew, which makes an empty "
                    "one.",
                    said, address.schema));
  if (state.starts_with("53") || state.starts_with("57") || state.starts_with("40") || state.starts_with("55"))
    return error(ErrorCode::kUnavailable, "STORE_UNREACHABLE",
                 "The store's server refuses at this moment: " + said + ". It is tried again.");
  return error(ErrorCode::kDataLoss, "STORE_REFUSED",
               "The store's server refuses: " + said + ". syzygyd store check says what it lacks.");
}

Statements::Statements(const std::string& schema) {
  const std::string s = quoted(schema);
  now = {"syzygy_now", select("", "", s)};
  load = {"syzygy_load", select(", r.epoch, r.counter, r.commit_id, encode(r.bytes, 'hex')",
                                fmt::format(" LEFT JOIN {}.record r ON r.key = decode($1, 'hex')", s), s)};
  const std::string listed = ", encode(r.key, 'hex'), r.epoch, r.counter, r.commit_id";
  scan = {"syzygy_scan", select(listed,
                                fmt::format(" LEFT JOIN LATERAL (SELECT key, epoch, counter, commit_id FROM {}.record "
                                            "WHERE key >= decode($1, 'hex') AND key < "
                                            "decode($2, 'hex') ORDER BY key LIMIT $3::bigint) r ON true",
                                            s),
                                s) +
                             " ORDER BY r.key"};
  since = {"syzygy_since", select(listed,
                                  fmt::format(" LEFT JOIN LATERAL (SELECT key, epoch, counter, commit_id FROM "
                                              "{}.record WHERE counter > $1::bigint ORDER BY counter "
                                              "LIMIT $2::bigint) r ON true",
                                              s),
                                  s) +
                               " ORDER BY r.counter"};
  history = {"syzygy_history",
             select(", h.revision, encode(h.bytes, 'hex')",
                    fmt::format(" LEFT JOIN LATERAL (SELECT revision, bytes FROM {}.history WHERE key = decode($1, "
                                "'hex') AND revision > $2::bigint ORDER BY revision LIMIT $3::bigint) h ON true",
                                s),
                    s) +
                 " ORDER BY h.revision"};
  commit = {"syzygy_commit", fmt::format("SELECT o_version, o_epoch, o_now, 'off', o_outcomes, o_counters, o_held FROM "
                                         "{}.commit($1, $2, $3, $4, $5, $6, "
                                         "$7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
                                         s)};
}

}  // namespace syzygy::pg
