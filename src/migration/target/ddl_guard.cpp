// ddl_guard.cpp - the event trigger, as text; and installing, reading and removing it.
#include "migration/target/ddl_guard.h"

#include <utility>

#include "migration/target/guarded_target.h"

namespace syzygy::migration {
namespace {

constexpr std::string_view kCommentStart = "Syzygy refuses DDL with a stale token; mode ";
constexpr std::string_view kRolesStart = ", roles ";

// {schema}, {require} and {roles} are filled in. It takes no lock, so that it never holds up a claim: a transaction
// with an older snapshot than the claim (REPEATABLE READ) does not see it. Its search path is fixed, for it runs with
// its owner's rights.
constexpr std::string_view kFunction = R"sql(create or replace function {schema}.guard() returns event_trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $guard$
declare
  presented text := coalesce(current_setting('syzygy.token', true), '');
  owner text := coalesce(nullif(current_setting('syzygy.application', true), ''), 'default');
  bearer text := coalesce(current_setting('syzygy.incarnation', true), '');
  reason text := coalesce(current_setting('syzygy.reason', true), '');
  held_token text;
  held_bearer text;
begin
  if presented <> '' then
    select f.token::text, f.incarnation into held_token, held_bearer from {schema}.fence f where f.application = owner;
    if held_token is distinct from presented or held_bearer is distinct from bearer then
      raise exception 'Syzygy refuses %: this session presents token % of the application %, and the fence holds %',
          tg_tag, presented, owner, coalesce(held_token, 'no such application')
        using errcode = 'object_not_in_prerequisite_state',
          hint = 'Another run has claimed this target: stop this one. Who applies: syzygy status.';
    end if;
    return;
  end if;
  if not {require} or session_user = any ({roles}) then
    return;
  end if;
  if reason <> '' then
    raise log 'Syzygy lets % by % pass without a token, for this reason: %', tg_tag, session_user, reason;
    return;
  end if;
  raise exception 'Syzygy refuses %: in this database DDL needs a token, and this session presents none', tg_tag
    using errcode = 'object_not_in_prerequisite_state',
      hint = 'Use syzygy migrate or syzygy exec; or say why: SET syzygy.reason = ''...''; (the server''s log keeps it).';
end
$guard$)sql";

std::string filled(std::string text, std::string_view what, std::string_view with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

std::string trigger_of(const std::string& schema) { return quoted_identifier(schema + "_guard"); }

std::string with_reason(std::string script) {
  // The guard that stands may require one of whoever replaces it.
  return "set local syzygy.reason = 'syzygy guard';\n" + std::move(script);
}

}  // namespace

std::string quoted_identifier(std::string_view name) {
  std::string quoted = "\"";
  for (const char c : name) {
    quoted += c;
    if (c == '"') quoted += '"';
  }
  return quoted + "\"";
}

std::string quoted_literal(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c;
    if (c == '\'') quoted += '\'';
  }
  // With a backslash in it, what it means depends on a setting of the session.
  return text.find('\\') == std::string_view::npos ? quoted + "'" : " E" + filled(quoted, "\\", "\\\\") + "'";
}

std::string_view to_string(DdlGuard::Mode mode) {
  switch (mode) {
    case DdlGuard::Mode::kReject:
      return "reject";
    case DdlGuard::Mode::kRequire:
      return "require";
    case DdlGuard::Mode::kNone:
      break;
  }
  return "none";
}

std::string postgres_ddl_guard(const std::string& schema, const DdlGuard& guard) {
  const bool require = guard.mode == DdlGuard::Mode::kRequire;
  std::string roles = "array[";
  std::string named;
  for (const std::string& role : guard.roles) {
    roles += (roles.ends_with('[') ? "" : ", ") + quoted_literal(role);
    named += (named.empty() ? "" : ",") + role;
  }
  std::string comment(kCommentStart);
  comment.append(to_string(guard.mode));
  if (!named.empty()) comment.append(kRolesStart).append(named);
  std::string function = filled(std::string(kFunction), "{schema}", quoted_identifier(schema));
  function = filled(function, "{require}", require ? "true" : "false");
  function = filled(function, "{roles}", roles + "]::text[]");
  const std::string trigger = trigger_of(schema);
  return with_reason("drop event trigger if exists " + trigger + ";\n" + function + ";\nrevoke all on function " +
                     quoted_identifier(schema) + ".guard() from public;\ncreate event trigger " + trigger +
                     " on ddl_command_start execute function " + quoted_identifier(schema) +
                     ".guard();\ncomment on event trigger " + trigger + " is " + quoted_literal(comment) + ";\n");
}

