// syzygy history: what stands in the target, or what the daemon saw; adopt, accept and repair.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <boost/json.hpp>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/json.h"
#include "client/cli/migrations.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

std::string instant_text(Instant at) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(at.ms / 1'000)));
}

int of_database(const Context& context) {
  auto target = migration::open_target(context.settings.database, target_options(context));
  if (!target) return fail(context, kExitDatabase, target.error().message);
  auto history = (*target)->history();
  if (!history) return fail(context, kExitDatabase, history.error().message);
  auto audit = (*target)->audit();
  if (!audit) return fail(context, kExitDatabase, audit.error().message);
  const auto snapshot = (*target)->snapshot();
  if (!snapshot) return fail(context, kExitDatabase, snapshot.error().message);
  const std::string stays = migration::kept_table_stays(*snapshot);
  if (context.settings.output == "json") {
    boost::json::array steps, acts;
    for (const auto& e : *history) {
      steps.push_back(boost::json::object{
          {"id", e.id.value},
          {"direction", to_string(e.direction)},
          {"stage", e.stage ? boost::json::value(to_string(*e.stage)) : boost::json::value(nullptr)},
          {"content", e.content},
          {"who", e.who},
          {"at_ms", e.at.ms},
          {"took_ms", e.took.count()},
          {"round", e.round.value},
          {"token", e.token.value},
          {"reverted", e.reverted},
          {"adopted", e.adopted}});
    }
    for (const auto& a : *audit) {
      acts.push_back(boost::json::object{{"what", a.what},
                                         {"step", a.step.value},
                                         {"detail", a.detail},
                                         {"who", a.who},
                                         {"reason", a.reason},
                                         {"at_ms", a.at.ms},
                                         {"token", a.token.value}});
    }
    fmt::print("{}\n",
               boost::json::serialize(boost::json::object{{"history", steps}, {"audit", acts}, {"kept_table", stays}}));
    return kExitOk;
  }
  if (history->empty()) fmt::print("{}: no migration was ever applied by syzygy\n", (*target)->describe());
  for (const auto& e : *history) {
    fmt::print("{}  {:<5} {:<20} {:<12} {:>9}  token {:<4} {}{}{}\n", instant_text(e.at), to_string(e.direction),
               e.id.value, e.stage ? to_string(*e.stage) : "-", duration_text(e.took), e.token.value, e.who,
               e.reverted ? "  (reverted since)" : "", e.adopted ? "  (adopted)" : "");
  }
  for (const auto& a : *audit) {
    fmt::print("{}  {} {} by {}: {} {}\n", instant_text(a.at), a.what, a.step.value, a.who, a.reason, a.detail);
  }
  if (!stays.empty()) fmt::print("{}\n", stays);
  return kExitOk;
}

int of_daemon(const Context& context) {
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  v1::ListEventsRequest request;
  request.set_target(context.settings.target);
  request.set_page_size(1'000);
  for (;;) {
    const auto page =
        client->list_events(request, Bound{BootClock::now() + context.settings.connect_timeout, &context.stop});
    if (!page) return fail(context, page.error());
    for (const auto& event : page->events()) {
      request.set_after_revision(event.revision());
      if (context.settings.output == "json") {
        fmt::print("{}\n", to_json(event));
      } else {
        const std::string line = event_line(event, v1::Target{});
        if (!line.empty()) fmt::print("{:>6}  {}  {}\n", event.revision(), time_text(event.at()), line);
      }
    }
    if (!page->more()) return kExitOk;
  }
}

int adopt(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.database, "--database", "postgresql://orders@db/orders")) return code;
  if (const int code = require(context, s.dir, "--dir", "migrations")) return code;
  auto opened = Migrations::open(context);
  if (!opened) return fail(context, plan_exit_code(opened.error()), opened.error().message);
  if (auto prepared = opened->target().prepare(); !prepared)
    return fail(context, kExitDatabase, prepared.error().message);
  std::optional<StepId> at;
  if (!s.at.empty()) at = StepId{s.at};
  const auto adopted = opened->target().adopt(opened->known(), at, actor_of(s));
  if (!adopted) return fail(context, plan_exit_code(adopted.error()), adopted.error().message);
  const auto count = [](std::size_t n) { return fmt::format("{} migration{}", n, n == 1 ? "" : "s"); };
  std::string what = adopted->adopted.empty() && !adopted->reverted.empty() ? "" : count(adopted->adopted.size());
  if (!adopted->reverted.empty()) {
    what += (what.empty() ? "" : " and ") + std::string("the revert of ") + count(adopted->reverted.size());
  }
  fmt::print("adopted {} from {}{}\n", what, adopted->from,
             adopted->kept ? "; its table is kept together with ours from now on" : "");
  return kExitOk;
}

int accept(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.database, "--database", "postgresql://orders@db/orders")) return code;
  if (const int code = require(context, s.dir, "--dir", "migrations")) return code;
  if (const int code = require(context, s.reason, "--reason", "only a comment changed")) return code;
  auto opened = Migrations::open(context);
  if (!opened) return fail(context, plan_exit_code(opened.error()), opened.error().message);
  for (const Migration& migration : opened->directory()) {
    if (!same_id(migration.id, StepId{s.step})) continue;
    if (auto prepared = opened->target().prepare(); !prepared)
      return fail(context, kExitDatabase, prepared.error().message);
    const auto before = opened->target().accept(migration.id, migration.up.content, actor_of(s), s.reason);
    if (!before) return fail(context, plan_exit_code(before.error()), before.error().message);
    fmt::print("accepted {}: {} instead of {}\n", migration.id.value, migration.up.content.substr(0, 12),
               before->substr(0, 12));
    return kExitOk;
  }
  return fail(context, kExitPlan, "the directory " + s.dir + " has no migration " + s.step);
}

int repair(const Context& context) {
  const Settings& s = context.settings;
  if (const int code = require(context, s.database, "--database", "postgresql://orders@db/orders")) return code;
  if (const int code = require(context, s.reason, "--reason", "looked: the index is INVALID, dropped it")) return code;
  auto target = migration::open_target(s.database, target_options(context));
  if (!target) return fail(context, kExitDatabase, target.error().message);
  const auto mark = (*target)->repair(StepId{s.step}, actor_of(s), s.reason);
  if (!mark) return fail(context, plan_exit_code(mark.error()), mark.error().message);
  fmt::print("repaired {}, which round {} began: it may run again\n", mark->id.value, mark->round.value);
  return kExitOk;
}

}  // namespace

int run_history(const Context& context) {
  if (context.settings.subcommand == "adopt") return adopt(context);
  if (context.settings.subcommand == "accept") return accept(context);
  if (context.settings.subcommand == "repair") return repair(context);
  if (!context.settings.database.empty()) return of_database(context);
  if (context.settings.target.empty()) {
    return fail(
        context, kExitUsage,
        "say whose history: --database URL for what stands in the target, or --target NAME for what the daemon saw");
  }
  return of_daemon(context);
}

}  // namespace syzygy::cli
