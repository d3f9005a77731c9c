// commands.h - one function per command: from Settings to an exit code. Each prints what a person or a pipeline needs.
#pragma once

#include <memory>
#include <stop_token>

#include "client/cli/narrator.h"
#include "client/cli/settings.h"
#include "client/cpp/client.h"
#include "client/cpp/stop.h"

namespace syzygy::cli {

struct Context {
  const Settings& settings;
  Narrator& narrator;
  const StopSource& stop;
  std::stop_token quit;  // requested with `stop`
};

int run_migrate(const Context& context);      // migrate.cpp
int run_break_glass(const Context& context);  // break_glass.cpp: migrate --break-glass
int run_exec(const Context& context);         // exec.cpp
int run_status(const Context& context);       // status.cpp
int run_target(const Context& context);       // target_command.cpp: target set, excuse, rebind
int run_history(const Context& context);      // history.cpp: history, adopt, accept, repair
int run_guard(const Context& context);        // guard.cpp: guard, guard install, guard remove
int run_sever(const Context& context);        // operator.cpp
int run_leave(const Context& context);        // operator.cpp
int run_resolve(const Context& context);      // operator.cpp
int run_lint(const Context& context);         // lint.cpp
int run_split(const Context& context);        // split.cpp
int run_plan(const Context& context);         // plan.cpp
int run_check(const Context& context);        // check.cpp
int run_explain(const Context& context);      // explain.cpp
int run_doctor(const Context& context);       // doctor.cpp

// Opens the client of the daemon; on an error says it, and gives its exit code in `code`.
std::shared_ptr<Client> open_client(const Context& context, int& code);

// Says the error, and gives its exit code.
int fail(const Context& context, const Error& error);
int fail(const Context& context, int code, const std::string& message);

// 0, or the exit code of a required setting that is missing: says which, and all the ways to give it.
int require(const Context& context, const std::string& value, const std::string& flag, const std::string& example);

// Who does this: --actor, else the user's name and host.
std::string actor_of(const Settings& settings);

}  // namespace syzygy::cli