std::string postgres_ddl_guard_removal(const std::string& schema) {
  return with_reason("drop event trigger if exists " + trigger_of(schema) + ";\ndrop function if exists " +
                     quoted_identifier(schema) + ".guard();\n");
}

DdlGuard read_ddl_guard_comment(std::string_view comment, bool enabled) {
  DdlGuard guard{DdlGuard::Mode::kReject, {}, enabled};
  if (!comment.starts_with(kCommentStart)) return guard;
  comment.remove_prefix(kCommentStart.size());
  if (comment.starts_with(to_string(DdlGuard::Mode::kRequire))) guard.mode = DdlGuard::Mode::kRequire;
  const std::size_t roles = comment.find(kRolesStart);
  if (roles == std::string_view::npos) return guard;
  comment.remove_prefix(roles + kRolesStart.size());
  while (!comment.empty()) {
    const std::size_t comma = comment.find(',');
    guard.roles.emplace_back(comment.substr(0, comma));
    comment = comma == std::string_view::npos ? "" : comment.substr(comma + 1);
  }
  return guard;
}

Result<std::string> GuardedTarget::ddl_guard_script(const DdlGuard& guard) {
  std::string script = db_->ddl_guard_script(guard);
  if (!script.empty()) return script;
  return failure(ErrorCode::kFailedPrecondition, "GUARD_NOT_POSSIBLE",
                 describe() + " has no event triggers: only PostgreSQL can look at the token of a wrapped tool.");
}

Result<DdlGuard> GuardedTarget::ddl_guard() {
  return reading<DdlGuard>("look for the guard of DDL", [&] { return db_->read_ddl_guard(); });
}

Result<void> GuardedTarget::change_ddl_guard(const std::string& script, const AuditEntry& entry) {
  std::optional<Error> refused;
  auto done = reading<bool>("change the guard of DDL", [&]() -> Sql<bool> {
    if (auto begun = db_->begin_write(); !begun) return std::unexpected(begun.error());
    if (auto run = db_->execute(script); !run) {
      if (run.error().kind != SqlError::Kind::kRights) return std::unexpected(run.error());
      refused =
          Error{ErrorCode::kPermissionDenied,
                "GUARD_NEEDS_SUPERUSER",
                describe() + ": this role may not make or remove an event trigger, only a superuser may (" +
                    run.error().words +
                    "). Give --database a superuser's URL, or let a superuser run what this prints: syzygy guard " +
                    "install --print --database URL.",
                {},
                std::nullopt};
      db_->rollback();
      return false;
    }
    if (auto written = ledger_.write_audit(entry); !written) return std::unexpected(written.error());
    if (auto committed = db_->commit(); !committed) return std::unexpected(committed.error());
    return true;
  });
  if (!done) return std::unexpected(done.error());
  if (refused) return std::unexpected(*refused);
  return {};
}

Result<void> GuardedTarget::install_ddl_guard(const DdlGuard& guard, std::string_view who, std::string_view reason) {
  auto script = ddl_guard_script(guard);
  if (!script) return std::unexpected(script.error());
  return change_ddl_guard(*script, {"guard", StepId{}, "installed, mode " + std::string(to_string(guard.mode)),
                                    std::string(who), std::string(reason), Instant{}, Token{}});
}

Result<bool> GuardedTarget::remove_ddl_guard(std::string_view who, std::string_view reason) {
  auto stands = ddl_guard();
  if (!stands) return std::unexpected(stands.error());
  if (stands->mode == DdlGuard::Mode::kNone) return false;
  auto done = change_ddl_guard(db_->ddl_guard_removal(), {"guard", StepId{}, "removed", std::string(who),
                                                          std::string(reason), Instant{}, Token{}});
  if (!done) return std::unexpected(done.error());
  return true;
}

}  // namespace syzygy::migration
