// redis_url.h - what `--store redis://…` says, as values. Pure: nothing is opened, no file is read.
//
//   redis://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]...][/DATABASE][?OPTION=VALUE&...]
//   rediss://…                    the same over TLS
//   redis+sentinel://…?master=NAME    the hosts are sentinels; rediss+sentinel:// over TLS
//
// Several hosts are places to begin: whichever answers as the master, or as a node of the cluster. User, password and
// values are percent-encoded. Errors: kInvalidArgument, reason STORE_ADDRESS_INVALID; no message holds a password.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace syzygy {

struct RedisEndpoint {
  std::string host;
  std::uint16_t port = 0;

  friend bool operator==(const RedisEndpoint&, const RedisEndpoint&) = default;
};

std::string to_string(const RedisEndpoint& endpoint);  // "cache.example:6379", "[::1]:6379"

struct RedisLogin {
  std::string user;           // empty: the default user
  std::string password;       // empty: none, or in the file
  std::string password_file;  // its first line
};

struct RedisUrl {
  std::vector<RedisEndpoint> hosts;  // one or more
  bool sentinel = false;
  bool tls = false;
  std::string master;  // the name that the sentinels know
  RedisLogin login;
  RedisLogin sentinel_login;
  unsigned database = 0;
  std::string prefix = "syzygy";  // what all keys of this store begin with, in braces: "{syzygy}:epoch"
  std::string ca_file;            // empty: those that the system trusts
  std::string cert_file;
  std::string key_file;
  std::string tls_name;        // what the certificate must be for; empty: the host
  Duration timeout{3'000};     // of a call, from its begin to its answer
  unsigned wait_replicas = 0;  // a commit is answered once so many replicas have it
  bool allow_eviction = false;
};

Result<RedisUrl> parse_redis_url(std::string_view url);

}  // namespace syzygy
