// syzygy: the command in each cluster's pipeline.
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>

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
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
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

int run(int argc, char** argv) {
  using namespace syzygy::cli;
  try {
    auto parsed = parse_command_line(argc, argv,
                                     [](const std::string& name) -> const char* { return std::getenv(name.c_str()); });
    if (const Ends* ends = std::get_if<Ends>(&parsed)) {
      std::fputs(ends->text.c_str(), ends->code == 0 ? stdout : stderr);
      return ends->code;
    }
    static syzygy::StopSource stop;
    stop_source = &stop;
    listen_to_signals();
    Narrator narrator(::isatty(STDERR_FILENO) == 1, columns());
    const SignalToken quit(stop);
    return run(Context{std::get<Settings>(parsed), narrator, stop, quit.token()});
  } catch (const std::exception& error) {
    std::fprintf(
        stderr,
        "syzygy: something unexpected went wrong (%s); nothing more was done. Please report it with this line.\n",
        error.what());
    return kExitIndeterminate;
  }
}

}  // namespace

int main(int argc, char** argv) { return syzygy::cli::end(run(argc, argv)); }
