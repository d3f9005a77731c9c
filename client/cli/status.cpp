// syzygy status: who is here, who is missing, who applies, which step.
#include <fmt/format.h>

#include <cstdio>

#include "client/cli/commands.h"
#include "client/cli/exit_codes.h"
#include "client/cli/json.h"
#include "client/cli/words.h"

namespace syzygy::cli {
namespace {

int one(const Context& context, Client& client) {
  v1::GetTargetRequest request;
  request.set_target(context.settings.target);
  const auto answer =
      client.get_target(request, Bound{BootClock::now() + context.settings.connect_timeout, &context.stop});
  if (!answer) return fail(context, answer.error());
  fmt::print("{}",
             context.settings.output == "json" ? to_json(answer->target()) + "\n" : target_report(answer->target()));
  return kExitOk;
}

int all(const Context& context, Client& client) {
  v1::ListTargetsRequest request;
  std::size_t shown = 0;
  v1::ListTargetsResponse everything;
  for (;;) {
    const auto page =
        client.list_targets(request, Bound{BootClock::now() + context.settings.connect_timeout, &context.stop});
    if (!page) return fail(context, page.error());
    for (const auto& target : page->targets()) {
      ++shown;
      if (context.settings.output == "json") {
        *everything.add_targets() = target;
      } else {
        fmt::print("{:<24} {:<14} {}\n", target.name(),
                   target.state() == v1::ROUND_STATE_UNSPECIFIED ? "-" : state_text(target.state()), target.text());
      }
    }
    if (page->next_page_token().empty()) break;
    request.set_page_token(page->next_page_token());
  }
  if (context.settings.output == "json") {
    fmt::print("{}\n", to_json(everything));
  } else if (shown == 0) {
    fmt::print("no target is known to the daemon at {} yet\n", client.answered_by());
  }
  return kExitOk;
}

int watch_one(const Context& context, Client& client) {
  v1::WatchTargetRequest request;
  request.set_target(context.settings.target);
  bool first = true;
  const auto ended = client.watch_target(
      request,
      [&](const v1::WatchTargetResponse& change) {
        if (context.settings.output == "json") {
          fmt::print("{}\n", to_json(change));
        } else if (first || change.gap()) {
          fmt::print("{}", target_report(change.target()));
        } else {
          for (const auto& event : change.events()) {
            const std::string line = event_line(event, change.target());
            if (!line.empty()) fmt::print("{}  {}\n", time_text(event.at()), line);
          }
        }
        first = false;
        return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;  // nobody watches any more
      },
      Bound{BootTime::max(), &context.stop},
      [&](const Error* lost) {
        context.narrator.say(lost == nullptr ? "the daemon answers" : "lost the daemon: " + lost->message);
      });
  if (context.stop.signal() != 0) return kExitSignalBase + context.stop.signal();
  return ended ? kExitOk : fail(context, ended.error());
}

int watch_all(const Context& context, Client& client) {
  const auto ended = client.watch_targets(
      v1::WatchTargetsRequest{},
      [&](const v1::WatchTargetsResponse& change) {
        const auto& target = change.target();
        if (context.settings.output == "json") {
          fmt::print("{}\n", to_json(target));
        } else {
          fmt::print("{:<24} {:<14} {}\n", target.name(),
                     target.state() == v1::ROUND_STATE_UNSPECIFIED ? "-" : state_text(target.state()), target.text());
        }
        return std::fflush(stdout) == 0 && std::ferror(stdout) == 0;  // nobody watches any more
      },
      Bound{BootTime::max(), &context.stop});
  if (context.stop.signal() != 0) return kExitSignalBase + context.stop.signal();
  return ended ? kExitOk : fail(context, ended.error());
}

}  // namespace

int run_status(const Context& context) {
  int code = 0;
  const auto client = open_client(context, code);
  if (client == nullptr) return code;
  if (context.settings.watch)
    return context.settings.target.empty() ? watch_all(context, *client) : watch_one(context, *client);
  return context.settings.target.empty() ? all(context, *client) : one(context, *client);
}

}  // namespace syzygy::cli
