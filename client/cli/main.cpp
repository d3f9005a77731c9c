// syzygy: the command in each cluster's pipeline.
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <set>
#include <string>

#include "base/standard_streams.h"
#include "client/cli/command_line.h"
#include "client/cli/commands.h"
#include "client/cli/ending.h"
#include "client/cli/exit_codes.h"
#include "client/cli/signal_token.h"

namespace {

syzygy::StopSource* stop_source = nullptr;

extern "C" void on_signal(int signal) { stop_source->request(signal); }

void listen_to_signals() {
  struct sigaction action{};
  action.sa_handler = on_signal;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before{};
    ::sigaction(signal, nullptr, &before);
    if (signal == SIGHUP && before.sa_handler == SIG_IGN) continue;  // nohup
    ::sigaction(signal, &action, nullptr);
  }
  ::signal(SIGPIPE, SIG_IGN);
}

int columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 80;
}

int run(const syzygy::cli::Context& context) {
  using namespace syzygy::cli;
  static const std::map<std::string, int (*)(const Context&)> kCommands{
      {"migrate", run_migrate}, {"exec", run_exec},   {"status", run_status},   {"target", run_target},
      {"history", run_history}, {"sever", run_sever}, {"leave", run_leave},     {"resolve", run_resolve},
      {"doctor", run_doctor},   {"lint", run_lint},   {"explain", run_explain}, {"guard", run_guard},
      {"split", run_split},     {"plan", run_plan},   {"check", run_check},
  };
  return kCommands.at(context.settings.command)(context);
}

// What such a command prints is all that it does.
bool only_shows(const syzygy::cli::Settings& s) {
  static const std::set<std::string> kAlways{"status", "doctor", "lint", "explain", "split", "plan", "check"};
  if (s.command == "migrate") return s.plan_only;
  if (s.command == "history" || s.command == "guard") return s.subcommand.empty() || s.print_only;
  return kAlways.contains(s.command);
}

bool shown() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

// Of a command that printed what did not arrive: whether anything else was done is told by `code` alone.
int not_shown(int code, bool only_shows) {
  using namespace syzygy::cli;
  if (code != kExitOk && code != kExitFindings) return code;
  pollfd reader{STDOUT_FILENO, 0, 0};
  const bool left = ::poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR) != 0;  // `| head -1`: it has what it wants
  if (left) return only_shows ? kExitSignalBase + SIGPIPE : code;
  std::fprintf(
      stderr, "syzygy: standard output cannot be written: %s\n",
      only_shows ? "what this command shows is missing or not whole" : "what was asked for is done all the same");
  return only_shows ? kExitUsage : code;
}

int run(int argc, char** argv) {
  using namespace syzygy::cli;
  bool shows = true;
  try {
    auto parsed = parse_command_line(argc, argv,
                                     [](const std::string& name) -> const char* { return std::getenv(name.c_str()); });
    if (const Ends* ends = std::get_if<Ends>(&parsed)) {
      std::fputs(ends->text.c_str(), ends->code == 0 ? stdout : stderr);
      return shown() ? ends->code : not_shown(ends->code, shows);
    }
    shows = only_shows(std::get<Settings>(parsed));
    static syzygy::StopSource stop;
    stop_source = &stop;
    listen_to_signals();
    Narrator narrator(::isatty(STDERR_FILENO) == 1, columns());
    const SignalToken quit(stop);
    const int code = run(Context{std::get<Settings>(parsed), narrator, stop, quit.token()});
    return shown() ? code : not_shown(code, shows);
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) return not_shown(kExitOk, shows);  // what fmt::print() says of it
    std::fprintf(
        stderr,
        "syzygy: something unexpected went wrong (%s); nothing more was done. Please report it with this line.\n",
        error.what());
    return kExitIndeterminate;
  }
}

}  // namespace

int main(int argc, char** argv) {
  syzygy::hold_standard_streams();
  return syzygy::cli::end(run(argc, argv));
}
