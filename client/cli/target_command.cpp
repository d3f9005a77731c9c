// syzygy target set, excuse, rebind: what an operator fixes on the server for one target.
#include <fmt/format.h>

#include "client/cli/commands.h"
#include "client/cli/convert.h"
#include "client/cli/exit_codes.h"
#include "client/cli/json.h"
#include "client/cli/migrations.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

constexpr int kRebindAttempts = 10;  // for the fence row, which an apply that runs holds

int send(const Context& context, v1::SetTargetRequest request) {
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  *request.mutable_request() = fresh_request();
  request.set_target(context.settings.target);
  request.set_actor(actor_of(context.settings));
  request.set_reason(context.settings.reason);
  const auto answer =
      client->set_target(request, Bound{BootClock::now() + context.settings.connect_timeout, &context.stop});
  if (!answer) return fail(context, answer.error());
  fmt::print("{}",
             context.settings.output == "json" ? to_json(answer->target()) + "\n" : target_report(answer->target()));
  return kExitOk;
}

int set(const Context& context) {
  const Settings& s = context.settings;
  const auto quorum = quorum_of(s);
  if (s.clear_pin == quorum.has_value()) {
    return fail(context, kExitUsage, "say what to pin, --quorum N or --expect a,b,c, or --clear to remove the pin");
  }
  v1::SetTargetRequest request;
  request.mutable_pin();
  if (quorum) *request.mutable_pin()->mutable_quorum() = *quorum;
  return send(context, std::move(request));
}

int excuse(const Context& context) {
  const Settings& s = context.settings;
  if (s.excuse_end == (s.excuse_for.count() > 0)) {
    return fail(context, kExitUsage, "say for how long, --for 2h, or --end to end the excuse now");
  }
  if (!s.excuse_end) {
    if (const int code = require(context, s.reason, "--reason", "region down")) return code;
  }
  v1::SetTargetRequest request;
  request.mutable_excuse()->set_party(s.excuse_party);
  request.mutable_excuse()->set_reason(s.reason);
  request.mutable_excuse_for()->set_seconds(s.excuse_for.count() / 1'000);
  request.mutable_excuse_for()->set_nanos(static_cast<std::int32_t>(s.excuse_for.count() % 1'000 * 1'000'000));
  return send(context, std::move(request));
}

int rebind(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.database, "--database", "postgresql://orders@db/orders")) return code;
  if (const int code = require(context, s.reason, "--reason", "restored from backup")) return code;
  migration::TargetOptions options = target_options(context);
  options.lock_attempts = kRebindAttempts;
  auto target = migration::open_target(s.database, options);
  if (!target) return fail(context, kExitDatabase, target.error().message);
  if (auto prepared = (*target)->prepare(); !prepared) return fail(context, kExitDatabase, prepared.error().message);
  auto identity = (*target)->identity();
  if (!identity) return fail(context, kExitDatabase, identity.error().message);
  // The daemon first: it refuses what cannot be, and this command may be repeated.
  v1::SetTargetRequest request;
  *request.mutable_rebind() = binding_of(*identity, s.application);
  if (const int code = send(context, std::move(request)); code != kExitOk) return code;
  const auto stood = (*target)->rebind(actor_of(s), s.reason);
  if (!stood) {
    return fail(context, kExitDatabase,
                "the daemon has bound " + s.target + " to this database, but its fence row still bears the old name: " +
                    stood.error().message + " Run the same command again.");
  }
  if (!stood->empty() && *stood != s.target) {
    context.narrator.say("the target's name in " + (*target)->describe() + " was " + *stood + ", and is " + s.target +
                         " now");
  }
  return kExitOk;
}

}  // namespace

int run_target(const Context& context) {
  const std::string& what = context.settings.subcommand;
  return what == "set" ? set(context) : what == "excuse" ? excuse(context) : rebind(context);
}

}  // namespace syzygy::cli
