// redis.h - real Redis servers, sentinels and clusters for tests, on free ports, gone with their object.
//
// A server keeps its files in a directory of its own under the system's temporary one, listens on 127.0.0.1 only, and
// writes its append-only file with every command (appendfsync always). It dies with this process, also when that is
// killed; start it on a thread that lives as long as it shall. A failure to start throws std::runtime_error with the
// server's own log.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace syzygy::test {

class RedisServer {
 public:
  using Words = std::vector<std::string>;

  // `settings`: lines of redis.conf, as "maxmemory 10mb", besides what is said above; the last one of a name wins.
  // "tls": true makes the port a TLS port (the settings name the certificates).
  explicit RedisServer(std::vector<std::string> settings = {}, bool sentinel = false, bool tls = false);
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  // One for the whole test program, started with the first use.
  static RedisServer& shared();

  [[nodiscard]] int port() const { return port_; }
  [[nodiscard]] std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  [[nodiscard]] std::string url(const std::string& options = {}) const;  // "redis://127.0.0.1:PORT/?options"
  [[nodiscard]] const std::filesystem::path& directory() const { return directory_; }

  // What the server answers, as one text: an array's elements each on a line, an error with "ERR: " before it. Empty
  // where it does not answer. Not for TLS ports.
  std::string ask(const Words& words) const;
  // Until ask(words) contains `text`; false after 30 s.
  [[nodiscard]] bool becomes(const Words& words, const std::string& text) const;

  void kill();    // SIGKILL
  void start();   // after kill(): with the same files, on the same port
  void pause();   // SIGSTOP
  void resume();  // SIGCONT

 private:
  std::filesystem::path directory_;
  std::vector<std::string> settings_;
  bool sentinel_ = false;
  bool tls_ = false;
  pid_t pid_ = -1;
  int port_ = 0;
};

// Three masters without replicas that share all slots.
class RedisCluster {
 public:
  RedisCluster();
  [[nodiscard]] RedisServer& node(std::size_t i) { return *nodes_[i]; }
  [[nodiscard]] RedisServer& owner_of(int slot);
  // Gives a slot, and every key in it, to another node as an operator would: in these three steps.
  static void begin_move(int slot, RedisServer& from, RedisServer& to);
  static void move_keys(int slot, RedisServer& from, RedisServer& to);
  static void finish_move(int slot, RedisServer& from, RedisServer& to);
  static int slot_of(RedisServer& any, const std::string& key);

 private:
  std::vector<std::unique_ptr<RedisServer>> nodes_;
};

// A master, two replicas, three sentinels that agree by two and call the master "main".
class RedisSentinels {
 public:
  RedisSentinels();
  [[nodiscard]] std::string url(const std::string& options = {}) const;
  [[nodiscard]] RedisServer& server(std::size_t i) { return *servers_[i]; }
  [[nodiscard]] RedisServer& sentinel(std::size_t i) { return *sentinels_[i]; }
  // The server that sentinel 0 takes for the master.
  [[nodiscard]] RedisServer& master();

 private:
  std::vector<std::unique_ptr<RedisServer>> servers_;
  std::vector<std::unique_ptr<RedisServer>> sentinels_;
};

}  // namespace syzygy::test
