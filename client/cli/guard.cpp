// syzygy guard: the event trigger in a PostgreSQL target that refuses DDL of stale wrapped tools.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/name.h"
#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/migrations.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

using migration::DdlGuard;

int show(const Context& context, migration::Target& target) {
  const auto guard = target.ddl_guard();
  if (!guard) return fail(context, kExitDatabase, guard.error().message);
  const std::string mode(to_string(guard->mode));
  if (context.settings.output == "json") {
    boost::json::array roles;
    for (const std::string& role : guard->roles) roles.emplace_back(role);
    fmt::print("{}\n", boost::json::serialize(
                           boost::json::object{{"mode", mode}, {"enabled", guard->enabled}, {"allow_roles", roles}}));
    return kExitOk;
  }
  fmt::print("{}: {}{}{}\n", target.describe(),
             guard->mode == DdlGuard::Mode::kNone ? "no guard of DDL" : "guard of DDL, mode " + mode,
             guard->roles.empty() ? "" : ", not for " + joined(guard->roles),
             guard->enabled ? "" : " (DISABLED: it refuses nothing)");
  return kExitOk;
}

int install(const Context& context, migration::Target& target) {
  const Settings& s = context.settings;
  DdlGuard guard{s.guard_mode == "require" ? DdlGuard::Mode::kRequire : DdlGuard::Mode::kReject, s.allow_roles, true};
  if (guard.mode == DdlGuard::Mode::kReject && !guard.roles.empty()) {
    return fail(context, kExitUsage, "--allow-role lets DDL pass that has no token: it needs --mode require");
  }
  for (const std::string& role : guard.roles) {
    if (role.empty() || role.find(',') != std::string::npos) {
      return fail(context, kExitUsage, "\"" + legible(role) + "\" cannot be given with --allow-role");
    }
  }
  const auto script = target.ddl_guard_script(guard);
  if (!script) return fail(context, kExitDatabase, script.error().message);
  if (s.print_only) {
    fmt::print("begin;\n{}commit;\n", *script);
    return kExitOk;
  }
  if (auto prepared = target.prepare(); !prepared) return fail(context, kExitDatabase, prepared.error().message);
  if (auto done = target.install_ddl_guard(guard, actor_of(s), s.reason); !done) {
    return fail(context, kExitDatabase, done.error().message);
  }
  return show(context, target);
}

int remove(const Context& context, migration::Target& target) {
  const auto removed = target.remove_ddl_guard(actor_of(context.settings), context.settings.reason);
  if (!removed) return fail(context, kExitDatabase, removed.error().message);
  fmt::print("{}: {}\n", target.describe(), *removed ? "the guard of DDL was removed" : "there was no guard of DDL");
  return kExitOk;
}

}  // namespace

int run_guard(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.database, "--database", "postgresql://postgres@db/orders")) return code;
  auto target = migration::open_target(s.database, target_options(context));
  if (!target) return fail(context, kExitDatabase, target.error().message);
  if (s.subcommand == "install") return install(context, **target);
  if (s.subcommand == "remove") return remove(context, **target);
  return show(context, **target);
}

}  // namespace syzygy::cli
