// redis_backend.h - a store in a Redis that many tests share: a prefix of its own for each.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "store/redis.h"
#include "tests/store/conformance.h"

namespace syzygy::store_tests {

// For what is no test of timeouts: a busy machine, or its disk, may stand still for longer than the 3 s that are usual.
inline constexpr const char* kPatient = "timeout=20s";

inline std::string new_prefix() {
  static int made = 0;
  return "test" + std::to_string(++made);
}

// Opens what must open; patiently, where the address does not say otherwise.
inline std::unique_ptr<RedisStore> open_redis(const std::string& url) {
  auto parsed = parse_redis_url(url);
  if (!parsed) {
    ADD_FAILURE() << parsed.error().message;
    return nullptr;
  }
  if (!url.contains("timeout=")) parsed->timeout = Duration{20'000};
  auto store = RedisStore::open(*parsed);
  if (store) return *std::move(store);
  ADD_FAILURE() << url << ": " << store.error().message;
  return nullptr;
}

// The error of what must not open.
inline Error refusal_of(const std::string& url) {
  const auto parsed = parse_redis_url(url);
  if (!parsed) return parsed.error();
  const auto store = RedisStore::open(*parsed);
  if (!store) return store.error();
  ADD_FAILURE() << url << " was opened";
  return {};
}

class RedisBackend final : public BackendUnderTest {
 public:
  explicit RedisBackend(std::string url) : url_(std::move(url)) {}
  std::unique_ptr<Store> open() override { return open_redis(url_); }
  std::string url() override { return url_; }

 private:
  const std::string url_;
};

}  // namespace syzygy::store_tests
