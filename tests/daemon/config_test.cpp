// What can be set, from where, and what is refused before anything is opened.
#include "daemon/config.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/daemon/process.h"

namespace syzygy::daemon {
namespace {

using daemon_tests::Directory;

Parsed parse_with(std::vector<std::string> arguments, std::map<std::string, std::string> environment = {}) {
  arguments.insert(arguments.begin(), "syzygyd");
  std::vector<const char*> argv;
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  environment.try_emplace("SYZYGY_STORE", "memory:");
  return parse(static_cast<int>(argv.size()), argv.data(), [&](const char* name) -> const char* {
    const auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  });
}

TEST(Config, FlagBeforeEnvironmentBeforeFile) {
  const Directory directory;
  const std::string file = directory.write("syzygyd.toml", "lease = \"40s\"\nlinger = \"40m\"\nparties-max = 40\n");
  const Parsed parsed =
      parse_with({"--config", file, "--lease", "20s"}, {{"SYZYGY_LEASE", "30s"}, {"SYZYGY_LINGER", "30m"}});
  ASSERT_TRUE(parsed.config) << parsed.text;
  EXPECT_EQ(parsed.config->rounds.lease, Duration(20'000));
  EXPECT_EQ(parsed.config->rounds.linger, Duration(1'800'000));
  EXPECT_EQ(parsed.config->rounds.parties_max, 40U);
  EXPECT_EQ(parsed.config->barriers.parties_max, 40U);
}

TEST(Config, DefaultsAreThoseOfTheProtocol) {
  const Parsed parsed = parse_with({});
  ASSERT_TRUE(parsed.config) << parsed.text;
  EXPECT_EQ(parsed.config->http, "127.0.0.1:7410");
  EXPECT_EQ(parsed.config->grpc, "127.0.0.1:7411");
  EXPECT_EQ(parsed.config->rounds.lease, Duration(15'000));
  EXPECT_EQ(parsed.config->rounds.lock_delay_unfenced, Duration(10'000));
}

TEST(Config, AStoreCommandThatIsNoneIsToldTheThreeThatAre) {
  for (const auto& [arguments, word] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"store"}, "missing"},
           {{"store", "frob"}, "\"frob\""},
           {{"store", "frob", "--store", "memory:"}, "\"frob\""}}) {
    const Parsed parsed = parse_with(arguments);
    EXPECT_EQ(parsed.code, kExitUsage);
    for (const std::string& said : {word, std::string("check, migrate and reopen"), std::string("store --help")}) {
      EXPECT_NE(parsed.text.find(said), std::string::npos) << parsed.text;
    }
  }
  const Parsed missing = parse_with({"store", "migrate"});
  EXPECT_EQ(missing.code, kExitUsage);
  EXPECT_NE(missing.text.find("--from"), std::string::npos) << missing.text;
}

TEST(Config, TheStateGoesWhereItCanBeWritten) {
  const Parsed parsed = parse_with({}, {{"SYZYGY_STORE", ""}, {"XDG_STATE_HOME", "/xdg"}});
  ASSERT_TRUE(parsed.config) << parsed.text;
  EXPECT_TRUE(parsed.config->store_chosen);
  EXPECT_TRUE(parsed.config->store == "sqlite:/var/lib/syzygy" || parsed.config->store == "sqlite:/xdg/syzygy")
      << parsed.config->store;
}

TEST(Config, EverySettingIsKnownInAllThreePlaces) {
  const Directory directory;
  const std::string list = directory.write("list.toml", "allow-host = [\"a\", \"b\"]\ninsecure-listen = true\n");
  const Parsed parsed = parse_with({"--config", list});
  ASSERT_TRUE(parsed.config) << parsed.text;
  EXPECT_EQ(parsed.config->allowed_hosts, (std::vector<std::string>{"a", "b"}));
  EXPECT_TRUE(parsed.config->insecure_listen);
  const Parsed help = parse_with({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* flag :
       {"--http", "--grpc", "--store", "--tls-cert", "--tls-key", "--token-file", "--insecure-listen", "--lease",
        "--lock-delay", "--linger", "--port-file", "--log-format", "Examples:"}) {
    EXPECT_NE(help.text.find(flag), std::string::npos) << flag;
  }
  EXPECT_EQ(parse_with({}, {{"SYZYGY_INSECURE_LISTEN", "true"}}).config->insecure_listen, true);
}

TEST(Config, RefusesWhatCannotBeMeant) {
  const Directory directory;
  const std::string token = directory.write("token", "0123456789abcdef\n");
  struct Row {
    std::vector<std::string> arguments;
    std::string says;
  };
  const std::vector<Row> rows = {
      {{"--no-such-flag"}, "no-such-flag"},
      {{"stray"}, "stray"},
      {{"--lease"}, "--lease"},
      {{"--lease", "15"}, "500ms, 15s"},
      {{"--lease", "-1s"}, "500ms, 15s"},
      {{"--lease", "1s", "--lease", "2s"}, "--lease"},
      {{"--lease", "99999999999999999999s"}, "500ms, 15s"},
      {{"--lease", "10m"}, "--lease-max"},
      {{"--lock-delay", "2s"}, "--kill-after"},
      {{"--parties-max", "0"}, "from 1 to"},
      {{"--parties-max", "many"}, "from 1 to"},
      {{"--log-level", "loud"}, "debug, error, info, warning"},
      {{"--store", "nothing:x"}, "sqlite:/DIR"},
      {{"--store", "/var/lib/syzygy"}, "without a kind"},
      {{"--store", "memory:x"}, "after its colon"},
      {{"--store", "sqlite:"}, "lacks its directory"},
      {{"--http", "7410"}, "host:port"},
      {{"--http", "127.0.0.1:70000"}, "host:port"},
      {{"--http", ""}, "--http"},
      {{"--grpc", "0.0.0.0:7411"}, "--insecure-listen"},
      {{"--http", ":7410"}, "--insecure-listen"},
      {{"--http", "example.com:7410", "--token-file", token}, "TLS (--tls-cert"},
      {{"--tls-cert", token}, "belong together"},
      {{"--tls-cert", token, "--tls-key", token}, "not a certificate in PEM"},
      {{"--tls-cert", directory / "none", "--tls-key", token}, "No such file"},
      {{"--token-file", directory / "none"}, "No such file"},
      {{"--token-file", "/"}, "it is a directory"},
      {{"--token-file", directory.write("short", "abc")}, "16 to 4096"},
      {{"--token-file", directory.write("lines", "0123456789abcdef\n0123456789abcdef")}, "16 to 4096"},
      {{"--token-file", directory.write("bytes", std::string(64, '\0'))}, "16 to 4096"},
      {{"--token-file", directory.write("large", std::string(2 << 20, 'x'))}, "larger than 1 MiB"},
      {{"--config", directory / "none"}, "No such file"},
      {{"--config", directory.write("a.toml", "lease = ")}, "a.toml:1"},
      {{"--config", directory.write("b.toml", "\nlaese = \"1s\"")}, "b.toml:2: laese is not a key"},
      {{"--config", directory.write("c.toml", "lease = [\"1s\"]")}, "c.toml:1: lease must be"},
      {{"--config", directory.write("d.toml", "[lease]\nx = 1")}, "lease must be"},
      {{"--config", directory.write("e.toml", std::string("\xff\xfe\0\1", 4))}, "e.toml"},
      {{"--config", directory.write("f.toml", "lease = \"soon\"")}, "lease in"},
  };
  for (const Row& row : rows) {
    const Parsed parsed = parse_with(row.arguments);
    std::string shown;
    for (const std::string& argument : row.arguments) shown += argument + " ";
    EXPECT_FALSE(parsed.config) << shown;
    EXPECT_EQ(parsed.code, kExitUsage) << shown;
    EXPECT_NE(parsed.text.find(row.says), std::string::npos) << shown << "said: " << parsed.text;
    EXPECT_EQ(parsed.text.find("0123456789abcdef"), std::string::npos) << "a token in an error";
  }
  const Parsed variable = parse_with({}, {{"SYZYGY_LEASE", "soon"}});
  EXPECT_NE(variable.text.find("SYZYGY_LEASE is \"soon\""), std::string::npos) << variable.text;
}

TEST(Config, NonsenseNeverCrashes) {
  std::uint32_t random = 7;
  const auto next = [&] { return random = random * 1'664'525U + 1'013'904'223U; };
  const Directory directory;
  for (int i = 0; i < 300; ++i) {
    std::string noise(next() % 60, '\0');
    for (char& c : noise) c = static_cast<char>(next() >> 11U);
    const std::string argument = noise.substr(0, noise.find('\0'));
    for (const auto& arguments : {std::vector<std::string>{argument},
                                  {"--" + argument},
                                  {"--lease", argument},
                                  {"--http", argument},
                                  {"--config", directory.write("noise.toml", noise)}}) {
      const Parsed parsed = parse_with(arguments);
      EXPECT_TRUE(parsed.config || parsed.code == kExitUsage || parsed.code == 0);
    }
  }
}

TEST(Config, BeyondLoopbackWithProtection) {
  EXPECT_TRUE(parse_with({"--http", "0.0.0.0:7410", "--grpc", "[::]:7411", "--insecure-listen"}).config);
  EXPECT_TRUE(parse_with({"--http", "[::1]:7410", "--grpc", "localhost:7411"}).config);
  EXPECT_TRUE(parse_with({"--http", "127.1.2.3:0"}).config);
}

}  // namespace
}  // namespace syzygy::daemon
