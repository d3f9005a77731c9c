#include "client/cli/commands.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/version.h"
#include "client/cli/ending.h"
#include "client/cli/exit_codes.h"

namespace syzygy::cli {

std::shared_ptr<Client> open_client(const Context& context, int& code) {
  const Settings& s = context.settings;
  auto endpoints = parse_endpoints(s.daemon);
  if (!endpoints) {
    code = fail(context, endpoints.error());
    return nullptr;
  }
  ClientOptions options;
  options.endpoints = *endpoints;
  options.tls = s.tls;
  options.ca_file = s.ca_file;
  options.server_name = s.server_name;
  options.token_file = s.token_file;
  options.insecure_token = s.insecure_token;
  options.connect_timeout = s.connect_timeout;
  options.connect_at_once = true;
  options.user_agent = "syzygy/" + std::string(kVersion);
  auto client = Client::open(std::move(options));
  if (!client) {
    code = fail(context, client.error());
    return nullptr;
  }
  code = 0;
  keep(*client);
  return *client;
}

int fail(const Context& context, const Error& error) { return fail(context, exit_code(error), error.message); }

int fail(const Context& context, int code, const std::string& message) {
  context.narrator.say(message);
  return code;
}

int require(const Context& context, const std::string& value, const std::string& flag, const std::string& example) {
  if (!value.empty()) return 0;
  std::string variable = "SYZYGY_";
  std::string key;
  for (const char c : flag.substr(2)) {
    variable.push_back(c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    key.push_back(c == '-' ? '_' : c);
  }
  return fail(context, kExitUsage,
              flag + " is missing, and has no default: pass " + flag + " " + example + ", set " + variable +
                  ", or write " + key + " = \"" + example + "\" in syzygy.toml");
}

std::string actor_of(const Settings& settings) {
  if (!settings.actor.empty()) return settings.actor;
  const passwd* user = ::getpwuid(::geteuid());
  char host[256] = "";
  static_cast<void>(::gethostname(host, sizeof(host) - 1));
  return std::string(user != nullptr ? user->pw_name : "uid " + std::to_string(::geteuid())) + "@" + host;
}

}  // namespace syzygy::cli
