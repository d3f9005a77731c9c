// Addresses of stores, and what a Redis server answers.
#include <array>
#include <memory>

#include "base/name.h"
#include "store/open.h"
#include "store/redis_replies.h"
#include "store/redis_url.h"
#include "store/redis_version.h"
#include "target.h"

namespace syzygy::fuzz {
namespace {

constexpr std::string_view kSecret = "hunter2hunter2";

struct FreeReader {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

void look_at(const redisReply& reply, int depth) {
  const RedisEndpoint asked{"127.0.0.1", 6379};
  if (const auto redirect = redirect_of(reply, asked)) {
    require(redirect->to.port != 0 && !redirect->to.host.empty(), "a redirection leads somewhere", text_of(reply));
  }
  if (is_error(reply)) {
    require_well_said(redis_error(text_of(reply), "cache:6379"));
    const Error login = redis_login_error(text_of(reply), "cache:6379");
    require_well_said(login);
  }
  if (is_text(reply)) {
    (void)server_of_info(text_of(reply));
    (void)at_least(text_of(reply), 6, 2);
    if (const auto version = redis_version_of(text_of(reply))) {
      require(redis_text_of(*version) == text_of(reply), "a version is written as it was read", text_of(reply));
    }
  }
  if (reply.type != REDIS_REPLY_ARRAY || depth > 16) return;
  for (std::size_t i = 0; i < reply.elements; ++i) look_at(*reply.element[i], depth + 1);
}

}  // namespace

SYZYGY_FUZZ_TARGET(store_address) {
  const auto checked = check_store(input);
  if (!checked) require_well_said(checked.error());
  (void)directory_of_store(input);
  (void)without_passwords(input);
}

// A password, put where addresses have theirs, is never shown. The first byte chooses the place.
SYZYGY_FUZZ_TARGET(store_secret) {
  static constexpr std::array<std::string_view, 5> kKinds = {"redis://", "rediss://", "redis+sentinel://",
                                                             "postgresql://", "postgres://"};
  if (input.contains(kSecret)) return;  // elsewhere, such as in the host, it is no password
  Choices choices(input);
  const std::string_view kind = kKinds[choices.byte() % kKinds.size()];
  const auto cut = choices.rest().find('\n');
  const std::string before(choices.rest().substr(0, cut));
  const std::string after(cut == std::string_view::npos ? "" : choices.rest().substr(cut + 1));
  // USER:...SECRET...@HOST..., and as the value of a parameter.
  for (const std::string& address :
       {std::string(kind) + "u:" + before + std::string(kSecret) + "@" + after,
        std::string(kind) + "h/0?" + before + "&password=" + std::string(kSecret) + after}) {
    const auto checked = check_store(address);
    if (checked) continue;
    require_well_said(checked.error());
    require(!checked.error().message.contains(kSecret), "no error holds a password", checked.error().message);
  }
}

SYZYGY_FUZZ_TARGET(redis_url) {
  const auto url = parse_redis_url(input);
  if (!url) return require_well_said(url.error());
  require(!url->hosts.empty(), "a store has a host", input);
  for (const RedisEndpoint& host : url->hosts) {
    require(!host.host.empty() && host.port != 0, "a host has a name and a port", input);
    require(!to_string(host).empty(), "a host can be named");
  }
  require(url->timeout.count() > 0, "a timeout is one", input);
  require(url->sentinel == !url->master.empty(), "sentinels, and only they, are asked for a master", input);
}

SYZYGY_FUZZ_TARGET(redis_reply) {
  const std::unique_ptr<redisReader, FreeReader> reader(redisReaderCreate());
  if (redisReaderFeed(reader.get(), input.data(), input.size()) != REDIS_OK) return;
  for (void* reply = nullptr; redisReaderGetReply(reader.get(), &reply) == REDIS_OK && reply != nullptr;
       reply = nullptr) {
    const RedisReply owned(static_cast<redisReply*>(reply));
    look_at(*owned, 0);
  }
  (void)server_of_info(input);
}

}  // namespace syzygy::fuzz
